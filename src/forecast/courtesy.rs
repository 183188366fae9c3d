//! Courtesy: a forecast gives way to the living daemon.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::{StoreError, shadow};

/// Work shorter than this goes on without a look at the daemon.
const STRETCH: Duration = Duration::from_millis(10);
/// How many times as long as it has worked the forecast rests while the daemon has work due: it then takes a twentieth of
/// one processor and of one session.
const REST: u32 = 19;
/// How often a resting forecast looks whether the daemon still has work.
const LOOK: Duration = Duration::from_millis(50);

/// When a forecast works and when it rests.
#[derive(Debug)]
pub struct Courtesy {
    now: DateTime<Utc>,
    begun: Instant,
    working_since: Mutex<Instant>,
}

impl Courtesy {
    /// For a forecast that begins at an instant of business time.
    pub fn from(now: DateTime<Utc>) -> Self {
        let begun = Instant::now();
        Self {
            now,
            begun,
            working_since: Mutex::new(begun),
        }
    }

    /// Rests for as long as is owed for the work since the last rest, or until the daemon has nothing due.
    pub async fn give_way(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let worked = self.working_since().elapsed();
        if worked < STRETCH {
            return Ok(());
        }
        let resting = Instant::now();
        while resting.elapsed() < worked * REST && self.is_wanted(conn).await? {
            tokio::time::sleep(LOOK.min(worked * REST)).await;
        }
        *self.working_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    fn working_since(&self) -> Instant {
        *self.working_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn is_wanted(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let now = self.now + self.begun.elapsed();
        match shadow::live_work_waits(conn, now).await {
            Ok(waits) => Ok(waits),
            Err(StoreError::Sql(error)) => Err(error),
            Err(other) => Err(sqlx::Error::Configuration(other.into())),
        }
    }
}
