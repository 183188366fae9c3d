//! Cron schedules with the meaning of crontab(5), in a time zone, over the `cron` crate.
//!
//! The crate wants seconds, counts Sunday as 1, asks for both day fields at once, and where the clocks change it leaves
//! out what they jump over and runs twice what comes twice. So the fields are put into its words here, and it is asked
//! about wall clocks only, as if they were UTC.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use cron::Schedule;

use super::text::{Malformed, text_form};
use super::zone::{local, to_instant};

const FIELDS: [&str; 5] = [
    "minute between 0 and 59",
    "hour between 0 and 23",
    "day of month between 1 and 31",
    "month between 1 and 12",
    "weekday between 0 and 7",
];
/// Weekdays from Sunday, as crontab counts them.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Five fields: minute, hour, day of month, month, weekday. 0 and 7 are Sunday, 1 is Monday; names, lists, ranges and
/// steps are understood. Where neither day field begins with `*`, a day fits when either does. It reaches to the year 2100.
///
/// Each wall time runs once: one that the clocks jump over moves forward by the gap, one that comes twice means the first.
/// So a schedule with `*` for the hour pauses in the second hour of a fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSchedule {
    text: String,
    /// Two where either day field may fit.
    walls: Vec<Schedule>,
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
        let days = weekdays(weekday);
        for (place, field) in fields.iter().enumerate() {
            let mut alone = ["0", "*", "*", "*", "*", "*"];
            alone[place + 1] = if place == 4 {
                days.as_deref().unwrap_or_default()
            } else {
                field
            };
            if !in_crontab(field) || alone.join(" ").parse::<Schedule>().is_err() {
                return Err(Malformed::new(format!("{field:?} is not a {}", FIELDS[place])));
            }
        }
        let days = days.unwrap_or_default();
        let either = !month_day.starts_with('*') && !weekday.starts_with('*');
        let walls = if either {
            vec![(month_day, "*"), ("*", days.as_str())]
        } else {
            vec![(month_day, days.as_str())]
        };
        let wall = |(month_day, days)| format!("0 {minute} {hour} {month_day} {month} {days}").parse();
        Ok(Self {
            text: fields.join(" "),
            walls: walls
                .into_iter()
                .map(wall)
                .collect::<Result<_, _>>()
                .map_err(|_| Malformed::new(format!("{text:?} is not a schedule")))?,
        })
    }

    /// The first run after an instant in a zone, or `None` when there is no such day (30 February).
    pub fn next_after(&self, instant: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // Wall times that a gap of the last day moved forward come before the wall time of now.
        let day = Duration::days(1);
        let moved = local(instant, zone) - local(instant - day, zone) - day;
        let from = local(instant, zone) - moved.max(Duration::zero());
        let mut first: Option<DateTime<Utc>> = None;
        for schedule in &self.walls {
            for wall in schedule.after(&from.and_utc()) {
                // In a gap a later wall time may run sooner, but none that is past the run found.
                if first.is_some_and(|run| wall.naive_utc() > local(run, zone)) {
                    break;
                }
                let run = to_instant(wall.naive_utc(), zone);
                if run > instant && first.is_none_or(|first| run < first) {
                    first = Some(run);
                }
            }
        }
        first
    }
}

/// What crontab(5) knows: no `?`, a step only after a star or a range; and no field that cron would read as two.
fn in_crontab(field: &str) -> bool {
    let all = |text: &str, kind: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| kind(&b));
    let point = |text: &str| all(text, u8::is_ascii_digit) || all(text, u8::is_ascii_alphabetic);
    let range = |text: &str| {
        text.split_once('-')
            .is_some_and(|(first, last)| point(first) && point(last))
    };
    field.split(',').all(|part| match part.split_once('/') {
        Some((of, step)) => (of == "*" || range(of)) && all(step, u8::is_ascii_digit),
        None => part == "*" || point(part) || range(part),
    })
}

/// The weekday field in cron's words: a list of numbers from Sunday = 1. `None` = not a weekday field.
fn weekdays(field: &str) -> Option<String> {
    let number = |text: &str| match WEEKDAYS.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        Some(day) => Some(day),
        None => text.parse().ok().filter(|day| *day <= 7),
    };
    let mut days = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if range == "*" => (0, 7),
            None => (number(range)?, number(range)?),
        };
        let step = step.parse().ok().filter(|step| *step > 0 && first <= last)?;
        days.extend((first..=last).step_by(step).map(|day| (day % 7 + 1).to_string()));
    }
    Some(days.join(","))
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
    use chrono::Timelike;
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
            ["Sun 03-28 03:30 +0200", "Mon 03-29 02:30 +0200"]
        );
        assert_eq!(
            runs("30 2 * * *", "2026-10-24T12:00:00Z", Europe::Berlin, 2),
            ["Sun 10-25 02:30 +0200", "Mon 10-26 02:30 +0100"]
        );
        // every hour: the second 02:30 is none of its own, and the moved 02:30 falls on 03:30
        assert_eq!(
            runs("30 * * * *", "2026-10-24T23:45:00Z", Europe::Berlin, 2),
            ["Sun 10-25 02:30 +0200", "Sun 10-25 03:30 +0100"]
        );
        assert_eq!(
            runs("30 * * * *", "2027-03-28T00:00:00Z", Europe::Berlin, 3),
            [
                "Sun 03-28 01:30 +0100",
                "Sun 03-28 03:30 +0200",
                "Sun 03-28 04:30 +0200"
            ]
        );
        // moved ones run in the order of the clock, from before the gap and from within the hour after it
        let both = [
            "Sun 03-28 03:10 +0200",
            "Sun 03-28 03:45 +0200",
            "Mon 03-29 02:10 +0200",
        ];
        assert_eq!(
            runs("10,45 2,3 28-29 3 *", "2027-03-28T00:50:00Z", Europe::Berlin, 3),
            both
        );
        assert_eq!(
            runs("10,45 2,3 28-29 3 *", "2027-03-28T01:10:00Z", Europe::Berlin, 2),
            both[1..]
        );
        // a whole day that never was
        assert_eq!(
            runs("0 10 30 * *", "2011-12-29T22:00:00Z", chrono_tz::Pacific::Apia, 2),
            ["Sat 12-31 10:00 +1400", "Mon 01-30 10:00 +1400"]
        );
    }

    #[test]
    fn days_that_are_rare_or_never() {
        assert_eq!(
            runs("0 0 29 2 *", "2092-03-01T00:00:00Z", Europe::London, 2),
            ["Wed 02-29 00:00 +0000"],
            "2100 is no leap year, and the end"
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
            "* * * * mon,5-1",
            "1* * * * *",
            "5mon * * * *",
            "1-2-3 * * * *",
            "* * ? * *",
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

    /// A time of day, and its wall time where there is only one.
    fn times() -> impl Strategy<Value = (String, Option<(u32, u32)>)> {
        prop_oneof![
            (0_u32..60, 0_u32..24)
                .prop_map(|(minute, hour)| (format!("{minute} {hour}"), Some((hour, minute)))),
            (0_u32..60).prop_map(|minute| (format!("{minute} *"), None)),
            (1_u32..30, field(0, 23)).prop_map(|(step, hour)| (format!("*/{step} {hour}"), None)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        /// Where the clocks change, the oracle runs at the end of a gap, and follows the clock unless the time is one
        /// fixed wall time: there its day counts, and the rest is compared where clocks do not change.
        #[test]
        fn agrees_with_another_implementation(
            (time, fixed) in times(), month_day in field(1, 28), month in field(1, 12), weekday in field(0, 7),
            near in prop::sample::select(vec!["2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31", "2026-04-04", "2026-12-30"]),
            offset in 0_i64..3000,
            zone in prop::sample::select(vec![Europe::Berlin, America::New_York, Asia::Shanghai, chrono_tz::Australia::Sydney, chrono_tz::UTC]),
        ) {
            let zone = if fixed.is_some() || zone == chrono_tz::UTC { zone } else { Asia::Shanghai };
            let text = format!("{time} {month_day} {month} {weekday}");
            let schedule = CronSchedule::parse(&text).unwrap();
            let oracle: croner::Cron = text.parse().unwrap();
            let day: chrono::NaiveDate = near.parse().unwrap();
            let mut at = day.and_time(chrono::NaiveTime::MIN).and_utc() + chrono::Duration::minutes(offset);
            // In the hour after a gap the oracle has run already, and a moved time may be to come.
            prop_assume!(local(at, zone).hour() != 3);
            for _ in 0..4 {
                let expected = oracle.find_next_occurrence(&at.with_timezone(&zone), false).ok();
                let got = schedule.next_after(at, zone);
                prop_assert!(got.is_none_or(|next| next > at));
                let wall = |hour: u32, minute: u32| expected.and_then(|t| t.date_naive().and_hms_opt(hour, minute, 0));
                let expected = match fixed {
                    Some((hour, minute)) => wall(hour, minute).map(|wall| to_instant(wall, zone)),
                    None => expected.map(|t| t.to_utc()),
                };
                prop_assert_eq!(got, expected, "{} after {} in {}", text, at, zone);
                let Some(next) = got else { break };
                at = next;
            }
        }
    }
}
