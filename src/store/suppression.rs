//! Addresses that must not be written to.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A suppression to be made.
#[derive(Debug, Clone)]
pub struct NewSuppression {
    /// Keyed hash of the address.
    pub address_hash: Vec<u8>,
    /// email or sms
    pub channel: &'static str,
    /// all or marketing
    pub purpose: &'static str,
    /// opted-out, spam-report, address-bad, operator, erased
    pub reason: &'static str,
    /// The event that caused it.
    pub event_id: Option<Uuid>,
}

/// Makes suppressions. A spam report replaces an opt-out, since it is harder to lift; nothing replaces a spam report.
pub async fn insert(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    rows: &[NewSuppression],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = rows.iter().map(|r| r.address_hash.as_slice()).collect();
    let channels: Vec<&str> = rows.iter().map(|r| r.channel).collect();
    let purposes: Vec<&str> = rows.iter().map(|r| r.purpose).collect();
    let reasons: Vec<&str> = rows.iter().map(|r| r.reason).collect();
    let events: Vec<Option<Uuid>> = rows.iter().map(|r| r.event_id).collect();
    sqlx::query!(
        r#"
        insert into suppression (address_hash, channel, purpose, reason, at, event_id)
        select distinct on (s.address_hash, s.channel, s.purpose)
               s.address_hash, s.channel, s.purpose, s.reason, $6::timestamptz, s.event_id
        from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::uuid[])
             as s (address_hash, channel, purpose, reason, event_id)
        order by s.address_hash, s.channel, s.purpose, s.reason desc
        on conflict (address_hash, channel, brand, purpose) do update
        set reason = excluded.reason, at = excluded.at, event_id = excluded.event_id
        where suppression.reason in ('opted-out', 'address-bad') and excluded.reason = 'spam-report'
        "#,
        &hashes as &[&[u8]],
        &channels as &[&str],
        &purposes as &[&str],
        &reasons as &[&str],
        &events as &[Option<Uuid>],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lifts opt-outs after an explicit opt-in by the person. Spam reports stay.
pub async fn lift_opt_out(
    conn: &mut PgConnection,
    address_hashes: &[Vec<u8>],
    channel: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from suppression where address_hash = any($1) and channel = $2 and reason = 'opted-out'",
        address_hashes,
        channel,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Notes a permission given or taken, and folds the newest one into the contact.
pub async fn consent(
    conn: &mut PgConnection,
    id: Uuid,
    contact_id: Uuid,
    at: DateTime<Utc>,
    channel: &str,
    granted: bool,
    basis: &str,
    source: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with made as (
            insert into consent (contact_id, at, id, channel, granted, basis, source) values ($2, $3, $1, $4, $5, $6, $7)
            returning contact_id
        )
        update contact c
        set consent_email = case when $4 = 'email' then $5 else c.consent_email end,
            consent_sms = case when $4 = 'sms' then $5 else c.consent_sms end
        from made
        where c.id = made.contact_id
          and not exists (select 1 from consent o where o.contact_id = $2 and o.channel = $4 and o.at > $3)
        "#,
        id,
        contact_id,
        at,
        channel,
        granted,
        basis,
        source,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keyed hashes of these people's addresses on a channel.
pub async fn addresses_of(
    conn: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<Vec<(Uuid, Option<Vec<u8>>, Option<Vec<u8>>)>, StoreError> {
    let rows = sqlx::query!(
        "select id, email_hash, phone_hash from contact where id = any($1)",
        contacts
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.id, r.email_hash, r.phone_hash))
        .collect())
}

/// Why an address must not be written to; `None` = nothing forbids it.
pub async fn reason_of(
    conn: &mut PgConnection,
    address_hash: &[u8],
    channel: &str,
) -> Result<Option<String>, StoreError> {
    let reason = sqlx::query_scalar!(
        "select reason from suppression where address_hash = $1 and channel = $2 order by purpose limit 1",
        address_hash,
        channel,
    )
    .fetch_optional(conn)
    .await?;
    Ok(reason)
}
