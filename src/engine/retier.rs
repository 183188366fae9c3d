//! Retier: once a day every customer's standing is set by the held boundaries, and who has been silent too long is lost.

use anyhow::Result;
use chrono::{DateTime, Days, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Deps, Summary};
use crate::domain::tier::{Tier, cut_by_share};
use crate::domain::zone::{day_start, local_date};
use crate::store::control;
use crate::store::standing::{self, Base};

const MARK: &str = "retier";

/// Runs when a day of the company has begun since it last ran.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let mut tx = deps.pool.begin().await?;
    let last = control::mark(&mut tx, MARK).await?;
    let today = day_start(local_date(now, deps.company_zone()), deps.company_zone());
    // In the same transaction: a day whose run fails is not over.
    if last.is_some_and(|at| at >= today) || !control::move_mark(&mut tx, MARK, last, now).await? {
        return Ok(Summary::default());
    }
    let done = retier(deps, &mut tx, now).await?;
    tx.commit().await?;
    Ok(Summary { done, more: false })
}

/// When it runs next.
pub fn next_at(deps: &Deps, now: DateTime<Utc>) -> DateTime<Utc> {
    day_start(
        local_date(now, deps.company_zone()) + Days::new(1),
        deps.company_zone(),
    )
}

/// Sets standings and finds the lost. The first time it cuts the pyramid by share and holds the boundaries from then on.
async fn retier(deps: &Deps, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    let rules = deps.rules();
    let period = TimeDelta::days(i64::from(rules.retention.pyramid.period_days));
    let base = match standing::base(conn).await? {
        Some(base) => Some(base),
        // Nobody bought in the period: there is no pyramid yet, but there may be former customers and prospects.
        None => cut(deps, conn, now, period).await?,
    };
    let mut changed = 0;
    for tier in Tier::ALL {
        let rule = rules.retention.tier(tier);
        let silent_since = now - TimeDelta::days(i64::from(rule.lost_after_days));
        changed += standing::lose(conn, tier.as_str(), silent_since, now)
            .await?
            .len() as u64;
    }
    changed += standing::restand(conn, now, now - period, base.as_ref(), "retier").await?;
    // A customer whose tier has just been found may be lost already.
    for tier in Tier::ALL {
        let rule = rules.retention.tier(tier);
        let silent_since = now - TimeDelta::days(i64::from(rule.lost_after_days));
        changed += standing::lose(conn, tier.as_str(), silent_since, now)
            .await?
            .len() as u64;
    }
    Ok(changed)
}

async fn cut(
    deps: &Deps,
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    period: TimeDelta,
) -> Result<Option<Base>> {
    let from = now - period;
    let amounts: Vec<_> = standing::spent(conn, from, now)
        .await?
        .into_iter()
        .map(|s| s.amount)
        .collect();
    let Some(found) = cut_by_share(&amounts, &deps.rules().retention.pyramid.shares) else {
        return Ok(None);
    };
    let base = Base {
        at: now,
        period_from: from,
        period_until: now,
        vip_over: found.over(Tier::Vip),
        key_over: found.over(Tier::Key),
        normal_over: found.over(Tier::Normal),
    };
    standing::rebase(conn, deps.ids.next(now), &base, "kith").await?;
    Ok(Some(base))
}
