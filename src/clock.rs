//! Business time: the system's clock, or one moved by hand. Read at the edge only and passed down as `now`.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Somebody tried to move the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is the system's clock; only a manual clock can be moved")]
pub struct NotManual;

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

    /// Puts a manual clock to an instant, back in time too.
    pub fn set(&self, to: DateTime<Utc>) -> Result<(), NotManual> {
        self.change(|at| *at = to_micros(to))
    }

    /// Moves a manual clock on.
    pub fn advance(&self, by: TimeDelta) -> Result<(), NotManual> {
        self.change(|at| *at = to_micros(*at + by))
    }

    fn change(&self, change: impl FnOnce(&mut DateTime<Utc>)) -> Result<(), NotManual> {
        match self {
            Self::System => Err(NotManual),
            Self::Manual(at) => {
                change(&mut at.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
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
        clock.advance(TimeDelta::days(1)).unwrap();
        assert_eq!(twin.now(), at("2027-01-02T00:00:00Z"));
        twin.set(at("2026-12-31T00:00:00.0000019Z")).unwrap();
        assert_eq!(clock.now(), at("2026-12-31T00:00:00.000001Z"));
    }

    #[test]
    fn the_system_clock_cannot_be_moved() {
        let clock = Clock::System;
        let before = clock.now();
        assert_eq!(clock.advance(TimeDelta::days(365)), Err(NotManual));
        assert_eq!(clock.set(before - TimeDelta::days(365)), Err(NotManual));
        assert!(clock.now() >= before && clock.now() < before + TimeDelta::hours(1));
    }
}
