//! Is this the database we think it is, and does it know what we know? A restored, copied or promoted one must not write to
//! people again before somebody has looked.

use std::path::Path;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::config::Mode;
use crate::domain::id::IdSource;
use crate::engine::brake::{self, Order};
use crate::engine::recover::{self, Extent};
use crate::store::control::{self, Control};

/// Compares the database with what was noted of its server, and with the highest crossings that this host made; puts the brake
/// on where they differ. In live mode binds this database. False = live mode is bound to another one than this copy, so
/// nothing may be claimed here, brake or not.
///
/// `memory` is the folder of the journal; without it only the server is looked at.
pub async fn check(
    pool: &PgPool,
    mode: Mode,
    memory: Option<&Path>,
    ids: &IdSource,
    now: DateTime<Utc>,
) -> Result<bool> {
    let mut conn = pool.acquire().await?;
    let known = control::read(&mut conn).await?;
    let mut why = Vec::new();
    if let Some((system, timeline)) = control::server_identity(&mut conn).await?
        && (known.system_identifier.as_deref(), known.timeline) != (Some(system.as_str()), Some(timeline))
    {
        if known.system_identifier.as_deref().is_some_and(|s| s != system) {
            why.push("the database server is another than before (restored or copied)".to_owned());
        } else if known.timeline.is_some_and(|t| t != timeline) {
            why.push("the database server was promoted or recovered to an earlier moment".to_owned());
        }
        // Noted only with the brake on: whoever is killed in between finds the difference again.
        if !why.is_empty() {
            drop(conn);
            put_on(pool, ids, &known, &why, now).await?;
            conn = pool.acquire().await?;
        }
        control::note_identity(&mut conn, &system, timeline).await?;
    }
    if let Some(folder) = memory {
        let forgotten = recover::forgotten(&mut conn, folder, &known, Extent::End).await?;
        if let (Some(first), Some(last)) = (forgotten.first(), forgotten.last()) {
            why.push(format!(
                "the database is behind: of what this machine sent from {} to {} it does not know {} messages or more",
                first.at.format("%Y-%m-%d %H:%M:%S UTC"),
                last.at.format("%Y-%m-%d %H:%M:%S UTC"),
                forgotten.len()
            ));
        }
    }
    let bound = mode != Mode::Live || bind(&mut conn, &known).await?;
    if !bound {
        why.push(
            "live mode is bound to another database than this copy; `kith brake off --live` binds it here"
                .to_owned(),
        );
    }
    drop(conn);
    if !why.is_empty() {
        put_on(pool, ids, &known, &why, now).await?;
    }
    Ok(bound)
}

async fn bind(conn: &mut sqlx::PgConnection, known: &Control) -> Result<bool> {
    if known.live_database_id.is_none() {
        control::bind_live(conn).await?;
    }
    Ok(known
        .live_database_id
        .is_none_or(|bound| bound == known.database_id))
}

/// Puts the brake on. One that is on already, for whatever reason, is told of this one too, once: who takes it off must know.
async fn put_on(
    pool: &PgPool,
    ids: &IdSource,
    known: &Control,
    why: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    let before = known.brake_reason.as_deref().filter(|_| known.brake);
    let new = why
        .iter()
        .map(String::as_str)
        .filter(|one| !before.is_some_and(|told| told.contains(one)));
    let new: Vec<&str> = new.collect();
    if known.brake && new.is_empty() {
        return Ok(());
    }
    let reason = before.into_iter().chain(new).collect::<Vec<_>>().join("; ");
    let reason = reason.as_str();
    let order = Order {
        on: true,
        reason,
        by: "kith",
        live: false,
    };
    brake::set(pool, ids, order, now).await?;
    tracing::error!(
        reason,
        "the brake is on: `kith recover` lists what may have been sent, `kith brake off` lifts it"
    );
    Ok(())
}
