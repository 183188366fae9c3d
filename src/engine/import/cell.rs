//! Reading the cells of one row into values of the domain.

use std::borrow::Cow;
use std::fmt::Display;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::header::Header;
use super::record::Record;
use crate::domain::zone;

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The column; empty when it is about the whole row.
    pub field: Cow<'static, str>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl Refusal {
    /// A refusal about one column.
    pub fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// A refusal about the row as a whole.
    pub fn row(reason: impl Into<String>) -> Self {
        Self::new("", reason)
    }
}

/// An instant as a file states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// With an offset: known as it is.
    At(DateTime<Utc>),
    /// By a clock whose zone has to be found out.
    Local(NaiveDateTime),
}

impl When {
    /// The instant, where clocks of `zone` are meant unless the file says otherwise.
    pub fn in_zone(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Local(local) => zone::to_instant(local, zone),
        }
    }

    /// The wall time, where the zone has to be found out.
    pub fn local(self) -> Option<NaiveDateTime> {
        match self {
            Self::At(_) => None,
            Self::Local(local) => Some(local),
        }
    }
}

/// The longest external id and the longest short text, in characters.
pub const SHORT: usize = 200;
/// The longest sentence.
pub const LONG: usize = 1_000;
/// The longest text of several lines.
pub const BLOCK: usize = 4_000;

/// The cells of one row, known to be text and as many as the header has. An empty cell reads as `None`.
pub struct Cells<'a> {
    record: &'a Record,
    header: &'a Header,
}

impl<'a> Cells<'a> {
    /// Checks what holds for every row of every file.
    pub fn open(record: &'a Record, header: &'a Header) -> Result<Self, Refusal> {
        if record.len() != header.width() {
            let (has, wants) = (record.len(), header.width());
            return Err(Refusal::row(format!(
                "the row has {has} cells and the header {wants}"
            )));
        }
        for index in 0..record.len() {
            let field = || header.name(index).to_owned();
            let bytes = record.cell(index).unwrap_or_default();
            let text = std::str::from_utf8(bytes).map_err(|_| Refusal::new(field(), "not UTF-8"))?;
            if let Some(bad) = text
                .chars()
                .find(|&c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            {
                let reason = match bad {
                    '\0' => "a NUL character".to_owned(),
                    _ => format!("a control character (U+{:04X})", bad as u32),
                };
                return Err(Refusal::new(field(), reason));
            }
        }
        Ok(Self { record, header })
    }

    /// The trimmed text at a position; `None` when empty.
    pub fn at(&self, index: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.record.cell(index)?).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Whether the file has the column.
    pub fn has(&self, name: &str) -> bool {
        self.header.has(name)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.at(self.header.index(name)?)
    }

    /// A text of one line and at most `max` characters.
    pub fn text(&self, name: &'static str, max: usize) -> Result<Option<&'a str>, Refusal> {
        let text = self.block(name, max)?;
        if text.is_some_and(|t| t.contains(['\n', '\r'])) {
            return Err(Refusal::new(name, "a line break where one line is expected"));
        }
        Ok(text)
    }

    /// A text of any number of lines and at most `max` characters.
    pub fn block(&self, name: &'static str, max: usize) -> Result<Option<&'a str>, Refusal> {
        let text = self.get(name);
        // Bytes first: they bound the characters and cost nothing to count.
        if text.is_some_and(|t| t.len() > max && t.chars().count() > max) {
            return Err(Refusal::new(name, format!("longer than {max} characters")));
        }
        Ok(text)
    }

    /// A short text that must be there.
    pub fn must(&self, name: &'static str) -> Result<&'a str, Refusal> {
        self.text(name, SHORT)?.ok_or_else(|| Refusal::new(name, "empty"))
    }

    /// A short text that may be missing as a column, but not empty where the column is there.
    pub fn name(&self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        if self.has(name) {
            self.must(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A value that `parse` reads; its error is the reason of the refusal.
    pub fn parse<T, E: Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name, LONG)? else {
            return Ok(None);
        };
        parse(text)
            .map(Some)
            .map_err(|error| Refusal::new(name, error.to_string()))
    }

    /// A word of a small set, in lower case.
    pub fn choice(
        &self,
        name: &'static str,
        among: &[&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        self.parse(name, |text| {
            let word = text.to_ascii_lowercase();
            among
                .iter()
                .find(|c| **c == word)
                .copied()
                .ok_or_else(|| format!("must be {}", among.join(", ")))
        })
    }

    /// A calendar date, `YYYY-MM-DD`.
    pub fn date(&self, name: &'static str) -> Result<Option<NaiveDate>, Refusal> {
        self.parse(name, date)
    }

    /// An instant: a date (its beginning) or a date and time, with or without an offset.
    pub fn when(&self, name: &'static str) -> Result<Option<When>, Refusal> {
        self.parse(name, when)
    }

    /// A number with a point for the decimals and without separators of thousands.
    pub fn decimal(&self, name: &'static str) -> Result<Option<Decimal>, Refusal> {
        self.parse(name, decimal)
    }

    /// A number that is not below zero.
    pub fn amount(&self, name: &'static str) -> Result<Option<Decimal>, Refusal> {
        self.parse(name, |text| match decimal(text) {
            Ok(number) if number.is_sign_negative() && !number.is_zero() => Err("must not be negative"),
            other => other,
        })
    }

    /// An IANA time zone.
    pub fn zone(&self, name: &'static str) -> Result<Option<Tz>, Refusal> {
        self.parse(name, |text| {
            text.parse::<Tz>()
                .map_err(|_| "not a time zone; write it as Asia/Shanghai or Europe/Berlin")
        })
    }
}

/// The years that a date may be in; outside it is a slip of the keyboard.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;

fn date(text: &str) -> Result<NaiveDate, &'static str> {
    let wrong = "not a date; write it as 2026-03-31";
    if text.len() != 10 || !text.is_ascii() {
        return Err(wrong);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| wrong)?;
    if YEARS.contains(&date.year()) {
        Ok(date)
    } else {
        Err("the year is not within 1900 and 2200")
    }
}

fn when(text: &str) -> Result<When, &'static str> {
    let wrong = "not a date or time; write it as 2026-03-31, 2026-03-31T14:30 or 2026-03-31T14:30:00+08:00";
    let (day, rest) = text.split_at_checked(10).ok_or(wrong)?;
    let day = date(day).map_err(|reason| if rest.is_empty() { reason } else { wrong })?;
    if rest.is_empty() {
        return Ok(When::Local(day.and_time(NaiveTime::MIN)));
    }
    let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(wrong)?.trim();
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest[..at].trim_end(), Some(offset(&rest[at..]).ok_or(wrong)?)),
        None => (rest, None),
    };
    let time = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(time, form).ok())
        .ok_or(wrong)?;
    let local = day.and_time(time);
    match offset {
        Some(offset) => local
            .and_local_timezone(offset)
            .single()
            .map(|at| When::At(at.to_utc()))
            .ok_or(wrong),
        None => Ok(When::Local(local)),
    }
}

fn offset(text: &str) -> Option<FixedOffset> {
    if text.eq_ignore_ascii_case("z") {
        FixedOffset::east_opt(0)
    } else {
        text.parse().ok()
    }
}

fn decimal(text: &str) -> Result<Decimal, &'static str> {
    let wrong = "not a number; write it as 1234.50, without separators and units";
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+');
    if !text.bytes().all(plain) {
        return Err(wrong);
    }
    let number: Decimal = text.parse().map_err(|_| wrong)?;
    if number.abs() >= Decimal::from(1_000_000_000_000_000_i64) || number.normalize().scale() > 6 {
        return Err("a number has at most 15 digits before the point and 6 behind it");
    }
    Ok(number.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Asia::Shanghai;

    #[test]
    fn dates_and_times() {
        for (text, want) in [
            ("2026-03-31", "2026-03-30T16:00:00Z"),
            ("2026-03-31T14:30", "2026-03-31T06:30:00Z"),
            ("2026-03-31 14:30:05", "2026-03-31T06:30:05Z"),
            ("2026-03-31T14:30:05.25Z", "2026-03-31T14:30:05.25Z"),
            ("2026-03-31T14:30+01:00", "2026-03-31T13:30:00Z"),
            ("2026-03-31 14:30 -0500", "2026-03-31T19:30:00Z"),
        ] {
            assert_eq!(
                when(text).unwrap().in_zone(Shanghai),
                want.parse::<DateTime<Utc>>().unwrap(),
                "{text}"
            );
        }
        for text in [
            "",
            "31.3.2026",
            "2026-02-30",
            "2026-3-31",
            "2026-03-31T",
            "2026-03-31T25:00",
            "2026-03-31X10:00",
            "0202-03-31",
            "2026-03-31T10:00+99:00",
            "20260331",
            "2026-03-3é",
            "2026-03-31T10:00 Europe",
        ] {
            assert!(when(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(decimal("1234.50"), Ok("1234.5".parse().unwrap()));
        assert_eq!(decimal("-3"), Ok(Decimal::from(-3)));
        for text in [
            "",
            "1,234",
            "12 €",
            "1e9",
            "--1",
            "1.2.3",
            "1000000000000000",
            "0.1234567",
            "NaN",
        ] {
            assert!(decimal(text).is_err(), "{text}");
        }
    }
}
