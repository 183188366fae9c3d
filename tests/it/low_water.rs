//! Claims that begin behind what was sent already, since one from the start was slow: nothing that is due is passed over.

use chrono::{DateTime, TimeDelta, Utc};
use kith::daemon;
use kith::engine::dispatch::Dispatcher;
use sqlx::Connection as _;
use sqlx::PgConnection;

use crate::rig::{self, OPEN_HOURS, Postbox, Town, one_mail, until, within};

fn now() -> DateTime<Utc> {
    "2027-03-01T10:00:00Z".parse().unwrap()
}

/// Makes a dispatcher's claim slow by holding the queue while it waits for it.
async fn slow_claim(town: &Town, dispatcher: &mut Dispatcher) -> u64 {
    let mut holder = PgConnection::connect_with(&town.db.options).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    sqlx::query("lock table queue in access exclusive mode")
        .execute(&mut *holding)
        .await
        .unwrap();
    let let_go = async {
        until("the claim waits", async || {
            let waiting = town
                .count(
                    "select count(*) from pg_stat_activity
                     where wait_event_type = 'Lock' and query like '%update queue q%'
                       and clock_timestamp() - query_start > interval '250 ms'",
                )
                .await;
            (waiting > 0).then_some(())
        })
        .await;
        holding.rollback().await.unwrap();
    };
    let (summary, ()) = tokio::join!(dispatcher.run_once(town.now()), let_go);
    summary.unwrap().done
}

#[tokio::test]
async fn what_is_planned_late_is_found_at_once_wherever_claims_begin() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first"), one_mail("late")], now()).await;
    town.settle(10, 1).await;
    let deps = town.daemon(Postbox::open().channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let (due, long_ago) = (now(), now() - TimeDelta::hours(1));
    // Connections that other tests of this process make let every dispatcher begin anew, so this may take several tries.
    until("claims begin behind what was claimed", async || {
        assert_eq!(
            town.queue("first", due, "right(c.account_id::text, 1) <= '3'")
                .await,
            3
        );
        assert_eq!(within(slow_claim(&town, &mut dispatcher)).await, 3);
        // What nobody's way of queueing makes: a row that was due long before it came.
        assert_eq!(
            town.queue("first", long_ago, "right(c.account_id::text, 1) = '4'")
                .await,
            1
        );
        let passed_over = dispatcher.run_once(now()).await.unwrap().done == 0;
        dispatcher.drain().await;
        let leave = "update enrollment set state = 'finished', ended_at = entered_at where cadence = 'first'";
        sqlx::query(leave).execute(&town.db.pool).await.unwrap();
        passed_over.then_some(())
    })
    .await;

    // As late as that, but planned now: in the very next pass.
    rig::enroll(
        &town.db.pool,
        "late",
        long_ago,
        "right(c.account_id::text, 1) = '5'",
    )
    .await;
    daemon::flow_once(&deps, &mut dispatcher, || true).await.unwrap();
    dispatcher.drain().await;
    let sent = "select count(*) from touch t join enrollment e on e.id = t.enrollment_id where t.state = 'sent' and e.cadence = 'late'";
    assert_eq!(town.count(sent).await, 1);
    let kept = "select count(*) from touch t join enrollment e on e.id = t.enrollment_id
                where e.cadence = 'late' and t.due_at = '2027-03-01T09:00:00Z'";
    assert_eq!(town.count(kept).await, 1, "the touch was due when it was");

    // Another daemon begins at the start.
    let mut other = Dispatcher::new(town.daemon(Postbox::open().channel()).await);
    assert_eq!(other.run_once(now()).await.unwrap().done, 1);
    other.drain().await;
}
