//! Complaints of customers; not spam reports.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Opens one.
pub async fn open(
    conn: &mut PgConnection,
    id: Uuid,
    account_id: Uuid,
    contact_id: Uuid,
    event_id: Uuid,
    text: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into grievance (id, account_id, contact_id, event_id, opened_at, text) values ($1, $2, $3, $4, $5, $6)",
        id,
        account_id,
        contact_id,
        event_id,
        now,
        text,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes the open ones of a customer; closing the service task does it.
pub async fn close(
    conn: &mut PgConnection,
    account_id: Uuid,
    by: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update grievance set closed_at = $3, closed_by = $2 where account_id = $1 and closed_at is null",
        account_id,
        by,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Closes the complaint that a service task is about: its key names the event. Returns how many were closed.
pub async fn close_of_task(
    conn: &mut PgConnection,
    task_id: Uuid,
    by: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        update grievance g set closed_at = $3, closed_by = $2
        from task t
        where t.id = $1 and g.account_id = t.account_id and g.closed_at is null
          and t.dedup_key = 'grievance:' || g.event_id::text
        "#,
        task_id,
        by,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
