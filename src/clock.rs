//! Business time: the system's clock, or one moved by hand. Read at the edge only and passed down as `now`.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Where `now` comes from. Clones of a manual clock move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// A manual clock that stands at `at`.
    #[must_use]
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(Mutex::new(to_micros(at))))
    }

    /// The present instant, in whole microseconds as Postgres keeps it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => to_micros(Utc::now()),
            Self::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Puts a manual clock to an instant, back in time too. False, and nothing done, for the system's clock.
    pub fn set(&self, to: DateTime<Utc>) -> bool {
        self.change(|at| *at = to_micros(to))
    }

    /// Moves a manual clock on. False, and nothing done, for the system's clock.
    pub fn advance(&self, by: TimeDelta) -> bool {
        self.change(|at| *at = to_micros(*at + by))
    }

    fn change(&self, change: impl FnOnce(&mut DateTime<Utc>)) -> bool {
        match self {
            Self::System => false,
            Self::Manual(at) => {
                change(&mut at.lock().unwrap_or_else(PoisonError::into_inner));
                true
            }
        }
    }
}

fn to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual(at("2027-01-01T00:00:00Z"));
        let twin = clock.clone();
        assert!(clock.advance(TimeDelta::days(1)));
        assert_eq!(twin.now(), at("2027-01-02T00:00:00Z"));
        assert!(twin.set(at("2026-12-31T00:00:00.0000019Z")));
        assert_eq!(clock.now(), at("2026-12-31T00:00:00.000001Z"));
    }

    #[test]
    fn the_system_clock_cannot_be_moved() {
        let clock = Clock::System;
        let before = clock.now();
        assert!(!clock.advance(TimeDelta::days(365)) && !clock.set(before - TimeDelta::days(365)));
        assert!(clock.now() >= before && clock.now() < before + TimeDelta::hours(1));
    }
}
