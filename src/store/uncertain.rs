//! Messages of which nobody knows whether they arrived: listed, counted, and settled by an operator.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::daemon::LEFT_BEHIND;
use super::outcome::touch_state;

/// One of them.
#[derive(Debug, Clone)]
pub struct Uncertain {
    /// The message.
    pub message_id: Uuid,
    /// When it crossed, or else when it was found to be unknown.
    pub at: DateTime<Utc>,
    /// The person, by external id.
    pub contact: Option<String>,
    /// The person's name.
    pub name: String,
    /// Cadence by name.
    pub cadence: Option<String>,
    /// Step by key.
    pub step_key: Option<String>,
    /// Channel by name.
    pub channel: String,
    /// Sender by name.
    pub sender: String,
    /// Class number.
    pub class: i16,
    /// Tries so far.
    pub tries: i16,
    /// What was seen.
    pub reply: Option<String>,
}

/// Lists them, latest first.
pub async fn list(conn: &mut PgConnection, limit: i64) -> Result<Vec<Uncertain>, StoreError> {
    let rows = sqlx::query_as!(
        Uncertain,
        r#"
        select m.id as message_id, coalesce(m.crossing_at, m.done_at) as "at!",
               (select min(cr.external_id) from contact_ref cr where cr.contact_id = c.id) as contact, c.name,
               m.cadence, m.step_key, m.channel, m.sender, m.class, m.tries, m.reply
        from message m join contact c on c.id = m.contact_id
        where m.outcome = 'uncertain'
        order by m.done_at desc, m.id
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// All of them.
    pub n: i64,
    /// When the oldest became so.
    pub oldest: Option<DateTime<Utc>>,
    /// When the youngest became so.
    pub latest: Option<DateTime<Utc>>,
}

/// Counts those that became so after an instant; all of them without one.
pub async fn standing(conn: &mut PgConnection, after: Option<DateTime<Utc>>) -> Result<Standing, StoreError> {
    let row = sqlx::query_as!(
        Standing,
        r#"
        select count(*) as "n!", min(done_at) as oldest, max(done_at) as latest
        from message where outcome = 'uncertain' and done_at > coalesce($1, '-infinity'::timestamptz)
        "#,
        after,
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// What a message was before [`settle`] was asked for. `None` = no message has that id.
pub async fn outcome(conn: &mut PgConnection, message_id: Uuid) -> Result<Option<String>, StoreError> {
    Ok(
        sqlx::query_scalar!("select outcome from message where id = $1 for update", message_id)
            .fetch_optional(conn)
            .await?,
    )
}

/// One that a daemon left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftBehind {
    /// The message.
    pub message_id: Uuid,
    /// When it was found to be unknown.
    pub at: DateTime<Utc>,
    /// When its last attempt crossed.
    pub crossing_at: Option<DateTime<Utc>>,
}

/// Those that an ended daemon left between crossing and reply, and that became known as such after an instant, the latest
/// first.
pub async fn left_behind(
    conn: &mut PgConnection,
    after: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<LeftBehind>, StoreError> {
    let rows = sqlx::query_as!(
        LeftBehind,
        r#"
        select id as message_id, done_at as at, crossing_at from message
        where outcome = 'uncertain' and reply = $3 and done_at > coalesce($1, '-infinity'::timestamptz)
        order by done_at desc, id
        limit $2
        "#,
        after,
        limit,
        LEFT_BEHIND,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Settles those of the messages that are uncertain as accepted or refused, with their touches. One more try that is owed is
/// not made, unless it has crossed already. Returns how many.
pub async fn settle(
    conn: &mut PgConnection,
    message_ids: &[Uuid],
    outcome: &str,
    why: &str,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        with m as (
            update message set outcome = $2, reply = $3, done_at = $4
            where id = any($1) and outcome = 'uncertain'
            returning id, touch_id
        ), owed as (
            delete from queue q using m where q.touch_id = m.touch_id and q.state <> 'crossing'
        ), ended as (
            update touch t set state = $5, reason = case when $5 = 'sent' then null else $3 end, done_at = $4
            from m where t.id = m.touch_id
        )
        select count(*) as "n!" from m
        "#,
        message_ids,
        outcome,
        why,
        now,
        touch_state(outcome),
    )
    .fetch_one(conn)
    .await?)
}
