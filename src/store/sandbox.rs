//! What the sandbox took in.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A message as it came.
#[derive(Debug, Clone)]
pub struct NewSandboxMessage {
    /// Business time.
    pub at: DateTime<Utc>,
    /// email or sms
    pub channel: &'static str,
    /// Envelope sender.
    pub sender: String,
    /// Envelope recipient.
    pub recipient: String,
    /// kith's id of it, where it bears one.
    pub message_id: Option<Uuid>,
    /// Subject of a mail.
    pub subject: Option<String>,
    /// The bytes.
    pub raw: Vec<u8>,
}

/// Keeps one.
pub async fn insert(conn: &mut PgConnection, row: &NewSandboxMessage) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into sandbox_message (at, channel, sender, recipient, message_id, subject, raw)
        values ($1, $2, $3, $4, $5, $6, $7)
        "#,
        row.at,
        row.channel,
        row.sender,
        row.recipient,
        row.message_id,
        row.subject,
        &row.raw,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message as a list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Number.
    pub id: i64,
    /// Business time.
    pub at: DateTime<Utc>,
    /// email or sms
    pub channel: String,
    /// Recipient.
    pub recipient: String,
    /// Subject of a mail.
    pub subject: Option<String>,
}

/// The newest messages, before a number.
pub async fn list(
    conn: &mut PgConnection,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let rows = sqlx::query_as!(
        Listed,
        r#"
        select id, at, channel, recipient, subject from sandbox_message
        where $1::bigint is null or id < $1
        order by id desc limit $2
        "#,
        before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// One message with its bytes.
pub async fn show(conn: &mut PgConnection, id: i64) -> Result<Option<(Listed, Vec<u8>)>, StoreError> {
    let row = sqlx::query!(
        "select id, at, channel, recipient, subject, raw from sandbox_message where id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| {
        let listed =
            Listed { id: r.id, at: r.at, channel: r.channel, recipient: r.recipient, subject: r.subject };
        (listed, r.raw)
    }))
}
