//! What is wrong with a document that reads well but makes no sense.

/// One fault, and where in the document it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Keys and list positions from the document inwards.
    pub path: Vec<String>,
    /// Why, in one line.
    pub reason: String,
    /// The word that names nothing, and those that would.
    pub unknown: Option<(String, Vec<String>)>,
}

impl Fault {
    /// A fault at `keys` below `path`.
    pub fn new(path: &[String], keys: &[&str], reason: impl Into<String>) -> Self {
        let path = path
            .iter()
            .cloned()
            .chain(keys.iter().map(|key| (*key).to_owned()))
            .collect();
        Self {
            path,
            reason: reason.into(),
            unknown: None,
        }
    }

    /// The same, for a word that names nothing.
    #[must_use]
    pub fn unknown<'a>(mut self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.unknown = Some((word.to_owned(), known.into_iter().map(str::to_owned).collect()));
        self
    }

    /// The same below another path.
    #[must_use]
    pub fn below(mut self, path: &[&str]) -> Self {
        self.path.splice(..0, path.iter().map(|key| (*key).to_owned()));
        self
    }
}
