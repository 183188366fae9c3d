//! Festivals: days that return every year for everybody of a place.

use std::fmt;

use chrono::{Datelike, Month, NaiveDate, Weekday};

use super::lunar::{LunarDate, LunarMonth};
use super::occurrence::Occurrence;
use super::text::{Malformed, text_form};
use super::weekdays::{short_name, weekday};

/// How a festival's day is found. Written `12-25`, `lunar:08-15`, `thu#4 nov` or `mon#last may`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FestivalDay {
    /// A fixed day of the Gregorian calendar. 29 February comes in leap years only.
    Fixed {
        /// 1 to 12.
        month: u8,
        /// Day of the month.
        day: u8,
    },
    /// A day of the lunar calendar, kept as [`LunarDate::kept_in`] states: `lunar:12-30` is New Year's Eve.
    Lunar {
        /// 1 to 12, never a leap month.
        month: u8,
        /// 1 to 30.
        day: u8,
    },
    /// A weekday of a month, counted from its beginning.
    Weekday {
        /// The weekday.
        weekday: Weekday,
        /// 1 to 5, or `None` for the last; the fifth comes only in months that have it.
        nth: Option<u8>,
        /// The month.
        month: Month,
    },
}

impl FestivalDay {
    /// Reads one of the three forms.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim().to_ascii_lowercase();
        let refused = || {
            Malformed::new(format!(
                "{text:?} is not a festival's day such as 12-25, lunar:08-15 or thu#4 nov"
            ))
        };
        if let Some((day, rest)) = text.split_once('#') {
            let (nth, month) = rest.split_once(' ').ok_or_else(refused)?;
            let nth = match nth {
                "last" => None,
                "1" | "2" | "3" | "4" | "5" => Some(nth.as_bytes()[0] - b'0'),
                _ => return Err(refused()),
            };
            let month = month.trim().parse().map_err(|_| refused())?;
            return Ok(Self::Weekday {
                weekday: weekday(day)?,
                nth,
                month,
            });
        }
        let lunar = text.strip_prefix("lunar:");
        let (month, day) = lunar.unwrap_or(&text).split_once('-').ok_or_else(refused)?;
        let number = |text: &str| text.parse::<u8>().map_err(|_| refused());
        let (month, day) = (number(month)?, number(day)?);
        if lunar.is_some() {
            if !(1..=12).contains(&month) || !(1..=30).contains(&day) {
                return Err(refused());
            }
            return Ok(Self::Lunar { month, day });
        }
        NaiveDate::from_ymd_opt(2000, month.into(), day.into()).ok_or_else(refused)?;
        Ok(Self::Fixed { month, day })
    }

    /// The day of the festival in a year (in the lunar year of that number for a lunar one, so that of month 12 falls
    /// into the next Gregorian year), or `None` where the year has no such day.
    pub fn in_year(&self, year: i32) -> Option<Occurrence> {
        let date = match *self {
            Self::Fixed { month, day } => NaiveDate::from_ymd_opt(year, month.into(), day.into()),
            Self::Lunar { month, day } => LunarDate::kept_in(
                year,
                LunarMonth {
                    number: month,
                    leap: false,
                },
                day,
            ),
            Self::Weekday { weekday, nth, month } => {
                let of =
                    |nth| NaiveDate::from_weekday_of_month_opt(year, month.number_from_month(), weekday, nth);
                nth.map_or_else(|| of(5).or_else(|| of(4)), of)
            }
        }?;
        let key = match self {
            Self::Lunar { month, day } => format!("{year}-lunar-{month:02}-{day:02}"),
            _ => year.to_string(),
        };
        Some(Occurrence { date, key })
    }

    /// The first coming at or after a date.
    pub fn occurrence_on_or_after(&self, date: NaiveDate) -> Option<Occurrence> {
        // 29 February may be eight years away.
        (date.year() - 1..=date.year() + 8)
            .filter_map(|year| self.in_year(year))
            .find(|occurrence| occurrence.date >= date)
    }
}

impl fmt::Display for FestivalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { month, day } => write!(f, "{month:02}-{day:02}"),
            Self::Lunar { month, day } => write!(f, "lunar:{month:02}-{day:02}"),
            Self::Weekday { weekday, nth, month } => {
                let nth = nth.map_or_else(|| "last".to_owned(), |nth| nth.to_string());
                let month = month.name()[..3].to_ascii_lowercase();
                write!(f, "{}#{nth} {month}", short_name(*weekday))
            }
        }
    }
}

text_form!(FestivalDay);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on(festival: &str, year: i32) -> Option<String> {
        FestivalDay::parse(festival)
            .unwrap()
            .in_year(year)
            .map(|o| o.date.to_string())
    }

    #[test]
    fn the_three_kinds() {
        assert_eq!(on("12-25", 2026).unwrap(), "2026-12-25");
        assert_eq!(on("lunar:01-01", 2027).unwrap(), "2027-02-06");
        assert_eq!(on("lunar:08-15", 2026).unwrap(), "2026-09-25");
        assert_eq!(on("lunar:12-30", 2025).unwrap(), "2026-02-16");
        assert_eq!(on("thu#4 nov", 2026).unwrap(), "2026-11-26");
        assert_eq!(on("sun#2 may", 2027).unwrap(), "2027-05-09");
        assert_eq!(on("mon#last may", 2027).unwrap(), "2027-05-31");
        assert_eq!(on("mon#5 feb", 2027), None);
        assert_eq!(on("02-29", 2027), None);
    }

    #[test]
    fn the_next_coming_and_its_key() {
        let mid_autumn = FestivalDay::parse("lunar:08-15").unwrap();
        let next = mid_autumn
            .occurrence_on_or_after("2026-09-26".parse().unwrap())
            .unwrap();
        assert_eq!(
            (next.date.to_string(), next.key.as_str()),
            ("2027-09-15".to_owned(), "2027-lunar-08-15")
        );
        let leap_day = FestivalDay::parse("02-29").unwrap();
        let next = leap_day
            .occurrence_on_or_after("2096-03-01".parse().unwrap())
            .unwrap();
        assert_eq!(
            (next.date.to_string(), next.key.as_str()),
            ("2104-02-29".to_owned(), "2104")
        );
    }

    #[test]
    fn text_forms() {
        for text in ["12-25", "lunar:08-15", "thu#4 nov", "mon#last may"] {
            assert_eq!(FestivalDay::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "25",
            "13-01",
            "02-30",
            "lunar:13-01",
            "lunar:01-31",
            "thu#6 nov",
            "thu#4",
            "thu#4 foo",
            "x#1 may",
        ] {
            assert!(FestivalDay::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_weekday_of_a_month_is_one(year in 1900_i32..2200, nth in 1_u8..=4, month in 1_u8..=12) {
            let festival = FestivalDay::Weekday { weekday: Weekday::Sun, nth: Some(nth), month: Month::try_from(month).unwrap() };
            let date = festival.in_year(year).unwrap().date;
            prop_assert_eq!(date.weekday(), Weekday::Sun);
            prop_assert_eq!((date.day() - 1) / 7 + 1, u32::from(nth));
            prop_assert_eq!(festival.to_string().parse::<FestivalDay>().unwrap(), festival);
        }
    }
}
