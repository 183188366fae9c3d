//! The pyramid: what each tier brought in the base period, by the boundaries held since, and who moved.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;

use crate::domain::pyramid::{AccountRecord, PyramidReport};
use crate::domain::retention::RetentionRules;
use crate::domain::tier::{Boundaries, Standing, Tier, cut_by_share};
use crate::store::report::{self, Bought, Count, Idle};
use crate::store::standing;

/// Most names in a list of movers.
const NAMED: usize = 20;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pyramid {
    /// The base period; absent while nobody has bought.
    pub base: Option<BaseHead>,
    /// The tiers in the base period.
    pub period: PyramidReport,
    /// Accounts by where they stand now, the highest first.
    pub now: Vec<Count>,
    /// From the standing in the base period to that of now, where they differ.
    pub movement: Vec<Movement>,
    /// Customers who went up, the biggest of the base period first.
    pub up: Vec<Mover>,
    /// Customers who went down, the biggest of the base period first.
    pub down: Vec<Mover>,
}

/// The base period and its boundaries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseHead {
    /// Start.
    pub from: DateTime<Utc>,
    /// End.
    pub until: DateTime<Utc>,
    /// VIP over this amount.
    pub vip_over: Decimal,
    /// Key over this amount.
    pub key_over: Decimal,
    /// Normal over this amount.
    pub normal_over: Decimal,
    /// The daemon holds them; else they are what a first cut would give now.
    pub held: bool,
}

/// Accounts that moved between two standings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// In the base period.
    pub before: &'static str,
    /// Now.
    pub after: &'static str,
    /// How many.
    pub accounts: i64,
}

/// A customer who moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mover {
    /// Its name.
    pub account: String,
    /// In the base period.
    pub before: &'static str,
    /// Now.
    pub after: &'static str,
    /// Bought in the base period.
    pub revenue: Decimal,
}

/// Adds it up. Money is in the company's currency.
pub async fn pyramid(conn: &mut PgConnection, rules: &RetentionRules, now: DateTime<Utc>) -> Result<Pyramid> {
    let (from, until, held) = match standing::base(conn).await? {
        Some(base) => {
            let held = Boundaries::new(base.vip_over, base.key_over, base.normal_over)?;
            (base.period_from, base.period_until, Some(held))
        }
        None => (
            now - TimeDelta::days(i64::from(rules.pyramid.period_days)),
            now,
            None,
        ),
    };
    let bought = report::bought(conn, from, until).await?;
    let idle = report::idle(conn, from, until).await?;
    let mut now_by: BTreeMap<Standing, i64> = Standing::ALL.into_iter().map(|s| (s, 0)).collect();
    for count in report::standings(conn).await? {
        now_by.insert(parsed(&count.name)?, count.n);
    }
    let amounts: Vec<Decimal> = bought.iter().map(|b| b.revenue).collect();
    let boundaries = held.or_else(|| cut_by_share(&amounts, &rules.pyramid.shares));
    let mut found = Found::default();
    if let Some(boundaries) = &boundaries {
        for one in &bought {
            found.customer(one, boundaries, rules)?;
        }
    }
    for group in &idle {
        found.idle(group)?;
    }
    Ok(Pyramid {
        base: boundaries.map(|b| BaseHead {
            from,
            until,
            vip_over: b.over(Tier::Vip),
            key_over: b.over(Tier::Key),
            normal_over: b.over(Tier::Normal),
            held: held.is_some(),
        }),
        period: PyramidReport::build(found.records, rules.pyramid.unallocated_cost),
        now: now_by
            .into_iter()
            .map(|(s, n)| Count {
                name: s.as_str().to_owned(),
                n,
            })
            .collect(),
        movement: found
            .movement
            .into_iter()
            .map(|((before, after), accounts)| Movement {
                before: before.as_str(),
                after: after.as_str(),
                accounts,
            })
            .collect(),
        up: found.up,
        down: found.down,
    })
}

#[derive(Default)]
struct Found {
    records: Vec<AccountRecord>,
    movement: BTreeMap<(Standing, Standing), i64>,
    up: Vec<Mover>,
    down: Vec<Mover>,
}

impl Found {
    fn customer(&mut self, one: &Bought, boundaries: &Boundaries, rules: &RetentionRules) -> Result<()> {
        let before = Standing::of(one.revenue, true, true, boundaries);
        let after = parsed(&one.standing)?;
        self.records.push(AccountRecord {
            standing: before,
            revenue: one.revenue,
            profit: one.profit,
            spent: before.tier().and_then(|tier| rules.tier(tier).spent_per_customer),
        });
        if before != after {
            *self.movement.entry((before, after)).or_default() += 1;
            // The highest standing is the smallest.
            let list = if after < before {
                &mut self.up
            } else {
                &mut self.down
            };
            if list.len() < NAMED {
                list.push(Mover {
                    account: one.name.clone(),
                    before: before.as_str(),
                    after: after.as_str(),
                    revenue: one.revenue,
                });
            }
        }
        Ok(())
    }

    fn idle(&mut self, group: &Idle) -> Result<()> {
        let before = match (group.bought_before, group.qualified) {
            (true, _) => Standing::Inactive,
            (false, true) => Standing::Prospect,
            (false, false) => Standing::Suspect,
        };
        let record = AccountRecord {
            standing: before,
            revenue: Decimal::ZERO,
            profit: Decimal::ZERO,
            spent: None,
        };
        let n = usize::try_from(group.accounts).unwrap_or(0);
        self.records.extend(std::iter::repeat_n(record, n));
        let after = parsed(&group.standing)?;
        if before != after {
            *self.movement.entry((before, after)).or_default() += group.accounts;
        }
        Ok(())
    }
}

fn parsed(standing: &str) -> Result<Standing> {
    standing.parse().context("the standing of an account")
}
