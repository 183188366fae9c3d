//! The gate's verdicts, appended only when they change.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// One verdict.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Its id.
    pub id: Uuid,
    /// The touch judged.
    pub touch_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// clear, hold, skip
    pub verdict: &'static str,
    /// One of the gate's reasons.
    pub reason: String,
    /// For a hold: when to look again.
    pub until: Option<DateTime<Utc>>,
}

/// Appends verdicts in one statement.
pub async fn append(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    rows: &[NewDecision],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let touches: Vec<Uuid> = rows.iter().map(|r| r.touch_id).collect();
    let contacts: Vec<Uuid> = rows.iter().map(|r| r.contact_id).collect();
    let verdicts: Vec<&str> = rows.iter().map(|r| r.verdict).collect();
    let reasons: Vec<&str> = rows.iter().map(|r| r.reason.as_str()).collect();
    let until: Vec<Option<DateTime<Utc>>> = rows.iter().map(|r| r.until).collect();
    sqlx::query!(
        r#"
        insert into decision (id, touch_id, contact_id, at, verdict, reason, until)
        select d.id, d.touch_id, d.contact_id, $7, d.verdict, d.reason, d.until
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
             as d (id, touch_id, contact_id, verdict, reason, until)
        "#,
        &ids,
        &touches,
        &contacts,
        &verdicts as &[&str],
        &reasons as &[&str],
        &until as &[Option<DateTime<Utc>>],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
