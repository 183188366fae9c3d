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

/// People whose name, last word of the name, organisation, mail address or phone begins with the words, or whose external
/// id is just that. Each way is one range of an index, cut after `limit`: what is asked does not cost what there is.
/// `phone` is what a phone number has to begin with.
pub async fn search(
    conn: &mut PgConnection,
    asked: &str,
    phone: &str,
    limit: i64,
) -> Result<Vec<PersonRow>, StoreError> {
    let words = asked.to_lowercase();
    // Everything that begins with the words stands between them and them with the highest character behind.
    let beyond = |text: &str| format!("{text}{}", char::MAX);
    let rows = sqlx::query_file_as!(
        PersonRow,
        "src/store/person_search.sql",
        asked,
        words,
        beyond(&words),
        phone,
        beyond(phone),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
