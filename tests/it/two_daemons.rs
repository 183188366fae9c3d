//! Two daemons on one database: they share the work, and one that was stopped past its lease does no harm when it goes on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::Utc;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Behaviour, Moment, Ordinary, Stage};

use crate::process::{CONNECTIONS, Workshop};
use crate::rig::{enroll, until, within};

const ONE: &str = "one@example.com";
const OTHER: &str = "other@example.com";
const MESSAGES: i32 = 2000;

async fn both_are_up(workshop: &Workshop) {
    until("both daemons are registered", async || {
        (workshop
            .count("select count(*) from daemon where ended_at is null")
            .await
            == 2)
            .then_some(())
    })
    .await;
}

/// Copies taken by the server, by envelope sender; fails when one message was taken twice.
fn taken(workshop: &Workshop) -> HashMap<String, usize> {
    let mut copies: HashMap<String, usize> = HashMap::new();
    let mut by_sender = HashMap::new();
    for record in workshop.server.log().iter().filter(|record| record.stored) {
        *copies.entry(record.message_id.clone()).or_default() += 1;
        *by_sender.entry(record.mail_from.clone()).or_default() += 1;
    }
    assert!(copies.values().all(|n| *n == 1), "each message once");
    by_sender
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sends_at_least_a_quarter_and_each_touch_goes_once() {
    let workshop = Workshop::open(&["first"]).await;
    let daemons = [workshop.run("one", ONE), workshop.run("other", OTHER)];
    both_are_up(&workshop).await;
    workshop.due(MESSAGES).await;
    workshop.all_ended().await;
    for daemon in daemons {
        assert!(daemon.leave().await.success());
    }
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
    let by_sender = taken(&workshop);
    eprintln!("sent {by_sender:?}");
    assert_eq!(by_sender.values().sum::<usize>(), MESSAGES as usize);
    assert!(
        by_sender.values().all(|n| *n * 4 >= MESSAGES as usize),
        "{by_sender:?}"
    );
    assert_eq!(
        workshop
            .count("select count(*) from message where outcome = 'accepted'")
            .await,
        i64::from(MESSAGES)
    );
    assert_eq!(
        workshop
            .count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
}

/// Holds the mails of one daemon: some between dot and reply, the rest before their content. Those of the other wait until
/// the one is in the grip; it cannot claim all of a round meanwhile.
#[derive(Clone)]
struct Grip {
    others: Gate,
    dots: Arc<AtomicU64>,
    after_dot: Gate,
    before_content: Gate,
}

const UNANSWERED: u64 = 5;

impl Grip {
    fn new() -> Self {
        Self {
            others: Gate::shut(),
            dots: Arc::default(),
            after_dot: Gate::shut(),
            before_content: Gate::shut(),
        }
    }
}

impl Behaviour for Grip {
    fn at(&self, moment: &Moment<'_>) -> Action {
        match moment.stage {
            Stage::Rcpt if moment.mail_from != ONE => Action::hold(&self.others),
            _ if moment.mail_from != ONE => Action::Go,
            Stage::Rcpt if self.dots.load(Ordering::Acquire) >= UNANSWERED => {
                Action::hold(&self.before_content)
            }
            Stage::Dot if self.dots.fetch_add(1, Ordering::AcqRel) < UNANSWERED => {
                Action::hold(&self.after_dot)
            }
            _ => Action::Go,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stopped_past_its_lease_twice_crosses_nothing_twice() {
    const ROUND: i32 = 700;
    let workshop = Workshop::open(&["first"]).await;
    let (one, other) = (workshop.run("one", ONE), workshop.run("other", OTHER));
    both_are_up(&workshop).await;
    crate::rig::settle(&workshop.db.pool, 3 * ROUND, 1).await;
    for round in 0..2 {
        let grip = Grip::new();
        workshop.server.behave(grip.clone());
        let (from, to) = (round * ROUND + 1, (round + 1) * ROUND);
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        enroll(&workshop.db.pool, "first", Utc::now(), &which).await;
        within(grip.after_dot.arrived(UNANSWERED)).await;
        within(grip.before_content.arrived(CONNECTIONS as u64 - UNANSWERED)).await;
        // Everything that was answered is written down, so that what is open is exactly what the server holds.
        until("all answers are written", async || {
            let written = workshop
                .count("select count(*) from message where outcome = 'accepted'")
                .await;
            (written == workshop.acknowledged() as i64).then_some(())
        })
        .await;
        one.freeze();
        grip.others.open();
        // The other declares it dead, takes over what it had claimed, and knows of the crossings only that they are unknown.
        until("the other has done the rest", async || {
            let (queued, unknown) = (
                workshop.count("select count(*) from queue").await,
                workshop
                    .count("select count(*) from message where outcome = 'uncertain'")
                    .await,
            );
            let all = workshop.count("select count(*) from message").await;
            (queued == 0 && unknown == UNANSWERED as i64 && all == i64::from(to)).then_some(())
        })
        .await;
        // The server answers while nobody listens; the answers are read when the stopped one goes on.
        grip.after_dot.open();
        grip.before_content.open();
        one.thaw();
        until("late answers settle what was unknown", async || {
            (workshop
                .count("select count(*) from message where outcome = 'uncertain'")
                .await
                == 0)
                .then_some(())
        })
        .await;
        until("it goes on as a new incarnation", async || {
            let live: i64 =
                sqlx::query_scalar("select count(*) from daemon where pid = $1 and ended_at is null")
                    .bind(one.id())
                    .fetch_one(&workshop.db.pool)
                    .await
                    .unwrap();
            (live == 1).then_some(())
        })
        .await;
        let findings = workshop.judge().await;
        assert!(findings.is_clean(), "{findings:?}");
        assert_eq!(taken(&workshop).values().sum::<usize>(), to as usize);
    }
    // It is as good as new.
    workshop.server.behave(Ordinary);
    let before = taken(&workshop).get(ONE).copied().unwrap_or(0);
    let which = format!(
        "('x' || right(c.account_id::text, 8))::bit(32)::int > {}",
        2 * ROUND
    );
    enroll(&workshop.db.pool, "first", Utc::now(), &which).await;
    workshop.all_ended().await;
    assert!(one.leave().await.success() && other.leave().await.success());
    let findings = workshop.judge().await;
    assert!(
        findings.is_clean() && findings.needlessly_uncertain.is_empty(),
        "{findings:?}"
    );
    let by_sender = taken(&workshop);
    eprintln!("sent {by_sender:?}, {before} by the stopped one before its last life");
    assert_eq!(by_sender.values().sum::<usize>(), 3 * ROUND as usize);
    assert!(by_sender[ONE] > before, "{by_sender:?}");
    assert_eq!(
        workshop
            .count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
}
