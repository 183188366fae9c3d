//! `kith daemons`, roles, and an old daemon that meets a newer schema.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use kith::config::Settings;
use serde_json::Value;

use crate::process::Workshop;
use crate::rig::until;

fn list(workshop: &Workshop, more: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["daemons", "--format", "json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    serde_json::from_str(&workshop.done(&args)).unwrap()
}

async fn up(workshop: &Workshop, roles: &'static str) {
    until("the daemon is registered", async || {
        let found = list(workshop, &[]);
        found
            .iter()
            .any(|one| one["roles"][0] == roles && one["state"] == "alive")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_are_listed_with_their_roles_and_a_web_daemon_sends_nothing() {
    let workshop = Workshop::open(&["first"]).await;
    assert_eq!(workshop.done(&["daemons"]).trim(), "Daemons: none");
    let web = workshop.run_as("front", "web");
    up(&workshop, "web").await;
    workshop.due(20).await;
    // A web daemon looks at the rules; it never plans or claims.
    let worker = workshop.run_as("back", "worker");
    up(&workshop, "worker").await;
    workshop.all_ended().await;
    let found = list(&workshop, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    let claimed_by = "select count(distinct daemon_id) from queue where daemon_id is not null";
    assert_eq!(workshop.count(claimed_by).await, 0, "nothing is held any more");
    let csv = workshop.done(&["daemons", "--format", "csv"]);
    assert!(
        csv.starts_with("id,host,pid,roles,version,mode,state,silent s,claimed,crossing,since\n"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let pids: Vec<_> = found.iter().map(|one| one["pid"].as_i64().unwrap()).collect();
    assert!(pids.contains(&i64::from(web.id())) && pids.contains(&i64::from(worker.id())));
    assert!(worker.leave().await.success());
    assert_eq!(list(&workshop, &[]).len(), 1);
    assert_eq!(list(&workshop, &["--all"]).len(), 2);
    assert!(web.leave().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_a_frozen_daemon_holds_is_shown_and_taken_over() {
    let workshop = Workshop::open(&["first"]).await;
    let frozen = workshop.run_as("frozen", "worker");
    up(&workshop, "worker").await;
    frozen.freeze();
    workshop.due(5).await;
    // As if it had claimed them just before.
    let held = "with t as (select e.id, c.id as contact, e.account_id, e.cadence_version_id, c.email_hash, c.shard, d.id as daemon,
                                  d.epoch
                           from enrollment e join contact c on c.id = e.contact_id, daemon d),
                     u as (insert into touch (id, enrollment_id, shard, contact_id, step_key, visit, channel, due_at, state, message_id)
                           select gen_random_uuid(), id, shard, contact, 'mail', 1, 'email', now(), 'queued', gen_random_uuid() from t
                           returning *)
                insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, cadence, cadence_version_id,
                                   step_key, address_hash, class, channel, due_at, first_due_at, expires_at, state, daemon_id, epoch)
                select u.id, u.shard, u.message_id, t.id, t.contact, t.account_id, 'first', t.cadence_version_id, 'mail', t.email_hash,
                       3, 'email', now(), now(), now() + interval '30 days', 'claimed', t.daemon, t.epoch
                from u join t on t.id = u.enrollment_id";
    sqlx::query(held).execute(&workshop.db.pool).await.unwrap();
    sqlx::query("update enrollment set next_at = '3000-01-01'")
        .execute(&workshop.db.pool)
        .await
        .unwrap();
    let found = list(&workshop, &[]);
    assert_eq!(
        (found.len(), found[0]["claimed"].as_i64()),
        (1, Some(5)),
        "{found:?}"
    );
    let started = std::time::Instant::now();
    let heir = workshop.run_as("heir", "worker");
    workshop.all_ended().await;
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    assert_eq!(
        workshop
            .server
            .log()
            .iter()
            .filter(|record| record.stored)
            .count(),
        5
    );
    frozen.thaw();
    assert!(frozen.leave().await.success());
    assert!(heir.leave().await.success());
    assert!(workshop.judge().await.is_clean());
}

#[test]
fn with_the_shipped_lease_work_of_the_dead_is_resumed_within_a_minute() {
    let lease = Settings::defaults().unwrap().lease;
    // Declared dead, then the next round of a daemon that has just failed as often as can be, then its flow.
    let rounds = chrono::TimeDelta::seconds(10) * 2;
    assert!(lease.dead_after.length() + rounds < chrono::TimeDelta::seconds(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_daemon_that_meets_a_newer_schema_drains_and_says_so_once() {
    let workshop = Workshop::open(&["first"]).await;
    let daemon = workshop.run_as("old", "all");
    up(&workshop, "all").await;
    workshop.due(50).await;
    workshop.all_ended().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99990101000000, 'of a newer kith', true, '', 0)",
    )
    .execute(&workshop.db.pool)
    .await
    .unwrap();
    let (status, log) = daemon.ended().await;
    assert_eq!(status.code(), Some(3), "{log}");
    assert_eq!(log.matches("a newer kith takes over").count(), 1, "{log}");
    assert!(log.contains("has schema version 99990101000000"), "{log}");
    let unfinished = "select count(*) from daemon where ended_at is null";
    assert_eq!(workshop.count(unfinished).await, 0, "it left in order");
    assert!(workshop.judge().await.is_clean());
    let output = workshop.command("old").arg("run").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "it does not start again either");
}
