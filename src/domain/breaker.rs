//! A circuit breaker: after several failures in a row nothing is tried for a while, then one alone.

use chrono::{DateTime, TimeDelta, Utc};

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row that open it; 0 = it never opens.
    pub failures: u32,
    /// How long it stays open the first time; each further time twice as long,
    pub open_for: TimeDelta,
    /// but no longer than this.
    pub longest: TimeDelta,
}

/// The state of one breaker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    opened: u32,
    open_until: Option<DateTime<Utc>>,
    trial: bool,
}

/// What a breaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Go on.
    Closed,
    /// One may try.
    Trial,
    /// Not before this instant.
    Open(DateTime<Utc>),
}

/// While one tries, the others look again after this long.
const TRIAL_PATIENCE: TimeDelta = TimeDelta::seconds(10);

impl Breaker {
    /// What it says now. Whoever goes on [`Says::Trial`] says so by [`Breaker::tries`].
    pub fn says(&self, now: DateTime<Utc>) -> Says {
        match self.open_until {
            None => Says::Closed,
            Some(until) if now < until => Says::Open(until),
            Some(_) if self.trial => Says::Open(now + TRIAL_PATIENCE),
            Some(_) => Says::Trial,
        }
    }

    /// Whether it says anything but [`Says::Closed`].
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Somebody tries.
    pub fn tries(&mut self) {
        self.trial = true;
    }

    /// A try that said nothing about the other side: it may be tried again.
    pub fn neutral(&mut self) {
        self.trial = false;
    }

    /// The other side answered. True when that closed it.
    pub fn succeeded(&mut self) -> bool {
        let was_open = self.is_open();
        *self = Self::default();
        was_open
    }

    /// Another failure. Until when that opened it, if it did.
    pub fn failed(&mut self, rules: &BreakerRules, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.failures = self.failures.saturating_add(1);
        // What began before it opened, and fails after, tells nothing new.
        let still_open = self.open_until.is_some_and(|until| now < until);
        let opens = rules.failures > 0 && !still_open && (self.trial || self.failures >= rules.failures);
        if !opens {
            return None;
        }
        let longer = 2_i32.saturating_pow(self.opened.min(20));
        let until = now
            + rules
                .longest
                .min(rules.open_for.checked_mul(longer).unwrap_or(rules.longest));
        (self.opened, self.trial, self.open_until) = (self.opened.saturating_add(1), false, Some(until));
        Some(until)
    }

    /// For a gauge: 0 closed, 1 open, one half while it waits for a trial or for its end.
    pub fn level(&self, now: DateTime<Utc>) -> f64 {
        match self.open_until {
            None => 0.0,
            Some(until) if now < until => 1.0,
            Some(_) => 0.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules = BreakerRules {
        failures: 3,
        open_for: TimeDelta::seconds(30),
        longest: TimeDelta::seconds(100),
    };

    #[test]
    fn opens_tries_one_and_opens_for_longer() {
        let mut breaker = Breaker::default();
        let now: DateTime<Utc> = "2027-03-01T09:00:00Z".parse().unwrap();
        let at = |seconds| now + TimeDelta::seconds(seconds);
        assert_eq!(breaker.failed(&RULES, now), None);
        assert_eq!(breaker.failed(&RULES, now), None);
        assert_eq!(breaker.says(now), Says::Closed);
        assert_eq!(breaker.failed(&RULES, now), Some(at(30)));
        assert_eq!(breaker.failed(&RULES, at(1)), None, "begun before");
        assert_eq!(breaker.says(at(29)), Says::Open(at(30)));
        assert_eq!(breaker.says(at(30)), Says::Trial);
        breaker.tries();
        assert!(matches!(breaker.says(at(31)), Says::Open(_)), "one alone");
        assert_eq!(breaker.failed(&RULES, at(31)), Some(at(91)), "twice as long");
        breaker.tries();
        assert_eq!(
            breaker.failed(&RULES, at(91)),
            Some(at(191)),
            "no longer than allowed"
        );
        breaker.tries();
        assert!(breaker.succeeded());
        assert_eq!(breaker.says(at(191)), Says::Closed);
        assert!(!breaker.succeeded());
        assert_eq!(breaker.failed(&RULES, at(192)), None, "it counts anew");
    }

    #[test]
    fn answers_in_between_keep_it_closed() {
        let mut breaker = Breaker::default();
        let now = DateTime::UNIX_EPOCH;
        for _ in 0..10 {
            assert_eq!(breaker.failed(&RULES, now), None);
            assert_eq!(breaker.failed(&RULES, now), None);
            breaker.succeeded();
        }
        let never = BreakerRules { failures: 0, ..RULES };
        assert!((0..100).all(|_| breaker.failed(&never, now).is_none()));
    }
}
