//! kill -9 in the middle of the work, again and again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Behaviour, Moment, Ordinary, Stage};

use crate::process::{CONNECTIONS, Workshop};
use crate::rig::{until, within};

const MESSAGES: i32 = 2000;
const KILLS: u64 = 10;
/// Mails that a life may finish before its end begins.
const FINISHED: u64 = 150;
/// Mails that are between dot and reply when the end comes.
const UNANSWERED: u64 = 3;

/// One life of the daemon: some mails pass, some wait for their reply, and from then on all are kept before their content.
#[derive(Clone)]
struct Life {
    dots: Arc<AtomicU64>,
    after_dot: Gate,
    before_content: Gate,
}

impl Life {
    fn new() -> Self {
        Self {
            dots: Arc::default(),
            after_dot: Gate::shut(),
            before_content: Gate::shut(),
        }
    }
}

impl Behaviour for Life {
    fn at(&self, moment: &Moment<'_>) -> Action {
        match moment.stage {
            Stage::Rcpt if self.dots.load(Ordering::Acquire) >= FINISHED + UNANSWERED => {
                Action::Hold(self.before_content.clone(), Box::new(Action::Drop))
            }
            Stage::Dot => match self.dots.fetch_add(1, Ordering::AcqRel) {
                n if (FINISHED..FINISHED + UNANSWERED).contains(&n) => {
                    // The server may have taken the mail or not: nobody can know who did not hear it.
                    let fate = if n % 2 == 0 {
                        Action::store_and_drop()
                    } else {
                        Action::Drop
                    };
                    Action::Hold(self.after_dot.clone(), Box::new(fate))
                }
                // Those before, and those that were past their RCPT already.
                _ => Action::Go,
            },
            _ => Action::Go,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_nothing_and_leave_only_the_unknowns_that_are_unknown() {
    let workshop = Workshop::open(&["first"]).await;
    workshop.due(MESSAGES).await;
    for kill in 0..KILLS {
        let life = Life::new();
        workshop.server.behave(life.clone());
        let daemon = workshop.run("one", "hello@example.com");
        within(life.after_dot.arrived(UNANSWERED)).await;
        let open = CONNECTIONS as u64 - UNANSWERED;
        assert!(open >= 10);
        within(life.before_content.arrived(open)).await;
        // Everything that was answered is written down, so that what is open is exactly what the server holds.
        until("all answers are written", async || {
            let written = workshop
                .count("select count(*) from message where outcome = 'accepted'")
                .await;
            (written == workshop.acknowledged() as i64).then_some(())
        })
        .await;
        assert!(workshop.acknowledged() as u64 >= (kill + 1) * FINISHED);
        daemon.kill();
        life.after_dot.open();
        life.before_content.open();
        within(workshop.server.disconnected()).await;
    }
    workshop.server.behave(Ordinary);
    let daemon = workshop.run("one", "hello@example.com");
    workshop.all_ended().await;
    assert!(daemon.leave().await.success());

    let findings = workshop.judge().await;
    assert!(
        findings.is_clean() && findings.needlessly_uncertain.is_empty(),
        "{findings:?}"
    );
    let told = workshop.told().await;
    assert_eq!(told.len(), MESSAGES as usize, "none lost");
    let uncertain: BTreeSet<String> = told
        .iter()
        .filter(|(_, told)| told.outcome == kith::sandbox::checker::Outcome::Uncertain)
        .map(|(id, _)| id.clone())
        .collect();
    let unheard: BTreeSet<String> = workshop
        .server
        .log()
        .iter()
        .filter(|record| record.dot_received_at.is_some() && !record.reply_delivered)
        .map(|record| record.message_id.clone())
        .collect();
    assert_eq!(unheard.len() as u64, KILLS * UNANSWERED);
    assert_eq!(uncertain, unheard);
    let states: Vec<(String, i64)> =
        sqlx::query_as("select state, count(*) from touch group by state order by state")
            .fetch_all(&workshop.db.pool)
            .await
            .unwrap();
    let unknown = (KILLS * UNANSWERED) as i64;
    assert_eq!(
        states,
        [
            ("sent".to_owned(), i64::from(MESSAGES) - unknown),
            ("uncertain".to_owned(), unknown)
        ]
    );
    assert_eq!(
        workshop
            .count("select count(*) from daemon where ended_at is null")
            .await,
        0
    );
}
