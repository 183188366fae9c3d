//! People who log in to the page.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Somebody who logs in.
#[derive(Debug, Clone)]
pub struct User {
    /// Id.
    pub id: Uuid,
    /// Login name.
    pub name: String,
    /// operator, marketer, lead or rep
    pub role: String,
    /// The argon2id hash in PHC form.
    pub password_hash: String,
}

/// Makes a user, or gives an existing one another role and password.
pub async fn put(conn: &mut PgConnection, user: &User, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into app_user (id, name, role, password_hash, created_at) values ($1, $2, $3, $4, $5)
        on conflict (name) do update set role = excluded.role, password_hash = excluded.password_hash
        "#,
        user.id,
        user.name,
        user.role,
        user.password_hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The user of that name.
pub async fn find(conn: &mut PgConnection, name: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query_as!(
        User,
        "select id, name, role, password_hash from app_user where name = $1",
        name
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// Whether anybody can log in with a password.
pub async fn any(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(r#"select exists (select from app_user) as "any!""#)
        .fetch_one(conn)
        .await?;
    Ok(any)
}
