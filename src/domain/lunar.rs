//! The traditional Chinese calendar. Years are named by the Gregorian year in which they begin.

use chrono::{Datelike, NaiveDate};
use icu_calendar::Date;
use icu_calendar::cal::ChineseTraditional;
use icu_calendar::types::{Month, RataDie};

/// A month of a lunar year: its number and whether it is the leap month of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LunarMonth {
    /// 1 to 12.
    pub number: u8,
    /// Whether it is the second month of that number in its year.
    pub leap: bool,
}

/// A day of the lunar calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LunarDate {
    /// The Gregorian year in which the lunar year begins.
    pub year: i32,
    /// The month.
    pub month: LunarMonth,
    /// 1 to 30.
    pub day: u8,
}

/// Years that the calendar is asked about; beyond them there is no lunar date.
const YEARS: std::ops::RangeInclusive<i32> = 1800..=2300;

impl LunarDate {
    /// The lunar date of a Gregorian one between 1801 and 2299, else `None`.
    pub fn of(date: NaiveDate) -> Option<Self> {
        if !YEARS.contains(&(date.year() - 1)) || !YEARS.contains(&(date.year() + 1)) {
            return None;
        }
        let day = RataDie::new(i64::from(date.num_days_from_ce()));
        let lunar = Date::from_rata_die(day, ChineseTraditional::new());
        let month = lunar.month();
        Some(Self {
            year: lunar.year().extended_year(),
            month: LunarMonth {
                number: month.number(),
                leap: month.to_input().is_leap(),
            },
            day: lunar.day_of_month().0,
        })
    }

    /// The Gregorian date, or `None` when that year has no such month or that month no such day.
    pub fn to_gregorian(self) -> Option<NaiveDate> {
        if !YEARS.contains(&self.year) || !(1..=12).contains(&self.month.number) {
            return None;
        }
        let month = if self.month.leap {
            Month::leap(self.month.number)
        } else {
            Month::new(self.month.number)
        };
        let lunar = Date::try_new(self.year.into(), month, self.day, ChineseTraditional::new()).ok()?;
        NaiveDate::from_num_days_from_ce_opt(i32::try_from(lunar.to_rata_die().to_i64_date()).ok()?)
    }

    /// The day on which this month and day are kept in a lunar year. Two rules, the same for every month:
    /// - a leap month's day is kept in the leap month where the year has it, else in the plain month of that number
    ///   (a plain month's day is kept once, in the plain month, which comes first);
    /// - day 30 of a month of 29 days is kept on the 29th, so New Year's Eve stays New Year's Eve.
    pub fn kept_in(year: i32, month: LunarMonth, day: u8) -> Option<NaiveDate> {
        let plain = LunarMonth { leap: false, ..month };
        let on = |month, day| Self { year, month, day }.to_gregorian();
        // The leap month exists where its first day does.
        let month = if month.leap && on(month, 1).is_some() {
            month
        } else {
            plain
        };
        on(month, day).or_else(|| if day == 30 { on(month, 29) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpora;
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    const fn plain(number: u8) -> LunarMonth {
        LunarMonth { number, leap: false }
    }

    const fn leap(number: u8) -> LunarMonth {
        LunarMonth { number, leap: true }
    }

    #[test]
    fn new_year_2027_is_the_sixth_of_february() {
        let new_year = LunarDate {
            year: 2027,
            month: plain(1),
            day: 1,
        };
        assert_eq!(new_year.to_gregorian(), Some(day("2027-02-06")));
        assert_eq!(LunarDate::of(day("2027-02-06")), Some(new_year));
    }

    #[test]
    fn sixty_days_of_the_reference_table() {
        let Some(text) = corpora::read("calendar/lunar_examples.tsv") else {
            return;
        };
        let mut count = 0;
        for row in corpora::rows(&text) {
            let month = LunarMonth {
                number: row[2].parse().unwrap(),
                leap: row[4] == "1",
            };
            let lunar = LunarDate {
                year: row[1].parse().unwrap(),
                month,
                day: row[3].parse().unwrap(),
            };
            assert_eq!(LunarDate::of(day(row[0])), Some(lunar), "{row:?}");
            assert_eq!(lunar.to_gregorian(), Some(day(row[0])), "{row:?}");
            count += 1;
        }
        assert_eq!(count, 60);
    }

    #[test]
    fn years_without_day_thirty_of_month_twelve() {
        let Some(text) = corpora::read("calendar/lunar_rules.json") else {
            return;
        };
        let rules: serde_json::Value = serde_json::from_str(&text).unwrap();
        let facts = &rules[0]["facts"];
        let short = |year: i32| {
            LunarDate {
                year,
                month: plain(12),
                day: 30,
            }
            .to_gregorian()
            .is_none()
        };
        let listed: Vec<i32> = serde_json::from_value(facts["years_without_2021_2040"].clone()).unwrap();
        assert_eq!((2021..=2040).filter(|y| short(*y)).collect::<Vec<_>>(), listed);
        let count = (1950..=2099).filter(|y| short(*y)).count();
        assert_eq!(count as u64, facts["without_day_30"].as_u64().unwrap());
        for example in facts["examples"].as_array().unwrap() {
            let year = example["lunar_year"].as_i64().unwrap() as i32;
            let kept = LunarDate::kept_in(year, plain(12), 30).unwrap();
            assert_eq!(kept, day(example["gregorian"].as_str().unwrap()));
        }
        let leap_facts = &rules[2]["facts"];
        assert_eq!(LunarDate::of(day("2006-08-30")).unwrap().month, leap(7));
        let kept = leap_facts["in_2026"]["ordinary month 7 day 7"].as_str().unwrap();
        assert_eq!(LunarDate::kept_in(2026, leap(7), 7), Some(day(kept)));
        let again = leap_facts["next_year_with_the_same_leap_month"].as_i64().unwrap() as i32;
        let has = |year| {
            LunarDate {
                year,
                month: leap(7),
                day: 1,
            }
            .to_gregorian()
            .is_some()
        };
        assert_eq!((2007..2100).find(|y| has(*y)), Some(again));
        let twice = &rules[3]["facts"];
        let once = day(twice["ordinary month 6 day 15"].as_str().unwrap());
        assert_eq!(LunarDate::kept_in(2025, plain(6), 15), Some(once));
        let second = day(twice["leap month 6 day 15"].as_str().unwrap());
        assert_eq!(LunarDate::kept_in(2025, leap(6), 15), Some(second));
    }

    #[test]
    fn ambiguous_months_are_read_one_way_or_the_other() {
        let Some(text) = corpora::read("calendar/lunar_ambiguous.tsv") else {
            return;
        };
        for row in corpora::rows(&text) {
            let first = LunarDate {
                year: row[0].parse().unwrap(),
                month: plain(row[1].parse().unwrap()),
                day: 1,
            };
            let date = first.to_gregorian().unwrap();
            assert!(date == day(row[2]) || date == day(row[3]), "{row:?}");
            for date in date.iter_days().take(31) {
                assert_eq!(LunarDate::of(date).and_then(LunarDate::to_gregorian), Some(date));
            }
        }
    }

    #[test]
    fn far_years_have_no_lunar_date() {
        assert_eq!(LunarDate::of(NaiveDate::MAX), None);
        assert_eq!(LunarDate::of(NaiveDate::MIN), None);
        assert_eq!(
            LunarDate {
                year: i32::MAX,
                month: plain(1),
                day: 1
            }
            .to_gregorian(),
            None
        );
        assert_eq!(
            LunarDate {
                year: 2026,
                month: plain(13),
                day: 1
            }
            .to_gregorian(),
            None
        );
    }

    proptest! {
        #[test]
        fn dates_go_there_and_back(days in 658_000_i32..839_000) {
            let date = NaiveDate::from_num_days_from_ce_opt(days).unwrap();
            let lunar = LunarDate::of(date).unwrap();
            prop_assert_eq!(lunar.to_gregorian(), Some(date));
            prop_assert_eq!(LunarDate::kept_in(lunar.year, lunar.month, lunar.day), Some(date));
        }

        #[test]
        fn every_month_and_day_is_kept_once_a_year(year in 1801_i32..2299, number in 1_u8..=12, leap: bool, day in 1_u8..=30) {
            let kept = LunarDate::kept_in(year, LunarMonth { number, leap }, day);
            prop_assert!(kept.is_some());
        }
    }
}
