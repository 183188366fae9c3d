//! The grade table: per situation one row per grade, per row what each factor may be.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{Months, NaiveDate};
use serde::{Deserialize, Serialize};

use super::factor::{Factor, Level, Setting, parse_flag};
use super::grade::{Grade, NotInSet};

/// What a row allows in one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// Either, or unknown: the column asks nothing.
    Either,
    /// Yes or no.
    Flag(bool),
    /// One of these levels.
    Levels(Vec<Level>),
}

impl Allowed {
    /// The value is one the table names.
    pub fn names(&self, value: Option<&Setting>) -> bool {
        match self {
            Self::Either => true,
            Self::Flag(flag) => value.and_then(Setting::flag) == Some(*flag),
            Self::Levels(levels) => value
                .and_then(Setting::level)
                .is_some_and(|l| levels.contains(&l)),
        }
    }

    /// The value holds the row: one that the table names, or one that is better. Taken to the letter the table
    /// has holes (high resolve and selecting, but five months to go, is in no row), and more resolve than a row
    /// asks for must not cost the row. Unknown holds only where either would do.
    pub fn holds(&self, value: Option<&Setting>) -> bool {
        match self {
            Self::Either => true,
            Self::Flag(flag) => value.and_then(Setting::flag).is_some_and(|v| v >= *flag),
            Self::Levels(_) => value
                .and_then(Setting::level)
                .is_some_and(|level| Some(level) >= self.least_level()),
        }
    }

    fn least_level(&self) -> Option<Level> {
        match self {
            Self::Levels(levels) => levels.iter().min().copied(),
            Self::Either | Self::Flag(_) => None,
        }
    }

    /// The least that a lead of this row must have, for a lead of which only the grade is known.
    pub fn least(&self, factor: Factor) -> Option<Setting> {
        match self {
            Self::Either => None,
            Self::Flag(flag) => Setting::of_flag(factor, *flag),
            Self::Levels(_) => Setting::of_level(factor, self.least_level()?),
        }
    }

    fn suits(&self, factor: Factor) -> bool {
        match self {
            Self::Either => factor.is_flag() || factor.is_level(),
            Self::Flag(_) => factor.is_flag(),
            Self::Levels(_) => factor.is_level(),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = NotInSet;

    fn try_from(text: String) -> Result<Self, NotInSet> {
        if text == "either" {
            return Ok(Self::Either);
        }
        if let Ok(flag) = parse_flag(&text) {
            return Ok(Self::Flag(flag));
        }
        let levels = text.split(" or ").map(str::parse).collect::<Result<_, _>>();
        levels.map(Self::Levels).map_err(|_| {
            NotInSet::new(
                "column of the grade table",
                &text,
                "yes, no, either, or levels as in `high or medium`",
            )
        })
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Either => f.write_str("either"),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::Levels(levels) => {
                let words: Vec<_> = levels.iter().map(|l| l.as_str()).collect();
                f.write_str(&words.join(" or "))
            }
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The grade the row gives.
    pub grade: Grade,
    /// The expected close is within so many months; absent = any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_within_months: Option<u32>,
    /// What each factor may be.
    pub factors: BTreeMap<Factor, Allowed>,
}

impl Row {
    /// Whether `close` is near enough, seen from `today`. The months before the window of the row above count too.
    pub fn reaches(&self, close: NaiveDate, today: NaiveDate) -> bool {
        self.close_within_months.is_none_or(|months| {
            today
                .checked_add_months(Months::new(months))
                .is_none_or(|edge| close <= edge)
        })
    }

    /// The first day on which `close` is within the row's window.
    pub fn reaches_from(&self, close: NaiveDate) -> Option<NaiveDate> {
        let mut day = close.checked_sub_months(Months::new(self.close_within_months?))?;
        // The ends of months: 31 May less three months is 28 February, from where it is out of reach yet.
        while !self.reaches(close, day) {
            day = day.succ_opt()?;
        }
        Some(day)
    }
}

/// Checks that `rows` are the four grades in order, with windows that widen and columns of the right kind.
pub(super) fn check(rows: &[Row]) -> Result<(), String> {
    if !rows.iter().map(|row| row.grade).eq(Grade::ALL) {
        return Err("the rows must be A, B, C and D, in this order, each once".into());
    }
    for pair in rows.windows(2) {
        let (Some(near), far) = (pair[0].close_within_months, pair[1].close_within_months) else {
            return Err(format!("row {}: close_within_months is missing", pair[0].grade));
        };
        if far.is_some_and(|far| far <= near) {
            return Err(format!(
                "row {}: close_within_months must be more than {near}",
                pair[1].grade
            ));
        }
    }
    if rows[3].close_within_months.is_some() {
        return Err("row D: takes every later close, so no close_within_months".into());
    }
    for row in rows {
        for (factor, allowed) in &row.factors {
            if !allowed.suits(*factor) {
                return Err(format!("row {}: {factor} cannot be `{allowed}`", row.grade));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> Allowed {
        Allowed::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_column_names_its_values_and_holds_better_ones() {
        let column = allowed("medium or low");
        let level = |l| Some(Setting::Resolve(l));
        assert!(column.names(level(Level::Low).as_ref()) && !column.names(level(Level::High).as_ref()));
        assert!(column.holds(level(Level::High).as_ref()) && !column.holds(level(Level::None).as_ref()));
        assert!(!column.holds(None) && !allowed("no").holds(None) && allowed("either").holds(None));
        assert!(allowed("no").holds(Some(&Setting::Selecting(true))));
        assert!(!allowed("yes").holds(Some(&Setting::Selecting(false))));
        assert_eq!(
            allowed("high or medium").least(Factor::Resolve),
            level(Level::Medium)
        );
        assert_eq!(allowed("high or medium").to_string(), "high or medium");
        assert!(Allowed::try_from("often".to_owned()).is_err());
    }

    #[test]
    fn the_first_day_in_reach_knows_the_ends_of_months() {
        let row = Row {
            grade: Grade::A,
            close_within_months: Some(3),
            factors: BTreeMap::new(),
        };
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for close in [
            "2026-05-31",
            "2026-05-28",
            "2026-06-15",
            "2028-05-29",
            "2027-01-31",
        ]
        .map(day)
        {
            let first = row.reaches_from(close).unwrap();
            assert!(
                row.reaches(close, first) && !row.reaches(close, first.pred_opt().unwrap()),
                "{close}"
            );
        }
        assert_eq!(row.reaches_from(day("2026-05-31")), Some(day("2026-03-01")));
    }
}
