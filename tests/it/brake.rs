//! The brake has the guarantee of an opt-out: once `on` was answered, nothing crosses any more.

use chrono::{DateTime, TimeDelta, Utc};
use kith::domain::id::IdSource;
use kith::engine::brake::{self, Order};
use kith::engine::dispatch::Dispatcher;
use sqlx::PgPool;

use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail, run_dry, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

async fn town(people: i32) -> Town {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(people, 1).await;
    town.queue("first", town.now(), "true").await;
    town
}

async fn set(pool: &PgPool, on: bool, now: DateTime<Utc>) {
    let order = Order {
        on,
        reason: "test",
        by: "test",
        live: false,
    };
    within(brake::set(pool, &IdSource::Random, order, now))
        .await
        .unwrap();
}

const CROSSED: &str =
    "select (select count(*) from queue where state = 'crossing') + (select count(*) from message)";

/// Statements that wait for a lock, in this database.
async fn waiting(town: &Town) -> i64 {
    town.count("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
        .await
}

/// Daemons cross as fast as they can while the brake goes on at every turn of the race: one of them was let through before it,
/// one at the same moment, one after its acknowledgement.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_after_the_brake_was_acknowledged() {
    const PEOPLE: i32 = 1500;
    let town = town(PEOPLE).await;
    let postboxes = [Postbox::open(), Postbox::open(), Postbox::open()];
    let mut daemons = Vec::new();
    for postbox in &postboxes {
        daemons.push(Dispatcher::new(town.daemon(postbox.channel()).await));
    }
    let mut turns = 0;
    while town.count("select count(*) from queue").await > 200 {
        let gates: Vec<_> = postboxes.iter().map(Postbox::hold_before).collect();
        let mut ready = Vec::new();
        for (daemon, gate) in daemons.iter_mut().zip(&gates) {
            let claimed = within(daemon.run_once(town.now())).await.unwrap().done;
            within(gate.arrived(claimed)).await;
            ready.push(i64::try_from(claimed).unwrap());
        }
        let before = town.count(CROSSED).await;
        gates[0].open();
        // A little later in each turn, counted in what has crossed, so that the race is run at every point.
        let some = ready[0].min(1 + turns % 5 * 10);
        until("some crossed", async || {
            (town.count(CROSSED).await - before >= some).then_some(())
        })
        .await;
        gates[1].open();
        set(&town.db.pool, true, town.now()).await;
        let acknowledged = town.count(CROSSED).await;
        gates[2].open();
        for daemon in &mut daemons {
            within(daemon.drain()).await;
        }
        assert_eq!(town.count(CROSSED).await, acknowledged, "turn {turns}");
        set(&town.db.pool, false, town.now()).await;
        // Who was stopped looks again half a minute later.
        town.clock.advance(TimeDelta::minutes(1)).unwrap();
        turns += 1;
    }
    assert!(turns >= 3, "{turns}");
    let last = town.daemon(postboxes[0].channel()).await;
    Box::pin(run_dry(&last, &mut Dispatcher::new(last.clone()))).await;
    let sent: usize = postboxes.iter().map(Postbox::len).sum();
    assert_eq!(sent, PEOPLE as usize, "the brake is off: all the rest went");
}

/// A crossing that looked at the brake before it went on, and is stuck since: the acknowledgement waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_acknowledgement_waits_for_a_crossing_that_looked_before() {
    let town = town(1).await;
    town.charge_long_ago().await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(1)).await;
    let mut stuck = town.db.pool.begin().await.unwrap();
    sqlx::query("select 1 from pace for update")
        .execute(&mut *stuck)
        .await
        .unwrap();
    gate.open();
    until("the crossing is stuck", async || {
        (waiting(&town).await == 1).then_some(())
    })
    .await;
    let (pool, now) = (town.db.pool.clone(), town.now());
    let braking = tokio::spawn(async move { set(&pool, true, now).await });
    until("the brake waits too", async || {
        (waiting(&town).await == 2).then_some(())
    })
    .await;
    assert!(!braking.is_finished());
    assert_eq!(
        town.count("select count(*) from control where brake").await,
        1,
        "who looks now sees it"
    );
    stuck.rollback().await.unwrap();
    within(braking).await.unwrap();
    assert_eq!(town.count(CROSSED).await, 1, "it crossed before the answer");
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 1);
}

/// A crossing that looked before, but comes to its own row only after the acknowledgement, finds it changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_that_looked_before_and_comes_later_does_not_pass() {
    let town = town(1).await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(1)).await;
    // What the brake does, with the crossing coming in between: first its row is taken, so that the crossing's look is old.
    let mut second = town.db.pool.begin().await.unwrap();
    sqlx::query("update daemon set braked = true")
        .execute(&mut *second)
        .await
        .unwrap();
    gate.open();
    until("the crossing waits for its row", async || {
        (waiting(&town).await == 1).then_some(())
    })
    .await;
    second.commit().await.unwrap();
    within(dispatcher.drain()).await;
    assert_eq!((postbox.len(), town.count(CROSSED).await), (0, 0));
}

/// On and off at once, many times: it ends as the last order says, on every row.
#[tokio::test(flavor = "multi_thread")]
async fn on_and_off_at_once_leave_no_daemon_behind() {
    let town = town(0).await;
    let postbox = Postbox::open();
    let _daemons = (
        town.daemon(postbox.channel()).await,
        town.daemon(postbox.channel()).await,
    );
    for _ in 0..50 {
        let (on, off) = (
            set(&town.db.pool, true, town.now()),
            set(&town.db.pool, false, town.now()),
        );
        Box::pin(futures::future::join(on, off)).await;
        let astray = "select count(*) from daemon d, control c where d.braked and not c.brake";
        assert_eq!(town.count(astray).await, 0);
    }
}
