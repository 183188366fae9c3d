//! What `kith apply` refuses: every kind of fault, told with its place.

use std::fs;
use std::path::{Path, PathBuf};

use kith::config::{Problem, shipped};
use kith::engine::apply::{Checked, check};
use tempfile::TempDir;

/// The shipped files in a directory of their own.
pub(crate) fn shipped_files() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    shipped::unpack(dir.path()).unwrap();
    dir
}

/// What the check says of the files there.
pub(crate) fn checked(dir: &Path) -> Result<Checked, Vec<Problem>> {
    check(&dir.join("config"), &dir.join("templates"))
}

fn all(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Replaces the first occurrence in a file.
pub(crate) fn replace(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// A fault: the file, what is replaced by what, the line it is told at, and part of the telling.
type Fault = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const FAULTS: &[Fault] = &[
    // file, from, to, text that begins the line it must be told at, part of what is told
    (
        "config/kith.toml",
        "currency = \"CNY\"",
        "curency = \"CNY\"",
        Some("curency"),
        "unknown key `curency`; known: ",
    ),
    (
        "config/kith.toml",
        "timezone = \"Asia/Shanghai\"",
        "timezone = \"Asia/Shanghia\"",
        Some("timezone"),
        "Asia/Shanghia",
    ),
    (
        "config/kith.toml",
        "CN = \"china\"",
        "CN = \"chian\"",
        Some("CN ="),
        "there is no calendar `chian` (did you mean `china`?)",
    ),
    (
        "config/kith.toml",
        "# password = { env = \"SMTP_PASSWORD\" }",
        "password = \"x\"",
        Some("password"),
        "must not stand in the file",
    ),
    (
        "config/kith.toml",
        "care = \"08:00-20:00\"",
        "care = \"20:00-08:00\"",
        Some("care = \"20"),
        "must end after it begins",
    ),
    (
        "config/cadences/b-to-a.toml",
        "function = \"information\"\n",
        "",
        Some("[[steps]]"),
        "missing key `function`",
    ),
    (
        "config/cadences/b-to-a.toml",
        "title = ",
        "titel = ",
        Some("titel"),
        "unknown key `titel`",
    ),
    (
        "config/cadences/b-to-a.toml",
        "template = \"b-value\"",
        "template = \"b-valeu\"",
        Some("template = \"b-valeu\""),
        "(did you mean `b-value`?)",
    ),
    (
        "config/cadences/b-to-a.toml",
        "key = \"checklist\"",
        "key = \"case-story\"",
        Some("key = \"case-story\""),
        "two steps have the key",
    ),
    (
        "config/cadences/b-to-a.toml",
        "goto = \"pricing\"",
        "goto = \"prices\"",
        Some("branch"),
        "there is no step `prices`",
    ),
    (
        "config/cadences/b-to-a.toml",
        "wait = \"5d\"",
        "wait = \"5 days\"",
        Some("wait = \"5 days\""),
        "not a duration",
    ),
    (
        "config/cadences/b-to-a.toml",
        "hold_out = 0.0",
        "hold_out = 0.7",
        Some("hold_out"),
        "from 0 to 0.5",
    ),
    (
        "config/cadences/b-to-a.toml",
        "until = \"mon-fri 09:30\"",
        "until = \"mon-fri 9.30\"",
        Some("until"),
        "time of day",
    ),
    (
        "config/cadences/b-to-a.toml",
        "fact = \"lead.open\"",
        "fact = \"lead.opne\"",
        Some("audience"),
        "(did you mean `lead.open`?)",
    ),
    (
        "config/cadences/b-to-a.toml",
        "goal = { fact = \"lead.grade\", is = \"A\" }",
        "goal = { fact = \"lead.grade\", at_least = 1 }",
        Some("goal"),
        "does not fit",
    ),
    (
        "config/cadences/b-to-a.toml",
        "event = \"clicked\"",
        "event = \"clickt\"",
        Some("branch"),
        "(did you mean `clicked`?)",
    ),
    (
        "config/cadences/b-to-a.toml",
        "on_grade = [\"B\"]",
        "on_grade = [\"A\"]",
        Some("on_grade"),
        "grade A already leads to `a-close-in`",
    ),
    (
        "config/cadences/b-to-a.toml",
        "until = \"mon-fri 09:30\"",
        "then = \"end\"",
        Some("key = \"case-story\""),
        "nothing leads to the step `case-story`",
    ),
    (
        "config/cadences/b-to-a.toml",
        "channel = \"sms\"",
        "channel = \"task\"",
        Some("template = \"b-short-sms\""),
        "has nothing to send as task",
    ),
    (
        "config/cadences/b-to-a.toml",
        "from = \"owner\"",
        "sender = \"mial\"",
        Some("sender"),
        "there is no sender `mial` (did you mean `mail`?)",
    ),
    (
        "config/cadences/win-back.toml",
        "schedule = \"0 9 * * mon-fri\"",
        "schedule = \"0 9 * *\"",
        Some("schedule"),
        "a schedule has five",
    ),
    (
        "config/cadences/win-back.toml",
        "schedule = \"0 9 * * mon-fri\"",
        "schedule = \"0 9 * * mon-fri\"\nzone = \"Mars/Olympus\"",
        Some("zone"),
        "Mars/Olympus",
    ),
    (
        "config/cadences/win-back.toml",
        "wait = \"10d\"",
        "wait = \"0s\"\nthen = \"offer\"",
        Some("wait = \"0s\""),
        "lead back to it without a `wait`",
    ),
    (
        "config/cadences/birthday-care.toml",
        "date = \"contact.birthday\"",
        "date = \"lead.expected_on\"",
        Some("on_date = {"),
        "only a lead has this date",
    ),
    (
        "config/grading.toml",
        "drop_after_days = 60",
        "drop_after_days = \"long\"",
        Some("drop_after_days"),
        "expected u32",
    ),
    (
        "config/grading.toml",
        "raise_at = 1.0",
        "raise_at = 0.1",
        Some("[hysteresis]"),
        "fall_at must be more than 0",
    ),
    (
        "config/grading.toml",
        "grade = \"B\"",
        "grade = \"C\"",
        Some("[[greenfield]]"),
        "",
    ),
    (
        "config/retention.toml",
        "lost_after_days = 180",
        "lost_after_days = 0",
        Some("[vip]"),
        "must be more than 0",
    ),
    (
        "config/retention.toml",
        "win_back = \"win-back\"",
        "win_back = \"winback\"",
        Some("win_back"),
        "(did you mean `win-back`?)",
    ),
    (
        "config/calendars/china.toml",
        "on = \"2026-01-01\"",
        "on = \"2026-02-30\"",
        Some("  { on = \"2026-02-30\""),
        "",
    ),
    (
        "config/calendars/china.toml",
        "until = \"2026-01-03\"",
        "until = \"2025-01-03\"",
        Some("  { on = \"2026-01-01\""),
        "run forward",
    ),
    (
        "config/calendars/china.toml",
        "on = \"lunar:08-15\"",
        "on = \"lunar:13-15\"",
        Some("  { name = \"Mid-Autumn"),
        "festival's day",
    ),
    (
        "templates/b-value/en/html.hbs",
        "<p>",
        "<p>{{contact.nmae}}",
        None,
        "unknown variable `contact.nmae`",
    ),
    ("templates/b-value/en/html.hbs", "<p>", "<p>{{#if x}}", None, ""),
    (
        "templates/b-value/en/html.hbs",
        "<p>",
        "<p>{{shout contact.name}}",
        None,
        "",
    ),
];

#[test]
fn the_shipped_files_are_sound() {
    let dir = shipped_files();
    if let Err(problems) = checked(dir.path()) {
        panic!("{}", all(&problems));
    }
}

#[test]
fn every_kind_of_fault_is_told_with_its_place() {
    for (file, from, to, line, part) in FAULTS {
        let dir = shipped_files();
        replace(dir.path(), file, from, to);
        let Err(problems) = checked(dir.path()) else {
            panic!("{file}: {to:?} was not refused")
        };
        let path = dir.path().join(file).display().to_string();
        let told = all(&problems);
        let problem = problems
            .iter()
            .find(|p| p.file == path && p.to_string().contains(part));
        let Some(problem) = problem else {
            panic!("{file}: {to:?} was told as\n{told}")
        };
        assert!(
            problem.line > 0 && problem.column > 0 && !problem.reason.is_empty(),
            "{told}"
        );
        if let Some(line) = line {
            let text = fs::read_to_string(dir.path().join(file)).unwrap();
            let at = text.lines().nth(problem.line - 1).unwrap_or_default();
            assert!(
                at.trim_start().starts_with(line.trim_start()),
                "{to:?} was told at {at:?}\n{told}"
            );
        }
    }
}

#[test]
fn files_that_nothing_reads_are_refused() {
    let dir = shipped_files();
    fs::create_dir(dir.path().join("config/cadence")).unwrap();
    fs::write(dir.path().join("config/gradings.toml"), "").unwrap();
    let told: Vec<_> = checked(dir.path())
        .err()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].ends_with("cadence: nothing reads this (did you mean `cadences`?)"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("gradings.toml: nothing reads this (did you mean `grading.toml`?)"),
        "{told:?}"
    );
    assert!(check(&dir.path().join("absent"), &dir.path().join("templates")).is_err());
}

#[test]
fn templates_too_deep_or_too_big_are_refused_and_the_process_lives() {
    let deep = "{{#if contact.name}}".repeat(5_000) + &"{{/if}}".repeat(5_000);
    let loops = "{{#each contact.attr.a}}".repeat(4) + "x" + &"{{/each}}".repeat(4);
    let big = "x".repeat(13 << 20);
    for body in [deep, loops, big] {
        let dir = shipped_files();
        fs::write(dir.path().join("templates/b-value/en/html.hbs"), body).unwrap();
        let problems = checked(dir.path()).err().unwrap();
        assert!(
            problems.iter().any(|p| p.file.ends_with("b-value/en/html.hbs")),
            "{problems:?}"
        );
    }
}

#[test]
fn a_mail_without_a_way_out_is_refused() {
    let dir = shipped_files();
    for layout in fs::read_dir(dir.path().join("templates/_layouts")).unwrap() {
        let path = layout.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("links.unsubscribe", "company.url")).unwrap();
    }
    for partial in walk(&dir.path().join("templates/_partials")) {
        let text = fs::read_to_string(&partial).unwrap();
        fs::write(&partial, text.replace("links.unsubscribe", "company.url")).unwrap();
    }
    let told = all(&checked(dir.path()).err().unwrap());
    assert!(told.contains("marketing and care need a way out"), "{told}");
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

#[test]
fn a_sender_of_ones_own_does_not_drop_the_shipped_ones_silently() {
    let dir = shipped_files();
    let mail = "[[senders]]\nname = \"mail\"\nchannel = \"email\"\nfrom_email = \"me@example.com\"\nsmtp = { host = \"h\" }\n";
    fs::write(dir.path().join("config/kith.toml"), mail).unwrap();
    let told = all(&checked(dir.path()).err().unwrap());
    assert!(
        told.contains(".toml:")
            && told.contains("channel: kith.toml has no sender for sms, so `")
            && told.contains("channel = \"sms\""),
        "{told}"
    );
}

/// A company whose text messages go over a mainland provider.
fn mainland(dir: &Path) {
    let path = dir.join("config/kith.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("# Any HTTP gateway.").unwrap();
    let (_, after) = rest.split_once("# The gate:").unwrap();
    let sender = "[senders.tencent]\nsecret_id = \"A\"\nsecret_key = { env = \"K\" }\napp_id = \"1\"\nsign_name = \"x\"\n\n";
    fs::write(path, format!("{before}{sender}# The gate:{after}")).unwrap();
}

#[test]
fn what_a_mainland_provider_has_to_know_is_checked() {
    let dir = shipped_files();
    mainland(dir.path());
    let told = all(&checked(dir.path()).err().unwrap());
    assert!(
        told.contains("sender `text` sends registered texts only: b-short-sms/zh-Hans/sms.toml must name one under [tencent] or [text]"),
        "{told}"
    );
    let templates = dir.path().join("templates");
    let all_sms = || {
        walk(&templates)
            .into_iter()
            .filter(|path| path.ends_with("sms.hbs"))
    };
    let write = |text: &str| {
        for part in all_sms() {
            fs::write(part.with_file_name("sms.toml"), text).unwrap();
        }
    };
    write("[tencent]\ntemplate = \"1\"\nvariables = [\"{{contact.name}}\", \"{{company.name}}\"]\n");
    assert_eq!(checked(dir.path()).err().map(|found| all(&found)), None);
    write("[text]\ntemplate = \"1\"\nsign_name = \"y\"\n");
    assert_eq!(
        checked(dir.path()).err().map(|found| all(&found)),
        None,
        "by the sender's name"
    );
    for (text, wanted) in [
        (
            "[tencent]\ntemplate = \"1\"\nvariables = [\"{{contact.nmae}}\"]",
            "tencent.variables.1: ",
        ),
        (
            "[tencent]\ntemplate = \"1\"\nvariables = [\"{{#if contact.name}}\"]",
            "tencent.variables.1: ",
        ),
        (
            "[tencent]\ntemplate = \"1\"\nvariables = { name = \"x\" }",
            "have places",
        ),
        (
            "[tencent]\ntemplate = \" \"",
            "tencent.template: the id of the registered text is empty",
        ),
        ("[tencent]\nvariables = []", "missing key `template`"),
        ("[tencent]\ntemplate = \"1\"\nsign = \"x\"", "unknown key `sign`"),
        (
            "[tencnet]\ntemplate = \"1\"",
            "is neither a provider that registers texts",
        ),
        (
            "[mail]\ntemplate = \"1\"",
            "is neither a provider that registers texts",
        ),
    ] {
        write(text);
        let told = all(&checked(dir.path()).err().unwrap());
        assert!(
            told.contains(wanted) && told.contains("b-short-sms/en/sms.toml"),
            "{text}: {told}"
        );
    }
}
