//! Who may come into a cadence, with what has to be known to place them.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A contact of a lead with the lead's grade.
#[derive(Debug, Clone)]
pub struct GradedContact {
    /// The lead.
    pub lead_id: Uuid,
    /// A person of it.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// The grade now; `None` for ungraded, closed and given-up leads.
    pub grade: Option<String>,
}

/// All contacts of these leads.
pub async fn of_leads(conn: &mut PgConnection, leads: &[Uuid]) -> Result<Vec<GradedContact>, StoreError> {
    let rows = sqlx::query_as!(
        GradedContact,
        r#"
        select l.id as lead_id, lc.contact_id, l.account_id,
               case when l.closed_at is null and l.not_fit is null then l.grade end as grade
        from lead l join lead_contact lc on lc.lead_id = l.id join contact c on c.id = lc.contact_id
        where l.id = any($1) and c.merged_into is null
        order by l.id, lc.contact_id
        "#,
        leads,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Somebody who may come in.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// What the customer is called outside, for draws that must not depend on generated ids.
    pub account_key: String,
    /// The lead.
    pub lead_id: Option<Uuid>,
    /// Shard of the customer.
    pub shard: i16,
    /// Zone of the person.
    pub timezone: Option<String>,
    /// Region of the person.
    pub region: Option<String>,
    /// Next birthday.
    pub next_birthday_on: Option<NaiveDate>,
    /// Of the lead.
    pub expected_on: Option<NaiveDate>,
    /// Of the lead.
    pub expected_close: Option<NaiveDate>,
    /// Of the lead.
    pub grade: Option<String>,
    /// Of the customer.
    pub standing: String,
    /// A task about the person is open.
    pub open_task: bool,
    /// His place among those asked for, from 1.
    pub n: i64,
    /// How much he counts among the people of the lead: deciding, then being reachable.
    pub influence: i32,
}

impl Candidate {
    /// His place among those asked for, from 0.
    pub fn place(&self) -> usize {
        usize::try_from(self.n - 1).unwrap_or(usize::MAX)
    }
}

/// Of the given people and leads those who are not in the cadence now and did not leave it after `again_before`.
/// With `one_per_lead`, a lead of which anybody is or was counts as being there itself.
pub async fn candidates(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    leads: &[Option<Uuid>],
    cadence: &str,
    again_before: Option<DateTime<Utc>>,
    one_per_lead: bool,
) -> Result<Vec<Candidate>, StoreError> {
    let rows = sqlx::query_as!(
        Candidate,
        r#"
        select c.id as contact_id, w.n as "n!", c.account_id, coalesce(a.external_id, r.external_id, a.id::text) as "account_key!",
               w.lead_id as "lead_id?", c.shard, c.timezone, coalesce(c.region, a.region) as region, c.next_birthday_on,
               l.expected_on as "expected_on?", l.expected_close as "expected_close?", l.grade as "grade?", a.standing,
               exists (select 1 from task t where t.contact_id = c.id and t.state in ('open', 'snoozed')) as "open_task!",
               (case when c.decision_maker then 2 else 0 end
                + case when c.email is not null or c.phone is not null then 1 else 0 end) as "influence!"
        from unnest($1::uuid[], $2::uuid[]) with ordinality as w (contact_id, lead_id, n)
        join contact c on c.id = w.contact_id
        join account a on a.id = c.account_id
        left join lead l on l.id = w.lead_id
        left join lateral (
            select r.external_id from contact_ref r where r.contact_id = c.id order by r.source_id limit 1
        ) r on true
        where not exists (
            select 1 from enrollment e
            where e.contact_id = c.id and e.cadence = $3 and e.lead_id is not distinct from w.lead_id
              and (e.state in ('active', 'control') or ($4::timestamptz is not null and e.ended_at > $4))
        ) and not exists (
            select 1 from enrollment e
            where $5 and e.lead_id = w.lead_id and e.cadence = $3
              and (e.state in ('active', 'control') or ($4::timestamptz is not null and e.ended_at > $4))
        )
        order by w.n
        "#,
        contacts,
        leads as &[Option<Uuid>],
        cadence,
        again_before,
        one_per_lead,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Open leads with a grade, in the order of their ids.
pub async fn graded_leads(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"
        select id from lead
        where grade is not null and closed_at is null and not_fit is null and ($1::uuid is null or id > $1)
        order by id limit $2
        "#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
