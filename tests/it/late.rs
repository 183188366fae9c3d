//! An answer that comes long after the dot, heard by a real daemon beside another one that looks for the work of the dead.

use std::time::{Duration, Instant};

use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, Ordinary, Stage};

use crate::process::Workshop;
use crate::rig::{until, within};

const LETTERS: u64 = 5;

/// How long after the dot the server answers: longer than a lease lasts here, or as many seconds as `KITH_ANSWER_SECONDS` says.
fn late() -> Duration {
    let seconds = std::env::var("KITH_ANSWER_SECONDS").ok();
    Duration::from_secs(seconds.map_or(6, |seconds| seconds.parse().unwrap()))
}

/// The full figure is `KITH_ANSWER_SECONDS=300 cargo test --test it late::`, with no clock or deadline scaled.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_is_heard_and_nothing_is_unknown_meanwhile() {
    let workshop = Workshop::open(&["first"]).await;
    // At no moment, not only whenever somebody looks.
    for statement in [
        "create table unknown_seen (message uuid not null)",
        "create function note_unknown() returns trigger language plpgsql as $$
         begin
             insert into unknown_seen values (new.id);
             return null;
         end $$",
        "create trigger note_unknown after insert or update of outcome on message for each row
         when (new.outcome = 'uncertain') execute function note_unknown()",
    ] {
        sqlx::query(statement).execute(&workshop.db.pool).await.unwrap();
    }
    let gate = Gate::shut();
    let held = gate.clone();
    workshop.server.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Dot => Action::hold(&held),
        _ => Action::Go,
    });
    let daemons = [
        workshop.run("one", "one@example.com"),
        workshop.run("other", "other@example.com"),
    ];
    let alive = "select count(*) from daemon where ended_at is null";
    until("both daemons are registered", async || {
        (workshop.count(alive).await == 2).then_some(())
    })
    .await;
    workshop.due(LETTERS as i32).await;
    within(gate.arrived(LETTERS)).await;

    let since = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    while since.elapsed() < late() {
        looks.tick().await;
        let crossing = "select count(*) from queue where state = 'crossing'";
        assert_eq!(workshop.count(crossing).await, LETTERS as i64, "they wait");
        assert_eq!(workshop.count(alive).await, 2, "nobody was declared dead");
    }
    workshop.server.behave(Ordinary);
    gate.open();
    workshop.all_ended().await;
    let accepted = "select count(*) from message where outcome = 'accepted' and tries = 1";
    assert_eq!(workshop.count(accepted).await, LETTERS as i64);
    assert_eq!(workshop.count("select count(*) from unknown_seen").await, 0);
    eprintln!(
        "{LETTERS} answers {:.1} s after their dots were heard",
        since.elapsed().as_secs_f64()
    );
    for daemon in daemons {
        assert!(daemon.leave().await.success());
    }
    assert_eq!(workshop.acknowledged() as u64, LETTERS);
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
}
