//! Sweep: the work of the dead goes to the living, what was parked comes back, partitions are made ahead.

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{Deps, Summary, ingest};
use crate::domain::cadence::Class;
use crate::domain::gate_rules::Uncertain;
use crate::store::{daemon, outcome, partition};

/// Buries dead incarnations and takes over what they had: claims go back, crossings become uncertain.
pub async fn inherit(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let mut tx = deps.pool.begin().await?;
    let dead_after = deps.settings.lease.dead_after.length().num_milliseconds() as f64 / 1000.0;
    let dead = daemon::bury(&mut tx, dead_after).await?;
    let claims = daemon::inherit_claims(&mut tx).await?;
    let crossings = daemon::inherit_crossings(&mut tx, now).await?;
    tx.commit().await?;
    if !dead.is_empty() || claims > 0 || !crossings.is_empty() {
        tracing::warn!(
            dead = dead.len(),
            claims,
            uncertain = crossings.len(),
            "took over the work of a dead daemon"
        );
        metrics::counter!("kith_uncertain_total").increment(crossings.len() as u64);
    }
    Ok(Summary {
        done: claims + crossings.len() as u64,
        more: false,
    })
}

/// Everything that has to be tidied now and then.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let mut summary = inherit(deps, now).await?;
    summary.done += ingest::unpark(deps, now).await?.done;
    summary.done += ingest::give_up_parked(deps, now).await?.done;
    let mut conn = deps.pool.acquire().await?;
    let rules = deps.rules();
    for class in Class::ALL {
        if let Uncertain::RetryAfter(patience) = rules.gate.uncertain.of(class) {
            let before = now - patience.length();
            summary.done += outcome::retry_uncertain(&mut conn, class.number(), before, now).await?;
        }
    }
    partition::ensure(&mut conn, now).await?;
    Ok(summary)
}
