//! The command line, as a process: help, exit codes, and the way from CSV files to a story, a report and a backup.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kith::domain::retention::RetentionRules;
use kith::sample::SampleCompany;
use sqlx::PgPool;
use tempfile::TempDir;

use crate::harness::TestDb;

/// Every command with its subcommands, as they are typed.
const COMMANDS: &[&str] = &[
    "demo",
    "run",
    "migrate",
    "apply",
    "import",
    "plan",
    "explain",
    "preview",
    "send-test",
    "log",
    "tasks",
    "task",
    "task done",
    "task snooze",
    "task hand-over",
    "status",
    "brake",
    "report",
    "sandbox",
    "sandbox list",
    "sandbox show",
    "token",
    "token create",
    "user",
    "user add",
    "backup",
    "restore",
    "recover",
    "uncertain",
    "uncertain list",
    "uncertain settle",
    "senders",
    "senders resume",
    "bench",
    "chaos",
    "daemons",
    "doctor",
    "version",
];

/// Runs kith on a database, in a directory without configuration, so that what is built in holds.
pub fn kith(db: &TestDb, dir: &Path, args: &[&str]) -> Output {
    command(&db.url(), dir, args).output().unwrap()
}

fn command(url: &str, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command
        .args(args)
        .current_dir(dir)
        .env("DATABASE_URL", url)
        .env("KITH_DATABASE__DATA_DIR", dir.join("state"))
        .env_remove("KITH_LOG")
        .stdin(Stdio::null());
    command
}

#[track_caller]
pub fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(why), "{said}");
}

/// A small company: one owner, two organisations, three contacts, two leads, three purchases.
pub async fn company() -> (TestDb, TempDir) {
    let db = TestDb::new().await;
    let dir = tempfile::tempdir().unwrap();
    let files = [
        (
            "owners",
            "external_id,name,email\no-1,Li Wei,li@seller.example\no-2,Zhao Min,zhao@seller.example\n",
        ),
        (
            "organisations",
            "external_id,name,industry,region\norg-1,Blue Harbour,shipping,CN\norg-2,Red Mill,food,CN\n",
        ),
        (
            "contacts",
            "external_id,name,email,phone,locale,timezone,organisation,decision_maker,owner,consent_email,consent_sms\n\
             c-1,Ann Chen,ann@blue.example,+8613800138000,en,Asia/Shanghai,org-1,yes,o-1,yes,yes\n\
             c-2,Bo Sun,bo@blue.example,,zh-Hans,Asia/Shanghai,org-1,no,o-1,yes,no\n\
             c-3,Cai Wu,shared@red.example,,en,Asia/Shanghai,org-2,yes,o-1,yes,no\n\
             c-4,Di Wu,shared@red.example,,en,Asia/Shanghai,org-2,no,o-1,yes,no\n",
        ),
        (
            "leads",
            "external_id,contact,organisation,owner,situation,objective_need,felt_need,resolve,evaluating,selecting,expected_close,product,stage\n\
             l-1,c-1,org-1,o-1,greenfield,yes,yes,high,yes,yes,SOON,Crane control,offer\n",
        ),
        (
            "purchases",
            "external_id,contact,organisation,purchased_at,amount,currency,profit,product\n\
             p-1,c-1,org-1,2020-03-01,1200,CNY,300,Winch\n",
        ),
    ];
    // A lead is graded A when it is expected to close within three months.
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(30))
        .date_naive()
        .to_string();
    for (kind, text) in files {
        let file = dir.path().join(format!("{kind}.csv"));
        std::fs::write(&file, text.replace("SOON", &soon)).unwrap();
        done(&kith(
            &db,
            dir.path(),
            &["import", kind, file.to_str().unwrap(), "--source", "crm"],
        ));
    }
    (db, dir)
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_kith"))
            .args(&words)
            .output()
            .unwrap();
        let help = done(&output);
        assert!(
            help.contains("Examples:") && help.contains(&format!("kith {command}")),
            "{command}:\n{help}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kith"))
        .arg("--help")
        .output()
        .unwrap();
    let help = done(&output);
    let told: BTreeSet<&str> = help
        .split_once("Commands:\n")
        .unwrap()
        .1
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    let known: BTreeSet<&str> = COMMANDS.iter().filter(|c| !c.contains(' ')).copied().collect();
    assert_eq!(told, known);
}

#[tokio::test]
async fn exit_codes_tell_wrong_use_from_failure() {
    let empty = TestDb::empty().await;
    let dir = tempfile::tempdir().unwrap();
    let failed = kith(&empty, dir.path(), &["status"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("run `kith migrate`"));
    assert!(done(&kith(&empty, dir.path(), &["migrate"])).contains("schema version"));
    assert!(done(&kith(&empty, dir.path(), &["status"])).contains("brake     off"));

    refused(
        &kith(&empty, dir.path(), &["explain", "nobody"]),
        "nobody is called",
    );
    refused(
        &kith(&empty, dir.path(), &["frobnicate"]),
        "unrecognized subcommand",
    );
    refused(&kith(&empty, dir.path(), &["task", "done", "%"]), "no task");
    refused(&kith(&empty, dir.path(), &["brake", "on", "--live"]), "--live");
    refused(
        &command("nonsense", dir.path(), &["status"]).output().unwrap(),
        "the address of the database",
    );
    std::fs::create_dir(dir.path().join("config")).unwrap();
    std::fs::write(
        dir.path().join("config/kith.toml"),
        "[delivery]\nmode = \"lve\"\n",
    )
    .unwrap();
    refused(&kith(&empty, dir.path(), &["status"]), "kith.toml:2");
}

#[test]
fn a_database_that_does_not_answer_is_told_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    // One port refuses; behind the other somebody listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [1, silent.local_addr().unwrap().port()] {
        let began = Instant::now();
        let url = format!("postgres://kith@127.0.0.1:{port}/kith");
        let output = command(&url, dir.path(), &["status"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains(&format!("no database answers at 127.0.0.1:{port} within 5 s")),
            "{said}"
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_source_of_an_import_is_as_configured() {
    let (db, dir) = (TestDb::new().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("owners.csv");
    std::fs::write(&file, "external_id,name\no-1,Li Wei\n").unwrap();
    let args = ["import", "owners", file.to_str().unwrap()];
    let import = |source: &str, more: &[&str]| {
        let mut command = command(&db.url(), dir.path(), &args);
        let output = command
            .args(more)
            .env("KITH_IMPORT__SOURCE", source)
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(import("erp", &[]), Some(0));
    assert_eq!(import("erp", &["--source", "crm"]), Some(0));
    assert_eq!(import("''", &[]), Some(2));
    let names: Vec<String> =
        sqlx::query_scalar("select name from source where id in (select source_id from owner) order by name")
            .fetch_all(&db.pool)
            .await
            .unwrap();
    assert_eq!(names, ["crm", "erp"]);
}

#[tokio::test]
async fn a_name_that_fits_two_people_is_refused_with_both() {
    let (db, dir) = company().await;
    let output = kith(&db, dir.path(), &["explain", "shared@red.example"]);
    refused(&output, "fits several people");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("Cai Wu") && said.contains("Di Wu") && said.contains("crm:c-4"),
        "{said}"
    );
    let id = said
        .lines()
        .find(|l| l.contains("Cai Wu"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    assert!(done(&kith(&db, dir.path(), &["explain", &id])).starts_with("Cai Wu"));
}

#[tokio::test]
async fn from_csv_files_to_a_task_its_story_and_its_end() {
    let (db, dir) = company().await;
    let run = |args: &[&str]| kith(&db, dir.path(), args);
    let doctor = run(&["doctor", "--offline"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).starts_with("No rules are in force"));
    done(&run(&["apply"]));
    let doctor = String::from_utf8(run(&["doctor", "--offline"]).stdout).unwrap();
    assert!(doctor.starts_with("No daemon is alive"), "{doctor}");

    let daemon = Daemon::start(&db, dir.path());
    until(&db.pool, "select exists (select from task where kind = 'touch')").await;
    daemon.stop();

    let story = done(&run(&["explain", "ANN@blue.example"]));
    for part in [
        "Ann Chen, decides, Blue Harbour",
        "known as   crm:c-1",
        "consent    mail yes, text yes",
        "owner      Li Wei <li@seller.example>",
        "lead       l-1 (Crane control): A since",
        "Bought Winch for 1200 CNY.",
        "Recorded as crm:c-1.",
        "Lead l-1 went from ungraded to A",
        "Entered a-close-in for lead l-1: the grade of the lead is one it is for.",
        "Task for Li Wei: ",
    ] {
        assert!(story.contains(part), "{part:?} is missing in:\n{story}");
    }
    let at = |part: &str| story.find(part).unwrap();
    assert!(at("Bought Winch") < at("Recorded as") && at("Recorded as") < at("went from ungraded to A"));
    assert!(
        at("went from ungraded to A") < at("Entered a-close-in")
            && at("Entered a-close-in") < at("Task for Li Wei")
    );
    let json: serde_json::Value = serde_json::from_str(&done(&run(&["explain", "c-1", "--json"]))).unwrap();
    assert_eq!(json["head"]["leads"][0]["grade"], "A");
    assert!(
        json["told"]
            .as_array()
            .unwrap()
            .iter()
            .any(|t| t["kind"] == "graded")
    );

    done(&run(&[
        "log",
        "+8613800138000",
        "call",
        "--text",
        "Wants the offer",
        "--leave-until",
        "2099-01-01",
    ]));
    let story = done(&run(&["explain", "c-1"]));
    assert!(
        story.contains("A colleague called [cli:") && story.contains("\u{201c}Wants the offer\u{201d}"),
        "{story}"
    );
    assert!(story.contains("left to the owner until 2099-01-01"), "{story}");

    let tasks: serde_json::Value = serde_json::from_str(&done(&run(&["tasks", "--format", "json"]))).unwrap();
    let id = tasks[0]["id"].as_str().unwrap();
    refused(
        &run(&["task", "hand-over", id, "--to", "nobody@seller.example"]),
        "no owner",
    );
    done(&run(&["task", "hand-over", id, "--to", "zhao@seller.example"]));
    assert!(done(&run(&["tasks", "--owner", "o-2"])).contains("Zhao Min"));
    assert!(done(&run(&["task", "done", id, "--outcome", "quote sent"])).contains("done (quote sent)"));
    refused(&run(&["task", "done", id]), "closed already");
    assert!(!done(&run(&["tasks", "--format", "csv"])).contains(id));
    assert!(done(&run(&["explain", "c-1"])).contains("Task closed by cli:"));

    let cadences = done(&run(&["report", "cadences", "--format", "csv"]));
    assert!(
        cadences.starts_with("cadence,enrolled,active,control,finished,goal reached,stopped\na-close-in,"),
        "{cadences}"
    );
    let funnel: serde_json::Value =
        serde_json::from_str(&done(&run(&["report", "funnel", "--format", "json"]))).unwrap();
    assert_eq!(funnel["grades"][0], serde_json::json!({"name": "A", "n": 1}));
    assert_eq!(funnel["moves"][0]["before"], "ungraded");
}

#[tokio::test]
async fn the_pyramid_of_the_sample_company_comes_out() {
    let db = TestDb::new().await;
    let dir = tempfile::tempdir().unwrap();
    let today = chrono::Utc::now().date_naive();
    let sample = SampleCompany::generate(1, today, chrono_tz::Asia::Shanghai);
    for (kind, file) in sample.write_csv(dir.path()).unwrap() {
        done(&kith(&db, dir.path(), &["import", kind, file.to_str().unwrap()]));
    }
    let csv = done(&kith(&db, dir.path(), &["report", "pyramid", "--format", "csv"]));
    let rows: Vec<Vec<String>> = csv::Reader::from_reader(csv.split("\n\n").next().unwrap().as_bytes())
        .records()
        .map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect())
        .collect();
    let shown: Vec<String> = rows.iter().map(|row| row[..5].join(" ")).collect();
    assert_eq!(
        shown,
        [
            "vip 21 1% 2,394,000 24%",
            "key 85 4% 2,686,000 27%",
            "normal 319 15% 2,902,900 29%",
            "small 1,701 80% 1,973,160 20%",
            "all 2,126 100% 9,956,060 100%",
            "inactive 154   ",
            "prospect 250   ",
            "suspect 1,000   ",
        ]
    );
    let table = done(&kith(&db, dir.path(), &["report", "pyramid"]));
    assert!(
        table.contains("boundaries as a first cut would set them")
            && table
                .contains("Return on spent is empty for vip, key, normal, small: state spent_per_customer")
            && table.contains("pyramid.unallocated_cost"),
        "{table}"
    );

    // With the costs that the case states beside its purchases, its returns come out.
    let mut rules = RetentionRules::shipped().unwrap();
    kith::sample::state_costs(&mut rules);
    let mut conn = db.pool.acquire().await.unwrap();
    let found = kith::engine::report::pyramid(&mut conn, &rules, chrono::Utc::now())
        .await
        .unwrap();
    let percent = |ratio: Option<rust_decimal::Decimal>| {
        (ratio.unwrap() * rust_decimal::Decimal::ONE_HUNDRED)
            .round()
            .to_string()
    };
    let returns: Vec<String> = found
        .period
        .tiers
        .iter()
        .map(|tier| percent(tier.return_on_spent))
        .collect();
    assert_eq!(returns, ["114", "139", "74", "-53"]);
    assert_eq!(percent(found.period.all.return_on_cost), "9");
    assert_eq!(found.period.all.profit.round().to_string(), "850000");
}

#[tokio::test]
async fn a_message_by_hand_goes_to_the_sandbox_and_acts_on_nobody() {
    let (db, dir) = company().await;
    let run = |args: &[&str]| kith(&db, dir.path(), args);
    done(&run(&["apply"]));
    let template: String = sqlx::query_scalar(
        "select name from document where kind = 'template' and version_id is not null and name like 'b-%' order by name limit 1",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let shown = done(&run(&["preview", &template, "--contact", "c-1"]));
    assert!(shown.contains("Subject: "), "{shown}");
    assert!(
        done(&run(&[
            "preview",
            &template,
            "--contact",
            "c-1",
            "--locale",
            "zh-Hans"
        ]))
        .contains("zh-Hans")
    );
    let said = done(&run(&[
        "send-test",
        &template,
        "--contact",
        "c-1",
        "--to",
        "me@seller.example",
    ]));
    assert!(said.contains("it lies in the sandbox"), "{said}");
    let (messages, raw): (i64, Vec<u8>) = sqlx::query_as(
        "select (select count(*) from message), raw from sandbox_message where recipient = 'me@seller.example'",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!(messages, 0, "nothing is noted on the contact");
    assert!(String::from_utf8_lossy(&raw).contains("List-Unsubscribe:"));
    let list = done(&run(&["sandbox", "list", "--format", "csv"]));
    let id = list.lines().nth(1).unwrap().split(',').next().unwrap();
    assert!(done(&run(&["sandbox", "show", id])).contains("me@seller.example"));
    refused(&run(&["sandbox", "show", "999999"]), "no message 999999");
    refused(
        &run(&["send-test", &template, "--contact", "c-1", "--to", "nonsense"]),
        "--to",
    );
    let rehearsal = command(
        &db.url(),
        dir.path(),
        &[
            "send-test",
            &template,
            "--contact",
            "c-1",
            "--to",
            "me@seller.example",
        ],
    )
    .env("KITH_DELIVERY__MODE", "rehearsal")
    .env("KITH_SENDERS__MAIL__SMTP__HOST", "127.0.0.1")
    .output()
    .unwrap();
    refused(&rehearsal, "not on delivery.allow_list");
}

#[tokio::test]
async fn users_and_tokens_are_kept_as_hashes() {
    let db = TestDb::new().await;
    let dir = tempfile::tempdir().unwrap();
    let token = done(&kith(&db, dir.path(), &["token", "create", "crm"]));
    let stored: Vec<u8> = sqlx::query_scalar("select token_hash from api_token where name = 'crm'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(
        token.trim().len() >= 40
            && !stored
                .windows(8)
                .any(|w| token.as_bytes().windows(8).any(|t| t == w))
    );
    refused(
        &kith(&db, dir.path(), &["token", "create", "crm"]),
        "there is a token called",
    );
    let add = |password: &str| {
        command(
            &db.url(),
            dir.path(),
            &["user", "add", "ann", "--role", "operator"],
        )
        .env("KITH_USER_PASSWORD", password)
        .output()
        .unwrap()
    };
    refused(&add("short"), "at least 8");
    assert!(done(&add("correct horse battery")).contains("ann may log in as operator"));
    let hash: String = sqlx::query_scalar("select password_hash from app_user")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
}

/// Waits until a question is answered with yes.
async fn until(pool: &PgPool, question: &'static str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !sqlx::query_scalar::<_, bool>(question)
        .fetch_one(pool)
        .await
        .unwrap()
    {
        assert!(Instant::now() < deadline, "never: {question}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A daemon without pages; killed when the test fails.
struct Daemon(std::process::Child);

impl Daemon {
    fn start(db: &TestDb, dir: &Path) -> Self {
        let log = std::fs::File::create(dir.join("daemon.log")).unwrap();
        Self(
            command(&db.url(), dir, &["run", "--no-web"])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap(),
        )
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
    }
}
