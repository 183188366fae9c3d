//! Business days: weekends, holidays, and the weekend days that are worked in exchange.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};

use super::text::Malformed;

/// What a calendar says of a date that is not as its weekday would have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// A day off, whatever its weekday.
    Holiday,
    /// A day worked in exchange for a holiday; where it is a weekend day it is a business day.
    MakeupWorkday,
}

/// The days off and the make-up workdays of one region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HolidayCalendar {
    days: BTreeMap<NaiveDate, (DayKind, String)>,
}

impl HolidayCalendar {
    /// Builds a calendar from rows of date, kind and name. A date stated twice must be stated alike.
    pub fn from_rows<N: Into<String>>(
        rows: impl IntoIterator<Item = (NaiveDate, DayKind, N)>,
    ) -> Result<Self, Malformed> {
        let mut days = BTreeMap::new();
        for (date, kind, name) in rows {
            if let Some((before, _)) = days.insert(date, (kind, name.into()))
                && before != kind
            {
                return Err(Malformed::new(format!(
                    "{date} is both a holiday and a make-up workday"
                )));
            }
        }
        Ok(Self { days })
    }

    /// The kind and name stated for a date, where the calendar states any.
    pub fn entry(&self, date: NaiveDate) -> Option<(DayKind, &str)> {
        self.days.get(&date).map(|(kind, name)| (*kind, name.as_str()))
    }

    /// What the calendar says about a date that its weekday does not: `Some(false)` off, `Some(true)` worked.
    pub fn exception(&self, date: NaiveDate) -> Option<bool> {
        self.entry(date).map(|(kind, _)| kind == DayKind::MakeupWorkday)
    }

    /// Whether business is done on a date: Monday to Friday unless a holiday, a weekend day only as a make-up day.
    pub fn is_business_day(&self, date: NaiveDate) -> bool {
        self.exception(date).unwrap_or_else(|| is_weekday(date))
    }
}

/// Monday to Friday.
pub fn is_weekday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The date `count` business days after a date (before it for a negative count). Nought moves a day off to the next
/// business day. Without a calendar Monday to Friday count. A calendar without any business day within two years of
/// the next counts as no calendar.
pub fn add_business_days(date: NaiveDate, count: i32, calendar: Option<&HolidayCalendar>) -> NaiveDate {
    let open = |day: NaiveDate| calendar.map_or_else(|| is_weekday(day), |c| c.is_business_day(day));
    if count == 0 && open(date) {
        return date;
    }
    let step = |day: NaiveDate| {
        if count < 0 {
            day.checked_sub_days(Days::new(1))
        } else {
            day.checked_add_days(Days::new(1))
        }
    };
    let (mut day, mut left, mut closed) = (date, count.unsigned_abs().max(1), 0);
    while left > 0 {
        let Some(next) = step(day) else { return day };
        day = next;
        if open(day) {
            (left, closed) = (left - 1, 0);
        } else {
            closed += 1;
        }
        if closed > 730 {
            return add_business_days(date, count, None);
        }
    }
    day
}

#[cfg(test)]
mod tests {
    use super::super::corpora;
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn holidays_and_makeup_days_overrule_the_week() {
        let calendar = HolidayCalendar::from_rows([
            (day("2026-02-16"), DayKind::Holiday, "Spring Festival"),
            (day("2026-02-14"), DayKind::MakeupWorkday, "Spring Festival"),
        ])
        .unwrap();
        assert!(!calendar.is_business_day(day("2026-02-16")));
        assert!(calendar.is_business_day(day("2026-02-14")));
        assert!(!calendar.is_business_day(day("2026-02-15")));
        assert!(calendar.is_business_day(day("2026-02-17")));
        assert_eq!(
            calendar.entry(day("2026-02-16")),
            Some((DayKind::Holiday, "Spring Festival"))
        );
        assert_eq!(
            add_business_days(day("2026-02-13"), 1, Some(&calendar)),
            day("2026-02-14")
        );
        assert_eq!(
            add_business_days(day("2026-02-13"), 2, Some(&calendar)),
            day("2026-02-17")
        );
        assert_eq!(
            add_business_days(day("2026-02-17"), -1, Some(&calendar)),
            day("2026-02-14")
        );
        assert_eq!(
            add_business_days(day("2026-02-15"), 0, Some(&calendar)),
            day("2026-02-17")
        );
    }

    #[test]
    fn a_date_is_not_both() {
        let rows = [
            (day("2026-02-14"), DayKind::Holiday, "a"),
            (day("2026-02-14"), DayKind::MakeupWorkday, "b"),
        ];
        assert!(HolidayCalendar::from_rows(rows).is_err());
    }

    #[test]
    fn a_calendar_that_closes_for_ever_does_not_hang() {
        let always = (0..3000).map(|n| (day("2026-01-01") + Days::new(n), DayKind::Holiday, "closed"));
        let calendar = HolidayCalendar::from_rows(always).unwrap();
        assert_eq!(
            add_business_days(day("2026-01-02"), 1, Some(&calendar)),
            day("2026-01-05")
        );
    }

    #[test]
    fn three_years_of_china() {
        let Some(text) = corpora::read("calendar/china_holidays_2024_2026.tsv") else {
            return;
        };
        let rows = corpora::rows(&text).map(|row| {
            let kind = if row[1] == "holiday" {
                DayKind::Holiday
            } else {
                DayKind::MakeupWorkday
            };
            (day(row[0]), kind, row[2].to_owned())
        });
        let calendar = HolidayCalendar::from_rows(rows).unwrap();
        let count = |kind| calendar.days.values().filter(|(k, _)| *k == kind).count();
        assert_eq!((count(DayKind::Holiday), count(DayKind::MakeupWorkday)), (89, 19));
        let of_2025 = day("2025-01-01").iter_days().take(365);
        // 261 weekdays, 28 days off of which 19 on weekdays, 5 weekend days worked
        let worked = of_2025.filter(|d| calendar.is_business_day(*d)).count();
        let by_hand = day("2025-01-01")
            .iter_days()
            .take(365)
            .filter(|d| match text.lines().find(|l| l.starts_with(&d.to_string())) {
                Some(line) => line.contains("makeup_workday"),
                None => d.weekday().num_days_from_monday() < 5,
            })
            .count();
        assert_eq!(worked, by_hand);
        assert!(!calendar.is_business_day(day("2025-10-08")));
        assert!(calendar.is_business_day(day("2025-10-11")));
    }

    proptest! {
        #[test]
        fn business_days_go_there_and_back(days in 0_u64..20_000, count in 1_i32..60) {
            let start = add_business_days(day("2000-01-03") + Days::new(days), 0, None);
            let end = add_business_days(start, count, None);
            prop_assert!(is_weekday(end));
            prop_assert_eq!(add_business_days(end, -count, None), start);
        }
    }
}
