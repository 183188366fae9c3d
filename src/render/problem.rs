//! What is wrong with a template, and where.

use std::fmt;

/// One thing an author has to mend. Lines and columns count from 1; a whole file has line 1, column 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the file below the template directory, such as `birthday/en/html.hbs`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, one line.
    pub reason: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem of a whole file.
    pub fn of_file(file: &str, reason: impl Into<String>) -> Self {
        Self::at(file, (1, 1), reason)
    }

    /// A problem at a place.
    pub fn at(file: &str, (line, column): (usize, usize), reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column,
            reason: reason.into(),
            suggestion: None,
        }
    }

    /// Adds the nearest of the known names, when one is near.
    #[must_use]
    pub fn suggest<'a>(mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.suggestion = nearest(written, known);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.reason)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

/// The known name nearest to what was written, if near enough to be a slip of the hand.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_place_and_likely_meaning() {
        let problem = Problem::at("x/en/html.hbs", (3, 5), "unknown variable `contct.name`")
            .suggest("contct.name", ["lead.product", "contact.name"]);
        assert_eq!(
            problem.to_string(),
            "x/en/html.hbs:3:5: unknown variable `contct.name`; did you mean `contact.name`?"
        );
    }

    #[test]
    fn nothing_near_suggests_nothing() {
        assert_eq!(nearest("zzz", ["contact.name"]), None);
    }
}
