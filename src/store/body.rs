//! Bodies: what was handed over and has no certain end yet. Few of them, for a while.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::outcome::MessageRow;
use crate::domain::registered::RegisteredText;

/// A message as it was handed over.
#[derive(Debug, Clone)]
pub struct Body {
    /// Its unsigned bytes; of a text message the text.
    pub bytes: Vec<u8>,
    /// What belongs to them.
    pub letter: Letter,
    /// Not needed after this, whatever becomes of it.
    pub keep_until: DateTime<Utc>,
}

/// What belongs to the bytes of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Letter {
    /// Its history row, as the attempt that made the bytes would have written it.
    pub row: MessageRow,
    /// Envelope sender; empty for a text message.
    pub mail_from: String,
    /// Message-ID without angle brackets; empty for a text message.
    pub message_id: String,
    /// What the provider registered for it, where it sends nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<RegisteredText>,
}

/// Keeps bodies. The first one of a message stays.
pub async fn keep(conn: &mut PgConnection, bodies: &[&Body]) -> Result<(), StoreError> {
    if bodies.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = bodies.iter().map(|b| b.letter.row.id).collect();
    let bytes: Vec<&[u8]> = bodies.iter().map(|b| b.bytes.as_slice()).collect();
    let until: Vec<DateTime<Utc>> = bodies.iter().map(|b| b.keep_until).collect();
    let letters = bodies
        .iter()
        .map(|b| serde_json::to_value(&b.letter))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| StoreError::Decode(e.to_string()))?;
    sqlx::query!(
        r#"
        insert into message_body (message_id, bytes, letter, keep_until)
        select * from unnest($1::uuid[], $2::bytea[], $3::jsonb[], $4::timestamptz[])
        on conflict do nothing
        "#,
        &ids,
        &bytes as &[&[u8]],
        &letters,
        &until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The bodies of these messages, as far as there are any.
pub async fn of(conn: &mut PgConnection, message_ids: &[Uuid]) -> Result<Vec<Body>, StoreError> {
    if message_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "select bytes, letter, keep_until from message_body where message_id = any($1)",
        message_ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Body {
                bytes: row.bytes,
                letter: serde_json::from_value(row.letter).map_err(|e| StoreError::Decode(e.to_string()))?,
                keep_until: row.keep_until,
            })
        })
        .collect()
}

/// Takes away bodies whose touch has its end, or that are too old to be of use. Returns how many.
pub async fn forget(conn: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        delete from message_body
        where message_id in (
            select b.message_id from message_body b
            where b.keep_until < $1
               or not exists (select 1 from touch t where t.message_id = b.message_id and t.state in ('queued', 'uncertain'))
            limit $2
        )
        "#,
        now,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
