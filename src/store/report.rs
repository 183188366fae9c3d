//! Sums for the standing reports.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// What a customer bought in a period.
#[derive(Debug, Clone)]
pub struct Bought {
    /// The customer.
    pub account_id: Uuid,
    /// Its name.
    pub name: String,
    /// Sum of amounts.
    pub revenue: Decimal,
    /// Sum of profits.
    pub profit: Decimal,
    /// Where it stands now.
    pub standing: String,
}

/// Customers with purchases from `from` up to, not including, `until`; the biggest first.
pub async fn bought(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Bought>, StoreError> {
    let rows = sqlx::query_as!(
        Bought,
        r#"
        select a.id as account_id, a.name, p.revenue as "revenue!", p.profit as "profit!", a.standing
        from (select account_id, sum(amount) as revenue, coalesce(sum(profit), 0) as profit
              from purchase where at >= $1 and at < $2 group by account_id) p
        join account a on a.id = p.account_id
        order by p.revenue desc, a.id
        "#,
        from,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Accounts that bought nothing in a period, by what else is known of them and where they stand now.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Bought before the period.
    pub bought_before: bool,
    /// Has a lead.
    pub qualified: bool,
    /// Where they stand now.
    pub standing: String,
    /// How many.
    pub accounts: i64,
}

/// Counts them.
pub async fn idle(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Idle>, StoreError> {
    let rows = sqlx::query_as!(
        Idle,
        r#"
        select p.first_at is not null as "bought_before!", l.account_id is not null as "qualified!", a.standing,
               count(*) as "accounts!"
        from account a
        left join (select account_id, min(at) as first_at, max(at) as last_at
                   from purchase where at < $2 group by account_id) p on p.account_id = a.id
        left join (select distinct account_id from lead) l on l.account_id = a.id
        where p.last_at is null or p.last_at < $1
        group by 1, 2, 3
        order by 1, 2, 3
        "#,
        from,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Something counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// How often.
    pub n: i64,
}

/// Accounts by where they stand now.
pub async fn standings(conn: &mut PgConnection) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"select standing as name, count(*) as "n!" from account group by standing order by standing"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Open leads by stage.
pub async fn stages(conn: &mut PgConnection) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"
        select coalesce(stage, 'none stated') as "name!", count(*) as "n!" from lead
        where closed_at is null group by 1 order by 2 desc, 1
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Moves of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// Month of the company, `2026-11`.
    pub month: String,
    /// From which grade.
    pub before: String,
    /// To which.
    pub after: String,
    /// How many leads.
    pub leads: i64,
}

/// Changes of grade by month, in a zone.
pub async fn moves(conn: &mut PgConnection, zone: &str) -> Result<Vec<Moves>, StoreError> {
    let rows = sqlx::query_as!(
        Moves,
        r#"
        select to_char(at at time zone $1, 'YYYY-MM') as "month!", coalesce(before, 'ungraded') as "before!",
               coalesce(after, 'ungraded') as "after!", count(*) as "leads!"
        from grade_change
        group by 1, 2, 3
        order by 1, 2, 3
        "#,
        zone,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// New, won and lost leads of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Month {
    /// Month of the company, `2026-11`.
    pub month: String,
    /// Opened.
    pub opened: i64,
    /// Won.
    pub won: i64,
    /// Lost.
    pub lost: i64,
}

/// Leads opened and closed by month, in a zone.
pub async fn months(conn: &mut PgConnection, zone: &str) -> Result<Vec<Month>, StoreError> {
    let rows = sqlx::query_as!(
        Month,
        r#"
        select to_char(m.at at time zone $1, 'YYYY-MM') as "month!", count(*) filter (where m.what = 'opened') as "opened!",
               count(*) filter (where m.what = 'won') as "won!", count(*) filter (where m.what = 'lost') as "lost!"
        from (select opened_at as at, 'opened' as what from lead where opened_at is not null
              union all
              select closed_at, outcome from lead where closed_at is not null) m
        group by 1
        order by 1
        "#,
        zone,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Who is and was in a cadence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// The cadence.
    pub cadence: String,
    /// Ever.
    pub enrolled: i64,
    /// Now.
    pub active: i64,
    /// Withheld as control, now.
    pub control: i64,
    /// Ran to the end or reached the goal.
    pub finished: i64,
    /// Reached the goal.
    pub goal: i64,
    /// Ended early.
    pub stopped: i64,
}

/// Enrollments by cadence.
pub async fn enrolled(conn: &mut PgConnection) -> Result<Vec<Enrolled>, StoreError> {
    let rows = sqlx::query_as!(
        Enrolled,
        r#"
        select cadence, count(*) as "enrolled!", count(*) filter (where state = 'active') as "active!",
               count(*) filter (where state = 'control') as "control!",
               count(*) filter (where state = 'finished') as "finished!",
               count(*) filter (where state = 'finished' and reason = 'goal') as "goal!",
               count(*) filter (where state = 'stopped') as "stopped!"
        from enrollment
        group by cadence
        order by cadence
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Early ends of a cadence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stops {
    /// The cadence.
    pub cadence: String,
    /// Why.
    pub reason: String,
    /// How many enrollments.
    pub n: i64,
}

/// Early ends by cadence and reason.
pub async fn stops(conn: &mut PgConnection) -> Result<Vec<Stops>, StoreError> {
    let rows = sqlx::query_as!(
        Stops,
        r#"
        select cadence, coalesce(reason, 'unknown') as "reason!", count(*) as "n!" from enrollment
        where state = 'stopped' group by 1, 2 order by 1, 3 desc, 2
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Messages of a step on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepSent {
    /// The cadence.
    pub cadence: String,
    /// The step.
    pub step: String,
    /// The channel.
    pub channel: String,
    /// Accepted.
    pub sent: i64,
    /// Refused.
    pub refused: i64,
    /// Nobody knows whether they arrived.
    pub uncertain: i64,
}

/// Messages by step and channel, in the order in which steps were first sent.
pub async fn sent_by_step(conn: &mut PgConnection) -> Result<Vec<StepSent>, StoreError> {
    let rows = sqlx::query_as!(
        StepSent,
        r#"
        select cadence as "cadence!", coalesce(step_key, '') as "step!", channel,
               count(*) filter (where outcome = 'accepted') as "sent!",
               count(*) filter (where outcome = 'refused') as "refused!",
               count(*) filter (where outcome = 'uncertain') as "uncertain!"
        from message
        where cadence is not null
        group by 1, 2, 3
        order by 1, min(done_at), 2, 3
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// What came back on the messages of a cadence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameBack {
    /// The cadence.
    pub cadence: String,
    /// Event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Events, those of machines left out.
    pub events: i64,
    /// People.
    pub people: i64,
}

/// Responses of people by cadence and type.
pub async fn came_back(conn: &mut PgConnection) -> Result<Vec<CameBack>, StoreError> {
    let rows = sqlx::query_as!(
        CameBack,
        r#"
        select m.cadence as "cadence!", e.type as "event_type!", count(*) as "events!",
               count(distinct e.contact_id) as "people!"
        from event e join message m on m.id = e.message_id
        where m.cadence is not null and (e.human or e.type = 'bounced')
        group by 1, 2
        order by 1, 3 desc, 2
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
