//! Counts for the first page.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::report::Count;

/// Messages handed over from `from` on, by channel.
pub async fn sent_by_channel(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"
        select channel as "name!", count(*) as "n!" from message
        where done_at >= $1 and done_at < $2 and outcome = 'accepted'
        group by 1 order by 1
        "#,
        from,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// What people did from `from` on, by type; machines left out.
pub async fn events_by_type(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    first_id: Uuid,
) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"
        select type as "name!", count(*) as "n!" from event
        where id >= $3 and received_at >= $1 and received_at < $2 and human
        group by 1 order by 2 desc, 1
        "#,
        from,
        until,
        first_id,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// What waits for a person.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Open tasks.
    pub tasks: i64,
    /// Of those, past their deadline.
    pub overdue: i64,
    /// Messages of which nobody knows whether they arrived.
    pub uncertain: i64,
    /// Events that name nobody known.
    pub parked: i64,
}

/// What waits for a person; uncertain messages from `first_id` on.
pub async fn waiting(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    first_id: Uuid,
) -> Result<Waiting, StoreError> {
    let row = sqlx::query_as!(
        Waiting,
        r#"
        select (select count(*) from task where state = 'open' or (state = 'snoozed' and snoozed_until <= $1)) as "tasks!",
               (select count(*) from task where state = 'open' and due_at < $1) as "overdue!",
               (select count(*) from message where id >= $2 and outcome = 'uncertain') as "uncertain!",
               (select count(*) from event_parked) as "parked!"
        "#,
        now,
        first_id,
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// A lead whose grade changed.
#[derive(Debug, Clone)]
pub struct Move {
    /// When.
    pub at: DateTime<Utc>,
    /// The account.
    pub account: String,
    /// A person of the lead.
    pub contact_id: Option<Uuid>,
    /// The person's name.
    pub contact_name: Option<String>,
    /// Grade before; `None` = ungraded.
    pub before: Option<String>,
    /// Grade after; `None` = ungraded.
    pub after: Option<String>,
    /// Why.
    pub reason: String,
}

/// The newest changes of grade from `from` on.
pub async fn moves(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Move>, StoreError> {
    let rows = sqlx::query_as!(
        Move,
        r#"
        select g.at, a.name as "account!", c.id as "contact_id?", c.name as "contact_name?", g.before, g.after, g.reason
        from grade_change g
        join lead l on l.id = g.lead_id
        join account a on a.id = l.account_id
        left join lateral (
            select c.id, c.name from lead_contact lc join contact c on c.id = lc.contact_id
            where lc.lead_id = l.id order by c.decision_maker desc nulls last, c.id limit 1
        ) c on true
        where g.at >= $1 and g.at < $2 and g.before is distinct from g.after
        order by g.at desc, g.id desc
        limit $3
        "#,
        from,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Messages handed over on each of the days up to `until`, oldest first; `zone` says where a day begins.
pub async fn sent_by_day(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    zone: &str,
) -> Result<Vec<(chrono::NaiveDate, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select (done_at at time zone $3)::date as "day!", count(*) as "n!" from message
        where done_at >= $1 and done_at < $2 and outcome = 'accepted'
        group by 1 order by 1
        "#,
        from,
        until,
        zone,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.day, r.n)).collect())
}
