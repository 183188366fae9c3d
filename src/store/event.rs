//! Events: what came in, once each.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// An event to be kept.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it came in.
    pub received_at: DateTime<Utc>,
    /// Its type by name.
    pub r#type: String,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// The customer.
    pub account_id: Option<Uuid>,
    /// The lead it is about, where it says so or where the message does.
    pub lead_id: Option<Uuid>,
    /// The message it answers.
    pub message_id: Option<Uuid>,
    /// The touch of that message.
    pub touch_id: Option<Uuid>,
    /// By a person, not a machine.
    pub human: bool,
    /// Who reported it.
    pub source: String,
    /// The rest.
    pub data: serde_json::Value,
}

/// Notes keys in the ledger; returns which positions are new. A key seen before, in this call or ever, is not.
pub async fn claim_keys(
    conn: &mut PgConnection,
    source: &str,
    keys: &[(Vec<u8>, Uuid)],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let hashes: Vec<&[u8]> = keys.iter().map(|k| k.0.as_slice()).collect();
    let ids: Vec<Uuid> = keys.iter().map(|k| k.1).collect();
    let new = sqlx::query_scalar!(
        r#"
        insert into event_key (source, key_hash, event_id, at)
        select $1, k.key_hash, k.event_id, $4 from unnest($2::bytea[], $3::uuid[]) as k (key_hash, event_id)
        order by k.key_hash
        on conflict do nothing
        returning event_id
        "#,
        source,
        &hashes as &[&[u8]],
        &ids,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(new)
}

/// Gives keys back: their events were refused after all.
pub async fn release_keys(
    conn: &mut PgConnection,
    source: &str,
    hashes: &[Vec<u8>],
) -> Result<(), StoreError> {
    if hashes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from event_key where source = $1 and key_hash = any($2)",
        source,
        hashes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets keys that were noted before an instant, the oldest first; at most so many. Returns how many.
pub async fn forget_keys(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        delete from event_key k
        using (
            select source, key_hash from event_key where at < $1 order by at limit $2 for update skip locked
        ) old
        where k.source = old.source and k.key_hash = old.key_hash
        "#,
        before,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Keeps events.
pub async fn insert(conn: &mut PgConnection, rows: &[NewEvent]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let occurred: Vec<DateTime<Utc>> = rows.iter().map(|r| r.occurred_at).collect();
    let received: Vec<DateTime<Utc>> = rows.iter().map(|r| r.received_at).collect();
    let types: Vec<&str> = rows.iter().map(|r| r.r#type.as_str()).collect();
    let contacts: Vec<Option<Uuid>> = rows.iter().map(|r| r.contact_id).collect();
    let accounts: Vec<Option<Uuid>> = rows.iter().map(|r| r.account_id).collect();
    let leads: Vec<Option<Uuid>> = rows.iter().map(|r| r.lead_id).collect();
    let messages: Vec<Option<Uuid>> = rows.iter().map(|r| r.message_id).collect();
    let touches: Vec<Option<Uuid>> = rows.iter().map(|r| r.touch_id).collect();
    let human: Vec<bool> = rows.iter().map(|r| r.human).collect();
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    let data: Vec<serde_json::Value> = rows.iter().map(|r| r.data.clone()).collect();
    sqlx::query!(
        r#"
        with kept as (
            insert into event (id, occurred_at, received_at, type, contact_id, account_id, lead_id, message_id, touch_id,
                               human, source, data)
            select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::uuid[], $6::uuid[],
                                 $7::uuid[], $8::uuid[], $9::uuid[], $10::bool[], $11::text[], $12::jsonb[])
            returning contact_id, human
        )
        -- Audiences count what people did, never what machines did.
        insert into fact_change (contact_id) select distinct contact_id from kept where human and contact_id is not null
        "#,
        &ids,
        &occurred,
        &received,
        &types as &[&str],
        &contacts as &[Option<Uuid>],
        &accounts as &[Option<Uuid>],
        &leads as &[Option<Uuid>],
        &messages as &[Option<Uuid>],
        &touches as &[Option<Uuid>],
        &human,
        &sources as &[&str],
        &data,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a message is about.
#[derive(Debug, Clone)]
pub struct MessageRef {
    /// Message id.
    pub message_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// The touch.
    pub touch_id: Option<Uuid>,
    /// Channel.
    pub channel: String,
}

/// Finds messages by id, finished ones and those just being handed over.
pub async fn messages(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<MessageRef>, StoreError> {
    let rows = sqlx::query_as!(
        MessageRef,
        r#"
        select m.id as "message_id!", m.contact_id as "contact_id!", m.account_id as "account_id!", m.lead_id, m.touch_id,
               m.channel as "channel!"
        from message m where m.id = any($1)
        union all
        select q.message_id, q.contact_id, q.account_id, q.lead_id, q.touch_id, q.channel
        from touch t join queue q on q.touch_id = t.id where t.message_id = any($1)
        "#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A person found by what a caller calls him.
#[derive(Debug, Clone)]
pub struct ContactRef {
    /// What was asked for.
    pub asked: String,
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
}

/// Finds people by id, external id, mail address (lower case) or phone (E.164). A name that fits two people is answered twice.
pub async fn contacts(conn: &mut PgConnection, asked: &[String]) -> Result<Vec<ContactRef>, StoreError> {
    let rows = sqlx::query_as!(
        ContactRef,
        r#"
        select f.asked as "asked!", coalesce(c.merged_into, c.id) as "contact_id!", c.account_id as "account_id!"
        from (
            select w.asked, r.contact_id from unnest($1::text[]) w (asked) cross join source s
            join contact_ref r on r.source_id = s.id and r.external_id = w.asked
            union
            select w.asked, c.id from unnest($1::text[]) w (asked) join contact c on c.email = w.asked
            union
            select w.asked, c.id from unnest($1::text[]) w (asked) join contact c on c.phone = w.asked
            union
            select w.asked, c.id from unnest($1::text[]) w (asked) join contact c
            on c.id = case when w.asked ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then w.asked::uuid end
        ) f join contact c on c.id = f.contact_id
        order by 1, 2
        "#,
        asked,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The text message to one of these people whose provider answered with this id, alone between blanks.
pub async fn message_answered(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    id: &str,
) -> Result<Option<Uuid>, StoreError> {
    let message = sqlx::query_scalar!(
        r#"
        select m.id from message m
        where m.contact_id = any($1) and m.channel = 'sms' and $2 = any(string_to_array(m.reply, ' '))
        order by m.id desc
        limit 1
        "#,
        contacts,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(message)
}

/// Keeps what names nobody known.
pub async fn park(
    conn: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
    source: &str,
    message_id: Option<Uuid>,
    payload: &serde_json::Value,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into event_parked (id, received_at, source, message_id, payload, reason) values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing
        "#,
        id,
        now,
        source,
        message_id,
        payload,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Why an event is parked until somebody says who is meant.
pub const SEVERAL: &str = "the name fits several contacts";

/// Parked events whose message or person is known by now. They stay parked until [`forget_parked`].
pub async fn known_by_now(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(Uuid, String, serde_json::Value)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select p.id, p.source, p.payload
        from event_parked p
        where p.reason <> $2 and case
                  when p.message_id is not null then
                      exists (select 1 from message m where m.id = p.message_id)
                      or exists (select 1 from touch t where t.message_id = p.message_id)
                  else
                      exists (select 1 from source s join contact_ref r on r.source_id = s.id
                              and r.external_id = p.payload ->> 'contact')
                      or exists (select 1 from contact c where c.email = lower(p.payload ->> 'contact'))
                      or exists (select 1 from contact c where c.phone = p.payload ->> 'contact')
              end
        order by p.received_at, p.id
        limit $1
        "#,
        limit,
        SEVERAL,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.id, r.source, r.payload)).collect())
}

/// Takes parked events away that have been taken in.
pub async fn forget_parked(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query!("delete from event_parked where id = any($1)", ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives up on parked events that came before an instant. Returns how many.
pub async fn forget_parked_before(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "delete from event_parked where id in (select id from event_parked where received_at < $1 limit $2)",
        before,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Evidence of life settles an uncertain message as accepted. Returns the touches.
pub async fn settle_accepted(
    conn: &mut PgConnection,
    message_ids: &[Uuid],
    evidence: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if message_ids.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with m as (
            update message set outcome = 'accepted', reply = $2, done_at = $3
            where id = any($1) and outcome = 'uncertain'
            returning touch_id
        ), owed as (
            -- It waits for one more try, which would be one too many.
            delete from queue q using m where q.touch_id = m.touch_id and q.state <> 'crossing'
        )
        update touch t set state = 'sent', reason = null, done_at = $3 from m where t.id = m.touch_id
        "#,
        message_ids,
        evidence,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Uncertain messages about which a sign of life came before anybody knew that they are uncertain: a provider may report
/// a delivery while its own answer is still awaited.
pub async fn settled_before(conn: &mut PgConnection, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        select m.id from message m
        where m.outcome = 'uncertain'
          and exists (select 1 from event e where e.message_id = m.id
                      and e.type in ('delivered', 'bounced', 'opened', 'clicked', 'replied', 'auto_replied', 'opted_out',
                                     'spam_report'))
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}
