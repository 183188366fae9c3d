//! The sums of a run: what was sent, what was not and why, what changed, and whether anything was lost or sent twice.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::StoreError;

/// A word with a count.
pub type Counts = BTreeMap<String, i64>;

struct Counted {
    word: String,
    n: i64,
}

fn counts(rows: Vec<Counted>) -> Counts {
    rows.into_iter().map(|r| (r.word, r.n)).collect()
}

/// Contacts in the database.
pub async fn contacts(conn: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!(r#"select count(*) as "n!" from contact where merged_into is null"#)
            .fetch_one(conn)
            .await?,
    )
}

/// Accepted messages by channel.
pub async fn sent(conn: &mut PgConnection) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"select channel as "word!", count(*) as "n!" from message where outcome = 'accepted' group by 1"#
    )
    .fetch_all(conn)
    .await?;
    Ok(counts(rows))
}

/// Accepted messages by cadence and channel.
pub async fn sent_by_cadence(conn: &mut PgConnection) -> Result<Vec<(String, String, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select coalesce(cadence, '') as "cadence!", channel, count(*) as "n!" from message
        where outcome = 'accepted' group by 1, 2 order by 1, 2
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.cadence, r.channel, r.n)).collect())
}

/// Touches held or skipped, by reason: each touch counts once for each reason.
pub async fn held(conn: &mut PgConnection) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"
        select reason as "word!", count(distinct touch_id) as "n!" from decision where verdict <> 'clear' group by 1
        union all
        select 'hold-out', count(*) from enrollment where state = 'control' having count(*) > 0
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(counts(rows))
}

/// Open leads by grade.
pub async fn grades(conn: &mut PgConnection) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"select coalesce(grade, 'ungraded') as "word!", count(*) as "n!" from lead where closed_at is null group by 1"#
    )
    .fetch_all(conn)
    .await?;
    let mut grades: Counts = ["A", "B", "C", "D", "ungraded"].map(|g| (g.to_owned(), 0)).into();
    grades.extend(counts(rows));
    Ok(grades)
}

/// Changes of grade since an instant, as `B->A`.
pub async fn moves(conn: &mut PgConnection, since: DateTime<Utc>) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"
        select coalesce(before, 'ungraded') || '->' || coalesce(after, 'ungraded') as "word!", count(*) as "n!"
        from grade_change where at > $1 group by 1
        "#,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(counts(rows))
}

/// Events by type, those of machines left out.
pub async fn responses(conn: &mut PgConnection) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"select type as "word!", count(*) as "n!" from event where human or type in ('bounced', 'auto_replied') group by 1"#
    )
    .fetch_all(conn)
    .await?;
    Ok(counts(rows))
}

/// Customers who were lost and have come back.
pub async fn won_back(conn: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!(r#"select count(*) as "n!" from account where won_back_at is not null"#)
            .fetch_one(conn)
            .await?,
    )
}

/// Birthdays kept by a message, by calendar.
pub async fn birthdays(conn: &mut PgConnection) -> Result<Counts, StoreError> {
    let rows = sqlx::query_as!(
        Counted,
        r#"
        select coalesce(c.birthday_calendar, 'gregorian') as "word!", count(*) as "n!"
        from message m join touch t on t.id = m.touch_id join enrollment e on e.id = t.enrollment_id
             join contact c on c.id = m.contact_id
        where m.outcome = 'accepted' and e.entry_reason like 'birthday%'
        group by 1
        "#
    )
    .fetch_all(conn)
    .await?;
    let mut both: Counts = ["gregorian", "lunar"].map(|c| (c.to_owned(), 0)).into();
    both.extend(counts(rows));
    Ok(both)
}

/// What must not be: messages called accepted that the sandbox never had, touches that are nowhere, messages that came twice,
/// and messages of which nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Accepted but never received, or a touch without an end and without a place in the queue.
    pub lost: i64,
    /// Received more than once.
    pub duplicates: i64,
    /// Unknown.
    pub uncertain: i64,
}

/// Compares what kith says with what the sandbox got.
pub async fn faults(conn: &mut PgConnection) -> Result<Faults, StoreError> {
    let row = sqlx::query!(
        r#"
        select (select count(*) from message m
                where m.outcome = 'accepted' and m.channel <> 'task'
                  and not exists (select 1 from sandbox_message s where s.message_id = m.id))
             + (select count(*) from touch t
                where t.state = 'queued' and not exists (select 1 from queue q where q.touch_id = t.id)) as "lost!",
               (select count(*) from (select message_id from sandbox_message where message_id is not null
                                      group by message_id having count(*) > 1) d) as "duplicates!",
               (select count(*) from message where outcome = 'uncertain') as "uncertain!"
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(Faults {
        lost: row.lost,
        duplicates: row.duplicates,
        uncertain: row.uncertain,
    })
}

/// A lead that went from B to A, with what decided.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The customer.
    pub account: String,
    /// The person who answered last.
    pub contact: Option<String>,
    /// What he is called outside.
    pub external_id: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The kinds of events cited, with tag or intent.
    pub because: Vec<String>,
}

/// Leads that went from B to A, first ones first.
pub async fn promotions(conn: &mut PgConnection, limit: i64) -> Result<Vec<Promotion>, StoreError> {
    let rows = sqlx::query_as!(
        Promotion,
        r#"
        select a.name as account, c.name as "contact?", r.external_id as "external_id?", g.at,
               array(select concat_ws(' ', e.type, coalesce(e.data ->> 'tag', e.data ->> 'intent')) from event e
                     where e.id = any(g.events) order by e.occurred_at) as "because!: Vec<String>"
        from grade_change g
        join lead l on l.id = g.lead_id
        join account a on a.id = l.account_id
        left join lateral (select e.contact_id from event e where e.id = any(g.events) order by e.occurred_at desc limit 1) last on true
        left join contact c on c.id = last.contact_id
        left join lateral (select r.external_id from contact_ref r where r.contact_id = c.id order by r.source_id limit 1) r on true
        where g.before = 'B' and g.after = 'A'
        order by cardinality(g.events) desc, g.at, g.id
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Customers won back: name, tier when lost, when.
pub async fn returned(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(String, String, DateTime<Utc>)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select name, coalesce(tier_at_loss, '') as "tier!", won_back_at as "at!" from account
        where won_back_at is not null order by won_back_at limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.name, r.tier, r.at)).collect())
}
