//! A daemon whose clock is an hour off, by libfaketime: it sends nothing early and takes nobody's lease, also when it had been
//! declared dead and comes back.

use std::path::PathBuf;

use chrono::{TimeDelta, Utc};

use crate::process::Workshop;
use crate::rig::{enroll, settle, until};

const DUE: i32 = 40;
const LATER: i32 = 40;

/// Where Debian, Ubuntu and others keep the library.
fn library() -> Option<PathBuf> {
    let mut dirs = vec![
        PathBuf::from("/usr/lib/faketime"),
        PathBuf::from("/usr/lib64/faketime"),
    ];
    for entry in std::fs::read_dir("/usr/lib").ok()?.flatten() {
        dirs.push(entry.path().join("faketime"));
    }
    dirs.into_iter()
        .map(|dir| dir.join("libfaketimeMT.so.1"))
        .find(|file| file.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_off_sends_nothing_early_and_steals_no_lease() {
    let Some(library) = library() else {
        eprintln!("skipped: libfaketime is not on this machine (Debian and Ubuntu: package faketime)");
        return;
    };
    let library = library.to_str().unwrap().to_owned();
    let workshop = Workshop::open(&["first"]).await;
    settle(&workshop.db.pool, DUE + LATER, 1).await;
    let number = |which: String| format!("('x' || right(c.account_id::text, 8))::bit(32)::int {which}");
    enroll(
        &workshop.db.pool,
        "first",
        Utc::now(),
        &number(format!("<= {DUE}")),
    )
    .await;
    let in_half_an_hour = Utc::now() + TimeDelta::minutes(30);
    enroll(
        &workshop.db.pool,
        "first",
        in_half_an_hour,
        &number(format!("> {DUE}")),
    )
    .await;

    let off = |room: &str, by: &str| {
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", by),
            // Timers are not what is off.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        workshop.run_with(room, &format!("{room}@example.com"), &env)
    };
    let ahead = off("ahead", "+3600s");
    let behind = off("behind", "-3600s");
    let lived =
        "select count(*) from daemon where ended_at is null and heartbeat_at > started_at + interval '4 s'";
    until("both have lived for a while", async || {
        (workshop.count(lived).await == 2).then_some(())
    })
    .await;
    assert_eq!(
        workshop.count("select count(*) from touch").await,
        0,
        "neither claims anything"
    );
    assert_eq!(workshop.acknowledged(), 0);

    let buried = "update daemon set epoch = epoch + 1, ended_at = clock_timestamp() where ended_at is null";
    sqlx::query(buried).execute(&workshop.db.pool).await.unwrap();
    let back =
        "select count(*) from daemon where ended_at is null and heartbeat_at > started_at + interval '3 s'";
    until("both came back as new incarnations", async || {
        (workshop.count(back).await == 2).then_some(())
    })
    .await;
    assert_eq!(
        workshop.count("select count(*) from touch").await,
        0,
        "coming back from the dead does not put a clock right"
    );
    assert_eq!(workshop.acknowledged(), 0);

    let right = workshop.run("right", "right@example.com");
    until("the one whose clock is right sends what is due", async || {
        (workshop.acknowledged() == DUE as usize).then_some(())
    })
    .await;
    until("all three have lived for a while", async || {
        (workshop.count(lived).await == 3).then_some(())
    })
    .await;
    assert_eq!(workshop.acknowledged(), DUE as usize, "nothing early");
    assert!(
        workshop
            .server
            .log()
            .iter()
            .all(|record| record.mail_from == "right@example.com")
    );
    let ended = "select count(*) from daemon where ended_at is not null";
    assert_eq!(workshop.count(ended).await, 2, "nobody else was declared dead");
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
    for daemon in [ahead, behind, right] {
        assert!(daemon.leave().await.success());
    }
}
