//! The customer pyramid that the sample reproduces: 2,126 customers, revenue 9,956,060, profit of the tiers 1,456,058.

use super::rng::Rng;
use crate::domain::retention::RetentionRules;

/// One tier of the worked case. Money in yuan.
#[derive(Debug, Clone, Copy)]
pub struct TierFigures {
    /// vip, key, normal or small.
    pub name: &'static str,
    /// How many customers.
    pub customers: usize,
    /// Of the whole tier in the base period.
    pub revenue: i64,
    /// Of the whole tier in the base period.
    pub profit: i64,
    /// A customer of the tier has bought for more than this...
    pub over: i64,
    /// ...and for no more than this. The top has no such limit in the case; the sample keeps one.
    pub up_to: i64,
    /// Percent of a purchase that is left before the cost of serving.
    margin: i64,
    /// What serving one customer costs; only the small ones are not served by their margin.
    serving: i64,
    /// Spent in the base period on one customer of the tier, by which the case states the return.
    spent: i64,
}

/// Cost of the company in the base period that the case puts on no tier.
const UNALLOCATED: i64 = 606_058;

/// States the costs of the case in rules that state none: no purchase tells them, only the company knows.
pub fn state_costs(rules: &mut RetentionRules) {
    if rules.pyramid.unallocated_cost.is_zero() {
        rules.pyramid.unallocated_cost = UNALLOCATED.into();
    }
    let tiers = [
        &mut rules.vip,
        &mut rules.key,
        &mut rules.normal,
        &mut rules.small,
    ];
    for (tier, figures) in tiers.into_iter().zip(TIERS) {
        tier.spent_per_customer.get_or_insert(figures.spent.into());
    }
}

/// From the top down.
pub const TIERS: [TierFigures; 4] = [
    TierFigures {
        name: "vip",
        customers: 21,
        revenue: 2_394_000,
        profit: 957_600,
        over: 58_900,
        up_to: 260_000,
        margin: 40,
        serving: 0,
        spent: 40_000,
    },
    TierFigures {
        name: "key",
        customers: 85,
        revenue: 2_686_000,
        profit: 805_800,
        over: 19_000,
        up_to: 58_900,
        margin: 30,
        serving: 0,
        spent: 6_820,
    },
    TierFigures {
        name: "normal",
        customers: 319,
        revenue: 2_902_900,
        profit: 580_580,
        over: 4_820,
        up_to: 19_000,
        margin: 20,
        serving: 0,
        spent: 2_459,
    },
    TierFigures {
        name: "small",
        customers: 1_701,
        revenue: 1_973_160,
        profit: -887_922,
        over: 0,
        up_to: 4_820,
        margin: 25,
        serving: 812,
        spent: 985,
    },
];

/// What one customer brought in the base period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought {
    /// Yuan.
    pub revenue: i64,
    /// Fen (hundredths of a yuan).
    pub profit_fen: i64,
}

impl TierFigures {
    /// Draws what each customer of the tier brought: many near the lower edge, few near the upper one, one exactly
    /// at each edge so that boundaries cut from the records are the case's own, and the sums exact.
    pub(super) fn spread(&self, rng: &mut Rng) -> Vec<Brought> {
        let (low, high) = (self.over + 1, self.up_to);
        let mut revenues: Vec<i64> = (0..self.customers)
            .map(|_| {
                let u = rng.unit();
                // No powf: its last bit differs between platforms, and the files must not.
                low + ((high - low) as f64 * u * u * u.sqrt()) as i64
            })
            .collect();
        revenues[0] = low;
        revenues[1] = high;
        settle(&mut revenues[2..], self.revenue - low - high, low, high);
        rng.shuffle(&mut revenues);

        let mut profits: Vec<i64> = revenues
            .iter()
            .map(|revenue| revenue * (self.margin + rng.between(-5, 5)) - self.serving * 100)
            .collect();
        let missing = self.profit * 100 - profits.iter().sum::<i64>();
        share_out(&mut profits, missing);

        revenues
            .into_iter()
            .zip(profits)
            .map(|(revenue, profit_fen)| Brought { revenue, profit_fen })
            .collect()
    }
}

/// Moves the values until they add up to `sum`, each by its share of the room it has towards the edge.
fn settle(values: &mut [i64], sum: i64, low: i64, high: i64) {
    let missing = sum - values.iter().sum::<i64>();
    let edge = if missing > 0 { high } else { low };
    let room: i64 = values.iter().map(|value| (edge - value).abs()).sum();
    for value in values.iter_mut() {
        *value += missing * (edge - *value).abs() / room;
    }
    // What the divisions dropped is less than one for each value.
    let mut left = sum - values.iter().sum::<i64>();
    for value in values.iter_mut() {
        if left != 0 && *value != edge {
            *value += left.signum();
            left -= left.signum();
        }
    }
}

/// Adds `amount` in equal parts, the odd ones to the first.
fn share_out(values: &mut [i64], amount: i64) {
    let count = values.len() as i64;
    let (each, odd) = (amount.div_euclid(count), amount.rem_euclid(count));
    for (place, value) in values.iter_mut().enumerate() {
        *value += each + i64::from((place as i64) < odd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_the_case() {
        for seed in 0..50 {
            for tier in TIERS {
                let brought = tier.spread(&mut Rng::stream(seed, tier.name));
                assert_eq!(brought.len(), tier.customers);
                assert_eq!(
                    brought.iter().map(|b| b.revenue).sum::<i64>(),
                    tier.revenue,
                    "{}",
                    tier.name
                );
                assert_eq!(
                    brought.iter().map(|b| b.profit_fen).sum::<i64>(),
                    tier.profit * 100
                );
                assert!(
                    brought
                        .iter()
                        .all(|b| b.revenue > tier.over && b.revenue <= tier.up_to)
                );
            }
        }
    }
}
