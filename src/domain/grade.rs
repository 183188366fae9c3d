//! The grade of a lead and the two situations a lead can be in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How near a lead is to a sale. `A` is the best and the smallest in order, so `A < B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Grade {
    /// Selecting; may close within three months.
    A,
    /// Sure of the need, waits for a matter to be finished or decided first; four to six months.
    B,
    /// Sees the need without urgency or confidence; seven to twelve months.
    C,
    /// Denies the need, or bound elsewhere; not within twelve months.
    D,
}

/// A word that is not in the value set of a grade or situation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no {what}: {allowed}")]
pub struct NotInSet {
    what: &'static str,
    text: String,
    allowed: &'static str,
}

impl NotInSet {
    pub(super) fn new(what: &'static str, text: &str, allowed: &'static str) -> Self {
        Self {
            what,
            text: text.to_owned(),
            allowed,
        }
    }
}

impl Grade {
    /// All four, the best first.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }

    /// The grade one better, `None` for A.
    pub fn next_better(self) -> Option<Self> {
        match self {
            Self::A => None,
            Self::B => Some(Self::A),
            Self::C => Some(Self::B),
            Self::D => Some(Self::C),
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Grade {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        match text.trim() {
            "A" | "a" => Ok(Self::A),
            "B" | "b" => Ok(Self::B),
            "C" | "c" => Ok(Self::C),
            "D" | "d" => Ok(Self::D),
            _ => Err(NotInSet::new("grade", text, "A, B, C or D")),
        }
    }
}

/// Whether the lead has such a product already. Decides which matrix grades it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Situation {
    /// Has none yet.
    #[default]
    Greenfield,
    /// Has an incumbent to be replaced or widened.
    Replacement,
}

impl Situation {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greenfield => "greenfield",
            Self::Replacement => "replacement",
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Situation {
    type Err = NotInSet;

    fn from_str(text: &str) -> Result<Self, NotInSet> {
        match text.trim().to_lowercase().as_str() {
            "greenfield" => Ok(Self::Greenfield),
            "replacement" => Ok(Self::Replacement),
            _ => Err(NotInSet::new("situation", text, "greenfield or replacement")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_is_best_and_text_reads_back() {
        assert!(Grade::A < Grade::B && Grade::C < Grade::D);
        for grade in Grade::ALL {
            assert_eq!(grade.as_str().parse(), Ok(grade));
        }
        assert_eq!(
            "E".parse::<Grade>().unwrap_err().to_string(),
            "`E` is no grade: A, B, C or D"
        );
        assert_eq!(Grade::B.next_better(), Some(Grade::A));
        assert_eq!("Replacement".parse(), Ok(Situation::Replacement));
    }
}
