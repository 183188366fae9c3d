//! Text messages over a mainland provider, from the plan to its gateway: registered texts, hours, limits of a number.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;

use kith::app::{self, App, Options};
use kith::clock::Clock;
use kith::config::{Mode, Settings};
use kith::domain::id::IdSource;
use kith::domain::registered::Blanks;
use kith::engine;
use kith::engine::dispatch::Dispatcher;
use kith::sandbox::sms::{SmsSandbox, SmsSandboxOptions};

use crate::harness::TestDb;
use crate::rig::{Files, enroll, settle};

fn kith_toml(api: &str, secret: &std::path::Path) -> String {
    format!(
        r#"
[company]
timezone = "Asia/Shanghai"
region = "CN"
[gate.windows.sms]
marketing = "always"
care = "always"
[gate.business_days_only]
marketing = false
[gate.consent.sms]
marketing = "not-refused"
[gate.caps.marketing]
contact = []
account_per_day = 0

[[senders]]
name = "text"
channel = "sms"
[senders.aliyun]
access_key_id = "LTAI"
access_key_secret = {{ file = "{}" }}
sign_name = "某公司"
api_url = "{api}"
[senders.limits]
per_number = [{{ n = 1, per = "1h" }}]
"#,
        secret.display()
    )
}

fn one_text(name: &str) -> (String, String) {
    let text = format!(
        r#"
name = "{name}"
title = "One text"
subject = "contact"
[entry]
on_event = "form"
reentry = "event"
[[steps]]
key = "mail"
channel = "sms"
template = "note"
function = "information"
expires = "3d"
"#
    );
    (name.to_owned(), text)
}

const SMS_TOML: &str = "[aliyun]\ntemplate = \"SMS_1\"\nvariables = { name = \"{{contact.name}}\" }\n";

async fn build(db: &TestDb, files: &Files, clock: &Clock) -> App {
    let mut settings = Settings::load(Some(&files.config())).unwrap();
    settings.delivery.mode = Mode::Live;
    let options = Options {
        clock: clock.clone(),
        ids: IdSource::Random,
        journal: None,
        roles: vec!["all".into()],
    };
    app::build(db.pool.clone(), settings, options).await.unwrap()
}

#[tokio::test]
async fn registered_texts_go_out_in_their_hours_and_one_number_gets_one_an_hour() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = SmsSandbox::start(SmsSandboxOptions::default()).await.unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "k3y").unwrap();
    let db = TestDb::new().await;
    let files = Files::write(
        &kith_toml(&format!("http://{}", gateway.addr), secret.path()),
        &[one_text("first"), one_text("second")],
    );
    let note = files.templates().join("note/en");
    fs::write(note.join("sms.hbs"), "{{contact.name}}, hello. {{> sms-opt-out}}").unwrap();
    fs::write(note.join("sms.toml"), SMS_TOML).unwrap();
    // Seven in the morning in Shanghai.
    let clock = Clock::manual("2027-03-01T23:00:00Z".parse().unwrap());
    files.apply(&db.pool, clock.now()).await;
    settle(&db.pool, 3, 1).await;
    sqlx::query(
        "update contact c set phone = '+861380013800' || n.place, phone_hash = c.email_hash, timezone = 'Asia/Shanghai',
                consent_sms = true
         from (select id, row_number() over (order by id) as place from contact) n where n.id = c.id",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let phones: Vec<String> = sqlx::query_scalar("select phone from contact order by phone")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    assert_eq!(phones, ["+8613800138001", "+8613800138002", "+8613800138003"]);
    let app = build(&db, &files, &clock).await;
    enroll(&db.pool, "first", clock.now(), "true").await;
    enroll(&db.pool, "second", clock.now(), "c.phone = '+8613800138001'").await;

    let idle = async || {
        let mut dispatcher = Dispatcher::new(app.deps.clone());
        engine::run_until_idle(&app.deps, &mut dispatcher, clock.now())
            .await
            .unwrap();
    };
    let held = async |reason: &'static str| -> i64 {
        sqlx::query_scalar("select count(*) from queue where held = $1")
            .bind(reason)
            .fetch_one(&db.pool)
            .await
            .unwrap()
    };
    idle().await;
    assert_eq!((gateway.log().len(), held("quiet-hours").await), (0, 4));
    clock.advance(chrono::TimeDelta::hours(1)).unwrap();
    idle().await;
    assert_eq!((gateway.log().len(), held("cap").await), (3, 1));
    clock.advance(chrono::TimeDelta::minutes(62)).unwrap();
    idle().await;
    let log = gateway.log();
    assert_eq!((log.len(), held("cap").await), (4, 0));
    for record in &log {
        let registered = record.sms.registered.as_ref().unwrap();
        assert_eq!(
            (registered.template.as_str(), record.sms.from.as_str()),
            ("SMS_1", "某公司")
        );
        let Blanks::Named(values) = &registered.variables else {
            panic!("listed")
        };
        assert_eq!(values["name"], "Person 1");
    }
    let texts: i64 =
        sqlx::query_scalar("select count(*) from message where channel = 'sms' and outcome = 'accepted'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert_eq!(texts, 4);
}
