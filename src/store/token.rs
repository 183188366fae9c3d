//! Tokens of programs that call the API. Only their hashes are kept.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Keeps a token. False = there is one of that name.
pub async fn create(
    conn: &mut PgConnection,
    id: Uuid,
    name: &str,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "insert into api_token (id, name, token_hash, created_at) values ($1, $2, $3, $4) on conflict (name) do nothing",
        id,
        name,
        token_hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The name of the live token with that hash.
pub async fn name_of(conn: &mut PgConnection, token_hash: &[u8]) -> Result<Option<String>, StoreError> {
    let name = sqlx::query_scalar!(
        "select name from api_token where token_hash = $1 and revoked_at is null",
        token_hash
    )
    .fetch_optional(conn)
    .await?;
    Ok(name)
}
