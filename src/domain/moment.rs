//! The next time that a weekday and hour come round.

use std::fmt;

use chrono::{DateTime, Days, NaiveTime, Utc};
use chrono_tz::Tz;

use super::text::{Malformed, text_form};
use super::weekdays::Weekdays;
use super::window::clock_time;
use super::zone::{local_date, to_instant};

/// A time of day on some weekdays, in the recipient's zone: `tue 10:00`, `mon-fri 09:30`, or `09:00` on any day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    days: Weekdays,
    time: NaiveTime,
}

impl Moment {
    /// Reads days and a time; without days it is any day.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        let (days, time) = match text.rsplit_once(char::is_whitespace) {
            Some((days, time)) => (Weekdays::parse(days)?, time),
            None => (Weekdays::DAILY, text),
        };
        Ok(Self {
            days,
            time: clock_time(time)?,
        })
    }

    /// The first such moment at or after an instant.
    pub fn next_at_or_after(&self, instant: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let today = local_date(instant, zone);
        // Yesterday counts too: a gap can carry its moment past midnight.
        let first = today.checked_sub_days(Days::new(1)).unwrap_or(today);
        first
            .iter_days()
            .take(9)
            .filter(|date| self.days.contain(*date))
            .map(|date| to_instant(date.and_time(self.time), zone))
            .find(|at| *at >= instant)
            .unwrap_or(instant)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != Weekdays::DAILY {
            write!(f, "{} ", self.days)?;
        }
        write!(f, "{}", self.time.format("%H:%M"))
    }
}

text_form!(Moment);

#[cfg(test)]
mod tests {
    use super::super::zone::local;
    use super::*;
    use chrono_tz::{Asia, Europe, Pacific};
    use proptest::prelude::*;

    fn next(moment: &str, instant: &str, zone: Tz) -> DateTime<Utc> {
        Moment::parse(moment)
            .unwrap()
            .next_at_or_after(instant.parse().unwrap(), zone)
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_tuesday_at_ten() {
        assert_eq!(
            next("tue 10:00", "2026-11-20T00:00:00Z", Asia::Shanghai),
            utc("2026-11-24T02:00:00Z")
        );
        assert_eq!(
            next("tue 10:00", "2026-11-24T02:00:00Z", Asia::Shanghai),
            utc("2026-11-24T02:00:00Z")
        );
        assert_eq!(
            next("tue 10:00", "2026-11-24T02:00:01Z", Asia::Shanghai),
            utc("2026-12-01T02:00:00Z")
        );
        assert_eq!(
            next("09:00", "2026-11-24T02:00:01Z", Asia::Shanghai),
            utc("2026-11-25T01:00:00Z")
        );
        assert_eq!(
            next("mon-fri 09:30", "2026-11-20T12:00:00Z", Europe::Berlin),
            utc("2026-11-23T08:30:00Z")
        );
    }

    #[test]
    fn the_day_that_was_left_out() {
        assert_eq!(
            next("fri 10:00", "2011-12-30T09:00:00Z", Pacific::Apia),
            utc("2011-12-30T20:00:00Z")
        );
    }

    #[test]
    fn text_forms() {
        for text in ["tue 10:00", "09:00", "mon-fri 09:30"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "tue", "tue 25:00", "10:00 tue", "tue 10", "someday 10:00"] {
            assert!(Moment::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn comes_within_eight_days_and_not_before(
            seconds in 1_577_836_800_i64..2_208_988_800,
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        ) {
            let instant = DateTime::from_timestamp(seconds, 0).unwrap();
            let moment = Moment::parse("wed 02:30").unwrap();
            let next = moment.next_at_or_after(instant, zone);
            prop_assert!(next >= instant && next - instant < chrono::Duration::days(8));
            prop_assert_eq!(local(next, zone).format("%a").to_string(), "Wed");
            prop_assert_eq!(moment.next_at_or_after(next, zone), next);
        }
    }
}
