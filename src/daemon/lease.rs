//! The lease: a heartbeat in the database's time. Who misses it for too long is dead to the others and must start anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Role, identity};
use crate::clock::Clock;
use crate::config::Mode;
use crate::engine::Deps;
use crate::store::daemon::Process;
use crate::store::queue::Incarnation;
use crate::store::{self, StoreError, daemon};

/// A daemon whose clock differs more than this from the database's claims nothing: it would send early or late.
const MOST_OFF: TimeDelta = TimeDelta::seconds(5);

/// No number of connections.
const NOBODY: u64 = u64::MAX;

/// The lease of this process, kept by a task of its own.
#[derive(Clone)]
pub struct Lease {
    /// Who has been looked at: the number of connections made by then. [`NOBODY`] = nothing may be claimed.
    looked_at: Arc<AtomicU64>,
    outdated: Arc<OnceLock<StoreError>>,
    doubt: Arc<Notify>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Lease {
    /// Starts to keep it. Cancels `stop` when a newer kith has migrated the database.
    pub fn hold(deps: Arc<Deps>, role: Role, stop: CancellationToken) -> Self {
        let looked_at = Arc::new(AtomicU64::new(NOBODY));
        let outdated = Arc::new(OnceLock::new());
        let doubt = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(
            deps,
            vec![role.as_str().to_owned()],
            looked_at.clone(),
            outdated.clone(),
            doubt.clone(),
            stop,
        ));
        Self {
            looked_at,
            outdated,
            doubt,
            keeper: Arc::new(Mutex::new(Some(keeper))),
        }
    }

    /// Whether new work may be taken: this incarnation lives, and nobody has been connected to since the database was looked
    /// at. A new connection may lead to one that was promoted, restarted or restored, and has forgotten what crossed.
    pub fn may_claim(&self) -> bool {
        let looked_at = self.looked_at.load(Ordering::Acquire);
        let may = looked_at == store::connections_made();
        if !may && looked_at != NOBODY {
            self.doubt.notify_one();
        }
        may
    }

    /// Something failed: the database may have been away, and may be another one now, behind a pooler even on an old
    /// connection. Nothing is claimed until it was looked at again.
    pub fn doubt(&self) {
        self.looked_at.store(NOBODY, Ordering::Release);
        self.doubt.notify_one();
    }

    /// Stops keeping it. The error is why this program cannot go on with this database: its schema is newer.
    pub async fn end(self) -> Result<(), StoreError> {
        if let Some(keeper) = self.keeper.lock().await.take() {
            keeper.abort();
            // Aborted or done, it has let go of what it held.
            let _ = keeper.await;
        }
        drop(self.keeper);
        Arc::into_inner(self.outdated)
            .and_then(OnceLock::into_inner)
            .map_or(Ok(()), Err)
    }
}

async fn keep(
    deps: Arc<Deps>,
    roles: Vec<String>,
    looked_at: Arc<AtomicU64>,
    outdated: Arc<OnceLock<StoreError>>,
    doubt: Arc<Notify>,
    stop: CancellationToken,
) {
    let every = deps
        .settings
        .lease
        .heartbeat
        .length()
        .to_std()
        .unwrap_or(Duration::from_secs(5));
    // However long everybody else waits for a connection, this daemon lives.
    let line = store::aside(&deps.pool);
    let mut doubtful = true;
    loop {
        if let Err(newer @ StoreError::SchemaTooNew { .. }) = schema(&line).await {
            tracing::error!(reason = %newer, "a newer kith takes over: draining");
            looked_at.store(NOBODY, Ordering::Release);
            // Set once: after it there is no further look.
            let _ = outdated.set(newer);
            stop.cancel();
            // What is under way is still ours until it has ended.
            loop {
                let _ = alive(&deps, &line, &roles).await;
                tokio::time::sleep(every).await;
            }
        }
        let made = store::connections_made();
        doubtful |= looked_at.load(Ordering::Acquire) != made;
        match beat(&deps, &line, &roles, doubtful).await {
            Ok(may) => {
                doubtful = false;
                looked_at.store(if may { made } else { NOBODY }, Ordering::Release);
            }
            Err(error) => {
                // Others may bury us any moment now, and who answers next may have forgotten what crossed.
                tracing::warn!(%error, "no heartbeat: nothing is claimed");
                doubtful = true;
                looked_at.store(NOBODY, Ordering::Release);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = doubt.notified() => doubtful = true,
        }
    }
}

async fn schema(line: &PgPool) -> Result<(), StoreError> {
    let mut conn = line.acquire().await?;
    store::check_not_outdated(&mut conn).await
}

async fn known(line: &PgPool, who: Incarnation) -> Result<bool> {
    let mut conn = line.acquire().await?;
    Ok(daemon::is_known(&mut conn, who.id).await?)
}

/// One heartbeat, and a look at whose answer it was. False when nothing may be claimed: this machine's clock is too far off, or
/// the database is a copy that live mode is not bound to. The look goes over a connection as the others have, and waits for one
/// no longer than the next heartbeat can.
async fn beat(deps: &Deps, line: &PgPool, roles: &[String], doubtful: bool) -> Result<bool> {
    let before = deps.incarnation();
    let in_time = alive(deps, line, roles).await?;
    // Who was buried is known to have lived. A server that never heard of us has forgotten more.
    let unknown = deps.incarnation() != before && !known(line, before).await?;
    let memory = deps.journal.folder().filter(|_| doubtful || unknown);
    let mode = deps.settings.delivery.mode;
    let look = identity::check(&deps.pool, mode, memory, &deps.ids, deps.clock.now());
    let patience = deps
        .settings
        .lease
        .dead_after
        .length()
        .to_std()
        .unwrap_or_default()
        / 2;
    let bound = tokio::time::timeout(patience, look).await??;
    Ok(in_time && bound)
}

/// Registers this process as a new incarnation.
pub async fn register(
    conn: &mut PgConnection,
    id: Uuid,
    roles: &[String],
    mode: Mode,
) -> Result<Incarnation, StoreError> {
    let host = nix::unistd::gethostname()
        .map(|host| host.to_string_lossy().into_owned())
        .unwrap_or_default();
    let process = Process {
        host: &host,
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        roles,
        version: env!("CARGO_PKG_VERSION"),
        mode,
    };
    daemon::register(conn, id, &process).await
}

/// Says that this incarnation lives, or becomes a new one. False when this machine's clock is too far off.
async fn alive(deps: &Deps, line: &PgPool, roles: &[String]) -> Result<bool> {
    let mut conn = line.acquire().await?;
    let mut heard = daemon::heartbeat(&mut conn, deps.incarnation()).await?;
    if heard.is_none() {
        let id = deps.ids.next(deps.clock.now());
        let new = register(&mut conn, id, roles, deps.settings.delivery.mode).await?;
        deps.reincarnate(new);
        tracing::warn!(
            "this daemon had been declared dead, or is unknown here; it goes on as a new incarnation"
        );
        // Its clock may be what made it late, so it is compared before anything is claimed.
        heard = daemon::heartbeat(&mut conn, new).await?;
    }
    let Some(database) = heard else {
        return Ok(false);
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
