//! People as the page finds and heads them.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A person as a list shows him.
#[derive(Debug, Clone)]
pub struct PersonRow {
    /// The person.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Phone.
    pub phone: Option<String>,
    /// The account.
    pub account: String,
    /// Where the account stands in the pyramid.
    pub standing: String,
    /// Best grade of the open leads.
    pub grade: Option<String>,
    /// The owner.
    pub owner: Option<String>,
}

/// People whose name, account, mail address or phone holds the words, or whose external id is just that. `pattern` is
/// the words for `like`, with its signs escaped.
pub async fn search(
    conn: &mut PgConnection,
    asked: &str,
    pattern: &str,
    limit: i64,
) -> Result<Vec<PersonRow>, StoreError> {
    let rows = sqlx::query_as!(
        PersonRow,
        r#"
        select c.id, c.name, c.email, c.phone, coalesce(a.name, c.name) as "account!",
               coalesce(a.standing, 'suspect') as "standing!",
               (select min(l.grade) from lead_contact lc join lead l on l.id = lc.lead_id
                where lc.contact_id = c.id and l.closed_at is null) as grade,
               o.name as "owner?"
        from contact c
        left join account a on a.id = c.account_id
        left join owner o on o.id = c.owner_id
        where c.merged_into is null
          and (c.name ilike $2 or c.email ilike $2 or c.phone like $2 or a.name ilike $2
               or c.id in (select contact_id from contact_ref where external_id = $1))
        order by c.name, c.id
        limit $3
        "#,
        asked,
        pattern,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The head of a person's page.
#[derive(Debug, Clone)]
pub struct PersonHead {
    /// The person.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Phone.
    pub phone: Option<String>,
    /// Language.
    pub locale: Option<String>,
    /// Zone.
    pub timezone: Option<String>,
    /// Role in the account.
    pub role: Option<String>,
    /// Birthday as kept.
    pub birthday: Option<String>,
    /// gregorian or lunar
    pub birthday_calendar: Option<String>,
    /// Mail allowed.
    pub consent_email: Option<bool>,
    /// SMS allowed.
    pub consent_sms: Option<bool>,
    /// Left to the owner until.
    pub leave_until: Option<NaiveDate>,
    /// A colleague spoke with him last.
    pub last_human_at: Option<DateTime<Utc>>,
    /// The account.
    pub account: String,
    /// Where the account stands.
    pub standing: String,
    /// The owner.
    pub owner: Option<String>,
}

/// The head of a person's page.
pub async fn head(conn: &mut PgConnection, id: Uuid) -> Result<Option<PersonHead>, StoreError> {
    let row = sqlx::query_as!(
        PersonHead,
        r#"
        select c.id, c.name, c.email, c.phone, c.locale, c.timezone, c.role, c.birthday, c.birthday_calendar,
               c.consent_email, c.consent_sms, c.leave_until, c.last_human_at, coalesce(a.name, c.name) as "account!",
               coalesce(a.standing, 'suspect') as "standing!", o.name as "owner?"
        from contact c
        left join account a on a.id = c.account_id
        left join owner o on o.id = c.owner_id
        where c.id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// An open or closed lead of a person.
#[derive(Debug, Clone)]
pub struct PersonLead {
    /// Grade; `None` = ungraded.
    pub grade: Option<String>,
    /// Since when.
    pub grade_since: Option<DateTime<Utc>>,
    /// Product.
    pub product: Option<String>,
    /// Stage.
    pub stage: Option<String>,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// When that is expected.
    pub expected_on: Option<NaiveDate>,
    /// won, lost or still open
    pub outcome: Option<String>,
}

/// The leads of a person, open ones first.
pub async fn leads(conn: &mut PgConnection, id: Uuid) -> Result<Vec<PersonLead>, StoreError> {
    let rows = sqlx::query_as!(
        PersonLead,
        r#"
        select l.grade, l.grade_since, l.product, l.stage, l.waiting_for, l.expected_on, l.outcome
        from lead_contact lc join lead l on l.id = lc.lead_id
        where lc.contact_id = $1
        order by l.closed_at is not null, l.grade nulls last, l.id
        limit 20
        "#,
        id,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
