//! Tasks: work for the owner, with a deadline.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A task to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewTask {
    /// Its id.
    pub id: Uuid,
    /// touch, ask, service, alert
    pub kind: String,
    /// One line.
    pub title: String,
    /// What to do and why.
    pub body: String,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// The touch it carries.
    pub touch_id: Option<Uuid>,
    /// Whose it is; else the lead's owner, else the contact's.
    pub owner_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Deadline.
    pub due_at: DateTime<Utc>,
    /// At most one live task per key, for ever.
    pub dedup_key: Option<String>,
}

/// Makes tasks in one statement. A task of the same touch or key is not made again; a closed one of the same key is not reopened.
pub async fn insert(conn: &mut PgConnection, rows: &[NewTask]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let body = serde_json::to_value(rows).map_err(|e| StoreError::Decode(e.to_string()))?;
    let done = sqlx::query!(
        r#"
        insert into task (id, shard, kind, title, body, contact_id, account_id, lead_id, touch_id, owner_id, created_at,
                          due_at, dedup_key)
        select r.id, coalesce(c.shard, l.shard, 0), r.kind, r.title, r.body, r.contact_id,
               coalesce(c.account_id, l.account_id), r.lead_id, r.touch_id,
               coalesce(r.owner_id, l.owner_id, c.owner_id), r.created_at, r.due_at, r.dedup_key
        from jsonb_to_recordset($1::jsonb) as r (
            id uuid, kind text, title text, body text, contact_id uuid, lead_id uuid, touch_id uuid, owner_id uuid,
            created_at timestamptz, due_at timestamptz, dedup_key text)
        left join contact c on c.id = r.contact_id
        left join lead l on l.id = r.lead_id
        on conflict do nothing
        "#,
        body,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A task as a list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct TaskRow {
    /// Its id.
    pub id: Uuid,
    /// touch, ask, service, alert
    pub kind: String,
    /// One line.
    pub title: String,
    /// What to do and why.
    pub body: String,
    /// open, snoozed, done, cancelled
    pub state: String,
    /// Deadline.
    pub due_at: DateTime<Utc>,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// Name of the person.
    pub contact_name: Option<String>,
    /// Whose it is.
    pub owner_name: Option<String>,
    /// The owner's mail address.
    pub owner_email: Option<String>,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// Open and due-again tasks, by deadline; of one owner (external id or mail address), or of all.
pub async fn open(
    conn: &mut PgConnection,
    owner: Option<&str>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<TaskRow>, StoreError> {
    let rows = sqlx::query_as!(
        TaskRow,
        r#"
        select t.id, t.kind, t.title, t.body, t.state, t.due_at, t.contact_id, c.name as "contact_name?",
               o.name as "owner_name?", o.email as "owner_email?", t.lead_id, t.outcome
        from task t
        left join contact c on c.id = t.contact_id
        left join owner o on o.id = t.owner_id
        where (t.state = 'open' or (t.state = 'snoozed' and t.snoozed_until <= $2))
          and ($1::text is null or o.external_id = $1 or o.email = $1)
        order by t.due_at, t.id
        limit $3
        "#,
        owner,
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// One task by id, or by the beginning of its id where that names only one.
pub async fn find(conn: &mut PgConnection, id: &str) -> Result<Option<TaskRow>, StoreError> {
    let mut rows = sqlx::query_as!(
        TaskRow,
        r#"
        select t.id, t.kind, t.title, t.body, t.state, t.due_at, t.contact_id, c.name as "contact_name?",
               o.name as "owner_name?", o.email as "owner_email?", t.lead_id, t.outcome
        from task t left join contact c on c.id = t.contact_id left join owner o on o.id = t.owner_id
        where t.id::text like $1 || '%'
        limit 2
        "#,
        id,
    )
    .fetch_all(conn)
    .await?;
    Ok(if rows.len() == 1 { rows.pop() } else { None })
}

/// Closes a task. False when it was closed already.
pub async fn done(
    conn: &mut PgConnection,
    id: Uuid,
    outcome: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update task set state = 'done', outcome = $2, done_by = $3, done_at = $4 where id = $1 and state in ('open', 'snoozed')",
        id,
        outcome,
        by,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts a task off. False when it was closed already.
pub async fn snooze(conn: &mut PgConnection, id: Uuid, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update task set state = 'snoozed', snoozed_until = $2 where id = $1 and state in ('open', 'snoozed')",
        id,
        until,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Hands a task to another owner (external id or mail address). False when it is closed or nobody is called so.
pub async fn hand_over(conn: &mut PgConnection, id: Uuid, to: &str) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        update task t set owner_id = o.id from owner o
        where t.id = $1 and t.state in ('open', 'snoozed') and (o.external_id = $2 or o.email = $2)
        "#,
        id,
        to,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a task is for this owner (external id): his own, nobody's, or of somebody he stands in for. One that is not
/// there is nobody's.
pub async fn is_for(conn: &mut PgConnection, id: Uuid, owner: Option<&str>) -> Result<bool, StoreError> {
    let others = sqlx::query_scalar!(
        r#"
        select exists (
            select 1 from task t join owner o on o.id = t.owner_id
            where t.id = $1 and ($2::text is null or $2 not in (o.external_id, coalesce(o.deputy_external_id, '')))
        ) as "others!"
        "#,
        id,
        owner,
    )
    .fetch_one(conn)
    .await?;
    Ok(!others)
}
