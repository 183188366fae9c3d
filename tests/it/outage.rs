//! The server of the database is stopped for a while under load: nothing more crosses, nothing is lost, and work goes on soon
//! after.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kith::clock::Clock;
use kith::postgres::{Embedded, EmbeddedOptions};
use kith::sandbox::smtp::{Action, Moment, Stage};
use kith::store;

use crate::harness::{TestDb, clear_at_exit};
use crate::process::{Daemon, Workshop};
use crate::races::remember_crossings;
use crate::rig::until;

const MESSAGES: i32 = 1500;
/// Letters that are out before it goes.
const BEFORE: u64 = 300;
/// How long what had crossed may still send its dot, and some more.
const LAST_DOTS: Duration = Duration::from_secs(3);
/// How soon something is sent again.
const SOON: Duration = Duration::from_secs(10);
/// What the daemon may grow by meanwhile, in kilobytes.
const GROWTH: u64 = 64 * 1024;

/// How long the database is gone: a few seconds, or as many as `KITH_OUTAGE_SECONDS` says.
fn outage() -> Duration {
    let seconds = std::env::var("KITH_OUTAGE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(4, |seconds| seconds.parse().unwrap()))
}

/// Memory of a process, in kilobytes.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A server of the test's own, with fsync on, that keeps the times of commits; stopped and started at the same place.
async fn server() -> Embedded {
    let data_dir = Some(PathBuf::from(format!("/tmp/kith-outage-{}", std::process::id())));
    let settings = vec![("track_commit_timestamp".to_owned(), "on".to_owned())];
    kith::postgres::start(EmbeddedOptions { data_dir, settings })
        .await
        .unwrap()
}

async fn workshop(server: &Embedded) -> Workshop {
    let name = "kith_outage";
    let admin = store::connect(server.connect_options(), 1).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}")))
        .execute(&admin)
        .await
        .unwrap();
    let options = server.connect_options().database(name);
    let pool = store::connect(options.clone(), 5).await.unwrap();
    store::migrate(&pool).await.unwrap();
    Workshop::on(TestDb { pool, options }, &["first"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_daemon_sends_nothing_and_goes_on_soon_after() {
    clear_at_exit(&PathBuf::from(format!("/tmp/kith-outage-{}", std::process::id())));
    let first = server().await;
    let mut workshop = workshop(&first).await;
    remember_crossings(&workshop.db.pool).await;
    // Slow enough that the work is not over when the database goes.
    workshop.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::Dot => Action::Drip(Duration::from_millis(2)),
        _ => Action::Go,
    });
    workshop.due(MESSAGES).await;
    let daemon = workshop.run("one", "hello@example.com");
    until("work is well under way", async || {
        (workshop.server.sequence() >= BEFORE).then_some(())
    })
    .await;
    let before = resident(&daemon);
    first.crash().await.unwrap();
    let (gone, gone_at) = (Instant::now(), Clock::System.now());
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let (mut most, mut last_dots) = (before, None);
    while gone.elapsed() < outage() {
        looks.tick().await;
        most = most.max(resident(&daemon));
        if gone.elapsed() > LAST_DOTS {
            let dots = workshop.server.sequence();
            assert_eq!(*last_dots.get_or_insert(dots), dots, "a dot without a database");
        }
    }
    assert!(most < before + GROWTH, "{most} kB, {before} kB before");

    let dots = workshop.server.sequence();
    let _second = server().await;
    let back = Instant::now();
    until("it sends again", async || {
        (workshop.server.sequence() > dots).then_some(())
    })
    .await;
    let soon = back.elapsed();
    assert!(soon < SOON, "{soon:?}");
    workshop.db.pool = store::connect(workshop.db.options.clone(), 5).await.unwrap();
    // Each dot had a crossing that was there to stay.
    let crossed: i64 =
        sqlx::query_scalar("select count(*) from crossed where pg_xact_commit_timestamp(xmin) <= $1")
            .bind(gone_at)
            .fetch_one(&workshop.db.pool)
            .await
            .unwrap();
    assert!(dots as i64 <= crossed, "{dots} dots, {crossed} crossings");
    assert!(crossed < i64::from(MESSAGES), "there was work left");
    eprintln!(
        "the server was stopped for {:.1} s; {dots} dots, {crossed} crossings by then; at most {:.1} MB in memory, {:.1} before; it sent again after {:.1} s",
        (back - gone).as_secs_f64(),
        most as f64 / 1024.0,
        before as f64 / 1024.0,
        soon.as_secs_f64()
    );
    until("everything has an end", async || {
        // Those who were about to cross wait half a minute, which is not what is tried here.
        sqlx::query("update queue set due_at = now() where state = 'waiting' and due_at > now()")
            .execute(&workshop.db.pool)
            .await
            .unwrap();
        let open = "select count(*) from enrollment e where not exists
                    (select from message m join touch t on t.id = m.touch_id where t.enrollment_id = e.id)";
        (workshop.count(open).await == 0).then_some(())
    })
    .await;
    assert!(daemon.leave().await.success());
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
    let accepted = "select count(*) from message where outcome = 'accepted'";
    assert_eq!(
        workshop.count(accepted).await,
        i64::from(MESSAGES),
        "the daemon lived: it knows of all"
    );
}
