//! Before the first claim: is this the database we think it is? A restored, copied or promoted one must not write to people
//! again before somebody has looked.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::config::Mode;
use crate::store::control;

/// Compares the server with what was noted of it; puts the brake on when it is another. In live mode binds this database,
/// or refuses one that was bound under another identity.
pub async fn check(pool: &PgPool, mode: Mode, now: DateTime<Utc>) -> Result<()> {
    let mut conn = pool.acquire().await?;
    let known = control::read(&mut conn).await?;
    if let Some((system, timeline)) = control::server_identity(&mut conn).await? {
        let changed = known.system_identifier.as_deref().is_some_and(|s| s != system)
            || known.timeline.is_some_and(|t| t != timeline);
        if changed && !known.brake {
            let reason = "the database server is another than before: restored, copied or promoted";
            control::brake(&mut conn, true, reason, "kith", now).await?;
            tracing::error!(
                reason,
                "the brake is on; `kith brake off` lifts it once you know what was sent"
            );
        }
        control::note_identity(&mut conn, &system, timeline).await?;
    }
    if mode == Mode::Live {
        match known.live_database_id {
            None => control::bind_live(&mut conn).await?,
            Some(bound) if bound != known.database_id => {
                bail!(
                    "live mode is bound to another database than this copy; `kith brake off --live` binds it here"
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}
