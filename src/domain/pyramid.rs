//! The pyramid report: what each tier of customers brings and costs.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;

use super::tier::{Standing, Tier};

/// One account in the period of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountRecord {
    /// Where it stands.
    pub standing: Standing,
    /// What it bought in the period.
    pub revenue: Decimal,
    /// The profit on that.
    pub profit: Decimal,
    /// What was spent on it (care, sales, service), where that is recorded.
    pub spent: Option<Decimal>,
}

/// The figures of one tier, or of all customers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PyramidRow {
    /// The tier; `None` = all customers.
    pub tier: Option<Tier>,
    /// How many customers.
    pub customers: usize,
    /// Their share of the number, in whole percent; the shares of the tiers sum to 100.
    pub share: u32,
    /// What they bought.
    pub revenue: Decimal,
    /// Their share of the revenue, in whole percent; the shares of the tiers sum to 100.
    pub revenue_share: u32,
    /// The profit on that.
    pub profit: Decimal,
    /// Revenue per customer.
    pub revenue_each: Option<Decimal>,
    /// Profit per customer.
    pub profit_each: Option<Decimal>,
    /// Profit over what was spent on these customers, as a ratio; `None` where nothing is recorded as spent.
    pub return_on_spent: Option<Decimal>,
    /// Profit over all cost (revenue less profit), as a ratio.
    pub return_on_cost: Option<Decimal>,
}

/// The report. Money is in one currency; the period is the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PyramidReport {
    /// VIP to small.
    pub tiers: Vec<PyramidRow>,
    /// Cost of the company that no customer carries, a row of its own: it makes the profits of the tiers and that of
    /// the whole agree.
    pub unallocated_cost: Decimal,
    /// All customers, after the unallocated cost.
    pub all: PyramidRow,
    /// Bought once, not in the period.
    pub inactive: usize,
    /// Never bought.
    pub prospects: usize,
    /// Never bought, unqualified.
    pub suspects: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    customers: usize,
    revenue: Decimal,
    profit: Decimal,
    spent: Option<Decimal>,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.customers += other.customers;
        self.revenue += other.revenue;
        self.profit += other.profit;
        self.spent = match (self.spent, other.spent) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }

    fn row(&self, tier: Option<Tier>, share: u32, revenue_share: u32) -> PyramidRow {
        let each = |sum: Decimal| sum.checked_div(Decimal::from(self.customers));
        PyramidRow {
            tier,
            customers: self.customers,
            share,
            revenue: self.revenue,
            revenue_share,
            profit: self.profit,
            revenue_each: each(self.revenue),
            profit_each: each(self.profit),
            return_on_spent: self.spent.and_then(|spent| self.profit.checked_div(spent)),
            return_on_cost: self.profit.checked_div(self.revenue - self.profit),
        }
    }
}

impl PyramidReport {
    /// Adds the records up.
    pub fn build(records: impl IntoIterator<Item = AccountRecord>, unallocated_cost: Decimal) -> Self {
        let mut sums = [Sum::default(); 4];
        let mut below = [0; 3];
        for record in records {
            match record.standing {
                Standing::Customer(tier) => sums[tier as usize].add(&Sum {
                    customers: 1,
                    revenue: record.revenue,
                    profit: record.profit,
                    spent: record.spent,
                }),
                Standing::Inactive => below[0] += 1,
                Standing::Prospect => below[1] += 1,
                Standing::Suspect => below[2] += 1,
            }
        }
        let mut whole = Sum::default();
        for sum in &sums {
            whole.add(sum);
        }
        whole.profit -= unallocated_cost;
        let shares = percents(&sums.map(|sum| Decimal::from(sum.customers)));
        let revenue_shares = percents(&sums.map(|sum| sum.revenue));
        let row = |tier: Tier| {
            sums[tier as usize].row(Some(tier), shares[tier as usize], revenue_shares[tier as usize])
        };
        Self {
            tiers: Tier::ALL.map(row).to_vec(),
            unallocated_cost,
            all: whole.row(None, shares.iter().sum(), revenue_shares.iter().sum()),
            inactive: below[0],
            prospects: below[1],
            suspects: below[2],
        }
    }
}

/// Whole percents that sum to 100: rounded down, and the points left over go to the largest remainders (of equal ones
/// to the first). All zero when there is nothing to share.
fn percents(parts: &[Decimal; 4]) -> [u32; 4] {
    let whole: Decimal = parts.iter().sum();
    let Some(exact) = exact_percents(parts, whole) else {
        return [0; 4];
    };
    let mut rounded = exact.map(|p| p.floor().to_u32().unwrap_or(0));
    let left = 100u32.saturating_sub(rounded.iter().sum());
    let mut order = [0, 1, 2, 3];
    order.sort_by_key(|i| std::cmp::Reverse(exact[*i] - exact[*i].floor()));
    for i in order.into_iter().take(left as usize) {
        rounded[i] += 1;
    }
    rounded
}

fn exact_percents(parts: &[Decimal; 4], whole: Decimal) -> Option<[Decimal; 4]> {
    if whole <= Decimal::ZERO || parts.iter().any(|part| *part < Decimal::ZERO) {
        return None;
    }
    Some(parts.map(|part| part * Decimal::ONE_HUNDRED / whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Boundaries;

    fn dec(n: i64) -> Decimal {
        Decimal::from(n)
    }

    /// Customers of the worked case: number, revenue, profit and money spent each.
    fn case(numbers: [usize; 4]) -> Vec<AccountRecord> {
        let held = Boundaries::new(dec(58_900), dec(19_000), dec(4_820)).unwrap();
        let each = [
            (114_000, 45_600, 40_000),
            (31_600, 9_480, 6_820),
            (9_100, 1_820, 2_459),
            (1_160, -522, 985),
        ];
        let mut records = Vec::new();
        for (number, (revenue, profit, spent)) in numbers.into_iter().zip(each) {
            let standing = Standing::of(dec(revenue), true, true, &held);
            let record = AccountRecord {
                standing,
                revenue: dec(revenue),
                profit: dec(profit),
                spent: Some(dec(spent)),
            };
            records.extend(std::iter::repeat_n(record, number));
        }
        let none = |standing| AccountRecord {
            standing,
            revenue: dec(0),
            profit: dec(0),
            spent: None,
        };
        records.extend(std::iter::repeat_n(none(Standing::Inactive), 154));
        records.extend(std::iter::repeat_n(none(Standing::Prospect), 250));
        records.extend(std::iter::repeat_n(none(Standing::Suspect), 1000));
        records
    }

    fn percent(ratio: Option<Decimal>) -> i64 {
        (ratio.unwrap() * Decimal::ONE_HUNDRED).round().to_i64().unwrap()
    }

    #[test]
    fn the_worked_case_comes_out() {
        let report = PyramidReport::build(case([21, 85, 319, 1701]), dec(606_058));
        let row = |i: usize| {
            let r = &report.tiers[i];
            let each = |d: Option<Decimal>| d.unwrap().to_i64().unwrap();
            (
                (r.customers, r.share, r.revenue.to_i64().unwrap(), r.revenue_share),
                (
                    each(r.revenue_each),
                    each(r.profit_each),
                    percent(r.return_on_spent),
                ),
            )
        };
        assert_eq!(row(0), ((21, 1, 2_394_000, 24), (114_000, 45_600, 114)));
        assert_eq!(row(1), ((85, 4, 2_686_000, 27), (31_600, 9_480, 139)));
        assert_eq!(row(2), ((319, 15, 2_902_900, 29), (9_100, 1_820, 74)));
        assert_eq!(row(3), ((1701, 80, 1_973_160, 20), (1_160, -522, -53)));
        assert_eq!(
            (report.all.customers, report.all.share, report.all.revenue_share),
            (2126, 100, 100)
        );
        assert_eq!(report.all.revenue, dec(9_956_060));
        assert_eq!(
            report.tiers.iter().map(|r| r.profit).sum::<Decimal>(),
            dec(1_456_058)
        );
        assert_eq!(report.all.profit, dec(850_000));
        assert_eq!(report.all.profit_each.unwrap().floor(), dec(399));
        assert_eq!(percent(report.all.return_on_cost), 9);
        assert_eq!(
            (report.inactive, report.prospects, report.suspects),
            (154, 250, 1000)
        );
    }

    #[test]
    fn the_second_year_exists_against_held_boundaries() {
        let first = PyramidReport::build(case([21, 85, 319, 1701]), dec(606_058));
        let second = PyramidReport::build(case([29, 95, 337, 1665]), dec(599_902));
        let grown: Vec<i64> = first
            .tiers
            .iter()
            .zip(&second.tiers)
            .map(|(a, b)| b.customers as i64 - a.customers as i64)
            .collect();
        assert_eq!(grown, [8, 10, 18, -36]);
        assert_eq!(second.all.customers, 2126);
        assert_eq!(second.all.revenue, dec(11_306_100));
        assert_eq!(second.all.profit, dec(1_367_308));
        let growth = |a: Decimal, b: Decimal| ((b - a) * dec(1000) / a).round().to_i64().unwrap();
        assert_eq!(growth(first.all.revenue, second.all.revenue), 136);
        assert_eq!(growth(first.all.profit, second.all.profit), 609);
    }

    #[test]
    fn nothing_to_share_is_no_division_by_zero() {
        let report = PyramidReport::build([], dec(0));
        assert_eq!(report.all.share, 0);
        assert_eq!(report.all.revenue_each, None);
        assert_eq!(report.tiers[0].return_on_cost, None);
        assert_eq!(percents(&[dec(1), dec(1), dec(1), dec(0)]), [34, 33, 33, 0]);
    }
}
