//! Pressure: the responses that push one factor in one direction, summed, fading, with hysteresis.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use uuid::Uuid;

use super::evidence::Step;
use super::grading::Hysteresis;

/// Sums closer than this are equal, so that 0.7 + 0.3 is 1.
const EQUAL: f64 = 1e-9;
/// How far ahead a fading is looked for; what still counts after that is taken to stay.
const HORIZON_DAYS: i64 = 36_500;

/// The steps on one factor in one direction, and the levels they have moved it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pressure {
    steps: Vec<Push>,
    levels: u32,
}

#[derive(Debug, Clone)]
struct Push {
    id: Uuid,
    at: DateTime<Utc>,
    step: Step,
}

impl Pressure {
    /// Levels in force.
    pub(super) fn levels(&self) -> u32 {
        self.levels
    }

    /// The evidence behind it.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.steps.iter().map(|push| push.id)
    }

    /// When the newest response came and the date its `close_days` point to.
    pub(super) fn close(&self) -> Option<(NaiveDate, NaiveDate)> {
        let push = self
            .steps
            .iter()
            .rev()
            .find(|push| push.step.close_days.is_some())?;
        let said = push.at.date_naive();
        Some((
            said,
            said.checked_add_days(chrono::Days::new(push.step.close_days?.into()))?,
        ))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes one more response in. True when it moved the factor.
    pub(super) fn push(
        &mut self,
        id: Uuid,
        at: DateTime<Utc>,
        step: &Step,
        most: u32,
        rules: &Hysteresis,
    ) -> bool {
        self.steps.push(Push {
            id,
            at,
            step: step.clone(),
        });
        let before = self.levels;
        while self.levels < most && self.sum(at) + EQUAL >= f64::from(self.levels + 1) * rules.raise_at {
            self.levels += 1;
        }
        self.levels > before
    }

    /// Lets levels fall that the sum at `at` no longer carries.
    pub(super) fn fade(&mut self, at: DateTime<Utc>, rules: &Hysteresis) {
        while self.levels > 0 && self.faded(at, rules) {
            self.levels -= 1;
        }
    }

    /// The first second after `now` at which a level falls.
    pub(super) fn falls_at(&self, now: DateTime<Utc>, rules: &Hysteresis) -> Option<DateTime<Utc>> {
        if self.levels == 0 {
            return None;
        }
        let mut days = 1;
        while !self.faded(now + Duration::days(days), rules) {
            days *= 2;
            if days > HORIZON_DAYS {
                return None;
            }
        }
        // The sum only sinks between responses, so the instant can be halved down to.
        let (mut stands, mut gone) = (0, Duration::days(days).num_seconds());
        while gone - stands > 1 {
            let middle = i64::midpoint(stands, gone);
            if self.faded(now + Duration::seconds(middle), rules) {
                gone = middle;
            } else {
                stands = middle;
            }
        }
        Some(now + Duration::seconds(gone))
    }

    fn faded(&self, at: DateTime<Utc>, rules: &Hysteresis) -> bool {
        self.sum(at) + EQUAL < f64::from(self.levels - 1) * rules.raise_at + rules.fall_at
    }

    /// The weights at `at`, those of one rule together at most its cap.
    fn sum(&self, at: DateTime<Utc>) -> f64 {
        let mut by_rule: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for push in &self.steps {
            let (sum, cap) = by_rule.entry(&push.step.rule).or_default();
            *sum += push.weight(at);
            *cap = cap.max(push.step.cap);
        }
        by_rule.into_values().map(|(sum, cap)| sum.min(cap)).sum()
    }
}

impl Push {
    fn weight(&self, at: DateTime<Utc>) -> f64 {
        let age_days = (at - self.at).num_seconds().max(0) as f64 / 86_400.0;
        let share = self
            .step
            .half_life_days
            .map_or(1.0, |half| (-age_days / half).exp2());
        self.step.weight.abs() * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::factor::Factor;

    const RULES: Hysteresis = Hysteresis {
        raise_at: 1.0,
        fall_at: 0.5,
        hold_days: 30,
    };

    fn step(rule: &str, weight: f64, cap: f64) -> Step {
        Step {
            factor: Factor::Resolve,
            weight,
            rule: rule.into(),
            cap,
            half_life_days: Some(10.0),
            close_days: None,
        }
    }

    #[test]
    fn a_rule_never_counts_for_more_than_its_cap() {
        let mut pressure = Pressure::default();
        let at = DateTime::UNIX_EPOCH;
        for n in 0..9 {
            assert!(!pressure.push(Uuid::from_u128(n), at, &step("click", 0.5, 0.75), 3, &RULES));
        }
        assert!(pressure.push(Uuid::from_u128(9), at, &step("reply", 0.25, 0.25), 3, &RULES));
        assert_eq!(pressure.levels(), 1);
    }

    #[test]
    fn it_rises_at_one_mark_and_falls_at_a_lower_one() {
        let mut pressure = Pressure::default();
        let at = DateTime::UNIX_EPOCH;
        assert!(pressure.push(Uuid::from_u128(1), at, &step("meeting", 2.0, 2.0), 3, &RULES));
        assert_eq!(pressure.levels(), 2);
        // 2.0 fades to 1.5 (first fall) in 10 * log2(4/3) days, to 0.5 in 20.
        let first = pressure.falls_at(at, &RULES).unwrap();
        assert!(
            (first - at - Duration::seconds(358_600)).num_minutes().abs() < 5,
            "{first}"
        );
        pressure.fade(first - Duration::seconds(1), &RULES);
        assert_eq!(pressure.levels(), 2);
        pressure.fade(first, &RULES);
        assert_eq!(pressure.levels(), 1);
        let second = pressure.falls_at(first, &RULES).unwrap();
        assert!(
            (second - at - Duration::days(20)).num_minutes().abs() < 1,
            "{second}"
        );
    }
}
