//! The lease: a heartbeat in the database's time. Who misses it for too long is dead to the others and must start anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::engine::Deps;
use crate::store::daemon;

/// A daemon whose clock differs more than this from the database's claims nothing: it would send early or late.
const MOST_OFF: TimeDelta = TimeDelta::seconds(5);

/// The lease of this process, kept by a task of its own.
#[derive(Clone)]
pub struct Lease {
    may_claim: Arc<AtomicBool>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Lease {
    /// Starts to keep it.
    pub fn hold(deps: Arc<Deps>) -> Self {
        let may_claim = Arc::new(AtomicBool::new(true));
        let keeper = tokio::spawn(keep(deps, may_claim.clone()));
        Self {
            may_claim,
            keeper: Arc::new(Mutex::new(Some(keeper))),
        }
    }

    /// Whether new work may be taken.
    pub fn may_claim(&self) -> bool {
        self.may_claim.load(Ordering::Relaxed)
    }

    /// Stops keeping it.
    pub async fn end(&self) {
        if let Some(keeper) = self.keeper.lock().await.take() {
            keeper.abort();
        }
    }
}

async fn keep(deps: Arc<Deps>, may_claim: Arc<AtomicBool>) {
    let every = deps
        .settings
        .lease
        .heartbeat
        .length()
        .to_std()
        .unwrap_or(Duration::from_secs(5));
    let dead_after = deps
        .settings
        .lease
        .dead_after
        .length()
        .to_std()
        .unwrap_or(Duration::from_secs(30));
    let mut last = Instant::now();
    loop {
        match beat(&deps).await {
            Ok(in_time) => {
                last = Instant::now();
                may_claim.store(in_time, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "no heartbeat");
                // Others may bury us any moment now: take nothing new.
                if last.elapsed() * 2 > dead_after {
                    may_claim.store(false, Ordering::Relaxed);
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// One heartbeat. False when this machine's clock is too far off.
async fn beat(deps: &Deps) -> Result<bool> {
    let mut conn = deps.pool.acquire().await?;
    let Some(database) = daemon::heartbeat(&mut conn, deps.incarnation()).await? else {
        let id = deps.ids.next(deps.clock.now());
        let new = daemon::register_again(&mut conn, deps.incarnation(), id).await?;
        deps.reincarnate(new);
        tracing::warn!("this daemon had been declared dead; it goes on as a new incarnation");
        return Ok(true);
    };
    let off = match deps.clock {
        Clock::System => (deps.clock.now() - database).abs(),
        // A manual clock is meant to differ.
        Clock::Manual(_) => TimeDelta::zero(),
    };
    if off > MOST_OFF {
        tracing::error!(
            seconds = off.num_seconds(),
            "this machine's clock and the database's differ: nothing is claimed"
        );
    }
    Ok(off <= MOST_OFF)
}
