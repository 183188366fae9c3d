//! What the queue takes on the disk when all is sent: as autovacuum leaves it by itself, and after a vacuum by hand.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::figures::{Sheet, Target};
use super::ground::Ground;
use crate::store::bench::{self, QueueSize};

/// Autovacuum looks round once a minute, and may be busy with another table.
const PATIENCE: Duration = Duration::from_mins(4);
/// How often it is looked for.
const POLL: Duration = Duration::from_secs(1);
/// Bytes of a table that nobody waits for: it is small enough as it is.
const SMALL: i64 = 8 << 20;
/// A megabyte.
const MB: f64 = 1e6;

/// The queue when all is sent.
pub struct Left {
    by_itself: QueueSize,
    after_ours: QueueSize,
    waited: Duration,
}

/// Waits until autovacuum has done what it owes, looks, vacuums by hand and looks again.
pub async fn look(ground: &Ground) -> Result<Left> {
    let started = Instant::now();
    let mut conn = ground.pool.acquire().await?;
    let by_itself = loop {
        let size = bench::queue_size(&mut conn).await?;
        if !size.owed || size.table < SMALL || started.elapsed() >= PATIENCE {
            break size;
        }
        tokio::time::sleep(POLL).await;
    };
    let waited = started.elapsed();
    bench::vacuum_queue(&mut conn).await?;
    Ok(Left {
        by_itself,
        after_ours: bench::queue_size(&mut conn).await?,
        waited,
    })
}

impl Left {
    /// Notes both. What autovacuum owed and has not done is said.
    pub fn note(&self, sheet: &mut Sheet) {
        let how = match self.by_itself.owed {
            false => "as autovacuum left it",
            true if self.by_itself.table < SMALL => "too small to wait for autovacuum",
            true => "autovacuum did not come",
        };
        let mb = |bytes: i64| bytes as f64 / MB;
        let (before, after) = (self.by_itself, self.after_ours);
        sheet.note("waited for autovacuum", self.waited.as_secs_f64(), "s");
        let small = Target::Under(64.0);
        sheet.hold_to(format!("the queue's table, {how}"), mb(before.table), "MB", small);
        sheet.note("its indexes then", mb(before.indexes), "MB");
        sheet.note("the queue's table after a vacuum by hand", mb(after.table), "MB");
        sheet.note("its indexes after that", mb(after.indexes), "MB");
        sheet.value("autovacuum_wait_s", self.waited.as_secs_f64());
        sheet.value("autovacuum_owed", self.by_itself.owed);
        sheet.value("queue_table_mb", mb(before.table));
        sheet.value("queue_indexes_mb", mb(before.indexes));
        sheet.value("queue_vacuumed_table_mb", mb(after.table));
        sheet.value("queue_vacuumed_indexes_mb", mb(after.indexes));
    }
}
