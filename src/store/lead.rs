//! Leads: their evidence, their grade and the ledger of its changes.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::evidence::{Evidence, EvidenceKind};

/// A person of an open lead.
#[derive(Debug, Clone)]
pub struct OpenLead {
    /// The lead.
    pub lead_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
}

/// The open leads of these people.
pub async fn open_of(conn: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<OpenLead>, StoreError> {
    let rows = sqlx::query_as!(
        OpenLead,
        r#"
        select lc.lead_id, lc.contact_id
        from lead_contact lc join lead l on l.id = lc.lead_id
        where lc.contact_id = any($1) and l.closed_at is null
        order by lc.lead_id, lc.contact_id
        "#,
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Keeps evidence; the same piece is kept once.
pub async fn add_evidence(conn: &mut PgConnection, rows: &[(Uuid, Evidence)]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let leads: Vec<Uuid> = rows.iter().map(|r| r.0).collect();
    let at: Vec<DateTime<Utc>> = rows.iter().map(|r| r.1.at).collect();
    let ids: Vec<Uuid> = rows.iter().map(|r| r.1.id).collect();
    let events: Vec<Option<Uuid>> = rows.iter().map(|r| r.1.cites).collect();
    let bodies = rows
        .iter()
        .map(|r| serde_json::to_value(&r.1.kind))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| StoreError::Decode(e.to_string()))?;
    sqlx::query!(
        r#"
        insert into evidence (lead_id, at, id, event_id, body)
        select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::jsonb[])
        on conflict do nothing
        "#,
        &leads,
        &at,
        &ids,
        &events as &[Option<Uuid>],
        &bodies,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has leads assessed again at `at`, or earlier if that was planned.
pub async fn look_again(
    conn: &mut PgConnection,
    leads: &[Uuid],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if leads.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update lead set regrade_at = $2 where id = any($1) and (regrade_at is null or regrade_at > $2)",
        leads,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A lead that has to be assessed.
#[derive(Debug, Clone)]
pub struct ToAssess {
    /// The lead.
    pub id: Uuid,
    /// Grade until now.
    pub grade: Option<String>,
    /// greenfield or replacement
    pub situation: String,
    /// When its grade changed last.
    pub changed_at: Option<DateTime<Utc>>,
    /// Name to call it by: of the customer.
    pub name: String,
}

/// Locks and returns leads that are due for assessment.
pub async fn to_assess(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ToAssess>, StoreError> {
    let rows = sqlx::query_as!(
        ToAssess,
        r#"
        with l as materialized (
            select * from lead where regrade_at <= $1 order by regrade_at, id limit $2 for update skip locked
        )
        select l.id, l.grade, l.situation, l.grade_since as changed_at, a.name
        from l join account a on a.id = l.account_id
        order by l.regrade_at, l.id
        "#,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// All evidence of these leads, in the order of the fold.
pub async fn evidence(conn: &mut PgConnection, leads: &[Uuid]) -> Result<Vec<(Uuid, Evidence)>, StoreError> {
    let rows = sqlx::query!(
        "select lead_id, at, id, event_id, body from evidence where lead_id = any($1) order by lead_id, at, id",
        leads,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            let kind: EvidenceKind = serde_json::from_value(r.body)
                .map_err(|e| StoreError::Decode(format!("evidence {}: {e}", r.id)))?;
            Ok((
                r.lead_id,
                Evidence {
                    id: r.id,
                    at: r.at,
                    kind,
                    cites: r.event_id,
                },
            ))
        })
        .collect()
}

/// What an assessment came to.
#[derive(Debug, Clone)]
pub struct Assessed {
    /// The lead.
    pub id: Uuid,
    /// Its grade now.
    pub grade: Option<String>,
    /// It is another than before.
    pub changed: bool,
    /// The fold, with provenance.
    pub factors: serde_json::Value,
    /// Folded date.
    pub expected_close: Option<NaiveDate>,
    /// Folded date.
    pub expected_on: Option<NaiveDate>,
    /// Folded text.
    pub waiting_for: Option<String>,
    /// When to assess again.
    pub again_at: Option<DateTime<Utc>>,
}

/// Writes assessments.
pub async fn assessed(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    rows: &[Assessed],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let grades: Vec<Option<&str>> = rows.iter().map(|r| r.grade.as_deref()).collect();
    let changed: Vec<bool> = rows.iter().map(|r| r.changed).collect();
    let factors: Vec<serde_json::Value> = rows.iter().map(|r| r.factors.clone()).collect();
    let close: Vec<Option<NaiveDate>> = rows.iter().map(|r| r.expected_close).collect();
    let on: Vec<Option<NaiveDate>> = rows.iter().map(|r| r.expected_on).collect();
    let waiting: Vec<Option<&str>> = rows.iter().map(|r| r.waiting_for.as_deref()).collect();
    let again: Vec<Option<DateTime<Utc>>> = rows.iter().map(|r| r.again_at).collect();
    sqlx::query!(
        r#"
        with assessed as (
            update lead l
            set grade = r.grade, grade_since = case when r.changed then $9 else l.grade_since end, factors = r.factors,
                expected_close = coalesce(r.expected_close, l.expected_close),
                expected_on = coalesce(r.expected_on, l.expected_on),
                waiting_for = coalesce(r.waiting_for, l.waiting_for), regrade_at = r.again_at
            from unnest($1::uuid[], $2::text[], $3::bool[], $4::jsonb[], $5::date[], $6::date[], $7::text[],
                        $8::timestamptz[])
                 as r (id, grade, changed, factors, expected_close, expected_on, waiting_for, again_at)
            join lead old on old.id = r.id
            where l.id = r.id
            returning l.id, (l.grade, l.expected_close, l.expected_on, l.waiting_for)
                            is distinct from (old.grade, old.expected_close, old.expected_on, old.waiting_for) as moved
        )
        insert into fact_change (contact_id)
        select distinct x.contact_id from assessed a join lead_contact x on x.lead_id = a.id where a.moved
        "#,
        &ids,
        &grades as &[Option<&str>],
        &changed,
        &factors,
        &close as &[Option<NaiveDate>],
        &on as &[Option<NaiveDate>],
        &waiting as &[Option<&str>],
        &again as &[Option<DateTime<Utc>>],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A row of the ledger.
#[derive(Debug, Clone)]
pub struct GradeChange {
    /// The lead.
    pub lead_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Grade before.
    pub before: Option<String>,
    /// Grade after.
    pub after: Option<String>,
    /// evidence, time, corrected..
    pub reason: String,
    /// The fold it was made of.
    pub factors: serde_json::Value,
    /// The evidence that decided.
    pub evidence: Vec<Uuid>,
    /// The events behind that evidence.
    pub events: Vec<Uuid>,
    /// A late event re-wrote what was thought before.
    pub corrected: bool,
}

/// Appends to the ledger.
pub async fn record_change(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    row: &GradeChange,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into grade_change (lead_id, at, id, before, after, reason, factors, evidence, events, corrected)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        "#,
        row.lead_id,
        now,
        row.id,
        row.before,
        row.after,
        row.reason,
        row.factors,
        &row.evidence,
        &row.events,
        row.corrected,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The earliest instant at which a lead has to be assessed.
pub async fn next_due(conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at = sqlx::query_scalar!(r#"select min(regrade_at) as "at" from lead where regrade_at is not null"#)
        .fetch_one(conn)
        .await?;
    Ok(at)
}
