//! A cap that nobody was charged for before: the crossing makes its row, and two that make it at once count each other.

use chrono::{DateTime, Utc};
use kith::engine::dispatch::Dispatcher;

use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

async fn town() -> Town {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(1, 1).await;
    town.queue("first", town.now(), "true").await;
    town
}

const CHARGED: &str = "select coalesce(sum(cardinality(ring)), 0)::bigint from pace where kind = 'contact'";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_crossing_makes_the_row_of_its_cap() {
    let town = town().await;
    let postbox = Postbox::open();
    let mut dispatcher = Dispatcher::new(town.daemon(postbox.channel()).await);
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(1)).await;
    assert_eq!(
        town.count("select count(*) from pace").await,
        0,
        "cleared, but not charged"
    );
    gate.open();
    within(dispatcher.drain()).await;
    assert_eq!((postbox.len(), town.count(CHARGED).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_makes_in_the_same_moment_counts() {
    let town = town().await;
    let postbox = Postbox::open();
    let mut dispatcher = Dispatcher::new(town.daemon(postbox.channel()).await);
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(1)).await;
    // The other has charged this person in a statement that has not ended yet: nobody else can see the row.
    let mut other = town.db.pool.begin().await.unwrap();
    sqlx::query(
        "insert into pace (kind, key, ring) select 'contact', id::text, array[$1::timestamptz] from contact",
    )
    .bind(town.now())
    .execute(&mut *other)
    .await
    .unwrap();
    gate.open();
    until("the crossing waits for it", async || {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        (town.count(waiting).await == 1).then_some(())
    })
    .await;
    other.commit().await.unwrap();
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 0, "the cap of the day was full");
    assert_eq!(town.count(CHARGED).await, 1, "and is charged once");
    assert_eq!(
        town.count("select count(*) from queue where state = 'waiting' and held = 'cap'")
            .await,
        1
    );
}
