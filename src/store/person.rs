//! People as the page finds them.

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
