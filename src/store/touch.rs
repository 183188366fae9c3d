//! Touches: made by `plan` together with their row of live work.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A touch to be made.
#[derive(Debug, Clone)]
pub struct NewTouch {
    /// Its id.
    pub id: Uuid,
    /// The message it will carry.
    pub message_id: Uuid,
    /// Its enrollment.
    pub enrollment_id: Uuid,
    /// Step by key.
    pub step_key: String,
    /// Which time round.
    pub visit: i16,
    /// email, sms, task
    pub channel: &'static str,
    /// Class number.
    pub class: i16,
    /// Sender by name.
    pub sender: Option<String>,
    /// Keyed hash of the address it will go to; `None` for a task.
    pub address_hash: Option<Vec<u8>>,
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// Not to be sent after this.
    pub expires_at: DateTime<Utc>,
}

/// Makes touches and their queue rows in one statement; a step that was touched already is left alone.
/// Returns how many were made.
///
/// What was due before `now` queues up as due now: a claim need not look again at what lies far back
/// ([`super::queue::claim`]). Its touch keeps the time that it was due at.
pub async fn insert(
    conn: &mut PgConnection,
    rows: &[NewTouch],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let messages: Vec<Uuid> = rows.iter().map(|r| r.message_id).collect();
    let enrollments: Vec<Uuid> = rows.iter().map(|r| r.enrollment_id).collect();
    let steps: Vec<&str> = rows.iter().map(|r| r.step_key.as_str()).collect();
    let visits: Vec<i16> = rows.iter().map(|r| r.visit).collect();
    let channels: Vec<&str> = rows.iter().map(|r| r.channel).collect();
    let classes: Vec<i16> = rows.iter().map(|r| r.class).collect();
    let senders: Vec<Option<&str>> = rows.iter().map(|r| r.sender.as_deref()).collect();
    let hashes: Vec<Option<&[u8]>> = rows.iter().map(|r| r.address_hash.as_deref()).collect();
    let due: Vec<DateTime<Utc>> = rows.iter().map(|r| r.due_at).collect();
    let expires: Vec<DateTime<Utc>> = rows.iter().map(|r| r.expires_at).collect();
    let done = sqlx::query!(
        r#"
        with n as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::smallint[],
                                 $8::text[], $9::bytea[], $10::timestamptz[], $11::timestamptz[])
                 as n (id, message_id, enrollment_id, step_key, visit, channel, class, sender, address_hash, due_at, expires_at)
        ), t as (
            insert into touch (id, enrollment_id, shard, contact_id, step_key, visit, channel, due_at, state, message_id)
            select n.id, n.enrollment_id, e.shard, e.contact_id, n.step_key, n.visit, n.channel, n.due_at, 'queued', n.message_id
            from n join enrollment e on e.id = n.enrollment_id
            on conflict (enrollment_id, step_key, visit) do nothing
            returning id
        )
        insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, lead_id, cadence,
                           cadence_version_id, step_key, address_hash, class, channel, sender, due_at, first_due_at, expires_at)
        select n.id, e.shard, n.message_id, e.id, e.contact_id, e.account_id, e.lead_id, e.cadence, e.cadence_version_id,
               n.step_key, n.address_hash, n.class, n.channel, n.sender, greatest(n.due_at, $12), n.due_at, n.expires_at
        from t join n on n.id = t.id join enrollment e on e.id = n.enrollment_id
        "#,
        &ids,
        &messages,
        &enrollments,
        &steps as &[&str],
        &visits,
        &channels as &[&str],
        &classes,
        &senders as &[Option<&str>],
        &hashes as &[Option<&[u8]>],
        &due,
        &expires,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
