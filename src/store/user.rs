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

/// Makes a user, or gives an existing one another role, password and owner (external id or mail address of the rep he
/// is). False = no owner is called so, and nothing is done.
pub async fn put(
    conn: &mut PgConnection,
    user: &User,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        insert into app_user (id, name, role, password_hash, created_at, owner_id)
        select $1, $2, $3, $4, $5, o.id
        from (select) as one
        left join lateral (select id from owner where external_id = $6 or email = $6 order by id limit 1) o on true
        where $6::text is null or o.id is not null
        on conflict (name) do update
        set role = excluded.role, password_hash = excluded.password_hash, owner_id = excluded.owner_id
        "#,
        user.id,
        user.name,
        user.role,
        user.password_hash,
        now,
        owner,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
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
