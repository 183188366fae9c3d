//! `kith apply`: what is refused and where, what is put in force, and that nothing is half applied.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use kith::cli::apply::{ApplyArgs, ApplyContext, ApplyOutcome, run};
use kith::config::{Problem, shipped};
use kith::domain::document::DocumentKind;
use kith::domain::grade::Grade;
use kith::domain::id::IdSource;
use kith::engine::apply::{Applied, How, Refused, apply, check, plan};
use kith::engine::rules::{NoRules, Rules};
use kith::store::document::rules_stamp;
use tempfile::TempDir;

use crate::harness::TestDb;

fn now() -> DateTime<Utc> {
    "2026-05-10T04:00:00Z".parse().unwrap()
}

/// The shipped files in a directory of their own.
fn shipped_files() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    shipped::unpack(dir.path()).unwrap();
    dir
}

fn checked(dir: &Path) -> Result<kith::engine::apply::Checked, Vec<Problem>> {
    check(&dir.join("config"), &dir.join("templates"))
}

async fn put(db: &TestDb, dir: &Path, moves: &[String]) -> anyhow::Result<Applied> {
    let checked = checked(dir).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut connection = db.pool.acquire().await?;
    apply(
        &mut connection,
        &checked,
        moves,
        "tester",
        now(),
        &IdSource::Random,
    )
    .await
}

fn replace(dir: &Path, file: &str, from: &str, to: &str) {
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
        panic!(
            "{}",
            problems.iter().map(|p| format!("{p}\n")).collect::<String>()
        );
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
        let told = problems.iter().map(|p| format!("{p}\n")).collect::<String>();
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
    let told: String = checked(dir.path())
        .err()
        .unwrap()
        .iter()
        .map(|p| format!("{p}\n"))
        .collect();
    assert!(told.contains("marketing and care need a way out"), "{told}");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn what_is_applied_is_in_force_and_again_is_no_change() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    let mut connection = db.pool.acquire().await.unwrap();
    let nothing = Rules::load(&mut connection).await.unwrap_err();
    assert!(nothing.downcast_ref::<NoRules>().is_some());

    let first = put(&db, dir.path(), &[]).await.unwrap();
    assert!(first.diff.changes.iter().all(|change| change.how == How::Added));
    let rules = Rules::load(&mut connection).await.unwrap();
    assert_eq!(rules.stamp, rules_stamp(&mut connection).await.unwrap());
    assert_eq!(rules.cadences.len(), 4);
    assert_eq!(
        rules.cadence_of_grade(Grade::A).unwrap().cadence.name,
        "a-close-in"
    );
    assert_eq!(rules.template_versions.len(), rules.templates.templates.len());
    assert!(kith::render::Registry::compile(&rules.templates).is_ok());
    let new_year = "2026-01-01".parse().unwrap();
    assert!(!rules.holidays(None).unwrap().is_business_day(new_year));
    assert!(rules.holidays(Some("FR")).is_none());
    let files = checked(dir.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
    for (name, cadence) in &files.cadences {
        assert_eq!(*rules.cadences[name].cadence, *cadence);
    }
    assert_eq!(rules.gate, files.settings.gate);
    assert_eq!(rules.company, files.settings.company);
    let holidays: i64 = sqlx::query_scalar("select count(*) from holiday where calendar = 'china'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(holidays > 45);

    let again = put(&db, dir.path(), &[]).await.unwrap();
    assert_eq!(again.diff.changes, []);
    assert_eq!(again.diff.same, first.diff.changes.len());
    let (versions, deeds): (i64, i64) =
        sqlx::query_as("select (select count(*) from document_version), (select count(*) from audit)")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert_eq!((versions as usize, deeds), (first.diff.changes.len(), 1));
}

#[tokio::test]
async fn a_change_is_a_new_version_and_a_removal_retires() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let before = Rules::load(&mut connection).await.unwrap();

    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    fs::remove_file(dir.path().join("config/cadences/birthday-care.toml")).unwrap();
    let changed = checked(dir.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let planned = plan(&mut connection, &changed, now()).await.unwrap();
    assert_eq!(
        rules_stamp(&mut connection).await.unwrap(),
        before.stamp,
        "a plan changes nothing"
    );
    let applied = put(&db, dir.path(), &[]).await.unwrap().diff;
    assert_eq!(planned, applied);
    let shown: Vec<_> = applied
        .changes
        .iter()
        .map(|c| (c.kind, c.name.as_str(), c.how))
        .collect();
    assert_eq!(
        shown,
        [
            (DocumentKind::Cadence, "b-to-a", How::Changed),
            (DocumentKind::Cadence, "birthday-care", How::Retired)
        ]
    );
    assert_eq!(
        applied.changes[0].lines,
        ["steps.checklist.wait: \"6d\" -> \"8d\""]
    );

    let after = Rules::load(&mut connection).await.unwrap();
    assert_ne!(after.stamp, before.stamp);
    assert!(!after.cadences.contains_key("birthday-care"));
    for (name, old) in &before.cadences {
        assert_eq!(
            after.pinned(old.version_id).unwrap(),
            &old.cadence,
            "{name} stays readable for those on it"
        );
    }
}

#[tokio::test]
async fn live_enrollments_stay_until_they_are_moved_on_purpose() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let old = Rules::load(&mut connection).await.unwrap().cadences["b-to-a"].version_id;
    for (n, cursor, state) in [
        (1, "value", "active"),
        (2, "checklist", "active"),
        (3, "value", "finished"),
    ] {
        sqlx::query(
            "insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state,
                                     cursor, next_at, entered_at, entry_reason)
             values (gen_random_uuid(), 0, gen_random_uuid(), gen_random_uuid(), 'b-to-a', $1, 'once', $2, $3, $4, $4, $5)",
        )
        .bind(old)
        .bind(state)
        .bind(cursor)
        .bind(now())
        .bind(format!("test {n}"))
        .execute(&db.pool)
        .await
        .unwrap();
    }
    let text = fs::read_to_string(dir.path().join("config/cadences/b-to-a.toml")).unwrap();
    let start = text.find("[[steps]]\nkey = \"checklist\"").unwrap();
    let end = text[start..].find("# The next two").unwrap() + start;
    fs::write(
        dir.path().join("config/cadences/b-to-a.toml"),
        format!("{}{}", &text[..start], &text[end..]),
    )
    .unwrap();

    let diff = put(&db, dir.path(), &[]).await.unwrap().diff;
    assert_eq!(diff.changes[0].touches, [(2, "live enrollments")]);
    let on_old = "select count(*) from enrollment where cadence_version_id = $1";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(on_old)
            .bind(old)
            .fetch_one(&db.pool)
            .await
            .unwrap(),
        3
    );

    let moved = put(&db, dir.path(), &["b-to-a".to_owned()]).await.unwrap().moved;
    assert_eq!((moved[0].enrollments, moved[0].left.len()), (1, 1));
    assert_eq!(moved[0].left[0].cursor, "checklist");
    assert_eq!(
        sqlx::query_scalar::<_, i64>(on_old)
            .bind(old)
            .fetch_one(&db.pool)
            .await
            .unwrap(),
        2
    );
    let error = put(&db, dir.path(), &["c-to-b".to_owned()]).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Refused::NoSuchCadence(name)) if name == "c-to-b"));
}

#[tokio::test]
async fn an_attribute_that_nobody_has_is_refused_and_nothing_is_half_applied() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    replace(
        dir.path(),
        "templates/b-value/en/html.hbs",
        "<p>",
        "<p>{{contact.attr.machines}} ",
    );
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    put(&db, dir.path(), &[])
        .await
        .expect("before the first import nobody has anything");
    sqlx::raw_sql(
        "insert into account (id, shard, kind, name) values ('00000000-0000-0000-0000-000000000001', 0, 'person', 'a');
         insert into contact (id, shard, account_id, name) values
           ('00000000-0000-0000-0000-000000000001', 0, '00000000-0000-0000-0000-000000000001', 'a');",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"8d\"",
        "wait = \"9d\"",
    );
    let mut connection = db.pool.acquire().await.unwrap();
    let stamp = rules_stamp(&mut connection).await.unwrap();
    let error = put(&db, dir.path(), &[]).await.unwrap_err();
    let Some(Refused::Unfit(problems)) = error.downcast_ref() else {
        panic!("{error:#}")
    };
    assert!(
        problems[0].file.ends_with("templates/b-value/en/html.hbs") && problems[0].line == 1,
        "{problems:?}"
    );
    assert!(problems[0].reason.contains("`contact.attr.machines`"));
    assert_eq!(rules_stamp(&mut connection).await.unwrap(), stamp);

    sqlx::query("update contact set attrs = '{\"machines\": \"12\"}'")
        .execute(&db.pool)
        .await
        .unwrap();
    put(&db, dir.path(), &[]).await.unwrap();
    assert_ne!(rules_stamp(&mut connection).await.unwrap(), stamp);
}

#[tokio::test]
async fn a_failure_in_the_middle_leaves_what_was_in_force() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let stamp = rules_stamp(&mut connection).await.unwrap();
    // the holidays are written last: after the versions and the pointers
    sqlx::raw_sql("alter table holiday add constraint none check (name <> 'Broken')")
        .execute(&db.pool)
        .await
        .unwrap();
    replace(
        dir.path(),
        "config/calendars/china.toml",
        "name = \"New Year's Day\"",
        "name = \"Broken\"",
    );
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    let error = put(&db, dir.path(), &[]).await.unwrap_err();
    assert!(format!("{error:#}").contains("\"none\""), "{error:#}");
    assert_eq!(rules_stamp(&mut connection).await.unwrap(), stamp);
    let counted = "select (select count(*) from holiday), (select count(*) from audit)";
    let (holidays, deeds): (i64, i64) = sqlx::query_as(counted).fetch_one(&db.pool).await.unwrap();
    assert!(holidays > 100 && deeds == 1);
}

#[tokio::test]
async fn the_command_tells_places_on_one_side_and_the_diff_on_the_other() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    let ids = IdSource::Random;
    let mut args = ApplyArgs {
        dry_run: true,
        moves: Vec::new(),
        config: dir.path().join("config"),
        templates: dir.path().join("templates"),
    };
    let mut connection = db.pool.acquire().await.unwrap();
    let mut said = async |args: &ApplyArgs| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let context = ApplyContext {
            connection: &mut connection,
            now: now(),
            ids: &ids,
            actor: "tester",
        };
        let outcome = run(args, context, &mut out, &mut err).await.unwrap();
        (
            outcome,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    };
    let (outcome, out, err) = said(&args).await;
    assert_eq!((outcome, err.as_str()), (ApplyOutcome::Done, ""));
    assert!(
        out.contains("+ cadence b-to-a: 0 live enrollments, 0 may enter now"),
        "{out}"
    );
    assert!(out.ends_with("dry run: nothing was changed\n"), "{out}");
    args.dry_run = false;
    assert!(
        said(&args)
            .await
            .1
            .contains(" added, 0 changed, 0 retired, 0 unchanged")
    );
    assert!(said(&args).await.1.starts_with("no change ("));

    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "template = \"b-value\"",
        "template = \"b-valeu\"",
    );
    let (outcome, out, err) = said(&args).await;
    assert_eq!((outcome, out.as_str()), (ApplyOutcome::Refused, ""));
    let place = dir
        .path()
        .join("config/cadences/b-to-a.toml")
        .display()
        .to_string();
    assert!(
        err.starts_with(&format!(
            "{place}:21:1: steps.0.template: there is no template `b-valeu`"
        )),
        "{err}"
    );
    assert!(
        err.ends_with("refused: 1 problems; nothing was changed\n"),
        "{err}"
    );
}
