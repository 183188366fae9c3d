//! The database is gone for a while under load: nothing more crosses, nothing is lost, and work goes on soon after.

use std::time::{Duration, Instant};

use kith::sandbox::smtp::{Action, Moment, Stage};

use crate::process::{Daemon, Workshop};
use crate::rig::until;

const MESSAGES: i32 = 2500;
/// Letters that are out before it goes.
const BEFORE: u64 = 300;
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

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_daemon_sends_nothing_and_goes_on_soon_after() {
    let workshop = Workshop::open(&["first"]).await;
    // Slow enough that the work is not over when the database goes.
    workshop.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::Dot => Action::Drip(Duration::from_millis(2)),
        _ => Action::Go,
    });
    let name = workshop.db.options.get_database().unwrap().to_owned();
    let server = sqlx::PgPool::connect_with(workshop.db.options.clone().database("postgres"))
        .await
        .unwrap();
    let door = async |open: bool| {
        let text = format!("alter database {name} allow_connections {open}");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&server)
            .await
            .unwrap();
    };
    // The one session that stays: that of the judge.
    let mut own = workshop.db.pool.acquire().await.unwrap();
    let me: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *own)
        .await
        .unwrap();
    crate::rig::settle(&workshop.db.pool, MESSAGES, 1).await;
    crate::rig::enroll(&workshop.db.pool, "first", chrono::Utc::now(), "true").await;
    let daemon = workshop.run("one", "hello@example.com");
    until("work is well under way", async || {
        (workshop.server.sequence() >= BEFORE).then_some(())
    })
    .await;
    let memory = resident(&daemon);
    door(false).await;
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> $2")
        .bind(&name)
        .bind(me)
        .execute(&server)
        .await
        .unwrap();
    let gone = Instant::now();
    until("their sessions are gone", async || {
        let left: i64 =
            sqlx::query_scalar("select count(*) from pg_stat_activity where datname = $1 and pid <> $2")
                .bind(&name)
                .bind(me)
                .fetch_one(&server)
                .await
                .unwrap();
        (left == 0).then_some(())
    })
    .await;
    let crossed =
        "select (select count(*) from message) + (select count(*) from queue where state = 'crossing')";
    let crossed_by_then: i64 = sqlx::query_scalar(crossed).fetch_one(&mut *own).await.unwrap();
    assert!(crossed_by_then < i64::from(MESSAGES), "there is work left");
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    // Looked at all the time, as a dot too many might be taken back by nobody.
    while gone.elapsed() < outage() {
        assert!(workshop.server.sequence() as i64 <= crossed_by_then);
        looks.tick().await;
    }
    let still: i64 = sqlx::query_scalar(crossed).fetch_one(&mut *own).await.unwrap();
    assert_eq!(still, crossed_by_then, "nothing crossed");
    assert!(
        resident(&daemon) < memory + GROWTH,
        "{} kB, {memory} kB before",
        resident(&daemon)
    );
    let dots = workshop.server.sequence();

    door(true).await;
    let back = Instant::now();
    until("it sends again", async || {
        (workshop.server.sequence() > dots).then_some(())
    })
    .await;
    let soon = back.elapsed();
    eprintln!("it sent again after {:.1} s", soon.as_secs_f64());
    assert!(soon < SOON, "{soon:?}");
    drop(own);
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
