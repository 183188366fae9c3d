//! The retention rules as written in `config/retention.toml`: what each tier is owed, and when a customer is lost.

use chrono::{DateTime, Duration, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::tier::{Shares, Tier};

/// The rules as shipped; the reference of every key.
pub const SHIPPED: &str = include_str!("../../config/retention.toml");

/// Everything that decides how customers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRules {
    /// How the pyramid is cut.
    pub pyramid: PyramidRules,
    /// What VIP customers are owed.
    pub vip: TierRules,
    /// What key customers are owed.
    pub key: TierRules,
    /// What normal customers are owed.
    pub normal: TierRules,
    /// What small customers are owed.
    pub small: TierRules,
}

/// How the pyramid is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PyramidRules {
    /// The period whose purchases count, in days.
    pub period_days: u32,
    /// Shares of the first cut, in percent.
    pub shares: Shares,
    /// Cost of the company in a period that no customer carries: a row of its own in the pyramid.
    #[serde(default)]
    pub unallocated_cost: Decimal,
}

/// What the customers of one tier are owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierRules {
    /// Days without any contact from our side after which one is due.
    pub longest_silence_days: u32,
    /// Days without a purchase after which the customer is lost.
    pub lost_after_days: u32,
    /// Touches in a quarter, at most; 0 = none are planned.
    pub touches_per_quarter: u32,
    /// Channels that may be used, the best first: `email`, `sms`, `task`.
    pub channels: Vec<String>,
    /// The cadence that wins him back; absent = he is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub win_back: Option<String>,
    /// Hours within which the owner has to answer an alert about such a customer.
    pub alert_within_hours: u32,
    /// What is spent in a period on one such customer (sales, care, service), for the return per tier; absent = unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_per_customer: Option<Decimal>,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RetentionError {
    /// No TOML, or not of the form of the rules; the message names line and key.
    #[error("{0}")]
    Form(String),
    /// Of the right form, but without a meaning.
    #[error("{place}: {reason}")]
    Sense {
        /// The table.
        place: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl RetentionRules {
    /// Reads and checks rules.
    pub fn from_toml(text: &str) -> Result<Self, RetentionError> {
        let rules: Self = toml::from_str(text).map_err(|e| RetentionError::Form(e.to_string()))?;
        rules.check()?;
        Ok(rules)
    }

    /// The rules as shipped.
    pub fn shipped() -> Result<Self, RetentionError> {
        Self::from_toml(SHIPPED)
    }

    /// Whether the rules have a meaning. Whether a win-back cadence exists is for the caller to see.
    pub fn check(&self) -> Result<(), RetentionError> {
        let sense = |place, reason: String| RetentionError::Sense { place, reason };
        self.pyramid
            .shares
            .check()
            .map_err(|e| sense("pyramid.shares", e.to_string()))?;
        if self.pyramid.period_days == 0 {
            return Err(sense("pyramid", "period_days must be more than 0".into()));
        }
        for tier in Tier::ALL {
            let rules = self.tier(tier);
            let known = |channel: &String| matches!(channel.as_str(), "email" | "sms" | "task");
            if let Some(channel) = rules.channels.iter().find(|c| !known(c)) {
                return Err(sense(
                    tier.as_str(),
                    format!("unknown channel `{channel}`: email, sms or task"),
                ));
            }
            for (key, days) in [
                ("longest_silence_days", rules.longest_silence_days),
                ("lost_after_days", rules.lost_after_days),
                ("alert_within_hours", rules.alert_within_hours),
            ] {
                if days == 0 {
                    return Err(sense(tier.as_str(), format!("{key} must be more than 0")));
                }
            }
        }
        Ok(())
    }

    /// The rules of a tier.
    pub fn tier(&self, tier: Tier) -> &TierRules {
        match tier {
            Tier::Vip => &self.vip,
            Tier::Key => &self.key,
            Tier::Normal => &self.normal,
            Tier::Small => &self.small,
        }
    }
}

/// The instant at which a customer of `tier` is lost unless he buys again.
pub fn lost_at(tier: Tier, last_purchase: DateTime<Utc>, rules: &RetentionRules) -> DateTime<Utc> {
    last_purchase + Duration::days(rules.tier(tier).lost_after_days.into())
}

/// Whether a customer is lost at `now`. `tier` is the one he had when he last bought in the period: an inactive
/// customer has none of today's.
pub fn is_lost(tier: Tier, last_purchase: DateTime<Utc>, now: DateTime<Utc>, rules: &RetentionRules) -> bool {
    now >= lost_at(tier, last_purchase, rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_good_and_only_the_top_is_won_back() {
        let rules = RetentionRules::shipped().unwrap();
        assert_eq!(rules.pyramid.shares, Shares::default());
        assert!(Tier::ALL.map(|t| rules.tier(t).win_back.is_some()) == [true, true, false, false]);
        let json = serde_json::to_value(&rules).unwrap();
        assert_eq!(serde_json::from_value::<RetentionRules>(json).unwrap(), rules);
    }

    #[test]
    fn a_customer_is_lost_on_the_day_the_rule_says() {
        let rules = RetentionRules::shipped().unwrap();
        let bought = DateTime::UNIX_EPOCH;
        for tier in Tier::ALL {
            let edge = bought + Duration::days(rules.tier(tier).lost_after_days.into());
            assert!(!is_lost(tier, bought, edge - Duration::seconds(1), &rules));
            assert!(is_lost(tier, bought, edge, &rules));
        }
    }

    #[test]
    fn bad_rules_are_refused_with_their_place() {
        for (from, to, want) in [
            ("[vip]", "[vip]\nlost_afterr = 3", "lost_afterr"),
            ("vip = 1", "vip = 90", "pyramid.shares"),
            ("\"email\"", "\"pigeon\"", "pigeon"),
        ] {
            let error = RetentionRules::from_toml(&SHIPPED.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
