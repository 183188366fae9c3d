//! The brake: nothing crosses once it was acknowledged.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;

use crate::domain::id::IdSource;
use crate::store::control;

/// What somebody wants of the brake.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// On or off.
    pub on: bool,
    /// Why, for colleagues.
    pub reason: &'a str,
    /// Who.
    pub by: &'a str,
    /// Live mode is bound to this database from now on.
    pub live: bool,
}

/// Carries it out. When this returns after putting the brake on, every crossing that will ever be has committed, or sees it:
/// the first transaction says so, and the second waits for whoever looked before.
pub async fn set(pool: &PgPool, ids: &IdSource, order: Order<'_>, now: DateTime<Utc>) -> Result<()> {
    let mut tx = pool.begin().await?;
    control::brake(&mut tx, order.on, order.reason, order.by, now).await?;
    if order.live {
        control::bind_live(&mut tx).await?;
    }
    let verb = if order.on { "brake on" } else { "brake off" };
    let after = json!({ "reason": order.reason, "live": order.live });
    control::audit(
        &mut tx,
        ids.next(now),
        now,
        order.by,
        verb,
        "control",
        Some(&after),
    )
    .await?;
    tx.commit().await?;
    if order.on {
        let mut tx = pool.begin().await?;
        control::hold_daemons(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}
