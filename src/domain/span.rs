//! Durations as people write them in a cadence.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::holiday::{HolidayCalendar, add_business_days};
use super::text::{Malformed, text_form};
use super::zone::{local, to_instant};

/// What a span counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    BusinessDay,
}

const UNITS: [(Unit, &str); 6] = [
    (Unit::Second, "s"),
    (Unit::Minute, "m"),
    (Unit::Hour, "h"),
    (Unit::Day, "d"),
    (Unit::Week, "w"),
    (Unit::BusinessDay, "bd"),
];

/// No span is longer than a century.
const MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// A duration as text: `90s`, `15m`, `4h`, `3d`, `2w`, or business days `2bd`; a leading minus reaches back.
/// Days and weeks are calendar days in a zone and keep the wall time, so a day may have 23 or 25 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    amount: i32,
    unit: Unit,
}

impl Span {
    /// That many seconds.
    pub const fn seconds(amount: i32) -> Self {
        Self {
            amount,
            unit: Unit::Second,
        }
    }

    /// That many calendar days.
    pub const fn days(amount: i32) -> Self {
        Self {
            amount,
            unit: Unit::Day,
        }
    }

    /// Reads a whole number and its unit.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let refused = || {
            Malformed::new(format!(
                "{text:?} is not a duration such as 90s, 15m, 4h, 3d, 2w or 2bd"
            ))
        };
        let text = text.trim();
        let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(refused)?;
        let (amount, unit) = text.split_at(digits);
        let amount: i32 = amount.parse().map_err(|_| refused())?;
        let (unit, _) = UNITS
            .into_iter()
            .find(|(_, name)| *name == unit)
            .ok_or_else(refused)?;
        let span = Self { amount, unit };
        if span.length().num_seconds().abs() > MAX_SECONDS {
            return Err(Malformed::new(format!("the duration {text:?} is over a century")));
        }
        Ok(span)
    }

    /// The instant a span after `instant` on the wall clock of `zone`. Business days follow `calendar`, or Monday to
    /// Friday without one.
    pub fn after(
        self,
        instant: DateTime<Utc>,
        zone: Tz,
        calendar: Option<&HolidayCalendar>,
    ) -> DateTime<Utc> {
        match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => {
                instant.checked_add_signed(self.length()).unwrap_or(instant)
            }
            Unit::Day | Unit::Week | Unit::BusinessDay => {
                let wall = local(instant, zone);
                let date = self.after_date(wall.date(), calendar);
                if date == wall.date() {
                    instant
                } else {
                    to_instant(date.and_time(wall.time()), zone)
                }
            }
        }
    }

    /// The date a span after a date; hours and less count by whole days.
    pub fn after_date(self, date: NaiveDate, calendar: Option<&HolidayCalendar>) -> NaiveDate {
        if self.unit == Unit::BusinessDay {
            return add_business_days(date, self.amount, calendar);
        }
        let days = self.length().num_days();
        let distance = Days::new(days.unsigned_abs());
        if days < 0 {
            date.checked_sub_days(distance)
        } else {
            date.checked_add_days(distance)
        }
        .unwrap_or(date)
    }

    /// The length where no wall clock matters: a day counts 24 hours, five business days a week.
    pub fn length(self) -> TimeDelta {
        let amount = i64::from(self.amount);
        match self.unit {
            Unit::Second => TimeDelta::seconds(amount),
            Unit::Minute => TimeDelta::minutes(amount),
            Unit::Hour => TimeDelta::hours(amount),
            Unit::Day => TimeDelta::days(amount),
            Unit::Week => TimeDelta::weeks(amount),
            Unit::BusinessDay => TimeDelta::days(amount) * 7 / 5,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UNITS
            .into_iter()
            .find(|(unit, _)| *unit == self.unit)
            .map_or("", |(_, name)| name);
        write!(f, "{}{name}", self.amount)
    }
}

text_form!(Span);

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Europe;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn after(span: &str, instant: &str) -> DateTime<Utc> {
        Span::parse(span)
            .unwrap()
            .after(utc(instant), Europe::Berlin, None)
    }

    #[test]
    fn hours_are_hours_and_days_keep_the_wall_time() {
        assert_eq!(after("90s", "2026-11-20T10:00:00Z"), utc("2026-11-20T10:01:30Z"));
        assert_eq!(after("24h", "2026-10-24T10:00:00Z"), utc("2026-10-25T10:00:00Z"));
        assert_eq!(after("1d", "2026-10-24T10:00:00Z"), utc("2026-10-25T11:00:00Z"));
        assert_eq!(after("-1d", "2026-10-25T11:00:00Z"), utc("2026-10-24T10:00:00Z"));
        assert_eq!(after("2w", "2026-11-20T10:00:00Z"), utc("2026-12-04T10:00:00Z"));
        // 02:30 does not exist on the day the clocks go forward
        assert_eq!(after("1d", "2027-03-27T01:30:00Z"), utc("2027-03-28T01:30:00Z"));
    }

    #[test]
    fn business_days_pass_the_weekend() {
        assert_eq!(after("2bd", "2026-11-19T10:00:00Z"), utc("2026-11-23T10:00:00Z"));
        assert_eq!(after("0bd", "2026-11-21T10:00:00Z"), utc("2026-11-23T10:00:00Z"));
        assert_eq!(after("0bd", "2026-11-20T10:00:00Z"), utc("2026-11-20T10:00:00Z"));
        assert_eq!(after("-1bd", "2026-11-23T10:00:00Z"), utc("2026-11-20T10:00:00Z"));
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "3",
            "d",
            "3 d",
            "3D",
            "1.5h",
            "3mo",
            "1d12h",
            "99999999999d",
            "2000000w",
            "٣d",
        ] {
            assert!(Span::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_and_never_panics(amount in -20_000_i32..20_000, unit in 0_usize..6, seconds in 0_i64..4_102_444_800) {
            let span = Span { amount, unit: UNITS[unit].0 };
            if let Ok(read) = Span::parse(&span.to_string()) {
                prop_assert_eq!(read, span);
                let from = DateTime::from_timestamp(seconds, 0).unwrap();
                let to = span.after(from, Europe::Berlin, None);
                prop_assert!(amount < 0 || to >= from);
            }
        }
    }
}
