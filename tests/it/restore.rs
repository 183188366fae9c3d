//! A restored database does not know what was sent since its backup: nothing goes out before an operator has looked.

use chrono::Utc;
use serde_json::Value;

use crate::process::{Daemon, Workshop};
use crate::rig::{enroll, settle, until};

/// Sent and known to the backup.
const BEFORE: i32 = 50;
/// Due at the backup, sent after it.
const AFTER: i32 = 100;
/// A new one comes to them later.
const LATER: i32 = 10;

fn number(from: i32, to: i32) -> String {
    format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}")
}

/// Runs a daemon until all that is due was sent.
async fn send_all(workshop: &Workshop) {
    let daemon = workshop.run("one", "hello@example.com");
    workshop.all_ended().await;
    assert!(daemon.leave().await.success());
}

/// Sends some, takes a backup, sends a hundred more, restores, and starts a daemon again.
async fn restored() -> (Workshop, Daemon) {
    let workshop = Workshop::open(&["first"]).await;
    settle(&workshop.db.pool, BEFORE + AFTER + LATER, 1).await;
    enroll(&workshop.db.pool, "first", Utc::now(), &number(1, BEFORE)).await;
    send_all(&workshop).await;
    enroll(
        &workshop.db.pool,
        "first",
        Utc::now(),
        &number(BEFORE + 1, BEFORE + AFTER),
    )
    .await;
    let file = workshop.file("kith.backup", "");
    std::fs::remove_file(&file).unwrap();
    workshop.done(&["backup", &file]);
    send_all(&workshop).await;
    assert_eq!(workshop.acknowledged(), (BEFORE + AFTER) as usize);
    workshop.done(&["restore", &file, "--force"]);
    let daemon = workshop.run("one", "hello@example.com");
    (workshop, daemon)
}

/// Waits until the daemon has looked around three times more.
async fn some_rounds(workshop: &Workshop) {
    let beat = "select coalesce(extract(epoch from max(heartbeat_at))::bigint, 0) from daemon where ended_at is null";
    let begin = workshop
        .count("select extract(epoch from clock_timestamp())::bigint")
        .await;
    until("the daemon lives for a while", async || {
        (workshop.count(beat).await >= begin + 3).then_some(())
    })
    .await;
}

fn recover(workshop: &Workshop, more: &[&str]) -> Value {
    let output = workshop
        .command("one")
        .args(["recover", "--format", "json"])
        .args(more)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rule: what the restored database holds to be due is sent once an operator lifts the brake, a second time if need be.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_a_restore_before_an_operator_lifts_the_brake() {
    let (workshop, daemon) = restored().await;
    let sent = (BEFORE + AFTER) as usize;
    some_rounds(&workshop).await;
    assert_eq!(workshop.acknowledged(), sent);
    let list = recover(&workshop, &[]);
    let forgotten = list["forgotten"].as_array().unwrap();
    assert_eq!(
        (forgotten.len(), &list["brake"]),
        (AFTER as usize, &Value::Bool(true))
    );
    assert!(
        forgotten.iter().all(|one| one["seen"] == "accepted"),
        "{:?}",
        forgotten[0]
    );
    // Lifted, but live mode is still bound to the database of before the restore: this daemon puts it on again.
    workshop.done(&["brake", "off"]);
    until("the brake is on again", async || {
        (workshop.count("select count(*) from control where brake").await == 1).then_some(())
    })
    .await;
    some_rounds(&workshop).await;
    assert_eq!(workshop.acknowledged(), sent);
    workshop.done(&["brake", "off", "--live"]);
    workshop.all_ended().await;
    assert_eq!(workshop.acknowledged(), sent + AFTER as usize);
    assert!(daemon.leave().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_remembers_is_not_sent_again() {
    let (workshop, daemon) = restored().await;
    some_rounds(&workshop).await;
    let left = recover(&workshop, &["--remember"]);
    assert_eq!(left["forgotten"], Value::Array(Vec::new()));
    enroll(
        &workshop.db.pool,
        "first",
        Utc::now(),
        &number(BEFORE + AFTER + 1, BEFORE + AFTER + LATER),
    )
    .await;
    workshop.done(&["brake", "off", "--live"]);
    workshop.all_ended().await;
    assert!(daemon.leave().await.success());
    assert_eq!(workshop.acknowledged(), (BEFORE + AFTER + LATER) as usize);
    let findings = workshop.judge().await;
    assert!(
        findings.is_clean() && findings.needlessly_uncertain.is_empty(),
        "{findings:?}"
    );
    assert_eq!(
        workshop
            .count("select count(*) from message where outcome = 'accepted'")
            .await,
        i64::from(BEFORE + AFTER + LATER)
    );
    // With the brake off something may be on its way.
    let refused = workshop
        .command("one")
        .args(["recover", "--remember"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
