//! How fast: per sender, provider and recipient domain; warm-up of a new sending domain; when a sender is left alone.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::domain::breaker::BreakerRules;
use crate::domain::pace::Rate;
use crate::domain::span::Span;

/// How fast recipients' sides are written to, by all senders together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Rate of each recipient domain that belongs to no provider; none where absent.
    #[serde(default)]
    pub domain_rate: Option<Rate>,
    /// Attempts of one daemon under way at once to one provider or domain; 0 = any number.
    pub concurrency: u32,
    /// When a sender that fails is left alone.
    pub breaker: BreakerForm,
    /// Recipient domains that are one company's, by a name for it.
    #[serde(default)]
    pub providers: BTreeMap<String, Provider>,
}

/// When a sender that fails is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerForm {
    /// Failures in a row; 0 = never.
    pub failures: u32,
    /// The first time for this long, then twice as long each time,
    pub open_for: Span,
    /// but no longer than this.
    pub longest: Span,
}

impl BreakerForm {
    /// As the rule takes it.
    pub fn rules(self) -> BreakerRules {
        BreakerRules {
            failures: self.failures,
            open_for: self.open_for.length(),
            longest: self.longest.length(),
        }
    }
}

/// One company that takes mail for several domains.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its domains.
    pub domains: Vec<String>,
    /// Rate of all of them together; none where absent.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// As [`Pace::concurrency`], for this one.
    #[serde(default)]
    pub concurrency: Option<u32>,
}

impl Pace {
    /// The provider of a recipient domain in lower case, with its name.
    pub fn provider(&self, domain: &str) -> Option<(&str, &Provider)> {
        self.providers
            .iter()
            .find(|(_, provider)| provider.domains.iter().any(|of| of.eq_ignore_ascii_case(domain)))
            .map(|(name, provider)| (name.as_str(), provider))
    }

    /// No limit of any kind: for imagined messages.
    pub fn lift(&mut self) {
        (self.domain_rate, self.concurrency, self.breaker.failures) = (None, 0, 0);
        self.providers.clear();
    }
}

/// How fast one sender may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderPace {
    /// Rate; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// On one day of the company's zone at the most; any number where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// Fewer in the first days of its domain: counted for all senders of a mail domain together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
}

/// How many on each of the first days of a sending domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The first of them.
    pub starts: NaiveDate,
    /// One number for each day. Before the first day its number holds; after the last one nothing of this.
    pub daily: Vec<u32>,
}

impl WarmUp {
    /// How many on a day; `None` = any number.
    pub fn on(&self, day: NaiveDate) -> Option<u32> {
        let nth = (day - self.starts).num_days().max(0);
        usize::try_from(nth)
            .ok()
            .and_then(|nth| self.daily.get(nth))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_grows_by_the_day_and_ends() {
        let warm_up: WarmUp = toml::from_str("starts = \"2027-03-01\"\ndaily = [50, 200, 5000]").unwrap();
        for (day, n) in [
            ("2027-02-20", Some(50)),
            ("2027-03-01", Some(50)),
            ("2027-03-02", Some(200)),
            ("2027-03-03", Some(5000)),
            ("2027-03-04", None),
        ] {
            assert_eq!(warm_up.on(day.parse().unwrap()), n, "{day}");
        }
    }
}
