//! Sets of weekdays as people write them.

use std::fmt;

use chrono::{Datelike, NaiveDate, Weekday, WeekdaySet};

use super::text::{Malformed, text_form};

/// The weekdays on which something may happen; never empty. Written `mon-fri`, `sat,sun`, `fri-mon` or `daily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(WeekdaySet);

impl Weekdays {
    /// Every day of the week.
    pub const DAILY: Self = Self(WeekdaySet::ALL);

    /// Reads a list of days and ranges; a range may run over the week's end.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim().to_ascii_lowercase();
        if text == "daily" {
            return Ok(Self::DAILY);
        }
        let mut days = WeekdaySet::EMPTY;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (mut day, last) = (weekday(first)?, weekday(last)?);
            days.insert(day);
            while day != last {
                day = day.succ();
                days.insert(day);
            }
        }
        Ok(Self(days))
    }

    /// Whether the date falls on one of the days.
    pub fn contain(self, date: NaiveDate) -> bool {
        self.0.contains(date.weekday())
    }
}

/// One weekday by its English name, short or long.
pub(super) fn weekday(text: &str) -> Result<Weekday, Malformed> {
    text.trim().parse().map_err(|_| {
        Malformed::new(format!(
            "{text:?} is not a weekday: mon, tue, wed, thu, fri, sat, sun"
        ))
    })
}

/// The three letters by which a weekday is written.
pub(super) fn short_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "mon",
        Weekday::Tue => "tue",
        Weekday::Wed => "wed",
        Weekday::Thu => "thu",
        Weekday::Fri => "fri",
        Weekday::Sat => "sat",
        Weekday::Sun => "sun",
    }
}

/// Ranges of three and more days are joined by a dash, shorter ones listed.
impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DAILY {
            return f.write_str("daily");
        }
        let days: Vec<Weekday> = self.0.iter(Weekday::Mon).collect();
        let runs = days.chunk_by(|a, b| a.succ() == *b).map(|run| match run {
            [first, _, .., last] => format!("{}-{}", short_name(*first), short_name(*last)),
            _ => run
                .iter()
                .map(|day| short_name(*day))
                .collect::<Vec<_>>()
                .join(","),
        });
        f.write_str(&runs.collect::<Vec<_>>().join(","))
    }
}

text_form!(Weekdays);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_lists_ranges_and_turns_of_the_week() {
        for (text, shown) in [
            ("mon-fri", "mon-fri"),
            ("Sat, Sun", "sat,sun"),
            ("fri-mon", "mon,fri-sun"),
            ("monday,tue,wed", "mon-wed"),
            ("mon-sun", "daily"),
            ("daily", "daily"),
            ("wed-wed", "wed"),
        ] {
            assert_eq!(Weekdays::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_other_words() {
        for text in ["", "mon-", "m", "mon..fri", "mon,,tue", "1-5", "everyday"] {
            assert!(Weekdays::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_set_reads_back(bits in 1_u8..128) {
            let days: WeekdaySet =
                [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun]
                    .into_iter()
                    .enumerate()
                    .filter(|(at, _)| bits & (1 << at) != 0)
                    .map(|(_, day)| day)
                    .collect();
            let days = Weekdays(days);
            prop_assert_eq!(days.to_string().parse::<Weekdays>().unwrap(), days);
        }
    }
}
