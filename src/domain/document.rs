//! What `kith apply` puts in force, by kind.

use std::fmt;
use std::str::FromStr;

use super::text::Malformed;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// `config/cadences/NAME.toml`
    Cadence,
    /// `templates/NAME`, with the layouts and partials it was applied with, so that a version is whole.
    Template,
    /// `config/calendars/NAME.toml`
    Calendar,
    /// `[gate]` of `config/kith.toml`
    Gate,
    /// `[company]` of `config/kith.toml`
    Company,
    /// `config/grading.toml`
    Grading,
    /// `config/retention.toml`
    Retention,
}

impl DocumentKind {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 7] = [
        Self::Cadence,
        Self::Template,
        Self::Calendar,
        Self::Gate,
        Self::Company,
        Self::Grading,
        Self::Retention,
    ];

    /// Text form, as in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cadence => "cadence",
            Self::Template => "template",
            Self::Calendar => "calendar",
            Self::Gate => "gate",
            Self::Company => "company",
            Self::Grading => "grading",
            Self::Retention => "retention",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for DocumentKind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Malformed::new(format!("`{text}` is no kind of document")))
    }
}
