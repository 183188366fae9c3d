//! Enrollments: coming in, being due, moving on, ending.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Somebody who comes in.
#[derive(Debug, Clone)]
pub struct NewEnrollment {
    /// Its id.
    pub id: Uuid,
    /// Shard of the account.
    pub shard: i16,
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// The lead, for a lead cadence.
    pub lead_id: Option<Uuid>,
    /// Key of re-entry.
    pub entry_key: String,
    /// active or control
    pub state: &'static str,
    /// First step.
    pub cursor: String,
    /// When the first step is due.
    pub next_at: DateTime<Utc>,
    /// Why, for people.
    pub reason: String,
}

/// Inserts enrollments of one cadence version; who is in already, or was in with that key, is left out.
/// Returns the ids that were made.
pub async fn insert(
    conn: &mut PgConnection,
    cadence: &str,
    version_id: Uuid,
    now: DateTime<Utc>,
    rows: &[NewEnrollment],
) -> Result<Vec<Uuid>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let shards: Vec<i16> = rows.iter().map(|r| r.shard).collect();
    let contacts: Vec<Uuid> = rows.iter().map(|r| r.contact_id).collect();
    let accounts: Vec<Uuid> = rows.iter().map(|r| r.account_id).collect();
    let leads: Vec<Option<Uuid>> = rows.iter().map(|r| r.lead_id).collect();
    let keys: Vec<&str> = rows.iter().map(|r| r.entry_key.as_str()).collect();
    let states: Vec<&str> = rows.iter().map(|r| r.state).collect();
    let cursors: Vec<&str> = rows.iter().map(|r| r.cursor.as_str()).collect();
    let next: Vec<DateTime<Utc>> = rows.iter().map(|r| r.next_at).collect();
    let reasons: Vec<&str> = rows.iter().map(|r| r.reason.as_str()).collect();
    let made = sqlx::query_scalar!(
        r#"
        insert into enrollment (id, shard, contact_id, account_id, lead_id, cadence, cadence_version_id, entry_key, state,
                                cursor, next_at, entered_at, entry_reason)
        select n.id, n.shard, n.contact_id, n.account_id, n.lead_id, $11, $12, n.entry_key, n.state, n.cursor, n.next_at,
               $13, n.reason
        from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                    $9::timestamptz[], $10::text[])
             as n (id, shard, contact_id, account_id, lead_id, entry_key, state, cursor, next_at, reason)
        order by n.contact_id
        on conflict do nothing
        returning id
        "#,
        &ids,
        &shards,
        &contacts,
        &accounts,
        &leads as &[Option<Uuid>],
        &keys as &[&str],
        &states as &[&str],
        &cursors as &[&str],
        &next,
        &reasons as &[&str],
        cadence,
        version_id,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(made)
}

/// Has the database look at the table again, after much was inserted: a plan kept from when it was small would scan it
/// whole for every candidate, until autovacuum comes round.
pub async fn grown(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("analyze enrollment").execute(conn).await?;
    Ok(())
}

/// An enrollment that `plan` has to look at, with the touch of its cursor if there is one and the dates steps may hang on.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// Shard of the account.
    pub shard: i16,
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// Cadence by name.
    pub cadence: String,
    /// Pinned version.
    pub cadence_version_id: Uuid,
    /// active or control
    pub state: String,
    /// Step that is next or in flight.
    pub cursor: String,
    /// Which time round.
    pub visit: i16,
    /// When it became due.
    pub next_at: DateTime<Utc>,
    /// State of the cursor's touch; `None` = not made yet.
    pub touch_state: Option<String>,
    /// When that touch was (last) due.
    pub touch_due_at: Option<DateTime<Utc>>,
    /// Time zone of the person, where known.
    pub timezone: Option<String>,
    /// Region of the person.
    pub region: Option<String>,
    /// Preferred channel.
    pub preferred_channel: Option<String>,
    /// Whether there is a mail address.
    pub has_email: bool,
    /// Whether there is a phone number.
    pub has_phone: bool,
    /// Folded permission.
    pub consent_email: Option<bool>,
    /// Folded permission.
    pub consent_sms: Option<bool>,
    /// Keyed hash.
    pub email_hash: Option<Vec<u8>>,
    /// Keyed hash.
    pub phone_hash: Option<Vec<u8>>,
    /// Next birthday.
    pub next_birthday_on: Option<NaiveDate>,
    /// Of the lead.
    pub expected_on: Option<NaiveDate>,
    /// Of the lead.
    pub expected_close: Option<NaiveDate>,
}

/// Locks and returns enrollments that are due, oldest first, skipping what others hold.
pub async fn due(conn: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query_as!(
        Due,
        r#"
        with e as materialized (
            select * from enrollment
            where state in ('active', 'control') and next_at <= $1
            order by next_at
            limit $2
            for update skip locked
        )
        select e.id, e.shard, e.contact_id, e.account_id, e.lead_id, e.cadence, e.cadence_version_id, e.state, e.cursor,
               e.visit, e.next_at,
               t.state as "touch_state?", t.due_at as "touch_due_at?",
               c.timezone as "timezone?", c.region as "region?", c.preferred_channel as "preferred_channel?",
               c.email is not null as "has_email!", c.phone is not null as "has_phone!",
               c.consent_email as "consent_email?", c.consent_sms as "consent_sms?",
               c.email_hash as "email_hash?", c.phone_hash as "phone_hash?", c.next_birthday_on as "next_birthday_on?",
               l.expected_on as "expected_on?", l.expected_close as "expected_close?"
        from e
        join contact c on c.id = e.contact_id
        left join lead l on l.id = e.lead_id
        left join touch t on t.enrollment_id = e.id and t.step_key = e.cursor and t.visit = e.visit
        order by e.next_at, e.contact_id, e.cadence
        "#,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Where an enrollment goes next.
#[derive(Debug, Clone)]
pub struct Move {
    /// The enrollment.
    pub id: Uuid,
    /// The step that is next or in flight.
    pub cursor: String,
    /// Which time round.
    pub visit: i16,
    /// When to look again.
    pub next_at: DateTime<Utc>,
}

/// Moves enrollments on.
pub async fn advance(conn: &mut PgConnection, moves: &[Move]) -> Result<(), StoreError> {
    if moves.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = moves.iter().map(|m| m.id).collect();
    let cursors: Vec<&str> = moves.iter().map(|m| m.cursor.as_str()).collect();
    let visits: Vec<i16> = moves.iter().map(|m| m.visit).collect();
    let next: Vec<DateTime<Utc>> = moves.iter().map(|m| m.next_at).collect();
    sqlx::query!(
        r#"
        update enrollment e set cursor = m.cursor, visit = m.visit, next_at = m.next_at
        from unnest($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[]) as m (id, cursor, visit, next_at)
        where e.id = m.id
        "#,
        &ids,
        &cursors as &[&str],
        &visits,
        &next,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An end.
#[derive(Debug, Clone)]
pub struct End {
    /// The enrollment.
    pub id: Uuid,
    /// finished or stopped
    pub state: &'static str,
    /// Why.
    pub reason: String,
}

/// Ends live enrollments. Returns those that were live.
pub async fn end(conn: &mut PgConnection, now: DateTime<Utc>, ends: &[End]) -> Result<Vec<Uuid>, StoreError> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ends.iter().map(|m| m.id).collect();
    let states: Vec<&str> = ends.iter().map(|m| m.state).collect();
    let reasons: Vec<&str> = ends.iter().map(|m| m.reason.as_str()).collect();
    let ended = sqlx::query_scalar!(
        r#"
        update enrollment e set state = m.state, reason = m.reason, ended_at = $4
        from unnest($1::uuid[], $2::text[], $3::text[]) as m (id, state, reason)
        where e.id = m.id and e.state in ('active', 'control')
        returning e.id
        "#,
        &ids,
        &states as &[&str],
        &reasons as &[&str],
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(ended)
}

/// A live enrollment, for those who decide whether it stops.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its id.
    pub id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// Cadence by name.
    pub cadence: String,
    /// Pinned version.
    pub cadence_version_id: Uuid,
}

/// Live enrollments of these people, and of everybody enrolled for one of these leads.
pub async fn live_of(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    leads: &[Uuid],
) -> Result<Vec<Live>, StoreError> {
    let rows = sqlx::query_as!(
        Live,
        r#"
        select id as "id!", contact_id as "contact_id!", lead_id, cadence as "cadence!", cadence_version_id as "cadence_version_id!"
        from (
            select e.* from enrollment e where e.contact_id = any($1) and e.state in ('active', 'control')
            union
            select e.* from enrollment e where e.lead_id = any($2) and e.state in ('active', 'control')
        ) e
        order by id
        "#,
        contacts,
        leads,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Defers the next look of live enrollments of these people to at least `until`, their waiting touches too.
pub async fn defer(
    conn: &mut PgConnection,
    enrollment_ids: &[Uuid],
    until: &[DateTime<Utc>],
) -> Result<(), StoreError> {
    if enrollment_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        with d as (
            select * from unnest($1::uuid[], $2::timestamptz[]) as d (id, until)
        ), e as (
            update enrollment e set next_at = greatest(e.next_at, d.until) from d where e.id = d.id
            returning e.id, d.until
        ), q as (
            update queue q set due_at = greatest(q.due_at, e.until), held = 'human-contact', held_until = e.until
            from e where q.enrollment_id = e.id and q.state = 'waiting' and q.channel <> 'task'
              and q.contact_id in (select contact_id from enrollment where id = any($1))
            returning q.touch_id, q.due_at
        )
        update touch t set due_at = q.due_at from q where t.id = q.touch_id
        "#,
        enrollment_ids,
        until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The earliest instant at which `plan` has something to do.
pub async fn next_due(conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at = sqlx::query_scalar!(
        r#"
        select next_at from enrollment where state in ('active', 'control') order by next_at limit 1
        "#
    )
    .fetch_optional(conn)
    .await?;
    Ok(at)
}
