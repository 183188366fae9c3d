//! Cron schedules with the meaning of crontab(5), in a time zone.

use std::fmt;

use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::text::{Malformed, text_form};
use super::zone::{first_instant_from, local_date};

/// Weekdays from Sunday, as crontab counts them.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// A day rule that fits no day within this many days never does (29 February on one weekday returns within 40 years).
const SEARCH_DAYS: usize = 41 * 366;

/// Five fields: minute, hour, day of month, month, weekday. 0 and 7 are Sunday, 1 is Monday; names, lists, ranges and
/// steps are understood. Where neither day field begins with `*`, a day fits when either does.
///
/// Where the clocks change, as in crontab: a schedule that names its hours and minutes runs at the end of a gap that
/// swallows its time, and only at the first of two like times; one with `*` in hour or minute follows the clock, so it
/// skips what does not exist and runs in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSchedule {
    text: String,
    minutes: u64,
    hours: u64,
    month_days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
    follows_clock: bool,
}

impl CronSchedule {
    /// Reads five fields separated by spaces.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, month_day, month, weekday] = fields[..] else {
            return Err(Malformed::new(format!(
                "{text:?} has {} fields; a schedule has five: minute hour day month weekday",
                fields.len()
            )));
        };
        let weekdays = set("weekday", weekday, 0, 7, &WEEKDAYS)?;
        Ok(Self {
            text: fields.join(" "),
            minutes: set("minute", minute, 0, 59, &[])?,
            hours: set("hour", hour, 0, 23, &[])?,
            month_days: set("day of month", month_day, 1, 31, &[])?,
            months: set("month", month, 1, 12, &MONTHS)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !month_day.starts_with('*') && !weekday.starts_with('*'),
            follows_clock: minute.starts_with('*') || hour.starts_with('*'),
        })
    }

    /// The first run after an instant in a zone, or `None` when there is no such day (30 February).
    pub fn next_after(&self, instant: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let today = local_date(instant, zone);
        // Yesterday counts too: a gap can carry its run past midnight.
        let days = today
            .checked_sub_days(Days::new(1))?
            .iter_days()
            .take(SEARCH_DAYS);
        let mut fitting = days.filter(|day| self.fits(*day));
        let first_on = |day| self.runs_on(day, zone).filter(|run| *run > instant).min();
        let (found, day) = fitting.by_ref().find_map(|day| Some((first_on(day)?, day)))?;
        // Clocks set back over midnight let the next date begin before this one has ended.
        let tomorrow = day
            .succ_opt()
            .filter(|day| self.follows_clock && self.fits(*day))
            .and_then(first_on);
        Some(tomorrow.map_or(found, |other| other.min(found)))
    }

    fn fits(&self, day: NaiveDate) -> bool {
        let by_month_day = has(self.month_days, day.day());
        let by_weekday = has(self.weekdays, day.weekday().num_days_from_sunday());
        let fits = if self.either_day {
            by_month_day || by_weekday
        } else {
            by_month_day && by_weekday
        };
        has(self.months, day.month()) && fits
    }

    /// Every run of one local date.
    fn runs_on(&self, day: NaiveDate, zone: Tz) -> impl Iterator<Item = DateTime<Utc>> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        let times = hours.flat_map(|hour| {
            (0..60)
                .filter(|minute| has(self.minutes, *minute))
                .map(move |minute| (hour, minute))
        });
        times
            .filter_map(move |(hour, minute)| day.and_hms_opt(hour, minute, 0))
            .flat_map(move |wall| self.instants(wall, zone).into_iter().flatten())
    }

    /// The instants at which one wall time runs.
    fn instants(&self, wall: NaiveDateTime, zone: Tz) -> [Option<DateTime<Utc>>; 2] {
        match zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) => [Some(at.to_utc()), None],
            MappedLocalTime::Ambiguous(one, other) => [
                Some(one.min(other).to_utc()),
                self.follows_clock.then_some(one.max(other).to_utc()),
            ],
            MappedLocalTime::None => [
                (!self.follows_clock).then(|| first_instant_from(wall, zone)),
                None,
            ],
        }
    }
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

/// The numbers that one field names, as bits.
fn set(what: &str, field: &str, min: u32, max: u32, names: &[&str]) -> Result<u64, Malformed> {
    let refused = || Malformed::new(format!("{field:?} is not a {what} between {min} and {max}"));
    let number = |text: &str| -> Result<u32, Malformed> {
        let text = text.to_ascii_lowercase();
        if let Some(at) = names.iter().position(|name| *name == text) {
            return Ok(at as u32 + min);
        }
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|n| digits && (min..=max).contains(n));
        number.ok_or_else(refused)
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                step.parse()
                    .ok()
                    .filter(|s| (1..=59).contains(s))
                    .ok_or_else(refused)?,
            ),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((first, last)) => (number(first)?, number(last)?),
            // A step after a single number has no meaning in crontab(5).
            None if part.contains('/') => return Err(refused()),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(refused());
        }
        bits |= (first..=last).step_by(step).fold(0, |bits, n| bits | 1_u64 << n);
    }
    Ok(bits)
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_form!(CronSchedule);

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;

    fn runs(schedule: &str, from: &str, zone: Tz, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(schedule).unwrap();
        let first = from.parse().unwrap();
        std::iter::successors(schedule.next_after(first, zone), |at| {
            schedule.next_after(*at, zone)
        })
        .take(count)
        .map(|at| at.with_timezone(&zone).format("%a %m-%d %H:%M %z").to_string())
        .collect()
    }

    #[test]
    fn one_is_monday_and_seven_is_sunday() {
        assert_eq!(
            runs("0 9 * * 1", "2026-11-20T00:00:00Z", Asia::Shanghai, 1),
            ["Mon 11-23 09:00 +0800"]
        );
        let sunday = ["Sun 11-22 09:00 +0800"];
        assert_eq!(
            runs("0 9 * * 0", "2026-11-20T00:00:00Z", Asia::Shanghai, 1),
            sunday
        );
        assert_eq!(
            runs("0 9 * * 7", "2026-11-20T00:00:00Z", Asia::Shanghai, 1),
            sunday
        );
        assert_eq!(
            runs("0 9 * * sun", "2026-11-20T00:00:00Z", Asia::Shanghai, 1),
            sunday
        );
        assert_eq!(
            runs("0 9 * * 5-7", "2026-11-20T00:00:00Z", Asia::Shanghai, 3),
            [
                "Fri 11-20 09:00 +0800",
                "Sat 11-21 09:00 +0800",
                "Sun 11-22 09:00 +0800"
            ]
        );
    }

    #[test]
    fn either_day_when_both_are_named() {
        assert_eq!(
            runs("0 0 13 * fri", "2026-11-07T00:00:00Z", Europe::London, 3),
            [
                "Fri 11-13 00:00 +0000",
                "Fri 11-20 00:00 +0000",
                "Fri 11-27 00:00 +0000"
            ]
        );
        assert_eq!(
            runs("0 0 1,15 * mon", "2026-12-10T00:00:00Z", Europe::London, 3),
            [
                "Mon 12-14 00:00 +0000",
                "Tue 12-15 00:00 +0000",
                "Mon 12-21 00:00 +0000"
            ]
        );
        // a star with a step is a star: both must fit
        assert_eq!(
            runs("0 0 */2 * mon", "2026-12-10T00:00:00Z", Europe::London, 1),
            ["Mon 12-21 00:00 +0000"]
        );
    }

    #[test]
    fn a_gap_moves_forward_and_a_fold_runs_once() {
        assert_eq!(
            runs("30 2 * * *", "2027-03-27T12:00:00Z", Europe::Berlin, 2),
            ["Sun 03-28 03:00 +0200", "Mon 03-29 02:30 +0200"]
        );
        assert_eq!(
            runs("30 2 * * *", "2026-10-24T12:00:00Z", Europe::Berlin, 2),
            ["Sun 10-25 02:30 +0200", "Mon 10-26 02:30 +0100"]
        );
        assert_eq!(
            runs("30 * * * *", "2026-10-24T23:45:00Z", Europe::Berlin, 3),
            [
                "Sun 10-25 02:30 +0200",
                "Sun 10-25 02:30 +0100",
                "Sun 10-25 03:30 +0100"
            ]
        );
        assert_eq!(
            runs("30 * * * *", "2027-03-28T00:00:00Z", Europe::Berlin, 2),
            ["Sun 03-28 01:30 +0100", "Sun 03-28 03:30 +0200"]
        );
    }

    #[test]
    fn days_that_are_rare_or_never() {
        assert_eq!(
            runs("0 0 29 2 *", "2096-03-01T00:00:00Z", Europe::London, 1),
            ["Fri 02-29 00:00 +0000"]
        );
        assert_eq!(
            runs("0 0 30 2 *", "2026-01-01T00:00:00Z", Europe::London, 1),
            [""; 0]
        );
    }

    #[test]
    fn refuses_what_crontab_refuses() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "* * * * mond",
            "1,,2 * * * *",
            "5/15 * * * *",
            "@daily",
            "* * L * *",
            "* * * * 5#2",
            "-1 * * * *",
            "+1 * * * *",
            "* * * * sat-sun",
        ] {
            assert!(CronSchedule::parse(text).is_err(), "{text:?}");
        }
        let shown = CronSchedule::parse(" 0  9 * *   mon-FRI ").unwrap();
        assert_eq!(shown.to_string(), "0 9 * * mon-FRI");
    }

    fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => (min..=max).prop_map(|n| n.to_string()),
            1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    /// A time of day: one minute of one hour, or one that follows the clock. (On lists of fixed hours the oracle
    /// follows the clock, crontab does not.)
    fn times() -> impl Strategy<Value = String> {
        prop_oneof![
            (0_u32..60, 0_u32..24).prop_map(|(minute, hour)| format!("{minute} {hour}")),
            (0_u32..60).prop_map(|minute| format!("{minute} *")),
            (1_u32..30, field(0, 23)).prop_map(|(step, hour)| format!("*/{step} {hour}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn agrees_with_another_implementation(
            time in times(), month_day in field(1, 28), month in field(1, 12), weekday in field(0, 7),
            near in prop::sample::select(vec!["2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31", "2026-04-04", "2026-12-30"]),
            offset in 0_i64..3000,
            zone in prop::sample::select(vec![Europe::Berlin, America::New_York, Asia::Shanghai, chrono_tz::Australia::Sydney, chrono_tz::UTC]),
        ) {
            let text = format!("{time} {month_day} {month} {weekday}");
            let schedule = CronSchedule::parse(&text).unwrap();
            let oracle: croner::Cron = text.parse().unwrap();
            let day: NaiveDate = near.parse().unwrap();
            let mut at = day.and_time(chrono::NaiveTime::MIN).and_utc() + chrono::Duration::minutes(offset);
            for _ in 0..4 {
                let expected = oracle.find_next_occurrence(&at.with_timezone(&zone), false).ok().map(|t| t.to_utc());
                let got = schedule.next_after(at, zone);
                prop_assert_eq!(got, expected, "{} after {} in {}", text, at, zone);
                let Some(next) = got else { break };
                prop_assert!(next > at);
                at = next;
            }
        }
    }
}
