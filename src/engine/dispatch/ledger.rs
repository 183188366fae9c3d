//! The outcomes in groups: what attempts came to is written down together, and never lost with the database away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::domain::gate::Reason;
use crate::engine::Deps;
use crate::engine::journal::Entry;
use crate::store::body::{self, Body};
use crate::store::outcome::{self, Again, MessageRow};
use crate::store::queue::ClaimedTouch;
use crate::store::task::{self, NewTask};

const GROUP: usize = 256;
const LINGER: Duration = Duration::from_millis(5);
/// How long until outcomes that the database did not take are offered again.
const OWED_PAUSE: Duration = Duration::from_secs(1);

/// What an attempt came to.
#[derive(Debug)]
pub enum Ended {
    /// Accepted or refused: its history row, and the task it made.
    Done(Box<MessageRow>, Option<Box<NewTask>>),
    /// Nobody knows: its history row, and what was handed over, should it be tried once more.
    Uncertain(Box<MessageRow>, Option<Box<Body>>),
    /// To be made again, with the same bytes.
    Again(Again, Option<Box<Body>>),
    /// Crossed, but the dot never went out: to be made again, even if it was called uncertain meanwhile.
    Withdrawn(Again, Uuid),
}

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
    /// Starts the task that writes; it ends when the last handle is dropped.
    pub fn start(deps: Arc<Deps>) -> Self {
        let (reports, inbox) = mpsc::channel(GROUP * 2);
        tokio::spawn(serve(deps, inbox));
        Self { reports }
    }

    /// Writes one outcome; resolves when it is durable, in the database or the journal.
    pub async fn write(&self, ended: Ended) {
        let known = Instant::now();
        let (written, done) = oneshot::channel();
        if self.reports.send(Report { ended, written }).await.is_ok() {
            let _ = done.await;
        }
        metrics::histogram!("kith_outcome_seconds").record(known.elapsed());
    }
}

async fn serve(deps: Arc<Deps>, mut inbox: mpsc::Receiver<Report>) {
    // What the database did not take so far.
    let mut owed = Vec::new();
    loop {
        let first = if owed.is_empty() {
            inbox.recv().await
        } else if let Ok(first) = tokio::time::timeout(OWED_PAUSE, inbox.recv()).await {
            first
        } else {
            if write(&deps, &owed).await.is_ok() {
                owed.clear();
            }
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
        settle(&deps, ended, &mut owed).await;
        for done in written {
            let _ = done.send(());
        }
    }
}

/// Writes a group to the database; while it is away, to the journal, and the group is owed to the database.
async fn settle(deps: &Deps, ended: Vec<Ended>, owed: &mut Vec<Ended>) {
    let new = owed.len();
    owed.extend(ended);
    for pause in [50, 200, 1000] {
        match write(deps, owed).await {
            Ok(()) => {
                owed.clear();
                return;
            }
            Err(error) => tracing::warn!(%error, outcomes = owed.len(), "outcomes could not be written"),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let rows = owed[new..].iter().filter_map(|e| match e {
        Ended::Done(row, task) => Some(Entry {
            row: (**row).clone(),
            task: task.as_deref().cloned(),
        }),
        Ended::Uncertain(row, _) => Some(Entry {
            row: (**row).clone(),
            task: None,
        }),
        Ended::Again(..) | Ended::Withdrawn(..) => None,
    });
    if let Err(error) = deps.journal.append(rows) {
        // Nothing is lost even so: the rows stay `crossing` and become uncertain when this daemon ends.
        tracing::error!(%error, "the journal could not be written");
    }
}

async fn write(deps: &Deps, ended: &[Ended]) -> Result<()> {
    let (mut rows, mut tasks, mut again, mut withdrawn) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut bodies = Vec::new();
    for one in ended {
        match one {
            Ended::Done(row, task) => {
                rows.push((**row).clone());
                tasks.extend(task.as_deref().cloned());
            }
            Ended::Uncertain(row, body) => {
                rows.push((**row).clone());
                bodies.extend(body.as_deref());
            }
            Ended::Again(a, body) => {
                again.push(a.clone());
                bodies.extend(body.as_deref());
            }
            Ended::Withdrawn(a, message) => {
                again.push(a.clone());
                withdrawn.push(*message);
            }
        }
    }
    let mut tx = deps.pool.begin().await?;
    body::keep(&mut tx, &bodies).await?;
    outcome::finish(&mut tx, &rows).await?;
    task::insert(&mut tx, &tasks).await?;
    outcome::again(&mut tx, &again).await?;
    outcome::revive_withdrawn(&mut tx, &withdrawn, deps.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Back to the queue.
pub fn back(touch: &ClaimedTouch, at: chrono::DateTime<chrono::Utc>, reason: Reason, counts: bool) -> Again {
    Again {
        touch_id: touch.id(),
        owner: touch.owner(),
        at,
        reason: reason.as_str().to_owned(),
        counts,
    }
}
