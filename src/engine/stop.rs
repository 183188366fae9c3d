//! Stopping enrollments: one way for every reason, taking their live work along.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::enrollment::End;
use crate::store::{enrollment, queue};

/// Ends enrollments and cancels what of theirs has not crossed.
pub async fn end(conn: &mut PgConnection, ends: &[End], now: DateTime<Utc>) -> Result<()> {
    if ends.is_empty() {
        return Ok(());
    }
    let ended = enrollment::end(conn, now, ends).await?;
    queue::cancel_enrollments(conn, &ended, "ended", now).await?;
    Ok(())
}
