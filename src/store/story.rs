//! What happened with one person, for telling it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A person as a list of several shows him.
#[derive(Debug, Clone)]
pub struct Named {
    /// The person.
    pub contact_id: Uuid,
    /// His name.
    pub name: String,
    /// His customer.
    pub account_name: String,
    /// What sources call him: `source:id`, by comma.
    pub external_ids: String,
}

/// The names of these people.
pub async fn names(conn: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Named>, StoreError> {
    let rows = sqlx::query_as!(
        Named,
        r#"
        select c.id as contact_id, c.name, a.name as account_name,
               coalesce((select string_agg(s.name || ':' || r.external_id, ', ' order by s.id)
                         from contact_ref r join source s on s.id = r.source_id where r.contact_id = c.id), '')
                   as "external_ids!"
        from contact c join account a on a.id = c.account_id
        where c.id = any($1)
        order by c.name, c.id
        "#,
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
