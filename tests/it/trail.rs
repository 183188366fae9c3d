//! What a killed process had read and not written: its host's trail settles it, and only it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kith::channel::{BuiltMessage, Channel, Crossing, SendOutcome};
use kith::config::Mode;
use kith::daemon::identity;
use kith::domain::gate::Clearance;
use kith::domain::id::IdSource;
use kith::engine::dispatch::Dispatcher;
use kith::engine::journal::{Journal, trail};
use kith::engine::outcomes::Ended;
use kith::engine::sweep;
use kith::engine::uncertain::FROM_TRAIL;
use kith::sandbox::gate::Gate;
use kith::store::outcome::{Again, MessageRow};
use kith::store::{control, partition};
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Postbox, Town, bury, one_mail, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

fn ended(touch_id: Uuid, id: Uuid, outcome: &str) -> Ended {
    let row = MessageRow {
        touch_id,
        id,
        daemon_id: Uuid::nil(),
        epoch: 0,
        template: String::new(),
        template_version_id: None,
        locale: String::new(),
        sender: String::new(),
        address: String::new(),
        subject: None,
        segments: None,
        encoding: None,
        vars: "{}".to_owned(),
        hash: String::new(),
        outcome: outcome.to_owned(),
        reply: None,
        done_at: tuesday(),
    };
    Ended::Done {
        row: Box::new(row),
        task: None,
        body: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_read_and_not_written_is_found_in_the_trail() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(5, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    town.queue("first", tuesday(), "true").await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("journal");
    let postbox = Postbox::open();
    let deps = town.daemon_of(postbox.channel(), Some(&folder)).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_crossed();
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(gate.arrived(5)).await;
    // The process is killed here: it had noted what it read of some, and the database heard nothing.
    let crossing: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select touch_id, message_id from queue where state = 'crossing' order by message_id")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    let (touch, message) = crossing[3];
    let again = Again {
        touch_id: touch,
        owner: deps.incarnation(),
        at: tuesday(),
        reason: "deferred".to_owned(),
        counts: true,
    };
    let seen = [
        ended(crossing[0].0, crossing[0].1, "accepted"),
        ended(crossing[1].0, crossing[1].1, "refused"),
        ended(crossing[2].0, crossing[2].1, "uncertain"),
        Ended::Again(again, message, None),
    ];
    deps.journal.ended(&seen).unwrap();
    bury(&town.db.pool, &deps).await;

    // Another host knows nothing of it; the next process on this one does.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = town.daemon_of(postbox.channel(), Some(elsewhere.path())).await;
    within(sweep::run_once(&other, town.now())).await.unwrap();
    let unknown = "select count(*) from message where outcome = 'uncertain'";
    assert_eq!(town.count(unknown).await, 5);
    let next = town.daemon_of(postbox.channel(), Some(&folder)).await;
    for _ in 0..2 {
        within(sweep::run_once(&next, town.now() + TimeDelta::minutes(1)))
            .await
            .unwrap();
    }
    let fates: Vec<(Uuid, String, String, Option<String>)> = sqlx::query_as(
        "select m.id, m.outcome, t.state, m.reply from message m join touch t on t.id = m.touch_id",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let fates: BTreeMap<Uuid, (String, String, Option<String>)> = fates
        .into_iter()
        .map(|(id, outcome, touch, reply)| (id, (outcome, touch, reply)))
        .collect();
    let expected = [
        ("accepted", "sent"),
        ("refused", "failed"),
        ("uncertain", "uncertain"),
        ("uncertain", "uncertain"),
        ("uncertain", "uncertain"),
    ];
    for ((_, message), (outcome, touch)) in crossing.iter().zip(expected) {
        let fate = &fates[message];
        assert_eq!((fate.0.as_str(), fate.1.as_str()), (outcome, touch));
        assert_eq!(fate.2.as_deref() == Some(FROM_TRAIL), outcome != "uncertain");
    }
    gate.kill();
    within(dispatcher.drain()).await;
}

/// Gives up before its crossing is answered.
struct Impatient {
    ready: Gate,
    gave_up: Gate,
}

impl Channel for Impatient {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        _message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            self.ready.pass().await;
            let answer = tokio::time::timeout(Duration::from_millis(200), crossing.cross()).await;
            assert!(answer.is_err(), "it was answered in time: {answer:?}");
            self.gave_up.pass().await;
            SendOutcome::Withdrawn
        })
    }
}

/// The database is slow, the attempt is withdrawn, and only then its crossing commits: nobody has the mail, and nothing is
/// behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_that_came_too_late_is_no_reason_for_the_brake() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(1, 1).await;
    town.charge_long_ago().await;
    town.queue("first", tuesday(), "true").await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("journal");
    let (ready, gave_up) = (Gate::shut(), Gate::shut());
    gave_up.open();
    let channel = Impatient {
        ready: ready.clone(),
        gave_up: gave_up.clone(),
    };
    let deps = town.daemon_of(Arc::new(channel), Some(&folder)).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(ready.arrived(1)).await;
    // The crossing has its queue row and waits for the cap's; the withdrawal waits for the queue row.
    let mut slow = town.db.pool.begin().await.unwrap();
    sqlx::query("select from pace for update")
        .execute(&mut *slow)
        .await
        .unwrap();
    ready.open();
    within(gave_up.arrived(1)).await;
    slow.rollback().await.unwrap();
    within(dispatcher.drain()).await;
    let waits = "select count(*) from queue where state = 'waiting' and held = 'deferred'";
    assert_eq!(town.count(waits).await, 1);
    drop((dispatcher, deps));
    until("the crosser has said its last word", async || {
        let ended = trail::ends(&folder).unwrap();
        ended.values().all(|word| word == "again").then_some(())
    })
    .await;
    let pool = &town.db.pool;
    let may = identity::check(pool, Mode::Live, Some(&folder), &IdSource::Random, tuesday()).await;
    assert!(may.unwrap());
    assert_eq!(town.count("select count(*) from control where brake").await, 0);
}

#[tokio::test]
async fn each_unknown_is_looked_up_once() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let database = control::read(&mut conn).await.unwrap().database_id;
    let room = tempfile::tempdir().unwrap();
    let journal = Journal::at(room.path().to_owned(), Uuid::now_v7(), database);
    assert_eq!(journal.looked_since(), None);
    let found = [(Uuid::from_u128(1), tuesday()), (Uuid::from_u128(2), tuesday())];
    assert_eq!(journal.look(&found[..1]), [Uuid::from_u128(1)]);
    assert_eq!(journal.look(&found), [Uuid::from_u128(2)]);
    assert!(journal.look(&found).is_empty());
    assert_eq!(journal.looked_since(), Some(tuesday() - TimeDelta::minutes(1)));
}
