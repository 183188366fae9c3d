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

/// A permission given or taken.
#[derive(Debug, Clone)]
pub struct NewConsent {
    /// Its id.
    pub id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// email or sms
    pub channel: &'static str,
    /// Given or taken.
    pub granted: bool,
    /// asked, opted-out, spam-report
    pub basis: &'static str,
    /// Who told it.
    pub source: String,
}

/// Notes permissions given or taken, and folds the newest of each person and channel into the contact.
pub async fn consents(conn: &mut PgConnection, rows: &[NewConsent]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let contacts: Vec<Uuid> = rows.iter().map(|r| r.contact_id).collect();
    let at: Vec<DateTime<Utc>> = rows.iter().map(|r| r.at).collect();
    let channels: Vec<&str> = rows.iter().map(|r| r.channel).collect();
    let granted: Vec<bool> = rows.iter().map(|r| r.granted).collect();
    let bases: Vec<&str> = rows.iter().map(|r| r.basis).collect();
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    sqlx::query!(
        r#"
        insert into consent (id, contact_id, at, channel, granted, basis, source)
        select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::bool[], $6::text[], $7::text[])
        "#,
        &ids,
        &contacts,
        &at,
        &channels as &[&str],
        &granted,
        &bases as &[&str],
        &sources as &[&str],
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        with folded as (
            update contact c
            set consent_email = coalesce(n.email, c.consent_email), consent_sms = coalesce(n.sms, c.consent_sms)
            from (
                select w.id,
                       (select o.granted from consent o where o.contact_id = w.id and o.channel = 'email'
                        order by o.at desc, o.granted, o.id desc limit 1) as email,
                       (select o.granted from consent o where o.contact_id = w.id and o.channel = 'sms'
                        order by o.at desc, o.granted, o.id desc limit 1) as sms
                from (select distinct id from unnest($1::uuid[]) as w (id)) w
            ) n
            where c.id = n.id
            returning c.id
        )
        insert into fact_change (contact_id) select id from folded
        "#,
        &contacts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How a person is reached, and what he said about it last.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The person.
    pub id: Uuid,
    /// Keyed hash of the mail address.
    pub email_hash: Option<Vec<u8>>,
    /// Keyed hash of the number.
    pub phone_hash: Option<Vec<u8>>,
    /// Newest permission.
    pub consent_email: Option<bool>,
    /// Newest permission.
    pub consent_sms: Option<bool>,
}

/// How these people are reached.
pub async fn reached(conn: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Reached>, StoreError> {
    let rows = sqlx::query_as!(
        Reached,
        "select id, email_hash, phone_hash, consent_email, consent_sms from contact where id = any($1)",
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
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
