//! The connections of one sender: a bounded number, and the clean ones are used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::opening::Connection;

/// Idle connections and the right to open new ones.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<(Connection, Instant)>>,
    slots: Arc<Semaphore>,
    idle_limit: Duration,
    max_messages: u32,
}

impl Pool {
    pub(super) fn new(max_connections: usize, max_messages: u32, idle_limit: Duration) -> Self {
        let slots = Arc::new(Semaphore::new(max_connections.max(1)));
        Self {
            idle: Mutex::default(),
            slots,
            idle_limit,
            max_messages,
        }
    }

    /// Waits for the right to use one connection. A connection in use is owned by its send, and dies with it unless it
    /// is given back clean; so a send that was cancelled half-way cannot leave a reply behind for the next.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.ok()
    }

    /// The idle connection used last, if one is alive: young enough, not closed, and silent.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < self.idle_limit);
        while let Some((mut connection, _)) = idle.pop() {
            if connection.wire.expect_silence().is_ok() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a clean connection for the next message; one that has carried enough comes back to be closed.
    pub(super) fn give_back(&self, connection: Connection) -> Option<Connection> {
        if connection.carried >= self.max_messages {
            return Some(connection);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, Instant::now()));
        None
    }

    /// Takes all idle connections out.
    pub(super) fn drain(&self) -> Vec<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.drain(..).map(|(connection, _)| connection).collect()
    }
}
