//! Who is there: customers by tier, inactive ones, prospects and suspects, and whether each is a person or a company.

use super::places::{PLACES, Place};
use super::pyramid::{Brought, TIERS};
use super::rng::Rng;

/// Customers who bought before the base period and not in it.
pub const INACTIVE: usize = 154;
/// Accounts with an open lead that never bought.
pub const PROSPECTS: usize = 250;
/// Accounts with neither lead nor purchase.
pub const SUSPECTS: usize = 1_000;

/// Since when a customer has bought nothing, as seen from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Buys as ever.
    None,
    /// Turns half a year within the first weeks.
    Soon,
    /// Seven months and more.
    Long,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Standing {
    Customer {
        tier: usize,
        brought: Brought,
        silence: Silence,
    },
    Inactive,
    Prospect,
    Suspect,
}

/// A customer, prospect or suspect with its people; the ids are filled in when the people are made.
#[derive(Debug)]
pub(super) struct Account {
    pub standing: Standing,
    pub place: &'static Place,
    /// Whether it is a company; otherwise a person alone.
    pub company: bool,
    pub people: usize,
    pub organisation: Option<String>,
    /// External ids, the decision maker first where there is one.
    pub contacts: Vec<String>,
}

/// How many of a standing are companies with three people, and with one; the others are persons alone.
struct Shapes {
    three: usize,
    one: usize,
}

/// Per tier, from the top down.
const CUSTOMER_SHAPES: [Shapes; 4] = [
    Shapes { three: 21, one: 0 },
    Shapes { three: 60, one: 25 },
    Shapes { three: 40, one: 140 },
    Shapes { three: 20, one: 250 },
];
/// Per tier: silent for long, and soon to be.
const SILENT: [(usize, usize); 4] = [(3, 1), (11, 4), (0, 0), (0, 0)];

/// Draws all accounts, in an order that tells nothing about their standing.
pub(super) fn draw(seed: u64) -> Vec<Account> {
    let mut rng = Rng::stream(seed, "accounts");
    let mut accounts = Vec::new();
    for (tier, figures) in TIERS.iter().enumerate() {
        let (long, soon) = SILENT[tier];
        let standings = figures
            .spread(&mut rng)
            .into_iter()
            .enumerate()
            .map(|(place, brought)| {
                let silence = match place {
                    n if n < long => Silence::Long,
                    n if n < long + soon => Silence::Soon,
                    _ => Silence::None,
                };
                Standing::Customer {
                    tier,
                    brought,
                    silence,
                }
            });
        let standings: Vec<_> = standings.collect();
        settle_down(&mut accounts, standings, &CUSTOMER_SHAPES[tier], &mut rng);
    }
    for (standing, count, shapes) in [
        (Standing::Inactive, INACTIVE, Shapes { three: 6, one: 30 }),
        (Standing::Prospect, PROSPECTS, Shapes { three: 60, one: 110 }),
        (Standing::Suspect, SUSPECTS, Shapes { three: 0, one: 220 }),
    ] {
        settle_down(&mut accounts, vec![standing; count], &shapes, &mut rng);
    }
    rng.shuffle(&mut accounts);
    accounts
}

fn settle_down(accounts: &mut Vec<Account>, standings: Vec<Standing>, shapes: &Shapes, rng: &mut Rng) {
    let mut people: Vec<(bool, usize)> = (0..standings.len())
        .map(|n| match n {
            n if n < shapes.three => (true, 3),
            n if n < shapes.three + shapes.one => (true, 1),
            _ => (false, 1),
        })
        .collect();
    rng.shuffle(&mut people);
    for (standing, (company, people)) in standings.into_iter().zip(people) {
        accounts.push(Account {
            standing,
            place: rng.weighted(PLACES),
            company,
            people,
            organisation: None,
            contacts: Vec::new(),
        });
    }
}
