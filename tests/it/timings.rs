//! The engine's own timings: what each begins and ends with.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kith::engine::dispatch::Dispatcher;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail, until, within};

/// How long the dot waits for its answer.
const SLOW: Duration = Duration::from_millis(80);

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

/// Sum and count of a timing.
fn timing(handle: &PrometheusHandle, name: &str) -> (f64, f64) {
    let text = handle.render();
    let of = |what: &str| {
        let start = format!("{name}_{what} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0.0, |value| value.parse().unwrap())
    };
    (of("sum"), of("count"))
}

/// The recorder is this thread's, and so is all that runs here.
#[tokio::test]
async fn dot_to_outcome_counts_from_the_dot_and_only_what_went() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(2, 1).await;
    town.queue("first", tuesday(), "true").await;
    let postbox = Postbox::open();
    let (before, after_go) = (postbox.hold_before(), postbox.hold_crossed());
    let mut dispatcher = Dispatcher::new(town.daemon(postbox.channel()).await);
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(before.arrived(2)).await;

    // One is not to go any more when it asks; the other's dot waits for its answer.
    sqlx::query("delete from queue where touch_id = (select touch_id from queue order by touch_id limit 1)")
        .execute(&town.db.pool)
        .await
        .unwrap();
    before.open();
    within(after_go.arrived(1)).await;
    let went = Instant::now();
    until("the time of a slow answer is over", async || {
        (went.elapsed() >= SLOW).then_some(())
    })
    .await;
    after_go.open();
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 1);

    let (from_dot, went) = timing(&handle, "kith_dot_to_outcome_seconds");
    let (_, ended) = timing(&handle, "kith_outcome_seconds");
    assert!(
        (went - 1.0).abs() < 0.1 && (ended - 2.0).abs() < 0.1,
        "{went} {ended}"
    );
    assert!(from_dot >= SLOW.as_secs_f64(), "{from_dot}");
}
