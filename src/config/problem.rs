//! What is wrong with a file, said so that it can be put right.

use std::fmt;

/// One fault of a configuration or template file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file as it was named, or the environment variable.
    pub file: String,
    /// Line, from 1; 0 when the fault is the file itself.
    pub line: usize,
    /// Column in characters, from 1; 0 when the fault is the file itself.
    pub column: usize,
    /// Dotted path of the field; empty when none is to blame.
    pub field: String,
    /// What is wrong, in one line.
    pub reason: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A fault of the file as a whole.
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            field: String::new(),
            reason: reason.into(),
            suggestion: None,
        }
    }

    /// A fault at a line and column, both from 1.
    pub fn at(file: impl Into<String>, (line, column): (usize, usize), reason: impl Into<String>) -> Self {
        Self {
            line,
            column,
            ..Self::of_file(file, reason)
        }
    }

    /// The same with the known word that was probably meant, if one is near.
    #[must_use]
    pub fn suggest_near<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let meant = nearest(word, known);
        self.suggest(meant)
    }

    /// The same with the field that is to blame.
    #[must_use]
    pub fn of_field(mut self, field: String) -> Self {
        self.field = field;
        self
    }

    /// The same with what was probably meant.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file)?;
        if self.line > 0 {
            write!(out, ":{}:{}", self.line, self.column)?;
        }
        write!(out, ": ")?;
        if !self.field.is_empty() {
            write!(out, "{}: ", self.field)?;
        }
        write!(out, "{}", self.reason)?;
        match &self.suggestion {
            Some(meant) => write!(out, " (did you mean {meant}?)"),
            None => Ok(()),
        }
    }
}

/// The configuration was refused; every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigError(pub Vec<Problem>);

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The candidate that `word` was probably meant to be, in backticks.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| format!("`{candidate}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_a_place_a_reason_and_a_suggestion() {
        let problem = Problem {
            file: "kith.toml".into(),
            line: 3,
            column: 1,
            field: "company.nam".into(),
            reason: "unknown key `nam`".into(),
            suggestion: Some("`name`".into()),
        };
        assert_eq!(
            problem.to_string(),
            "kith.toml:3:1: company.nam: unknown key `nam` (did you mean `name`?)"
        );
        assert_eq!(
            Problem::of_file("x", "cannot be read").to_string(),
            "x: cannot be read"
        );
    }

    #[test]
    fn far_words_are_not_suggested() {
        assert_eq!(
            nearest("timezne", ["name", "timezone"]),
            Some("`timezone`".into())
        );
        assert_eq!(nearest("qqq", ["name", "timezone"]), None);
    }
}
