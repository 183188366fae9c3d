//! Owners: the reps.

use sqlx::PgConnection;

use super::StoreError;

/// An owner as a list offers him.
#[derive(Debug, Clone)]
pub struct OwnerRow {
    /// External id.
    pub external_id: String,
    /// Name.
    pub name: String,
}

/// All owners by name.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<OwnerRow>, StoreError> {
    let rows = sqlx::query_as!(OwnerRow, "select external_id, name from owner order by name, id")
        .fetch_all(conn)
        .await?;
    Ok(rows)
}
