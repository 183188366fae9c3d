//! Sweep: the work of the dead goes to the living, what was parked comes back, partitions are made ahead and dropped when
//! they are old.

use anyhow::Result;
use chrono::{DateTime, Datelike as _, NaiveTime, Utc};
use sqlx::{Connection as _, PgConnection};

use super::{Deps, Summary, ingest, uncertain};
use crate::config::runtime::Kept;
use crate::domain::cadence::Class;
use crate::domain::gate_rules::Uncertain;
use crate::store::partition::History;
use crate::store::{audience_change, body, daemon, event, outcome, partition};

/// How many rows of a kind one pass takes away.
const BATCH: i64 = 1000;
/// Of changes of facts: narrow rows, of which an import makes a million.
const CHANGES: i64 = 50_000;
/// Of keys of events: narrow rows too, one for each that came in.
const KEYS: i64 = 10_000;

/// Buries dead incarnations and takes over what they had: claims go back, crossings become uncertain. What they had is looked for
/// in the whole queue, so only while somebody may have left something.
pub async fn inherit(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let dead_after = deps.settings.lease.dead_after.length().num_milliseconds() as f64 / 1000.0;
    let mut conn = deps.pool.acquire().await?;
    if !daemon::leaves_work(&mut conn, dead_after).await? {
        return Ok(Summary::default());
    }
    let mut tx = conn.begin().await?;
    let dead = daemon::bury(&mut tx, dead_after).await?;
    let claims = daemon::inherit_claims(&mut tx, now).await?;
    let crossings = daemon::inherit_crossings(&mut tx, now).await?;
    if claims == 0 && crossings.is_empty() {
        daemon::inherited(&mut tx).await?;
    }
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
    let known = event::settled_before(&mut conn, BATCH).await?;
    summary.done += event::settle_accepted(&mut conn, &known, "settled by what came back", now).await?;
    // Before anything is tried once more: what this host knows need not be guessed.
    summary.done += uncertain::consult_trail(deps, &mut conn, now).await?;
    let rules = deps.rules();
    for class in Class::ALL {
        if let Uncertain::RetryAfter(patience) = rules.gate.uncertain.of(class) {
            let before = now - patience.length();
            summary.done += outcome::retry_uncertain(&mut conn, class.number(), before, now).await?;
        }
    }
    uncertain::watch(deps, &mut conn, now).await?;
    summary.done += body::forget(&mut conn, now, BATCH).await?;
    summary.done += audience_change::trim(&mut conn, CHANGES).await?;
    partition::ensure(&mut conn, now).await?;
    summary.done += drop_old(deps, &mut conn, now).await?;
    summary.done += forget_keys(deps, &mut conn, now).await?;
    Ok(summary)
}

/// Drops months of history that are older than is kept, one of each kind at a time.
async fn drop_old(deps: &Deps, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    let keep = deps.settings.keep;
    let mut dropped = 0;
    for (history, kept) in [
        (History::Message, keep.message),
        (History::Decision, keep.decision),
        (History::Event, keep.event),
    ] {
        let Kept::For(span) = kept else { continue };
        match partition::drop_oldest(conn, history, now - span.length()).await {
            Ok(Some(partition)) => {
                tracing::info!(partition, "a month of history was dropped");
                dropped += 1;
            }
            Ok(None) => {}
            // Somebody reads it, or a backup runs: the next pass is soon enough.
            Err(error) => tracing::warn!(%error, ?history, "old history could not be dropped"),
        }
    }
    Ok(dropped)
}

/// Forgets by which keys events of dropped months were known: what comes again after so long is new.
async fn forget_keys(deps: &Deps, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    let Kept::For(span) = deps.settings.keep.event else {
        return Ok(0);
    };
    let until = (now - span.length()).date_naive();
    let month = until.with_day(1).unwrap_or(until).and_time(NaiveTime::MIN);
    Ok(event::forget_keys(conn, month.and_utc(), KEYS).await?)
}
