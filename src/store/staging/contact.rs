//! Contacts, their accounts when they stand alone, and their consent.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("contact_tables.sql"))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into import_present
         select 'name' = any ($1), 'email' = any ($1), 'phone' = any ($1), 'locale' = any ($1),
                'timezone' = any ($1), 'region' = any ($1), 'birthday' = any ($1), 'organisation' = any ($1),
                'role' = any ($1), 'decision_maker' = any ($1), 'owner' = any ($1), 'preferred_channel' = any ($1),
                'best_time' = any ($1), 'referred_by' = any ($1), 'consent_source' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_contact from stdin").await
}

/// Sets the copied rows beside the stored contacts.
pub async fn merge(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(include_str!("contact_merge.sql"))
        .bind(source_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Contacts that leave an organisation and stand alone from now on.
pub async fn newly_alone(connection: &mut PgConnection) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from import_merge where action = 'changed' and account_id = id and account_before <> id",
    )
    .fetch_all(connection)
    .await
}

/// Gives the contacts that stand alone from now on the shard of their own account.
pub async fn set_shards(connection: &mut PgConnection, ids: &[Uuid], shards: &[i16]) -> sqlx::Result<()> {
    sqlx::query(
        "update import_merge m set shard = n.shard from unnest($1::uuid[], $2::smallint[]) n (id, shard)
         where m.id = n.id",
    )
    .bind(ids)
    .bind(shards)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the accounts of people who stand alone; returns how many.
pub async fn insert_accounts(connection: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "insert into account (id, shard, kind, name, region)
         select id, shard, 'person', name, region from import_merge
         where action in ('new', 'changed') and account_id = id and account_before is distinct from id
         on conflict (id) do nothing",
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Makes new contacts.
pub async fn insert(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into contact (id, shard, account_id, name, email, email_hash, phone, phone_hash, locale, timezone,
                              region, birthday, birthday_calendar, next_birthday_on, next_birthday_key, role,
                              decision_maker, owner_id, preferred_channel, best_time, referred_by, attrs,
                              consent_email, consent_sms, consent_source)
         select id, shard, account_id, name, email, email_hash, phone, phone_hash, locale, timezone,
                region, birthday, birthday_calendar, next_birthday_on, next_birthday_key, role,
                decision_maker, owner_id, preferred_channel, best_time, referred_by, attrs,
                consent_email, consent_sms, consent_source
         from import_merge where action = 'new'",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes where the new contacts came from.
pub async fn insert_refs(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into contact_ref (source_id, external_id, contact_id)
         select $1, external_id, id from import_merge where action = 'new'",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the contacts that differ.
pub async fn update(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update contact c
         set shard = m.shard, account_id = m.account_id, name = m.name, email = m.email, email_hash = m.email_hash,
             phone = m.phone, phone_hash = m.phone_hash, locale = m.locale, timezone = m.timezone,
             region = m.region, birthday = m.birthday, birthday_calendar = m.birthday_calendar,
             next_birthday_on = m.next_birthday_on, next_birthday_key = m.next_birthday_key, role = m.role,
             decision_maker = m.decision_maker, owner_id = m.owner_id, preferred_channel = m.preferred_channel,
             best_time = m.best_time, referred_by = m.referred_by, attrs = m.attrs,
             consent_email = m.consent_email, consent_sms = m.consent_sms, consent_source = m.consent_source
         from import_merge m where m.action = 'changed' and c.id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the accounts of people who stand alone in step with their names and regions.
pub async fn update_accounts(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update account a set name = m.name, region = m.region from import_merge m
         where m.action = 'changed' and m.account_id = m.id and a.id = m.id
           and (a.name, a.region) is distinct from (m.name, m.region)",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes away the accounts of people who joined an organisation, where nothing hangs on them.
pub async fn delete_left_accounts(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "delete from account a using import_merge m
         where m.action = 'changed' and m.account_before = m.id and m.account_id <> m.id
           and a.id = m.id and a.kind = 'person'
           and not exists (select from purchase p where p.account_id = a.id)
           and not exists (select from lead l where l.account_id = a.id)
           and not exists (select from enrollment e where e.contact_id = m.id)
           and not exists (select from standing_change s where s.account_id = a.id)
           and not exists (select from grievance g where g.account_id = a.id and g.closed_at is null)",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the live work of contacts who changed their account follow them.
pub async fn move_work(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "with moved as (
             select id, account_id, shard from import_merge
             where action = 'changed' and account_id <> account_before),
         enrolled as (
             update enrollment e set account_id = m.account_id, shard = m.shard from moved m
             where e.contact_id = m.id and e.state in ('active', 'control')
             returning e.id)
         update queue q set account_id = m.account_id, shard = m.shard from moved m
         where q.contact_id = m.id and q.state = 'waiting'",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts people who are new in an organisation on its open leads.
pub async fn join_leads(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into lead_contact (lead_id, contact_id)
         select l.id, m.id from import_merge m
         join lead l on l.account_id = m.account_id and l.closed_at is null
         where m.action in ('new', 'changed') and m.account_id <> m.id and m.account_before is distinct from m.account_id
         on conflict do nothing",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends what the rows say about consent where that is new. `basis` is how it came: by an import, or by a form.
pub async fn insert_consent(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    source: &str,
    basis: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into consent (contact_id, at, id, channel, granted, basis, source, text_shown)
         select id, coalesce(said_at, $1), consent_email_id, 'email', consent_email, $3, coalesce(consent_source, $2),
                consent_text
         from import_merge where action in ('new', 'changed') and said_email
         union all
         select id, coalesce(said_at, $1), consent_sms_id, 'sms', consent_sms, $3, coalesce(consent_source, $2),
                consent_text
         from import_merge where action in ('new', 'changed') and said_sms",
    )
    .bind(now)
    .bind(source)
    .bind(basis)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells the audiences whom to look at again.
pub async fn note_changes(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fact_change (contact_id) select id from import_merge where action in ('new', 'changed')",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Who the good rows turned out to be.
#[derive(Debug, sqlx::FromRow)]
pub struct Staged {
    /// The row.
    pub line: i64,
    /// The contact.
    pub id: Uuid,
    /// Its customer.
    pub account_id: Uuid,
}

/// Who the good rows turned out to be.
pub async fn staged(connection: &mut PgConnection) -> sqlx::Result<Vec<Staged>> {
    sqlx::query_as("select line, id, account_id from import_merge where action <> 'refused' order by line")
        .fetch_all(connection)
        .await
}

/// Which of these names the source has for somebody.
pub async fn refs(
    connection: &mut PgConnection,
    source_id: i16,
    external_ids: &[String],
) -> sqlx::Result<HashSet<String>> {
    let names: Vec<String> = sqlx::query_scalar(
        "select external_id from contact_ref where source_id = $1 and external_id = any($2)",
    )
    .bind(source_id)
    .bind(external_ids)
    .fetch_all(connection)
    .await?;
    Ok(names.into_iter().collect())
}

/// Which of these contacts the source has a name for.
pub async fn named(
    connection: &mut PgConnection,
    source_id: i16,
    contacts: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select contact_id from contact_ref where contact_id = any($2) and source_id = $1",
    )
    .bind(source_id)
    .bind(contacts)
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().collect())
}

/// Notes names under which a source knows contacts from now on.
pub async fn add_refs(
    connection: &mut PgConnection,
    source_id: i16,
    external_ids: &[String],
    contacts: &[Uuid],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into contact_ref (source_id, external_id, contact_id)
         select $1, n.external_id, n.contact_id from unnest($2::text[], $3::uuid[]) n (external_id, contact_id)
         on conflict do nothing",
    )
    .bind(source_id)
    .bind(external_ids)
    .bind(contacts)
    .execute(connection)
    .await?;
    Ok(())
}
