//! Sessions of the page and one-time login links. Both end by the database's clock, not by business time: a simulated
//! clock that jumps a week must not log anybody out.

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Who a session belongs to.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The user's name; `None` for a login by link.
    pub name: Option<String>,
    /// The role it acts in.
    pub role: String,
    /// External id of the owner he is.
    pub owner: Option<String>,
}

/// Opens a session for `seconds`.
pub async fn open(
    conn: &mut PgConnection,
    token_hash: &[u8],
    user_id: Option<Uuid>,
    role: &str,
    seconds: f64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into web_session (token_hash, user_id, role, expires_at) values ($1, $2, $3, now() + make_interval(secs => $4))",
        token_hash,
        user_id,
        role,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live session of that token. A user's role is the one he has now.
pub async fn find(conn: &mut PgConnection, token_hash: &[u8]) -> Result<Option<SessionRow>, StoreError> {
    let row = sqlx::query_as!(
        SessionRow,
        r#"
        select u.name as "name?", coalesce(u.role, s.role) as "role!", o.external_id as "owner?"
        from web_session s left join app_user u on u.id = s.user_id left join owner o on o.id = u.owner_id
        where s.token_hash = $1 and s.expires_at > now()
        "#,
        token_hash,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// Ends a session, and clears away those that ended by themselves.
pub async fn close(conn: &mut PgConnection, token_hash: &[u8]) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from web_session where token_hash = $1 or expires_at <= now()",
        token_hash
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends every session of a user.
pub async fn close_all(conn: &mut PgConnection, user_name: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from web_session s using app_user u where u.id = s.user_id and u.name = $1",
        user_name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a login link that is good for `seconds`.
pub async fn offer_link(
    conn: &mut PgConnection,
    token_hash: &[u8],
    role: &str,
    seconds: f64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into login_link (token_hash, role, expires_at) values ($1, $2, now() + make_interval(secs => $3))",
        token_hash,
        role,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Uses a login link up; its role, if it was good.
pub async fn use_link(conn: &mut PgConnection, token_hash: &[u8]) -> Result<Option<String>, StoreError> {
    let row = sqlx::query!(
        r#"delete from login_link where token_hash = $1 returning role, expires_at > now() as "good!""#,
        token_hash,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.filter(|r| r.good).map(|r| r.role))
}
