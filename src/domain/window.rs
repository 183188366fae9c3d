//! When local time allows a message: sending windows and quiet hours.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::holiday::HolidayCalendar;
use super::text::{Malformed, text_form};
use super::weekdays::Weekdays;
use super::zone::{local_date, to_instant};

/// Weekdays and hours in which messages may go out, in the recipient's time. Written `mon-fri 09:00-18:00`; without
/// days it holds daily. The end is outside; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    days: Weekdays,
    from: NaiveTime,
    /// Midnight means the end of the day.
    to: NaiveTime,
}

impl SendWindow {
    /// Reads a window; one over midnight is refused, because it would belong to two days.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        let (days, hours) = match text.rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (Weekdays::parse(days)?, hours),
            None => (Weekdays::DAILY, text),
        };
        let (from, to) = hours_of(hours)?;
        if from >= to && to != NaiveTime::MIN {
            return Err(Malformed::new(format!(
                "the window {text:?} must end after it begins, on the same day"
            )));
        }
        Ok(Self { days, from, to })
    }

    /// Whether the window opens on a date. A calendar's holiday closes it, a make-up workday opens it.
    fn opens_on(&self, date: NaiveDate, calendar: Option<&HolidayCalendar>) -> bool {
        calendar
            .and_then(|c| c.exception(date))
            .unwrap_or_else(|| self.days.contain(date))
    }

    /// The opening and closing instants on a date.
    fn hours_on(&self, date: NaiveDate, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        (
            to_instant(date.and_time(self.from), zone),
            to_instant(end_on(date, self.from, self.to), zone),
        )
    }
}

/// `now` if the window is open then, else its next opening instant. A calendar that closes every day of a year is
/// not heeded.
pub fn next_open(
    now: DateTime<Utc>,
    zone: Tz,
    window: &SendWindow,
    calendar: Option<&HolidayCalendar>,
) -> DateTime<Utc> {
    let today = local_date(now, zone);
    for date in today
        .iter_days()
        .take(366)
        .filter(|date| window.opens_on(*date, calendar))
    {
        let (opens, closes) = window.hours_on(date, zone);
        // A gap may leave nothing of the window.
        if now < closes && opens < closes {
            return now.max(opens);
        }
    }
    if calendar.is_some() {
        next_open(now, zone, window, None)
    } else {
        now
    }
}

/// A moment for one of a crowd that is due at `at`: its `part` (from 0 to 1) of the time `over` that begins when the window is
/// open, and ends with it at the latest.
pub fn spread(
    at: DateTime<Utc>,
    over: TimeDelta,
    part: f64,
    zone: Tz,
    window: Option<&SendWindow>,
    calendar: Option<&HolidayCalendar>,
) -> DateTime<Utc> {
    let begins = window.map_or(at, |window| next_open(at, zone, window, calendar));
    let closes = window.map(|window| window.hours_on(local_date(begins, zone), zone).1);
    let ends = closes.into_iter().fold(begins + over, DateTime::min);
    let share = (ends - begins).max(TimeDelta::zero()).num_milliseconds() as f64 * part.clamp(0.0, 1.0);
    begins + TimeDelta::milliseconds(share as i64)
}

/// Hours of the day in which nobody is written to, in the recipient's time; may run over midnight (`21:00-08:00`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: NaiveTime,
    to: NaiveTime,
}

impl QuietHours {
    /// Reads quiet hours; beginning and end must differ.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (from, to) = hours_of(text)?;
        if from == to {
            return Err(Malformed::new(format!("the quiet hours {text:?} have no end")));
        }
        Ok(Self { from, to })
    }

    /// The instant at which the quiet hours that hold at `now` end, or `None` when it is not quiet.
    pub fn quiet_until(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let today = local_date(now, zone);
        let yesterday = today.checked_sub_days(Days::new(1)).unwrap_or(today);
        [yesterday, today].into_iter().find_map(|date| {
            let begins = to_instant(date.and_time(self.from), zone);
            let ends = to_instant(end_on(date, self.from, self.to), zone);
            (begins <= now && now < ends).then_some(ends)
        })
    }
}

/// The local end of hours that begin on `date`: on the next day where the end is not after the beginning.
fn end_on(date: NaiveDate, from: NaiveTime, to: NaiveTime) -> chrono::NaiveDateTime {
    let date = if to > from {
        date
    } else {
        date.checked_add_days(Days::new(1)).unwrap_or(date)
    };
    date.and_time(to)
}

fn hours_of(text: &str) -> Result<(NaiveTime, NaiveTime), Malformed> {
    let (from, to) = text
        .split_once('-')
        .ok_or_else(|| Malformed::new(format!("{text:?} is not a span of hours such as 09:00-18:00")))?;
    Ok((
        clock_time(from)?,
        if to.trim() == "24:00" {
            NaiveTime::MIN
        } else {
            clock_time(to)?
        },
    ))
}

/// A time of day written `9:00` or `09:00`.
pub(super) fn clock_time(text: &str) -> Result<NaiveTime, Malformed> {
    NaiveTime::parse_from_str(text.trim(), "%H:%M")
        .map_err(|_| Malformed::new(format!("{text:?} is not a time of day such as 09:00")))
}

impl fmt::Display for SendWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.format("%H:%M");
        if self.to == NaiveTime::MIN {
            write!(f, "{} {from}-24:00", self.days)
        } else {
            write!(f, "{} {from}-{}", self.days, self.to.format("%H:%M"))
        }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

text_form!(SendWindow);
text_form!(QuietHours);

#[cfg(test)]
mod tests {
    use super::super::holiday::DayKind;
    use super::*;
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn office() -> SendWindow {
        SendWindow::parse("mon-fri 09:00-18:00").unwrap()
    }

    #[test]
    fn open_now_later_today_tomorrow_or_monday() {
        let next = |now| next_open(utc(now), Asia::Shanghai, &office(), None);
        assert_eq!(next("2026-11-20T02:00:00Z"), utc("2026-11-20T02:00:00Z"));
        assert_eq!(next("2026-11-20T01:00:00Z"), utc("2026-11-20T01:00:00Z"));
        assert_eq!(next("2026-11-20T00:59:59Z"), utc("2026-11-20T01:00:00Z"));
        assert_eq!(next("2026-11-19T10:00:00Z"), utc("2026-11-20T01:00:00Z"));
        assert_eq!(next("2026-11-20T10:00:00Z"), utc("2026-11-23T01:00:00Z"));
    }

    #[test]
    fn holidays_close_and_makeup_days_open() {
        let calendar = HolidayCalendar::from_rows([
            ("2026-10-01".parse().unwrap(), DayKind::Holiday, "National Day"),
            ("2026-10-02".parse().unwrap(), DayKind::Holiday, "National Day"),
            (
                "2026-10-03".parse().unwrap(),
                DayKind::MakeupWorkday,
                "National Day",
            ),
        ])
        .unwrap();
        let next = next_open(
            utc("2026-10-01T02:00:00Z"),
            Asia::Shanghai,
            &office(),
            Some(&calendar),
        );
        assert_eq!(next, utc("2026-10-03T01:00:00Z"));
    }

    #[test]
    fn an_opening_in_the_gap_moves_forward() {
        let window = SendWindow::parse("02:30-03:30").unwrap();
        let now = utc("2027-03-28T00:00:00Z");
        // 02:30 is 03:30 on that day, when the window has closed: it opens the day after
        assert_eq!(
            next_open(now, Europe::Berlin, &window, None),
            utc("2027-03-29T00:30:00Z")
        );
        let longer = SendWindow::parse("02:30-04:00").unwrap();
        assert_eq!(
            next_open(now, Europe::Berlin, &longer, None),
            utc("2027-03-28T01:30:00Z")
        );
    }

    #[test]
    fn quiet_hours_run_over_midnight() {
        let quiet = QuietHours::parse("21:00-08:00").unwrap();
        let until = |now| quiet.quiet_until(utc(now), America::New_York);
        assert_eq!(until("2026-11-20T02:00:00Z"), Some(utc("2026-11-20T13:00:00Z")));
        assert_eq!(until("2026-11-20T12:59:59Z"), Some(utc("2026-11-20T13:00:00Z")));
        assert_eq!(until("2026-11-20T13:00:00Z"), None);
        assert_eq!(until("2026-11-20T01:59:59Z"), None);
        // the night the clocks go back is an hour longer
        assert_eq!(until("2026-11-01T01:00:00Z"), Some(utc("2026-11-01T13:00:00Z")));
        let noon = QuietHours::parse("12:00-14:00").unwrap();
        assert_eq!(
            noon.quiet_until(utc("2026-11-20T04:30:00Z"), Asia::Shanghai),
            Some(utc("2026-11-20T06:00:00Z"))
        );
    }

    #[test]
    fn a_crowd_is_spread_within_its_hours() {
        let place = |at, hours, part| {
            spread(
                utc(at),
                TimeDelta::hours(hours),
                part,
                Asia::Shanghai,
                Some(&office()),
                None,
            )
        };
        // At 09:00 over three hours; at 17:00 only one is left; at night it begins with the next opening.
        assert_eq!(place("2026-11-20T01:00:00Z", 3, 0.5), utc("2026-11-20T02:30:00Z"));
        assert_eq!(place("2026-11-20T09:00:00Z", 3, 0.5), utc("2026-11-20T09:30:00Z"));
        assert_eq!(
            place("2026-11-19T20:00:00Z", 2, 0.25),
            utc("2026-11-20T01:30:00Z")
        );
        let always = spread(
            utc("2026-11-20T20:00:00Z"),
            TimeDelta::hours(2),
            0.5,
            Tz::UTC,
            None,
            None,
        );
        assert_eq!(always, utc("2026-11-20T21:00:00Z"));
    }

    #[test]
    fn text_forms() {
        for (text, shown) in [
            ("mon-fri 9:00-18:00", "mon-fri 09:00-18:00"),
            ("09:00-24:00", "daily 09:00-24:00"),
            ("sat, sun 00:00-24:00", "sat,sun 00:00-24:00"),
        ] {
            let window = SendWindow::parse(text).unwrap();
            assert_eq!(window.to_string(), shown);
            assert_eq!(SendWindow::parse(shown).unwrap(), window);
        }
        for text in [
            "",
            "mon-fri",
            "18:00-09:00",
            "09:00-09:00",
            "09:00",
            "mon 9-18",
            "25:00-26:00",
            "24:00-10:00",
        ] {
            assert!(SendWindow::parse(text).is_err(), "{text:?}");
        }
        assert!(QuietHours::parse("08:00-08:00").is_err());
        assert_eq!(
            QuietHours::parse("21:00-8:00").unwrap().to_string(),
            "21:00-08:00"
        );
    }

    proptest! {
        #[test]
        fn what_is_next_is_open_and_nothing_before_it(
            seconds in 1_577_836_800_i64..2_208_988_800,
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            quarter in 0_i64..96_i64,
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let next = next_open(now, zone, &office(), None);
            prop_assert!(next >= now);
            prop_assert_eq!(next_open(next, zone, &office(), None), next);
            let between = now + chrono::Duration::minutes(15 * quarter);
            if between < next {
                prop_assert_eq!(next_open(between, zone, &office(), None), next);
            }
        }

        #[test]
        fn quiet_hours_end_in_the_open(
            seconds in 1_577_836_800_i64..2_208_988_800,
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            if let Some(end) = QuietHours::parse("21:00-08:00").unwrap().quiet_until(now, zone) {
                prop_assert!(end > now && end - now <= chrono::Duration::hours(13));
                prop_assert_eq!(QuietHours::parse("21:00-08:00").unwrap().quiet_until(end, zone), None);
            }
        }
    }
}
