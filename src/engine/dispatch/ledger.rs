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
    deps: Arc<Deps>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Ledger {
    /// Starts the task that writes; it ends when the last handle is dropped.
    pub fn start(deps: Arc<Deps>) -> Self {
        // Attempts wait for their outcome to be written, so there are never more than are under way.
        let (reports, inbox) = mpsc::unbounded_channel();
        tokio::spawn(serve(deps.clone(), inbox));
        Self { deps, reports }
    }

    /// Writes one outcome; resolves when it is durable, in the database or the journal. It is noted in the trail first, in the
    /// very turn in which it became known: a process that is killed then has left its word. `went` is when the attempt was let
    /// go, if it was.
    pub async fn write(&self, ended: Ended, went: Option<Instant>) {
        let known = Instant::now();
        outcomes::note(&self.deps, std::iter::once(&ended));
        let (written, done) = oneshot::channel();
        if self.reports.send(Report { ended, written }).is_ok() {
            let _ = done.await;
        }
        metrics::histogram!("kith_outcome_seconds").record(known.elapsed());
        if let Some(went) = went {
            metrics::histogram!("kith_dot_to_outcome_seconds").record(went.elapsed());
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
        due_at: touch.due_at,
        at,
        reason: reason.as_str().to_owned(),
        counts,
        crossed: None,
        number: None,
    }
}
