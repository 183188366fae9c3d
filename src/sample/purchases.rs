//! What the customers bought, and when.

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::accounts::{Account, Silence, Standing};
use super::pyramid::Brought;
use super::rng::Rng;
use super::rows::PurchaseRow;

/// Product and its price in yuan.
pub(super) const PRODUCTS: &[(&str, i64)] = &[
    ("Label pack", 45),
    ("Cleaning kit", 120),
    ("Support month", 280),
    ("User licence", 680),
    ("Training day", 2_400),
    ("Warehouse module", 5_800),
    ("On-site set-up", 9_600),
];
/// The first day of the base period, in days before the start; a little less than a year, so that no reading of
/// "the last twelve months" loses one.
const FIRST_DAY: i64 = 360;

/// How a customer of a tier buys.
struct Habit {
    /// Purchases in the year, from and to.
    times: (i64, i64),
    /// One of them lies between so many days before the start, so that nobody falls silent by chance.
    lately: (i64, i64),
}

/// Per tier, from the top down.
const HABITS: [Habit; 4] = [
    Habit {
        times: (14, 30),
        lately: (3, 60),
    },
    Habit {
        times: (6, 16),
        lately: (3, 75),
    },
    Habit {
        times: (3, 9),
        lately: (2, FIRST_DAY),
    },
    Habit {
        times: (1, 4),
        lately: (2, FIRST_DAY),
    },
];

/// Makes the purchases of every customer, in order of time.
pub(super) fn made(seed: u64, accounts: &[Account], start: NaiveDate, zone: Tz) -> Vec<PurchaseRow> {
    let mut shop = Shop {
        rng: Rng::stream(seed, "purchases"),
        start,
        zone,
        rows: Vec::new(),
    };
    for account in accounts {
        match account.standing {
            Standing::Customer {
                tier,
                brought,
                silence,
            } => {
                shop.year(account, &HABITS[tier], brought, silence);
            }
            Standing::Inactive => shop.once_long_ago(account),
            Standing::Prospect | Standing::Suspect => {}
        }
    }
    let mut rows = shop.rows;
    // Stable: what falls on one instant keeps the order of the accounts.
    rows.sort_by_key(|row| row.purchased_at);
    for (place, row) in rows.iter_mut().enumerate() {
        row.external_id = format!("p-{:06}", place + 1);
    }
    rows
}

struct Shop {
    rng: Rng,
    start: NaiveDate,
    zone: Tz,
    rows: Vec<PurchaseRow>,
}

impl Shop {
    fn year(&mut self, account: &Account, habit: &Habit, brought: Brought, silence: Silence) {
        let rng = &mut self.rng;
        // Nobody orders for a handful of yuan each time: at most one purchase for every 40.
        let times = rng
            .between(habit.times.0, habit.times.1)
            .min(brought.revenue / 40)
            .max(1);
        let (from, to) = match silence {
            Silence::None => habit.lately,
            Silence::Soon => (150, 172),
            Silence::Long => (216, 300),
        };
        let one = rng.between(from, to);
        let newest = if silence == Silence::None { 2 } else { one };
        let amounts = parts(rng, brought.revenue * 100, times);
        let mut profit_left = brought.profit_fen;
        for (place, amount) in amounts.iter().enumerate() {
            let day = if place == 0 {
                one
            } else {
                self.rng.between(newest, FIRST_DAY)
            };
            let profit = if place + 1 == amounts.len() {
                profit_left
            } else {
                (i128::from(brought.profit_fen) * i128::from(*amount) / i128::from(brought.revenue * 100))
                    as i64
            };
            profit_left -= profit;
            self.sell(account, day, *amount, profit);
        }
    }

    fn once_long_ago(&mut self, account: &Account) {
        let day = self.rng.between(400, 1_100);
        let amount = self.rng.between(120, 9_000) * 100;
        self.sell(account, day, amount, amount / 5);
    }

    fn sell(&mut self, account: &Account, days_before: i64, amount: i64, profit: i64) {
        let rng = &mut self.rng;
        // A product fits when the amount buys between one and some forty pieces of it.
        let fitting: Vec<_> = PRODUCTS
            .iter()
            .filter(|(_, price)| price * 90 <= amount && amount <= price * 4_000)
            .collect();
        let &&(product, price) = if fitting.is_empty() {
            &&PRODUCTS[0]
        } else {
            rng.pick(&fitting)
        };
        let minutes = rng.between(9 * 60, 17 * 60 + 55);
        let day = self.start - TimeDelta::days(days_before);
        self.rows.push(PurchaseRow {
            external_id: String::new(),
            contact: rng.pick(&account.contacts).clone(),
            organisation: account.organisation.clone(),
            purchased_at: at(day, minutes, self.zone),
            amount: Decimal::new(amount, 2),
            currency: "CNY",
            quantity: ((amount + price * 50) / (price * 100)).max(1) as u32,
            profit: Decimal::new(profit, 2),
            product,
        });
    }
}

/// An instant of the working day. Where clocks jump, which no zone does by day, it is read as UTC.
fn at(day: NaiveDate, minutes: i64, zone: Tz) -> DateTime<Tz> {
    let local = day.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(minutes);
    zone.from_local_datetime(&local)
        .earliest()
        .unwrap_or_else(|| zone.from_utc_datetime(&local))
}

/// Cuts a sum of fen into `count` parts of unequal size, round to ten fen but for one.
fn parts(rng: &mut Rng, sum: i64, count: i64) -> Vec<i64> {
    let weights: Vec<i64> = (0..count).map(|_| rng.between(3, 20)).collect();
    let whole: i64 = weights.iter().sum();
    let mut parts: Vec<i64> = weights
        .iter()
        .map(|weight| sum * weight / whole / 10 * 10)
        .collect();
    parts[0] += sum - parts.iter().sum::<i64>();
    parts
}
