//! Leads, the people of each, and the evidence that files give.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("lead_tables.sql"))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into import_present select 'owner' = any ($1), 'campaign' = any ($1), 'source_channel' = any ($1),
                                           'situation' = any ($1), 'product' = any ($1), 'value' = any ($1),
                                           'opened_at' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_lead from stdin").await
}

/// Wall times of one row that are meant in the zone of its contact.
#[derive(Debug, sqlx::FromRow)]
pub struct ForeignTimes {
    /// The line of the file.
    pub line: i64,
    /// The contact's zone.
    pub timezone: String,
    /// `opened_at` as written, if by a clock.
    pub opened_local: Option<NaiveDateTime>,
    /// `closed_at` likewise.
    pub closed_local: Option<NaiveDateTime>,
    /// `grade_at` likewise.
    pub grade_local: Option<NaiveDateTime>,
}

/// The rows with wall times whose contact lives in another zone than `company_zone`.
pub async fn foreign_times(
    connection: &mut PgConnection,
    source_id: i16,
    company_zone: &str,
) -> sqlx::Result<Vec<ForeignTimes>> {
    sqlx::query_as(
        "select s.line, c.timezone, s.opened_local, s.closed_local, s.grade_local from import_lead s
         left join contact_ref r on r.source_id = $1 and r.external_id = s.contact
         join contact c on c.id = coalesce(s.known_contact, r.contact_id)
         where num_nonnulls(s.opened_local, s.closed_local, s.grade_local) > 0 and c.timezone <> $2",
    )
    .bind(source_id)
    .bind(company_zone)
    .fetch_all(connection)
    .await
}

/// Corrects the instants of rows; an instant that is absent stays as it is.
pub async fn set_times(
    connection: &mut PgConnection,
    lines: &[i64],
    opened: &[Option<DateTime<Utc>>],
    closed: &[Option<DateTime<Utc>>],
    grade: &[Option<DateTime<Utc>>],
) -> sqlx::Result<()> {
    sqlx::query(
        "update import_lead s
         set opened_at = coalesce(t.opened_at, s.opened_at), closed_at = coalesce(t.closed_at, s.closed_at),
             grade_at = coalesce(t.grade_at, s.grade_at)
         from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
              t (line, opened_at, closed_at, grade_at)
         where s.line = t.line",
    )
    .bind(lines)
    .bind(opened)
    .bind(closed)
    .bind(grade)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the copied rows beside the stored leads.
pub async fn merge(connection: &mut PgConnection, source_id: i16, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query(include_str!("lead_merge.sql"))
        .bind(source_id)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes new leads; they are due to be graded.
pub async fn insert(connection: &mut PgConnection, source_id: i16, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into lead (id, shard, account_id, source_id, external_id, owner_id, source_channel, campaign_id,
                           situation, waiting_for, expected_on, expected_close, likelihood, value, product, stage,
                           opened_at, closed_at, outcome, lost_reason, not_fit, imported, regrade_at)
         select m.id, a.shard, m.account_id, $1, m.external_id, m.owner_id, m.source_channel, m.campaign_id,
                m.situation, m.waiting_for, m.expected_on, m.expected_close, m.likelihood, m.value, m.product,
                m.stage, m.opened_at, m.closed_at, m.outcome, m.lost_reason, m.not_fit, m.imported, $2
         from import_merge m join account a on a.id = m.account_id
         where m.action = 'new'",
    )
    .bind(source_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the leads that differ; they are due to be graded again.
pub async fn update(connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query(
        "update lead l
         set shard = a.shard, account_id = m.account_id, owner_id = m.owner_id, source_channel = m.source_channel,
             campaign_id = m.campaign_id, situation = m.situation, waiting_for = m.waiting_for,
             expected_on = m.expected_on, expected_close = m.expected_close, likelihood = m.likelihood,
             value = m.value, product = m.product, stage = m.stage, opened_at = m.opened_at,
             closed_at = m.closed_at, outcome = m.outcome, lost_reason = m.lost_reason, not_fit = m.not_fit,
             imported = m.imported, regrade_at = $1
         from import_merge m join account a on a.id = m.account_id
         where m.action = 'changed' and l.id = m.id",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the people of another account off leads that changed hands.
pub async fn delete_left_contacts(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "delete from lead_contact x using import_merge m
         where m.action = 'changed' and m.account_before <> m.account_id and x.lead_id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts on each lead the person it names, and everybody of its organisation.
pub async fn insert_contacts(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into lead_contact (lead_id, contact_id)
         select id, contact_id from import_merge
         where action in ('new', 'changed') and contact_id is not null
         union
         select m.id, c.id from import_merge m
         join account a on a.id = m.account_id and a.kind = 'organisation'
         join contact c on c.account_id = a.id and c.merged_into is null
         where m.action in ('new', 'changed')
         on conflict do nothing",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A lead of which the file says something else than the last time.
#[derive(Debug, sqlx::FromRow)]
pub struct Restated {
    /// The lead.
    pub id: Uuid,
    /// Whether it was not there before.
    pub is_new: bool,
    /// What the file said the last time, by column.
    pub before: Json<serde_json::Map<String, Value>>,
    /// What it says now.
    pub after: Json<serde_json::Map<String, Value>>,
    /// When the grade was given.
    pub grade_at: Option<DateTime<Utc>>,
    /// When the lead came up.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub closed_at: Option<DateTime<Utc>>,
}

/// The leads of which the file says something else than the last time, in the file's order.
pub async fn restated(connection: &mut PgConnection) -> sqlx::Result<Vec<Restated>> {
    sqlx::query_as(
        "select id, action = 'new' as is_new, imported_before as before, imported as after, grade_at, opened_at,
                closed_at
         from import_merge
         where action in ('new', 'changed') and imported is distinct from imported_before
         order by line",
    )
    .fetch_all(connection)
    .await
}

/// Appends evidence: lead, time, id, event, body.
pub async fn copy_evidence(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(
        connection,
        "copy evidence (lead_id, at, id, event_id, body) from stdin",
    )
    .await
}

/// Tells the audiences whom to look at again: the people of the leads.
pub async fn note_changes(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fact_change (contact_id)
         select distinct x.contact_id from import_merge m join lead_contact x on x.lead_id = m.id
         where m.action in ('new', 'changed')",
    )
    .execute(connection)
    .await?;
    Ok(())
}
