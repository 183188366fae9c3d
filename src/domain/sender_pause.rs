//! How long a sender is left alone after a receiving side blocked it by policy.
//!
//! One odd server among thousands must not stop a company's mail for hours, and a sender that many block must stop; so the
//! first pause is short, and each further one within a day twice as long.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// The first pause.
const FIRST: TimeDelta = TimeDelta::minutes(5);
/// The longest.
const LONGEST: TimeDelta = TimeDelta::hours(4);
/// Earlier pauses are forgotten this long after the last one began.
const FORGOTTEN: TimeDelta = TimeDelta::days(1);

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Its end.
    pub until: DateTime<Utc>,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The how many-th it is.
    pub times: i16,
}

/// The pause that a block brings. `None` while one lasts: what was under way when it began tells nothing new.
pub fn after_block(last: Option<Pause>, now: DateTime<Utc>) -> Option<Pause> {
    if last.is_some_and(|last| now < last.until) {
        return None;
    }
    let before = last
        .filter(|last| now < last.at + FORGOTTEN)
        .map_or(0, |last| last.times);
    let longer = 2_i32.saturating_pow(u32::try_from(before).unwrap_or(0).min(16));
    Some(Pause {
        until: now + LONGEST.min(FIRST * longer),
        at: now,
        times: before.saturating_add(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_forgotten() {
        let mut now: DateTime<Utc> = "2027-03-01T09:00:00Z".parse().unwrap();
        let mut last = None;
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let pause = after_block(last, now).unwrap();
            assert_eq!(
                after_block(Some(pause), pause.until - TimeDelta::seconds(1)),
                None
            );
            lengths.push((pause.until - now).num_minutes());
            (last, now) = (Some(pause), pause.until);
        }
        assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 240, 240]);
        let later = last.unwrap().at + TimeDelta::days(1);
        assert_eq!(after_block(last, later).unwrap().until - later, FIRST);
    }
}
