//! Senders that are left alone for a while, because a receiving side blocked them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::StoreError;
use crate::domain::sender_pause::Pause;

/// A sender and its pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// The sender.
    pub sender: String,
    /// Its pause.
    #[serde(flatten)]
    pub pause: Pause,
    /// The reply that caused it.
    pub reason: String,
}

/// Those that are paused at that moment, by name.
pub async fn paused(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, Paused>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select sender, paused_until, reason, at, times
        from sender_state
        where paused_until > $1
        "#,
        now,
    )
    .fetch_all(conn)
    .await?;
    let paused = rows.into_iter().map(|row| Paused {
        pause: Pause {
            until: row.paused_until,
            at: row.at,
            times: row.times,
        },
        sender: row.sender,
        reason: row.reason,
    });
    Ok(paused.map(|one| (one.sender.clone(), one)).collect())
}

/// The last pause of a sender, whose row is locked until the end of the transaction; `None` when it never had one.
pub async fn lock(conn: &mut PgConnection, sender: &str) -> Result<Option<Pause>, StoreError> {
    let row = sqlx::query!(
        r#"
        select paused_until, at, times
        from sender_state
        where sender = $1
        for update
        "#,
        sender,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Pause {
        until: row.paused_until,
        at: row.at,
        times: row.times,
    }))
}

/// Writes a pause. False when another transaction wrote the first one of this sender meanwhile.
pub async fn pause(conn: &mut PgConnection, one: &Paused, first: bool) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        insert into sender_state (sender, paused_until, reason, at, times)
        values ($1, $2, $3, $4, $5)
        on conflict (sender) do update
        set paused_until = excluded.paused_until, reason = excluded.reason, at = excluded.at, times = excluded.times
        where not $6
        "#,
        one.sender,
        one.pause.until,
        one.reason,
        one.pause.at,
        one.pause.times,
        first,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends the pause of a sender and forgets the earlier ones; touches that wait for its end are due at once. False when it
/// had none.
pub async fn lift(conn: &mut PgConnection, sender: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update sender_state set paused_until = $2, times = 0 where sender = $1 and paused_until > $2",
        sender,
        now,
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    // Those without a sender have their channel's default, which may be another: a look too early does no harm.
    sqlx::query!(
        r#"
        with q as (
            update queue set due_at = $2
            where state = 'waiting' and held = 'sender-paused' and due_at > $2 and coalesce(sender, $1) = $1
            returning touch_id
        )
        update touch t set due_at = $2 from q where t.id = q.touch_id
        "#,
        sender,
        now,
    )
    .execute(conn)
    .await?;
    Ok(true)
}
