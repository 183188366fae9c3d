//! Birthdays, by the Gregorian or by the lunar calendar.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use super::lunar::{LunarDate, LunarMonth};
use super::occurrence::Occurrence;
use super::text::{Malformed, serde_as_text};

/// The calendar by which a birthday is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calendar {
    /// The civil calendar.
    #[default]
    Gregorian,
    /// The traditional Chinese calendar.
    Lunar,
}

impl FromStr for Calendar {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.trim().to_ascii_lowercase().as_str() {
            "gregorian" | "solar" => Ok(Self::Gregorian),
            "lunar" => Ok(Self::Lunar),
            _ => Err(Malformed::new(format!(
                "{text:?} is not a calendar: gregorian or lunar"
            ))),
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gregorian => "gregorian",
            Self::Lunar => "lunar",
        })
    }
}

/// Where people born on 29 February keep their birthday in a common year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feb29 {
    /// On 28 February, which keeps the month.
    #[default]
    #[serde(rename = "feb-28")]
    Feb28,
    /// On 1 March, which keeps the day after the 28th.
    #[serde(rename = "mar-1")]
    Mar1,
}

/// What is configurable about keeping birthdays. The lunar rules are fixed, see [`LunarDate::kept_in`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BirthdayRules {
    /// 29 February in common years.
    pub feb29: Feb29,
}

/// A birthday, with or without the year of birth. Written `1990-08-15` or `--08-15`, by the lunar calendar
/// `lunar:1990-08-15`, in a leap month `lunar:1990-L06-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Birthday {
    calendar: Calendar,
    year: Option<i32>,
    month: u8,
    day: u8,
    leap: bool,
}

impl Birthday {
    /// Reads a birthday by the given calendar; a prefix `lunar:` overrules it. The year may be left out (`--08-15`,
    /// `08-15`), and a lunar month may be marked as leap (`L06`). A lunar year is not checked for that leap month:
    /// people copy it from old papers, and the rule for years without it applies.
    pub fn parse(text: &str, calendar: Calendar) -> Result<Self, Malformed> {
        let refused = || {
            Malformed::new(
                "not a birthday: write 1990-08-15, or --08-15 without the year, and L06 for a lunar leap month",
            )
        };
        let text = text.trim();
        let (calendar, rest) = match text.strip_prefix("lunar:") {
            Some(rest) => (Calendar::Lunar, rest),
            None => (calendar, text),
        };
        let rest = rest.strip_prefix("--").unwrap_or(rest);
        let mut parts = rest.rsplit('-');
        let (day, month, year) = (parts.next(), parts.next(), parts.next());
        if parts.next().is_some() || (year.is_some() && text.contains("--")) {
            return Err(refused());
        }
        let day = number(day, 2).ok_or_else(refused)? as u8;
        let (leap, month) = match month.and_then(|month| month.strip_prefix(['L', 'l'])) {
            Some(month) => (true, Some(month)),
            None => (false, month),
        };
        let month = number(month, 2).ok_or_else(refused)? as u8;
        let year = match year {
            None => None,
            Some(year) if year.len() == 4 => Some(number(Some(year), 4).ok_or_else(refused)? as i32),
            Some(_) => return Err(refused()),
        };
        let birthday = Self {
            calendar,
            year,
            month,
            day,
            leap,
        };
        birthday.check()?;
        Ok(birthday)
    }

    fn check(&self) -> Result<(), Malformed> {
        if self.year.is_some_and(|year| !(1850..=2200).contains(&year)) {
            return Err(Malformed::new("the year of birth is not between 1850 and 2200"));
        }
        let exists = match self.calendar {
            Calendar::Gregorian if self.leap => {
                return Err(Malformed::new("only a lunar birthday has a leap month"));
            }
            // Without a year 29 February is a birthday, as in any leap year.
            Calendar::Gregorian => {
                let year = self.year.unwrap_or(2000);
                NaiveDate::from_ymd_opt(year, self.month.into(), self.day.into()).is_some()
            }
            Calendar::Lunar => (1..=12).contains(&self.month) && (1..=30).contains(&self.day),
        };
        if exists {
            Ok(())
        } else {
            Err(Malformed::new("there is no such day in the calendar"))
        }
    }

    /// The calendar by which it is kept.
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The year of birth, where known; of the lunar year for a lunar birthday.
    pub fn year(&self) -> Option<i32> {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(&self) -> u8 {
        self.month
    }

    /// The day of the month.
    pub fn day(&self) -> u8 {
        self.day
    }

    /// Whether the month is a lunar leap month.
    pub fn is_leap_month(&self) -> bool {
        self.leap
    }

    /// The first day at or after a date on which the birthday is kept; `None` only at the end of all calendars.
    /// - 29 February: by [`BirthdayRules::feb29`] in common years.
    /// - Lunar: as [`LunarDate::kept_in`] states. A birthday in month 11 or 12 may land in the Gregorian year after
    ///   its lunar year; the key names the lunar year, so each lunar year has one.
    pub fn occurrence_on_or_after(&self, date: NaiveDate, rules: BirthdayRules) -> Option<Occurrence> {
        let year = date.year();
        (year - 1..=year + 1)
            .filter_map(|year| Some((year, self.kept_in(year, rules)?)))
            .find(|(_, kept)| *kept >= date)
            .map(|(year, kept)| Occurrence {
                date: kept,
                key: self.key(year),
            })
    }

    fn kept_in(&self, year: i32, rules: BirthdayRules) -> Option<NaiveDate> {
        match self.calendar {
            Calendar::Lunar => LunarDate::kept_in(
                year,
                LunarMonth {
                    number: self.month,
                    leap: self.leap,
                },
                self.day,
            ),
            Calendar::Gregorian => {
                NaiveDate::from_ymd_opt(year, self.month.into(), self.day.into()).or_else(|| {
                    match rules.feb29 {
                        Feb29::Feb28 => NaiveDate::from_ymd_opt(year, 2, 28),
                        Feb29::Mar1 => NaiveDate::from_ymd_opt(year, 3, 1),
                    }
                })
            }
        }
    }

    fn key(&self, year: i32) -> String {
        match self.calendar {
            Calendar::Gregorian => year.to_string(),
            Calendar::Lunar => format!("{year}-lunar-{}", self.month_and_day()),
        }
    }

    fn month_and_day(&self) -> String {
        format!(
            "{}{:02}-{:02}",
            if self.leap { "L" } else { "" },
            self.month,
            self.day
        )
    }
}

/// A number of at most `digits` ASCII digits.
fn number(text: Option<&str>, digits: usize) -> Option<u32> {
    let text = text.filter(|t| (1..=digits).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

impl FromStr for Birthday {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text, Calendar::Gregorian)
    }
}

impl fmt::Display for Birthday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.calendar == Calendar::Lunar {
            f.write_str("lunar:")?;
        }
        match self.year {
            Some(year) => write!(f, "{year:04}-")?,
            None => f.write_str("--")?,
        }
        f.write_str(&self.month_and_day())
    }
}

serde_as_text!(Birthday);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn next(birthday: &str, calendar: Calendar, from: &str) -> (String, String) {
        let birthday = Birthday::parse(birthday, calendar).unwrap();
        let next = birthday
            .occurrence_on_or_after(day(from), BirthdayRules::default())
            .unwrap();
        (next.date.to_string(), next.key)
    }

    fn is(date: &str, key: &str) -> (String, String) {
        (date.to_owned(), key.to_owned())
    }

    #[test]
    fn gregorian_birthdays_return_every_year() {
        use Calendar::Gregorian;
        assert_eq!(
            next("1990-08-15", Gregorian, "2026-08-15"),
            is("2026-08-15", "2026")
        );
        assert_eq!(
            next("1990-08-15", Gregorian, "2026-08-16"),
            is("2027-08-15", "2027")
        );
        assert_eq!(next("--01-01", Gregorian, "2026-12-31"), is("2027-01-01", "2027"));
    }

    #[test]
    fn the_29th_of_february_by_either_rule() {
        let leapling = Birthday::parse("1992-02-29", Calendar::Gregorian).unwrap();
        let on = |from, feb29| {
            leapling
                .occurrence_on_or_after(day(from), BirthdayRules { feb29 })
                .unwrap()
                .date
        };
        assert_eq!(on("2027-01-01", Feb29::Feb28), day("2027-02-28"));
        assert_eq!(on("2027-01-01", Feb29::Mar1), day("2027-03-01"));
        assert_eq!(on("2027-03-01", Feb29::Mar1), day("2027-03-01"));
        assert_eq!(on("2028-02-01", Feb29::Feb28), day("2028-02-29"));
        assert_eq!(on("2028-02-29", Feb29::Mar1), day("2028-02-29"));
        assert_eq!(on("2028-03-01", Feb29::Mar1), day("2029-03-01"));
    }

    #[test]
    fn lunar_birthdays_follow_the_moon() {
        use Calendar::Lunar;
        assert_eq!(
            next("1990-08-15", Lunar, "2026-09-26"),
            is("2027-09-15", "2027-lunar-08-15")
        );
        assert_eq!(
            next("01-01", Lunar, "2027-01-01"),
            is("2027-02-06", "2027-lunar-01-01")
        );
        // month 12 lands in the next Gregorian year and keeps the lunar year's name
        assert_eq!(
            next("12-08", Lunar, "2026-01-26"),
            is("2026-01-26", "2025-lunar-12-08")
        );
        assert_eq!(
            next("12-30", Lunar, "2026-02-01"),
            is("2026-02-16", "2025-lunar-12-30")
        );
        // a leap month where the year has it, else the plain month
        assert_eq!(
            next("lunar:L06-10", Calendar::Gregorian, "2025-01-01"),
            is("2025-08-03", "2025-lunar-L06-10")
        );
        assert_eq!(
            next("1990-L06-10", Lunar, "2026-01-01"),
            is("2026-07-23", "2026-lunar-L06-10")
        );
    }

    #[test]
    fn text_forms() {
        for (text, calendar, shown) in [
            ("1990-08-15", Calendar::Gregorian, "1990-08-15"),
            ("08-15", Calendar::Gregorian, "--08-15"),
            ("--8-5", Calendar::Lunar, "lunar:--08-05"),
            ("1990-L06-10", Calendar::Lunar, "lunar:1990-L06-10"),
            ("lunar:l06-10", Calendar::Gregorian, "lunar:--L06-10"),
            ("02-29", Calendar::Gregorian, "--02-29"),
        ] {
            let birthday = Birthday::parse(text, calendar).unwrap();
            assert_eq!(birthday.to_string(), shown);
            assert_eq!(shown.parse::<Birthday>().unwrap(), birthday);
        }
        for text in [
            "",
            "15",
            "1990-13-01",
            "1990-02-30",
            "1991-02-29",
            "90-08-15",
            "1990-L06-10",
            "1990--08-15",
            "--1990-08-15",
            "1990-08-15-01",
            "1990/08/15",
            "+8-15",
            "0000-01-01",
            "1990-00-10",
            "1990-08-00",
        ] {
            assert!(Birthday::parse(text, Calendar::Gregorian).is_err(), "{text:?}");
        }
        assert!(Birthday::parse("1990-06-31", Calendar::Lunar).is_err());
        assert!("solar".parse::<Calendar>().is_ok() && "moon".parse::<Calendar>().is_err());
    }

    proptest! {
        #[test]
        fn once_a_year_and_never_with_one_key_twice(
            lunar: bool, leap: bool, month in 1_u8..=12, day in 1_u8..=29, start in 720_000_i32..800_000,
        ) {
            let calendar = if lunar { Calendar::Lunar } else { Calendar::Gregorian };
            let birthday = Birthday { calendar, year: None, month, day, leap: leap && lunar };
            let mut date = NaiveDate::from_num_days_from_ce_opt(start).unwrap();
            let mut keys = std::collections::BTreeSet::new();
            for _ in 0..30 {
                let next = birthday.occurrence_on_or_after(date, BirthdayRules::default()).unwrap();
                prop_assert!(next.date >= date);
                prop_assert!((next.date - date).num_days() < 420);
                prop_assert!(keys.insert(next.key));
                date = next.date.succ_opt().unwrap();
            }
        }
    }
}
