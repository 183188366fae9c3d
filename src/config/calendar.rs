//! A calendar file: the holidays and make-up workdays of a region, and its festivals by rule.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::source::Source;
use crate::domain::festival::FestivalDay;
use crate::domain::holiday::DayKind;

/// A calendar as written in `config/calendars/NAME.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// One line for people: whose days, and how far they are official.
    pub title: String,
    /// Days off.
    #[serde(default)]
    pub holidays: Vec<Days>,
    /// Weekend days worked in exchange.
    #[serde(default)]
    pub makeup_workdays: Vec<Days>,
    /// Days that return every year for everybody there, by rule.
    #[serde(default)]
    pub festivals: Vec<Festival>,
}

/// A day or several in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// The day, or the first.
    pub on: NaiveDate,
    /// The last, where it is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
    /// What is kept.
    pub name: String,
}

/// A festival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Festival {
    /// What it is called.
    pub name: String,
    /// How its day is found.
    pub on: FestivalDay,
}

/// No run of holidays is longer.
const LONGEST: i64 = 60;

impl Calendar {
    /// Every date that is not as its weekday would have it, in the order of the file.
    pub fn dates(&self) -> impl Iterator<Item = (NaiveDate, DayKind, &str)> {
        let off = self.holidays.iter().map(|days| (days, DayKind::Holiday));
        let worked = self
            .makeup_workdays
            .iter()
            .map(|days| (days, DayKind::MakeupWorkday));
        off.chain(worked).flat_map(|(days, kind)| {
            let last = days.until.unwrap_or(days.on);
            days.on
                .iter_days()
                .take_while(move |day| *day <= last)
                .map(move |day| (day, kind, days.name.as_str()))
        })
    }

    /// What types alone cannot tell: days that run backwards or for ever, and dates stated twice.
    pub fn check(&self, source: &Source) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (list, days) in [
            ("holidays", &self.holidays),
            ("makeup_workdays", &self.makeup_workdays),
        ] {
            for (position, days) in days.iter().enumerate() {
                let at = position.to_string();
                let length = (days.until.unwrap_or(days.on) - days.on).num_days();
                if !(0..LONGEST).contains(&length) {
                    problems.push(source.problem_at(
                        &[list, &at, "until"],
                        format!("the days must run forward, for less than {LONGEST} days"),
                    ));
                    continue;
                }
                for day in days.on.iter_days().take(length as usize + 1) {
                    if !seen.insert(day) {
                        problems.push(source.problem_at(&[list, &at], format!("{day} is stated twice")));
                    }
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::shipped;
    use super::*;

    fn read(text: &str) -> (Calendar, Source) {
        let source = Source::of("c.toml", text).unwrap();
        (source.read().unwrap(), source)
    }

    #[test]
    fn runs_of_days_are_every_day_of_them() {
        let (calendar, source) = read(
            "title = \"t\"\nholidays = [{ on = \"2026-10-01\", until = \"2026-10-03\", name = \"n\" }]\n\
             makeup_workdays = [{ on = \"2026-10-10\", name = \"n\" }]",
        );
        assert!(calendar.check(&source).is_empty());
        let dates: Vec<_> = calendar
            .dates()
            .map(|(day, kind, _)| (day.to_string(), kind))
            .collect();
        assert_eq!(dates.len(), 4);
        assert_eq!(dates[2], ("2026-10-03".to_owned(), DayKind::Holiday));
        assert_eq!(dates[3], ("2026-10-10".to_owned(), DayKind::MakeupWorkday));
    }

    #[test]
    fn backwards_twice_and_impossible_days_are_refused() {
        let (calendar, source) = read(
            "title = \"t\"\nholidays = [\n  { on = \"2026-10-02\", name = \"n\" },\n  \
             { on = \"2026-10-01\", until = \"2026-10-03\", name = \"n\" },\n  \
             { on = \"2026-12-31\", until = \"2026-12-30\", name = \"n\" },\n]",
        );
        let problems: Vec<_> = calendar.check(&source).iter().map(ToString::to_string).collect();
        assert_eq!(problems[0], "c.toml:4:3: holidays.1: 2026-10-02 is stated twice");
        assert!(problems[1].starts_with("c.toml:5:24: holidays.2.until: the days must run forward"));
        let source = Source::of(
            "c.toml",
            "title = \"t\"\nholidays = [{ on = \"2026-02-30\", name = \"n\" }]",
        )
        .unwrap();
        assert_eq!(source.read::<Calendar>().unwrap_err().line, 2);
    }

    #[test]
    fn the_shipped_calendars_are_sound() {
        let names: Vec<_> = shipped::Config::iter()
            .filter(|name| name.starts_with("calendars/"))
            .collect();
        assert!(names.len() >= 4, "{names:?}");
        for name in names {
            let file = shipped::Config::get(&name).unwrap();
            let source = Source::of(name.as_ref(), std::str::from_utf8(&file.data).unwrap()).unwrap();
            let calendar: Calendar = source.read().unwrap();
            assert_eq!(calendar.check(&source), [], "{name}");
        }
    }

    #[test]
    fn china_in_2026_is_as_published() {
        let Some(text) = crate::domain::corpora::read("calendar/china_holidays_2024_2026.tsv") else {
            return;
        };
        let file = shipped::Config::get("calendars/china.toml").unwrap();
        let (calendar, _) = read(std::str::from_utf8(&file.data).unwrap());
        let mut ours: Vec<_> = calendar
            .dates()
            .filter(|(day, ..)| day.to_string().starts_with("2026"))
            .map(|(day, kind, _)| (day.to_string(), kind == DayKind::Holiday))
            .collect();
        ours.sort();
        let published: Vec<_> = crate::domain::corpora::rows(&text)
            .filter(|row| row[0].starts_with("2026"))
            .map(|row| (row[0].to_owned(), row[1] == "holiday"))
            .collect();
        assert_eq!(ours, published);
    }
}
