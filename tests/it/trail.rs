//! What a killed process had read and not written: its host's trail settles it, and only it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kith::channel::{BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::config::Mode;
use kith::daemon::identity;
use kith::domain::gate::Clearance;
use kith::domain::id::IdSource;
use kith::engine::dispatch::Dispatcher;
use kith::engine::journal::Journal;
use kith::engine::journal::trail::{self, Line};
use kith::engine::outcomes::{self, Ended};
use kith::engine::sweep;
use kith::engine::uncertain::FROM_TRAIL;
use kith::sandbox::gate::Gate;
use kith::store::outcome::{Again, MessageRow};
use kith::store::uncertain::LeftBehind;
use kith::store::{control, partition};
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Postbox, Town, bury, one_mail, run_dry, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

fn ended(touch_id: Uuid, id: Uuid, crossed: DateTime<Utc>, outcome: &str, reply: &str) -> Ended {
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
        reply: Some(reply.to_owned()),
        done_at: tuesday(),
        crossed_at: Some(crossed),
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
    town.settle(6, 1).await;
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
    within(gate.arrived(6)).await;
    // The process is killed here: it had noted what it read of some, and the database heard nothing.
    let crossing: Vec<(Uuid, Uuid, DateTime<Utc>)> = sqlx::query_as(
        "select touch_id, message_id, crossing_at from queue where state = 'crossing' order by message_id",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let seen_of = |n: usize, outcome: &str, reply: &str| {
        let (touch, message, crossed) = crossing[n];
        ended(touch, message, crossed, outcome, reply)
    };
    let (touch, put_off, crossed) = crossing[3];
    let later = tuesday() + TimeDelta::minutes(5);
    let again = Again {
        touch_id: touch,
        owner: deps.incarnation(),
        due_at: tuesday(),
        at: later,
        reason: "deferred".to_owned(),
        counts: true,
        crossed: Some(crossed),
        number: None,
    };
    let (touch, message, crossed) = crossing[4];
    let seen = [
        seen_of(0, "accepted", "250 2.0.0 taken for ann@example.net"),
        seen_of(1, "refused", "550 5.1.1 nobody here"),
        seen_of(2, "uncertain", "after the dot: cut"),
        Ended::Again(again, put_off, None),
        // The word about another attempt says nothing about this one.
        ended(
            touch,
            message,
            crossed - TimeDelta::seconds(1),
            "refused",
            "550 no",
        ),
    ];
    outcomes::note(&deps, seen.iter());
    bury(&town.db.pool, &deps).await;

    // Another host knows nothing of it; the next process on this one does.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = town.daemon_of(postbox.channel(), Some(elsewhere.path())).await;
    within(sweep::run_once(&other, town.now())).await.unwrap();
    let unknown = "select count(*) from message where outcome = 'uncertain'";
    assert_eq!(town.count(unknown).await, 6);
    let next = town.daemon_of(postbox.channel(), Some(&folder)).await;
    for _ in 0..2 {
        within(sweep::run_once(&next, town.now() + TimeDelta::minutes(1)))
            .await
            .unwrap();
    }
    let fates: Vec<(Uuid, String, String, String)> = sqlx::query_as(
        "select m.id, m.outcome, t.state, m.reply from message m join touch t on t.id = m.touch_id",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let fates: BTreeMap<Uuid, (String, String, String)> = fates
        .into_iter()
        .map(|(id, outcome, touch, reply)| (id, (outcome, touch, reply)))
        .collect();
    let lost = "the daemon ended between crossing and reply";
    let expected = [
        (0, "accepted", "sent", format!("answered 250 2.0.0{FROM_TRAIL}")),
        (1, "refused", "failed", format!("answered 550 5.1.1{FROM_TRAIL}")),
        (2, "uncertain", "uncertain", lost.to_owned()),
        (4, "uncertain", "uncertain", lost.to_owned()),
        (5, "uncertain", "uncertain", lost.to_owned()),
    ];
    assert_eq!(fates.len(), expected.len());
    for (n, outcome, touch, reply) in expected {
        let fate = &fates[&crossing[n].1];
        assert_eq!(
            (fate.0.as_str(), fate.1.as_str(), &fate.2),
            (outcome, touch, &reply)
        );
    }
    let waits: (Uuid, DateTime<Utc>, i16, String) = sqlx::query_as(
        "select q.message_id, q.due_at, q.tries, t.state from queue q join touch t on t.id = q.touch_id
         where q.state = 'waiting' and q.held = 'deferred'",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(waits, (put_off, later, 1, "queued".to_owned()));
    gate.kill();
    within(dispatcher.drain()).await;
}

/// What is answered while the outcomes before it wait for the database is on this host's disk all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_noted_while_the_database_hangs() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(4, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("journal");
    let postbox = Postbox::open();
    let deps = town.daemon_of(postbox.channel(), Some(&folder)).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let mut gates = Vec::new();
    for which in ["c.email < 'p00000003'", "c.email >= 'p00000003'"] {
        town.queue("first", tuesday(), which).await;
        let gate = postbox.hold_crossed();
        within(dispatcher.run_once(tuesday())).await.unwrap();
        within(gate.arrived(2)).await;
        gates.push(gate);
    }
    let mut hangs = town.db.pool.begin().await.unwrap();
    sqlx::query("lock table message in access exclusive mode")
        .execute(&mut *hangs)
        .await
        .unwrap();
    gates[0].open();
    let waits = "select count(*) from pg_locks where not granted and relation::regclass::text ~ 'message'";
    until("the first outcomes wait", async || {
        (town.count(waits).await > 0).then_some(())
    })
    .await;
    gates[1].open();
    until("all four answers are noted", async || {
        let ends = trail::ends(&folder).unwrap();
        (ends.all().filter(|end| end.word == "accepted").count() == 4).then_some(())
    })
    .await;
    hangs.rollback().await.unwrap();
    within(dispatcher.drain()).await;
    let accepted = "select count(*) from message where outcome = 'accepted'";
    assert_eq!(town.count(accepted).await, 4);
}

/// Is put off once its gate opens.
struct PutOff(Gate);

impl Channel for PutOff {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        _message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            assert_eq!(crossing.cross().await, Crossed::Go);
            self.0.pass().await;
            SendOutcome::Deferred {
                until: None,
                why: "451 4.3.0 later".to_owned(),
            }
        })
    }
}

/// A daemon that was taken for dead comes back and reads that the mail was put off: nobody has it, so it is not unknown.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_off_comes_back_though_it_was_called_unknown_meanwhile() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(1, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    town.queue("first", tuesday(), "true").await;
    let gate = Gate::shut();
    let deps = town.daemon(Arc::new(PutOff(gate.clone()))).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(gate.arrived(1)).await;
    bury(&town.db.pool, &deps).await;
    let other = town.daemon(Postbox::open().channel()).await;
    within(sweep::inherit(&other, town.now())).await.unwrap();
    let unknown = "select count(*) from message where outcome = 'uncertain'";
    assert_eq!(town.count(unknown).await, 1);
    gate.open();
    within(dispatcher.drain()).await;
    assert_eq!(town.count("select count(*) from message").await, 0);
    let waits = "select count(*) from queue q join touch t on t.id = q.touch_id
                 where q.state = 'waiting' and q.held = 'deferred' and q.tries = 1 and t.state = 'queued'";
    assert_eq!(town.count(waits).await, 1);
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
        ended.all().all(|end| end.word == "again").then_some(())
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
    let found = [1, 2].map(|n| LeftBehind {
        message_id: Uuid::from_u128(n),
        at: tuesday(),
        crossing_at: None,
    });
    assert_eq!(journal.not_looked_up(&found[..1]), found[..1]);
    journal.looked_up(&found[..1]);
    assert_eq!(journal.not_looked_up(&found), found[1..]);
    journal.looked_up(&found);
    assert!(journal.not_looked_up(&found).is_empty());
    assert_eq!(journal.looked_since(), Some(tuesday() - TimeDelta::minutes(1)));
}

/// A process is killed when its mails have crossed, and before their dots: who had not been let go gets it after all, from
/// another process of the host, and once. Who had been let go may have got it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_let_go_is_sent_after_all() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(3, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    town.queue("first", tuesday(), "true").await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_crossed();
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(gate.arrived(3)).await;
    let crossing: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
        "select message_id, crossing_at from queue where state = 'crossing' order by message_id",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    // What the killed process left: it had been let go; it had not; nor had it, but that was an earlier attempt.
    let room = tempfile::tempdir().unwrap();
    let database = control::read(&mut conn).await.unwrap().database_id;
    let killed = Journal::at(room.path().to_owned(), Uuid::now_v7(), database);
    let long_ago = tuesday() - TimeDelta::hours(1);
    killed.asking(vec![crossing[2].0], long_ago).unwrap();
    killed
        .asking(vec![crossing[0].0, crossing[1].0], crossing[0].1)
        .unwrap();
    killed.going(crossing[0].0).unwrap();
    drop(killed);
    bury(&town.db.pool, &deps).await;

    let receiver = Postbox::open();
    let next = town.daemon_of(receiver.channel(), Some(room.path())).await;
    within(sweep::run_once(&next, town.now())).await.unwrap();
    let unknown: Vec<Uuid> =
        sqlx::query_scalar("select id from message where outcome = 'uncertain' order by id")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    assert_eq!(unknown, [crossing[0].0, crossing[2].0]);
    run_dry(&next, &mut Dispatcher::new(next.clone())).await;
    assert_eq!(receiver.len(), 1);
    let accepted: Uuid = sqlx::query_scalar("select id from message where outcome = 'accepted'")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(accepted, crossing[1].0);
    gate.kill();
    within(dispatcher.drain()).await;
}

/// Every attempt asks in the trail before the database hears of it, and says there that it goes before it goes.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_has_said_so_in_the_trail() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(3, 1).await;
    town.queue("first", tuesday(), "true").await;
    let room = tempfile::tempdir().unwrap();
    let postbox = Postbox::open();
    let deps = town.daemon_of(postbox.channel(), Some(room.path())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_crossed();
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(gate.arrived(3)).await;
    let crossing: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
        "select message_id, crossing_at from queue where state = 'crossing' order by message_id",
    )
    .fetch_all(&town.db.pool)
    .await
    .unwrap();
    let mut said: Vec<(Uuid, &str, Option<DateTime<Utc>>)> = Vec::new();
    for path in trail::files(room.path()).unwrap() {
        for line in trail::lines(&path, false).unwrap() {
            match line.unwrap() {
                Line::Asking { at, messages, .. } => {
                    said.extend(messages.into_iter().map(|message| (message, "asking", Some(at))));
                }
                Line::Crossed { marks, .. } => {
                    said.extend(marks.into_iter().map(|mark| (mark.message, "crossed", None)));
                }
                Line::Going { message } => said.push((message, "going", None)),
                Line::Ended { ends } => panic!("none has ended: {ends:?}"),
            }
        }
    }
    said.sort_by_key(|(message, ..)| *message);
    let expected: Vec<_> = crossing
        .into_iter()
        .flat_map(|(message, at)| {
            [("asking", Some(at)), ("crossed", None), ("going", None)].map(|(word, at)| (message, word, at))
        })
        .collect();
    assert_eq!(said, expected);
    gate.open();
    within(dispatcher.drain()).await;
}

/// With no room for its trail a daemon sends nothing, and goes on as soon as there is some.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_noted_is_not_sent() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(1, 1).await;
    town.queue("first", tuesday(), "true").await;
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("journal");
    std::fs::write(&folder, "in the way").unwrap();
    let postbox = Postbox::open();
    let deps = town.daemon_of(postbox.channel(), Some(&folder)).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    within(dispatcher.run_once(tuesday())).await.unwrap();
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 0);
    assert_eq!(
        town.count("select count(*) from queue where state = 'waiting'")
            .await,
        1
    );
    std::fs::remove_file(&folder).unwrap();
    sqlx::query("update queue set due_at = $1, held_until = null")
        .bind(tuesday())
        .execute(&town.db.pool)
        .await
        .unwrap();
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(postbox.len(), 1);
}
