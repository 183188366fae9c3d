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

    /// Whether he may do something.
    pub fn may(self, right: Right) -> bool {
        RIGHTS
            .iter()
            .any(|(role, rights)| *role == self && rights.contains(&right))
    }
}

/// Something on the page that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See the pages.
    Look,
    /// Finish, put off and hand over tasks of his own, of whom he stands in for, and of nobody.
    OwnTasks,
    /// The same with everybody's tasks.
    AllTasks,
    /// Stop and resume everything that goes out, and move the clock of a demonstration.
    Operate,
}

/// What each role may do. Who writes cadences does so in files; the page gives him nothing to change.
const RIGHTS: [(Role, &[Right]); 4] = [
    (
        Role::Operator,
        &[Right::Look, Right::OwnTasks, Right::AllTasks, Right::Operate],
    ),
    (Role::Marketer, &[Right::Look]),
    (Role::Lead, &[Right::Look, Right::OwnTasks, Right::AllTasks]),
    (Role::Rep, &[Right::Look, Right::OwnTasks]),
];

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
    fn the_table_knows_every_role() {
        for (word, tasks, all, operate) in [
            ("operator", true, true, true),
            ("marketer", false, false, false),
            ("lead", true, true, false),
            ("rep", true, false, false),
        ] {
            let role: Role = word.parse().unwrap();
            assert_eq!(role.as_str(), word);
            let rights = [Right::Look, Right::OwnTasks, Right::AllTasks, Right::Operate];
            assert_eq!(
                rights.map(|right| role.may(right)),
                [true, tasks, all, operate],
                "{word}"
            );
        }
        assert!("root".parse::<Role>().is_err());
    }
}
