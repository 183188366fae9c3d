//! The outcomes in groups: what attempts came to is noted on this host as soon as it is known, written down together, and never
//! lost with the database away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::domain::gate::Reason;
use crate::engine::Deps;
use crate::engine::outcomes::{self, Ended};
use crate::store::outcome::Again;
use crate::store::queue::ClaimedTouch;

const GROUP: usize = 256;
const LINGER: Duration = Duration::from_millis(5);
/// How long until outcomes that the database did not take are offered again.
const OWED_PAUSE: Duration = Duration::from_secs(1);

struct Report {
    ended: Ended,
    written: oneshot::Sender<()>,
}

/// Takes outcomes and writes them in groups.
#[derive(Clone)]
pub struct Ledger {
    reports: mpsc::Sender<Report>,
}

impl Ledger {
    /// Starts the tasks that note and write; they end when the last handle is dropped.
    pub fn start(deps: Arc<Deps>) -> Self {
        let (reports, inbox) = mpsc::channel(GROUP * 2);
        // Attempts wait for their outcome to be written, so there are never more than are under way.
        let (noted, to_write) = mpsc::unbounded_channel();
        tokio::spawn(note(deps.clone(), inbox, noted));
        tokio::spawn(serve(deps, to_write));
        Self { reports }
    }

    /// Writes one outcome; resolves when it is durable, in the database or the journal. `went` is when the attempt was let go,
    /// if it was: from there to here a death of this process costs an unknown, or a look into the trail.
    pub async fn write(&self, ended: Ended, went: Option<Instant>) {
        let known = Instant::now();
        let (written, done) = oneshot::channel();
        if self.reports.send(Report { ended, written }).await.is_ok() {
            let _ = done.await;
        }
        metrics::histogram!("kith_outcome_seconds").record(known.elapsed());
        if let Some(went) = went {
            metrics::histogram!("kith_dot_to_outcome_seconds").record(went.elapsed());
        }
    }
}

/// Notes what is known in the trail before it waits for its group, and for the database: a process that is killed then has
/// left its word. What was read in one turn of the loop is noted in one write.
async fn note(deps: Arc<Deps>, mut inbox: mpsc::Receiver<Report>, noted: mpsc::UnboundedSender<Report>) {
    while let Some(first) = inbox.recv().await {
        tokio::task::yield_now().await;
        let mut known = vec![first];
        while known.len() < GROUP
            && let Ok(report) = inbox.try_recv()
        {
            known.push(report);
        }
        outcomes::note(&deps, known.iter().map(|report| &report.ended));
        for report in known {
            if noted.send(report).is_err() {
                return;
            }
        }
    }
}

async fn serve(deps: Arc<Deps>, mut inbox: mpsc::UnboundedReceiver<Report>) {
    // What the database did not take so far.
    let mut owed = Vec::new();
    loop {
        let first = if owed.is_empty() {
            inbox.recv().await
        } else if let Ok(first) = tokio::time::timeout(OWED_PAUSE, inbox.recv()).await {
            first
        } else {
            let _ = outcomes::write(&deps.pool, &deps.journal, &mut owed, &deps.clock).await;
            continue;
        };
        let Some(first) = first else {
            return;
        };
        let mut group = vec![first];
        while group.len() < GROUP {
            match tokio::time::timeout(LINGER, inbox.recv()).await {
                Ok(Some(report)) => group.push(report),
                Ok(None) | Err(_) => break,
            }
        }
        let (ended, written): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|report| (report.ended, report.written))
            .unzip();
        outcomes::settle(&deps, ended, &mut owed).await;
        for done in written {
            let _ = done.send(());
        }
    }
}

/// Back to the queue.
pub fn back(touch: &ClaimedTouch, at: chrono::DateTime<chrono::Utc>, reason: Reason, counts: bool) -> Again {
    Again {
        touch_id: touch.id(),
        owner: touch.owner(),
        at,
        reason: reason.as_str().to_owned(),
        counts,
        crossed: None,
    }
}
