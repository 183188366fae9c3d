//! The customer pyramid's tiers: who is worth how much, by what was bought in a stated period.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::grade::NotInSet;

/// A tier of customers; the highest is the smallest in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The top 1 %.
    Vip,
    /// The next 4 %.
    Key,
    /// The next 15 %.
    Normal,
    /// The other 80 %.
    Small,
}

impl Tier {
    /// All four, the highest first.
    pub const ALL: [Self; 4] = [Self::Vip, Self::Key, Self::Normal, Self::Small];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vip => "vip",
            Self::Key => "key",
            Self::Normal => "normal",
            Self::Small => "small",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        let tier = Self::ALL.into_iter().find(|tier| tier.as_str() == text);
        tier.ok_or_else(|| NotInSet::new("tier", text, "vip, key, normal or small"))
    }
}

/// Where an account stands: in a tier, or below the customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Standing {
    /// Bought in the period.
    Customer(Tier),
    /// Bought once, not in the period.
    Inactive,
    /// Never bought.
    Prospect,
    /// Never bought, and nobody has looked whether it is a prospect at all.
    Suspect,
}

impl Standing {
    /// All seven, the highest first.
    pub const ALL: [Self; 7] = [
        Self::Customer(Tier::Vip),
        Self::Customer(Tier::Key),
        Self::Customer(Tier::Normal),
        Self::Customer(Tier::Small),
        Self::Inactive,
        Self::Prospect,
        Self::Suspect,
    ];

    /// Where an account stands that bought for `amount` in the period. Whether a purchase was ever recorded is the
    /// one test between customers and prospects.
    pub fn of(amount: Decimal, ever_bought: bool, qualified: bool, boundaries: &Boundaries) -> Self {
        match boundaries.tier_of(amount) {
            Some(tier) => Self::Customer(tier),
            None if ever_bought => Self::Inactive,
            None if qualified => Self::Prospect,
            None => Self::Suspect,
        }
    }

    /// The tier, for customers.
    pub fn tier(self) -> Option<Tier> {
        match self {
            Self::Customer(tier) => Some(tier),
            _ => None,
        }
    }

    /// The text form: the tier's, or `inactive`, `prospect`, `suspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer(tier) => tier.as_str(),
            Self::Inactive => "inactive",
            Self::Prospect => "prospect",
            Self::Suspect => "suspect",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Standing {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        let allowed = "vip, key, normal, small, inactive, prospect or suspect";
        let standing = Self::ALL.into_iter().find(|standing| standing.as_str() == text);
        standing.ok_or_else(|| NotInSet::new("standing", text, allowed))
    }
}

impl From<Standing> for &'static str {
    fn from(standing: Standing) -> Self {
        standing.as_str()
    }
}

impl TryFrom<String> for Standing {
    type Error = NotInSet;

    fn try_from(text: String) -> Result<Self, NotInSet> {
        text.parse()
    }
}

/// The share of customers in each of the upper tiers, in percent; the rest is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// VIP.
    pub vip: Decimal,
    /// Key.
    pub key: Decimal,
    /// Normal.
    pub normal: Decimal,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            vip: Decimal::ONE,
            key: Decimal::from(4),
            normal: Decimal::from(15),
        }
    }
}

/// Shares or boundaries that make no pyramid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PyramidError {
    /// A share is negative, or they are more than the whole.
    #[error("shares must not be negative and must not sum to more than 100 %")]
    Shares,
    /// Boundaries do not sink.
    #[error("boundaries must sink from vip to normal and not be negative")]
    Boundaries,
}

impl Shares {
    /// Whether they make a pyramid.
    pub fn check(&self) -> Result<(), PyramidError> {
        let parts = [self.vip, self.key, self.normal];
        let whole: Decimal = parts.iter().sum();
        if parts.iter().any(Decimal::is_sign_negative) || whole > Decimal::ONE_HUNDRED {
            return Err(PyramidError::Shares);
        }
        Ok(())
    }
}

/// The amounts between tiers, held from the period in which they were cut. An amount belongs to the upper tier when it
/// is *over* the boundary ("over 58,900" is VIP; 58,900 itself closes the band of key, 19,000-58,900).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundaries {
    vip: Decimal,
    key: Decimal,
    normal: Decimal,
}

impl Boundaries {
    /// Boundaries as stated.
    pub fn new(vip_over: Decimal, key_over: Decimal, normal_over: Decimal) -> Result<Self, PyramidError> {
        let sink = vip_over >= key_over && key_over >= normal_over && normal_over >= Decimal::ZERO;
        sink.then_some(Self {
            vip: vip_over,
            key: key_over,
            normal: normal_over,
        })
        .ok_or(PyramidError::Boundaries)
    }

    /// The amount over which `tier` begins; for small that is nothing.
    pub fn over(&self, tier: Tier) -> Decimal {
        match tier {
            Tier::Vip => self.vip,
            Tier::Key => self.key,
            Tier::Normal => self.normal,
            Tier::Small => Decimal::ZERO,
        }
    }

    /// The tier of an amount; `None` when nothing was bought.
    pub fn tier_of(&self, amount: Decimal) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| amount > self.over(*tier))
    }
}

/// Cuts customers by share of their number, once, in a base period: cumulative shares, rounded down; who has the same
/// amount as the last one of a tier goes up with him. Amounts of zero and less are no customers of the period.
/// `None` when nobody bought.
pub fn cut_by_share(amounts: &[Decimal], shares: &Shares) -> Option<Boundaries> {
    let mut amounts: Vec<Decimal> = amounts.iter().copied().filter(|a| *a > Decimal::ZERO).collect();
    amounts.sort_unstable_by(|a, b| b.cmp(a));
    let highest = *amounts.first()?;
    let boundary = |share: Decimal| {
        let count = (Decimal::from(amounts.len()) * share / Decimal::ONE_HUNDRED)
            .floor()
            .to_usize()
            .unwrap_or(0);
        let Some(last_in) = count.min(amounts.len()).checked_sub(1).map(|last| amounts[last]) else {
            return highest;
        };
        amounts
            .iter()
            .copied()
            .find(|a| *a < last_in)
            .unwrap_or(Decimal::ZERO)
    };
    Some(Boundaries {
        vip: boundary(shares.vip),
        key: boundary(shares.vip + shares.key),
        normal: boundary(shares.vip + shares.key + shares.normal),
    })
}

/// From and to; `None` = not known at that date.
pub type Way = (Option<Standing>, Option<Standing>);

/// Who moved from where to where between two dates, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement<K> {
    /// Those who went each way, the ones who stayed too.
    pub cells: BTreeMap<Way, Vec<K>>,
}

/// Compares two dates; the boundaries must be the same on both.
pub fn movement<K: Ord + Clone>(
    before: &BTreeMap<K, Standing>,
    after: &BTreeMap<K, Standing>,
) -> Movement<K> {
    let mut cells: BTreeMap<_, Vec<K>> = BTreeMap::new();
    for (who, from) in before {
        cells
            .entry((Some(*from), after.get(who).copied()))
            .or_default()
            .push(who.clone());
    }
    for (who, to) in after.iter().filter(|(who, _)| !before.contains_key(who)) {
        cells.entry((None, Some(*to))).or_default().push(who.clone());
    }
    Movement { cells }
}

impl<K> Movement<K> {
    /// How many went from `from` to `to`.
    pub fn count(&self, from: Standing, to: Standing) -> usize {
        self.cells.get(&(Some(from), Some(to))).map_or(0, Vec::len)
    }

    /// How many more (or fewer) stand at `standing` after than before.
    pub fn net(&self, standing: Standing) -> i64 {
        let here = Some(standing);
        let change = |((from, to), who): (&Way, &Vec<K>)| {
            (i64::from(*to == here) - i64::from(*from == here)) * who.len() as i64
        };
        self.cells.iter().map(change).sum()
    }

    /// Who went up.
    pub fn up(&self) -> impl Iterator<Item = &K> {
        self.cells
            .iter()
            .filter(|((from, to), _)| matches!((from, to), (Some(f), Some(t)) if t < f))
            .flat_map(|c| c.1)
    }

    /// Who went down.
    pub fn down(&self) -> impl Iterator<Item = &K> {
        self.cells
            .iter()
            .filter(|((from, to), _)| matches!((from, to), (Some(f), Some(t)) if t > f))
            .flat_map(|c| c.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(n: i64) -> Decimal {
        Decimal::from(n)
    }

    fn counts(amounts: &[Decimal], cut: &Boundaries) -> [usize; 4] {
        Tier::ALL.map(|tier| amounts.iter().filter(|a| cut.tier_of(**a) == Some(tier)).count())
    }

    #[test]
    fn shares_of_2126_customers_are_21_85_319_1701_and_of_1000_are_10_40_150_800() {
        for (n, want) in [(2126, [21, 85, 319, 1701]), (1000, [10, 40, 150, 800])] {
            let amounts: Vec<_> = (1..=n).map(dec).collect();
            let cut = cut_by_share(&amounts, &Shares::default()).unwrap();
            assert_eq!(counts(&amounts, &cut), want);
        }
    }

    #[test]
    fn ties_go_up_together_and_nobody_is_vip_of_a_few() {
        let amounts: Vec<_> = [100, 90, 90, 90, 50]
            .into_iter()
            .chain([1; 15])
            .map(dec)
            .collect();
        let shares = Shares {
            vip: dec(10),
            key: dec(10),
            normal: dec(10),
        };
        let cut = cut_by_share(&amounts, &shares).unwrap();
        // Two of twenty are VIP; the second has 90, and so have the third and fourth. The fourth of key is one of
        // them; the sixth, the last normal one, has 1, and with him everybody.
        assert_eq!(counts(&amounts, &cut), [4, 0, 16, 0]);
        let few: Vec<_> = [30, 20, 10].map(dec).to_vec();
        assert_eq!(
            counts(&few, &cut_by_share(&few, &Shares::default()).unwrap()),
            [0, 0, 0, 3]
        );
        assert_eq!(cut_by_share(&[dec(0)], &Shares::default()), None);
    }

    #[test]
    fn held_boundaries_are_over_and_not_at() {
        let held = Boundaries::new(dec(58_900), dec(19_000), dec(4_820)).unwrap();
        for (amount, tier) in [
            (58_901, Some(Tier::Vip)),
            (58_900, Some(Tier::Key)),
            (19_000, Some(Tier::Normal)),
            (4_820, Some(Tier::Small)),
            (1, Some(Tier::Small)),
            (0, None),
        ] {
            assert_eq!(held.tier_of(dec(amount)), tier, "{amount}");
        }
        assert!(Boundaries::new(dec(1), dec(2), dec(0)).is_err());
        assert_eq!(Standing::of(dec(0), true, true, &held), Standing::Inactive);
        assert_eq!(Standing::of(dec(0), false, true, &held), Standing::Prospect);
        assert_eq!(Standing::of(dec(0), false, false, &held), Standing::Suspect);
    }

    #[test]
    fn movement_names_who_went_where() {
        use Standing::{Customer, Inactive};
        let before = BTreeMap::from([
            ("a", Customer(Tier::Small)),
            ("b", Customer(Tier::Key)),
            ("c", Inactive),
        ]);
        let after = BTreeMap::from([
            ("a", Customer(Tier::Normal)),
            ("b", Customer(Tier::Small)),
            ("c", Inactive),
            ("d", Customer(Tier::Small)),
        ]);
        let moved = movement(&before, &after);
        assert_eq!(moved.count(Customer(Tier::Small), Customer(Tier::Normal)), 1);
        assert_eq!(moved.up().collect::<Vec<_>>(), [&"a"]);
        assert_eq!(moved.down().collect::<Vec<_>>(), [&"b"]);
        assert_eq!(moved.net(Customer(Tier::Small)), 1);
        assert_eq!(moved.net(Inactive), 0);
        assert_eq!(moved.cells[&(None, Some(Customer(Tier::Small)))], ["d"]);
    }

    #[test]
    fn words_read_back() {
        for standing in Standing::ALL {
            assert_eq!(standing.as_str().parse(), Ok(standing));
            let json = serde_json::to_string(&standing).unwrap();
            assert_eq!(serde_json::from_str::<Standing>(&json).unwrap(), standing);
        }
        assert!("VIP".parse::<Tier>().is_err());
        assert!(
            Shares {
                vip: dec(90),
                key: dec(20),
                normal: dec(0)
            }
            .check()
            .is_err()
        );
    }
}
