//! What a person who logs in may do.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a person who logs in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs the program: brake, clock of a demonstration, users.
    Operator,
    /// Writes cadences and templates.
    Marketer,
    /// Leads a team of reps.
    Lead,
    /// Looks after people of his own.
    Rep,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown role `{0}`; one of: operator, marketer, lead, rep")]
pub struct UnknownRole(pub String);

impl Role {
    /// Text form, as in tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Marketer => "marketer",
            Self::Lead => "lead",
            Self::Rep => "rep",
        }
    }

    /// May stop and resume everything that goes out, and move the clock of a demonstration.
    pub fn may_operate(self) -> bool {
        self == Self::Operator
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Self::Operator, Self::Marketer, Self::Lead, Self::Rep]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_operator_operates() {
        for (word, may) in [
            ("operator", true),
            ("marketer", false),
            ("lead", false),
            ("rep", false),
        ] {
            let role: Role = word.parse().unwrap();
            assert_eq!((role.as_str(), role.may_operate()), (word, may));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
