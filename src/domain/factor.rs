//! The factors a grade is a function of, and the values they can take.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::grade::NotInSet;

/// Strength of a resolve or of a dissatisfaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// None at all; not the same as unknown.
    None,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

impl Level {
    const ALL: [Self; 4] = [Self::None, Self::Low, Self::Medium, Self::High];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// This level moved by `steps` (up is positive), at most to the end of the scale.
    #[must_use]
    pub fn moved(self, steps: i32) -> Self {
        let at = (self as i32).saturating_add(steps).clamp(0, 3);
        Self::ALL[at as usize]
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        let word = text.trim().to_lowercase();
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| NotInSet::new("level", text, "high, medium, low or none"))
    }
}

/// Reads yes or no in the value set of files: yes/no, true/false, 1/0, 是/否.
pub fn parse_flag(text: &str) -> Result<bool, NotInSet> {
    match text.trim().to_lowercase().as_str() {
        "yes" | "true" | "1" | "是" => Ok(true),
        "no" | "false" | "0" | "否" => Ok(false),
        _ => Err(NotInSet::new(
            "yes or no",
            text,
            "yes, no, true, false, 1, 0, 是 or 否",
        )),
    }
}

/// What is recorded about a lead and can move its grade or its cadence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Trade and size say that the lead needs it. Yes or no.
    ObjectiveNeed,
    /// The lead itself says so. Yes or no.
    FeltNeed,
    /// Dissatisfaction with the current system (replacement). A level.
    Dissatisfaction,
    /// Resolve to act, or to switch (replacement). A level.
    Resolve,
    /// Evaluating feasibility (greenfield). Yes or no.
    Evaluating,
    /// Has begun selecting. Yes or no.
    Selecting,
    /// Money and the say over it; counts when the rules switch it on. Yes or no.
    PurchasingPower,
    /// When the sale is expected to close. A date.
    ExpectedClose,
    /// The matter that has to be finished or decided first. Text.
    WaitingFor,
    /// When that matter is expected to be done: the moment a B may turn A. A date.
    ExpectedOn,
    /// The owner's estimate of the sale, in percent.
    Likelihood,
}

impl Factor {
    /// All of them, in the order of the matrix.
    pub const ALL: [Self; 11] = [
        Self::ObjectiveNeed,
        Self::FeltNeed,
        Self::Dissatisfaction,
        Self::Resolve,
        Self::Evaluating,
        Self::Selecting,
        Self::PurchasingPower,
        Self::ExpectedClose,
        Self::WaitingFor,
        Self::ExpectedOn,
        Self::Likelihood,
    ];

    /// The text form: column of a file, key of the rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObjectiveNeed => "objective_need",
            Self::FeltNeed => "felt_need",
            Self::Dissatisfaction => "dissatisfaction",
            Self::Resolve => "resolve",
            Self::Evaluating => "evaluating",
            Self::Selecting => "selecting",
            Self::PurchasingPower => "purchasing_power",
            Self::ExpectedClose => "expected_close",
            Self::WaitingFor => "waiting_for",
            Self::ExpectedOn => "expected_on",
            Self::Likelihood => "likelihood",
        }
    }

    /// Whether it takes yes or no.
    pub fn is_flag(self) -> bool {
        matches!(
            self,
            Self::ObjectiveNeed | Self::FeltNeed | Self::Evaluating | Self::Selecting | Self::PurchasingPower
        )
    }

    /// Whether it takes a level.
    pub fn is_level(self) -> bool {
        matches!(self, Self::Dissatisfaction | Self::Resolve)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Factor {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        Self::ALL.into_iter().find(|f| f.as_str() == text).ok_or_else(|| {
            NotInSet::new(
                "factor",
                text,
                "objective_need, felt_need, dissatisfaction, resolve, evaluating, selecting, purchasing_power, \
                 expected_close, waiting_for, expected_on or likelihood",
            )
        })
    }
}

/// A factor with a value of the kind it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "factor", content = "value", rename_all = "snake_case")]
pub enum Setting {
    /// See [`Factor::ObjectiveNeed`].
    ObjectiveNeed(bool),
    /// See [`Factor::FeltNeed`].
    FeltNeed(bool),
    /// See [`Factor::Dissatisfaction`].
    Dissatisfaction(Level),
    /// See [`Factor::Resolve`].
    Resolve(Level),
    /// See [`Factor::Evaluating`].
    Evaluating(bool),
    /// See [`Factor::Selecting`].
    Selecting(bool),
    /// See [`Factor::PurchasingPower`].
    PurchasingPower(bool),
    /// See [`Factor::ExpectedClose`].
    ExpectedClose(NaiveDate),
    /// See [`Factor::WaitingFor`].
    WaitingFor(String),
    /// See [`Factor::ExpectedOn`].
    ExpectedOn(NaiveDate),
    /// See [`Factor::Likelihood`]; 0 to 100.
    Likelihood(u8),
}

/// Why a text is no value of a factor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// Outside the value set.
    #[error(transparent)]
    NotInSet(#[from] NotInSet),
    /// No date.
    #[error("`{0}` is no date: YYYY-MM-DD")]
    Date(String),
    /// No percentage.
    #[error("`{0}` is no likelihood: a whole number from 0 to 100, with or without %")]
    Likelihood(String),
    /// Nothing there.
    #[error("`waiting_for` is empty")]
    Empty,
}

impl Setting {
    /// Reads the text form of `factor`'s value.
    pub fn parse(factor: Factor, text: &str) -> Result<Self, SettingError> {
        let date = || {
            text.trim()
                .parse::<NaiveDate>()
                .map_err(|_| SettingError::Date(text.to_owned()))
        };
        Ok(match factor {
            Factor::ExpectedClose => Self::ExpectedClose(date()?),
            Factor::ExpectedOn => Self::ExpectedOn(date()?),
            Factor::WaitingFor if text.trim().is_empty() => return Err(SettingError::Empty),
            Factor::WaitingFor => Self::WaitingFor(text.trim().to_owned()),
            Factor::Likelihood => {
                let number = text.trim().trim_end_matches('%').trim_end().parse().ok();
                Self::Likelihood(
                    number
                        .filter(|n| *n <= 100)
                        .ok_or_else(|| SettingError::Likelihood(text.to_owned()))?,
                )
            }
            Factor::Dissatisfaction => Self::Dissatisfaction(text.parse()?),
            Factor::Resolve => Self::Resolve(text.parse()?),
            Factor::ObjectiveNeed => Self::ObjectiveNeed(parse_flag(text)?),
            Factor::FeltNeed => Self::FeltNeed(parse_flag(text)?),
            Factor::Evaluating => Self::Evaluating(parse_flag(text)?),
            Factor::Selecting => Self::Selecting(parse_flag(text)?),
            Factor::PurchasingPower => Self::PurchasingPower(parse_flag(text)?),
        })
    }

    /// A yes or no for `factor`; `None` when it takes none.
    pub fn of_flag(factor: Factor, value: bool) -> Option<Self> {
        match factor {
            Factor::ObjectiveNeed => Some(Self::ObjectiveNeed(value)),
            Factor::FeltNeed => Some(Self::FeltNeed(value)),
            Factor::Evaluating => Some(Self::Evaluating(value)),
            Factor::Selecting => Some(Self::Selecting(value)),
            Factor::PurchasingPower => Some(Self::PurchasingPower(value)),
            _ => None,
        }
    }

    /// A level for `factor`; `None` when it takes none.
    pub fn of_level(factor: Factor, value: Level) -> Option<Self> {
        match factor {
            Factor::Dissatisfaction => Some(Self::Dissatisfaction(value)),
            Factor::Resolve => Some(Self::Resolve(value)),
            _ => None,
        }
    }

    /// The factor it is a value of.
    pub fn factor(&self) -> Factor {
        match self {
            Self::ObjectiveNeed(_) => Factor::ObjectiveNeed,
            Self::FeltNeed(_) => Factor::FeltNeed,
            Self::Dissatisfaction(_) => Factor::Dissatisfaction,
            Self::Resolve(_) => Factor::Resolve,
            Self::Evaluating(_) => Factor::Evaluating,
            Self::Selecting(_) => Factor::Selecting,
            Self::PurchasingPower(_) => Factor::PurchasingPower,
            Self::ExpectedClose(_) => Factor::ExpectedClose,
            Self::WaitingFor(_) => Factor::WaitingFor,
            Self::ExpectedOn(_) => Factor::ExpectedOn,
            Self::Likelihood(_) => Factor::Likelihood,
        }
    }

    /// Its yes or no, if it is one.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::ObjectiveNeed(v)
            | Self::FeltNeed(v)
            | Self::Evaluating(v)
            | Self::Selecting(v)
            | Self::PurchasingPower(v) => Some(*v),
            _ => None,
        }
    }

    /// Its level, if it is one.
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Dissatisfaction(v) | Self::Resolve(v) => Some(*v),
            _ => None,
        }
    }

    /// Its date, if it is one.
    pub fn date(&self) -> Option<NaiveDate> {
        match self {
            Self::ExpectedClose(v) | Self::ExpectedOn(v) => Some(*v),
            _ => None,
        }
    }
}

impl fmt::Display for Setting {
    /// The value alone, as a file states it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingFor(text) => f.write_str(text),
            Self::Likelihood(percent) => write!(f, "{percent}"),
            Self::ExpectedClose(date) | Self::ExpectedOn(date) => write!(f, "{date}"),
            Self::Dissatisfaction(level) | Self::Resolve(level) => level.fmt(f),
            Self::ObjectiveNeed(v)
            | Self::FeltNeed(v)
            | Self::Evaluating(v)
            | Self::Selecting(v)
            | Self::PurchasingPower(v) => f.write_str(if *v { "yes" } else { "no" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_from_their_text_and_from_json() {
        for (factor, text) in [
            (Factor::ObjectiveNeed, "yes"),
            (Factor::Resolve, "medium"),
            (Factor::ExpectedClose, "2026-03-31"),
            (Factor::WaitingFor, "the budget"),
            (Factor::Likelihood, "60"),
        ] {
            let setting = Setting::parse(factor, text).unwrap();
            assert_eq!(setting.factor(), factor);
            assert_eq!(setting.to_string(), text);
            let json = serde_json::to_value(&setting).unwrap();
            assert_eq!(json["factor"], factor.as_str());
            assert_eq!(serde_json::from_value::<Setting>(json).unwrap(), setting);
        }
    }

    #[test]
    fn strange_values_are_refused_with_what_is_allowed() {
        for (factor, text, want) in [
            (Factor::FeltNeed, "maybe", "yes, no"),
            (Factor::Resolve, "hgih", "high, medium"),
            (Factor::ExpectedClose, "31.3.2026", "YYYY-MM-DD"),
            (Factor::Likelihood, "101", "0 to 100"),
            (Factor::WaitingFor, " ", "empty"),
        ] {
            let error = Setting::parse(factor, text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert_eq!(
            Setting::parse(Factor::FeltNeed, "是"),
            Ok(Setting::FeltNeed(true))
        );
        assert_eq!(
            Setting::parse(Factor::Likelihood, "60 %"),
            Ok(Setting::Likelihood(60))
        );
    }

    #[test]
    fn levels_stay_on_the_scale() {
        assert_eq!(Level::Medium.moved(1), Level::High);
        assert_eq!(Level::High.moved(5), Level::High);
        assert_eq!(Level::Low.moved(-9), Level::None);
    }
}
