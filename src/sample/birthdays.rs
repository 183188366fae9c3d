//! Birthdays in both calendars.

use chrono::{Datelike, Days, NaiveDate};
use icu_calendar::Date;
use icu_calendar::cal::ChineseTraditional;

use super::rng::Rng;

/// The text of a birthday and the calendar it is kept by.
pub(super) type Birthday = (String, &'static str);

/// Draws a birthday. A lunar one is the lunar date of a real day, so that leap months and thirtieth days come as
/// often as they do in life; some people keep the year to themselves.
pub(super) fn draw(rng: &mut Rng, may_be_lunar: bool) -> Option<Birthday> {
    let first = NaiveDate::from_ymd_opt(1955, 1, 1)?;
    let mut day = first.checked_add_days(Days::new(rng.below(18_000) as u64))?;
    if rng.below(250) == 0 {
        day = NaiveDate::from_ymd_opt(1956 + 4 * rng.between(0, 11) as i32, 2, 29)?;
    }
    let with_year = !rng.chance(6);
    if may_be_lunar && rng.chance(27) {
        return lunar(day, with_year).map(|text| (text, "lunar"));
    }
    let text = if with_year {
        day.format("%Y-%m-%d")
    } else {
        day.format("%m-%d")
    };
    Some((text.to_string(), "gregorian"))
}

/// `1990-08-15`, `08-15`, or `1990-L05-10` in a leap month, which always states its year.
fn lunar(day: NaiveDate, with_year: bool) -> Option<String> {
    let date = Date::try_new_gregorian(day.year(), day.month() as u8, day.day() as u8).ok()?;
    let date: Date<ChineseTraditional> = date.to_calendar(ChineseTraditional::new());
    let (year, month, day) = (date.year().extended_year(), date.month(), date.day_of_month().0);
    let number = month.number();
    Some(if month.to_input().is_leap() {
        format!("{year:04}-L{number:02}-{day:02}")
    } else if with_year {
        format!("{year:04}-{number:02}-{day:02}")
    } else {
        format!("{number:02}-{day:02}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lunar_days() {
        let text = |y, m, d| lunar(NaiveDate::from_ymd_opt(y, m, d).unwrap(), true).unwrap();
        assert_eq!(text(1957, 10, 8), "1957-L08-15");
        assert_eq!(text(1962, 4, 7), "1962-03-03");
        assert_eq!(text(1970, 2, 6), "1970-01-01");
        assert_eq!(text(1984, 11, 23), "1984-L10-01");
        assert_eq!(text(1995, 10, 23), "1995-L08-29");
    }
}
