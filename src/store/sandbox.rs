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
        let listed = Listed {
            id: r.id,
            at: r.at,
            channel: r.channel,
            recipient: r.recipient,
            subject: r.subject,
        };
        (listed, r.raw)
    }))
}
/// A message as the page's list shows it.
#[derive(Debug, Clone)]
pub struct SandboxRow {
    /// Number in the sandbox.
    pub id: i64,
    /// Business time.
    pub at: DateTime<Utc>,
    /// email or sms
    pub channel: String,
    /// Address or number.
    pub recipient: String,
    /// Subject of a mail, beginning of an SMS.
    pub subject: String,
    /// Cadence it belongs to.
    pub cadence: Option<String>,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// The person's name.
    pub contact_name: Option<String>,
}

/// The newest messages before `before` (a number in the sandbox), of a channel and recipient where given.
pub async fn browse(
    conn: &mut PgConnection,
    channel: Option<&str>,
    recipient: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<SandboxRow>, StoreError> {
    let rows = sqlx::query_as!(
        SandboxRow,
        r#"
        select s.id, s.at, s.channel, s.recipient,
               coalesce(s.subject, case when s.channel = 'sms' then left(convert_from(s.raw, 'UTF8'), 80) else '' end) as "subject!",
               m.cadence as "cadence?", c.id as "contact_id?", c.name as "contact_name?"
        from sandbox_message s
        left join message m on m.id = s.message_id
        left join contact c on c.id = m.contact_id
        where ($1::text is null or s.channel = $1)
          and ($2::text is null or s.recipient = $2)
          and ($3::bigint is null or s.id < $3)
        order by s.id desc
        limit $4
        "#,
        channel,
        recipient,
        before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A message in full.
#[derive(Debug, Clone)]
pub struct SandboxMessage {
    /// Number in the sandbox.
    pub id: i64,
    /// Business time.
    pub at: DateTime<Utc>,
    /// email or sms
    pub channel: String,
    /// Envelope sender or sending number.
    pub sender: String,
    /// Address or number.
    pub recipient: String,
    /// The mail as it came over the wire, or the text of an SMS.
    pub raw: Vec<u8>,
    /// Cadence it belongs to.
    pub cadence: Option<String>,
    /// Step it belongs to.
    pub step: Option<String>,
    /// Template it was made from.
    pub template: Option<String>,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// The person's name.
    pub contact_name: Option<String>,
    /// Segments of an SMS.
    pub segments: Option<i16>,
    /// Encoding of an SMS: GSM-7 or UCS-2.
    pub encoding: Option<String>,
}

/// One message.
pub async fn open(conn: &mut PgConnection, id: i64) -> Result<Option<SandboxMessage>, StoreError> {
    let row = sqlx::query_as!(
        SandboxMessage,
        r#"
        select s.id, s.at, s.channel, s.sender, s.recipient, s.raw, m.cadence as "cadence?", m.step_key as "step?",
               m.template as "template?", c.id as "contact_id?", c.name as "contact_name?", m.segments as "segments?",
               m.encoding as "encoding?"
        from sandbox_message s
        left join message m on m.id = s.message_id
        left join contact c on c.id = m.contact_id
        where s.id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}
