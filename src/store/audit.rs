//! Who did what on purpose.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// One deed of a person: `actor` did `verb` to `object`.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// Its id.
    pub id: Uuid,
    /// Business time.
    pub at: DateTime<Utc>,
    /// Name of the user, or of the program's user on the machine.
    pub actor: &'a str,
    /// What was done, as on the command line: `apply`.
    pub verb: &'a str,
    /// What to.
    pub object: &'a str,
    /// How it was.
    pub before: Option<Value>,
    /// How it is.
    pub after: Option<Value>,
}

/// Writes a deed down.
pub async fn record(connection: &mut PgConnection, deed: Deed<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into audit (id, at, actor, verb, object, before, after) values ($1, $2, $3, $4, $5, $6, $7)",
        deed.id,
        deed.at,
        deed.actor,
        deed.verb,
        deed.object,
        deed.before,
        deed.after,
    )
    .execute(connection)
    .await?;
    Ok(())
}
