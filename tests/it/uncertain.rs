//! What nobody knows is shown, settled by evidence or by hand, and told of when it grows.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kith::channel::{BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::config::Settings;
use kith::domain::gate::Clearance;
use kith::domain::id::IdSource;
use kith::engine::dispatch::Dispatcher;
use kith::engine::ingest::{self, Answer, Incoming};
use kith::engine::uncertain::{self, Finding, Settled};
use kith::engine::{Deps, doctor, status, sweep};
use kith::store::partition;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::cli::kith;
use crate::rig::{OPEN_HOURS, Postbox, Town, bury, one_mail, run_dry, within};

/// Nobody ever hears what became of what it is given.
struct Silence;

impl Channel for Silence {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        _message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            assert_eq!(crossing.cross().await, Crossed::Go);
            SendOutcome::Uncertain {
                why: "after the dot: the link was cut".to_owned(),
            }
        })
    }
}

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

/// A town where so many messages are unknown.
async fn unknown(people: i32) -> (Town, Arc<Deps>, Vec<Uuid>) {
    let town = Town::found(OPEN_HOURS, &["first", "second"].map(one_mail), tuesday()).await;
    town.settle(people, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    drop(conn);
    town.queue("first", tuesday(), "true").await;
    let deps = town.daemon(Arc::new(Silence)).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    run_dry(&deps, &mut dispatcher).await;
    let ids = sqlx::query_scalar("select id from message where outcome = 'uncertain' order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    (town, deps, ids)
}

#[tokio::test]
async fn every_message_that_becomes_unknown_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    // This thread only, and the test runs on one.
    let _counting = metrics::set_default_local_recorder(&recorder);
    let counted = || {
        let text = recorder.handle().render();
        let line = text
            .lines()
            .find(|line| line.starts_with("kith_uncertain_total "));
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let (town, deps, ids) = unknown(3).await;
    assert_eq!(
        (ids.len(), counted()),
        (3, Some("3".to_owned())),
        "by their attempts"
    );

    // One more has crossed when its daemon is declared dead.
    sqlx::query("delete from pace")
        .execute(&town.db.pool)
        .await
        .unwrap();
    town.queue("second", tuesday(), "right(c.account_id::text, 1) = '1'")
        .await;
    let post = Postbox::open();
    let gate = post.hold_crossed();
    let dying = town.daemon(post.channel()).await;
    let mut dispatcher = Dispatcher::new(dying.clone());
    dispatcher.run_once(tuesday()).await.unwrap();
    within(gate.arrived(1)).await;
    bury(&town.db.pool, &dying).await;
    sweep::run_once(&deps, tuesday()).await.unwrap();
    assert_eq!(counted(), Some("4".to_owned()), "and by the death of a daemon");
}

async fn fate(town: &Town, message: Uuid) -> (String, String) {
    sqlx::query_as(
        "select m.outcome, t.state from message m join touch t on t.id = m.touch_id where m.id = $1",
    )
    .bind(message)
    .fetch_one(&town.db.pool)
    .await
    .unwrap()
}

fn pair(outcome: &str, touch: &str) -> (String, String) {
    (outcome.to_owned(), touch.to_owned())
}

#[tokio::test]
async fn each_sign_of_life_settles_one_and_what_is_none_does_not() {
    let signs = [
        ("delivered", true),
        ("bounced", true),
        ("opened", true),
        ("clicked", true),
        ("replied", true),
        ("auto_replied", true),
        ("opted_out", true),
        ("spam_report", true),
        ("deferred", false),
        ("visit", false),
    ];
    let (town, deps, ids) = unknown(signs.len() as i32).await;
    assert_eq!(ids.len(), signs.len());
    for ((sign, settles), message) in signs.into_iter().zip(ids) {
        let event: Incoming = serde_json::from_value(serde_json::json!({
            "id": format!("e-{sign}"), "type": sign, "message": message, "data": { "class": "soft" }, "human": true
        }))
        .unwrap();
        let answer = ingest::accept(&deps, "test", vec![event], town.now())
            .await
            .unwrap();
        assert_eq!(answer, [Answer::Accepted], "{sign}");
        let expected = if settles {
            pair("accepted", "sent")
        } else {
            pair("uncertain", "uncertain")
        };
        assert_eq!(fate(&town, message).await, expected, "{sign}");
    }
}

#[tokio::test]
async fn an_operator_settles_and_it_is_written_down() {
    let (town, _, ids) = unknown(3).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let now = town.now() + TimeDelta::hours(3);
    let listed = uncertain::list(&mut conn, 100, now).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (listed[0].age_secs, listed[0].sender.as_str()),
        (3 * 3600, "mail")
    );
    assert!(listed[0].seen.contains("the link was cut"), "{:?}", listed[0]);
    for (message, finding, becomes) in [
        (ids[0], Finding::Accepted, pair("accepted", "sent")),
        (ids[1], Finding::Refused, pair("refused", "failed")),
    ] {
        let settle = async |conn: &mut sqlx::PgConnection| {
            uncertain::settle(conn, &IdSource::Random, message, finding, "the log", "ann", now)
                .await
                .unwrap()
        };
        assert_eq!(settle(&mut conn).await, Settled::Done);
        assert_eq!(fate(&town, message).await, becomes);
        assert_eq!(settle(&mut conn).await, Settled::Certain(becomes.0), "only once");
        let deed: (String, String, Value) =
            sqlx::query_as("select actor, verb, after from audit where object = $1")
                .bind(message.to_string())
                .fetch_one(&mut *conn)
                .await
                .unwrap();
        assert_eq!((deed.0.as_str(), deed.1.as_str()), ("ann", "uncertain settle"));
        assert_eq!(deed.2["outcome"], finding.as_str());
    }
    assert_eq!(uncertain::list(&mut conn, 100, now).await.unwrap().len(), 1);
    let nobody = uncertain::settle(
        &mut conn,
        &IdSource::Random,
        Uuid::nil(),
        Finding::Accepted,
        "",
        "ann",
        now,
    );
    assert_eq!(nobody.await.unwrap(), Settled::Unknown);
}

/// A second try that waits is one too many once somebody knows.
#[tokio::test]
async fn what_is_settled_is_not_tried_again() {
    let (town, deps, ids) = unknown(1).await;
    sqlx::query("update message set class = 0")
        .execute(&town.db.pool)
        .await
        .unwrap();
    town.clock.advance(TimeDelta::minutes(20)).unwrap();
    sweep::run_once(&deps, town.now()).await.unwrap();
    assert_eq!(town.count("select count(*) from queue").await, 1);
    let mut conn = town.db.pool.acquire().await.unwrap();
    let settled = uncertain::settle(
        &mut conn,
        &IdSource::Random,
        ids[0],
        Finding::Accepted,
        "",
        "ann",
        town.now(),
    )
    .await;
    assert_eq!(settled.unwrap(), Settled::Done);
    assert_eq!(town.count("select count(*) from queue").await, 0);
    assert_eq!(fate(&town, ids[0]).await, pair("accepted", "sent"));
}

#[tokio::test]
async fn growth_is_told_once_and_shown_until_it_is_settled() {
    let (town, deps, ids) = unknown(2).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let told = [
        uncertain::watch(&deps, &mut conn, town.now()).await.unwrap(),
        uncertain::watch(&deps, &mut conn, town.now()).await.unwrap(),
    ];
    assert_eq!(told, [2, 0]);
    let tasks = "select count(*) from task where kind = 'alert' and dedup_key like 'uncertain:%'";
    assert_eq!(town.count(tasks).await, 1);
    // A status speaks of times, and "never" is none.
    sqlx::query("update enrollment set next_at = '2100-01-01'")
        .execute(&mut *conn)
        .await
        .unwrap();
    let settings = Settings::defaults().unwrap();
    let seen = status::status(&mut conn, &settings, town.now()).await.unwrap();
    assert_eq!(seen.uncertain, 2);
    assert!(seen.to_string().contains("uncertain 2 messages"), "{seen}");
    let found = doctor::examine(&mut conn, &settings, town.now(), town.now())
        .await
        .unwrap();
    assert!(
        found.findings.iter().any(|one| one.area == "uncertain"),
        "{found:?}"
    );
    for message in ids {
        uncertain::settle(
            &mut conn,
            &IdSource::Random,
            message,
            Finding::Refused,
            "",
            "ann",
            town.now(),
        )
        .await
        .unwrap();
    }
    let seen = status::status(&mut conn, &settings, town.now()).await.unwrap();
    assert!(!seen.to_string().contains("uncertain"), "{seen}");
}

#[tokio::test]
async fn the_command_lists_and_settles() {
    let (town, _, ids) = unknown(2).await;
    let room = TempDir::new().unwrap();
    let run = |args: &[&str]| kith(&town.db, room.path(), args);
    let listed = run(&["uncertain", "list", "--format", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let csv = String::from_utf8(run(&["uncertain", "list", "--format", "csv"]).stdout).unwrap();
    assert!(
        csv.starts_with("message,contact,name,cadence,step,channel,sender,when,age,tries,seen\n"),
        "{csv}"
    );
    let message_id = format!("<{}@example.com>", ids[0].simple());
    assert!(
        run(&["uncertain", "settle", &message_id, "accepted", "--reason", "seen"])
            .status
            .success()
    );
    assert_eq!(fate(&town, ids[0]).await, pair("accepted", "sent"));
    for (args, why) in [
        (
            ["uncertain", "settle", &message_id, "refused"],
            "accepted already",
        ),
        (
            ["uncertain", "settle", "nonsense", "refused"],
            "not the id of a message",
        ),
    ] {
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
    }
}
