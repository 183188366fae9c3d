//! Registered texts: mainland providers send no text of ours, but one that was registered with them, with its blanks filled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A registered text, named, with its blanks; in a template each value is an expression, in a message its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredText {
    /// The provider's id of the text (its "template code").
    pub template: String,
    /// The signature that stands before it, `【…】`; the sender's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_name: Option<String>,
    /// What its blanks are filled with.
    #[serde(default)]
    pub variables: Blanks,
}

/// The blanks of a registered text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Blanks {
    /// By their places: `{1}`, `{2}`.
    Listed(Vec<String>),
    /// By their names: `${name}`.
    Named(BTreeMap<String, String>),
}

impl Default for Blanks {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Blanks {
    /// Each blank: its name, or its place from 1, with its value.
    pub fn each(&self) -> Vec<(String, &str)> {
        match self {
            Self::Listed(values) => (1..)
                .zip(values)
                .map(|(place, value)| (place.to_string(), value.as_str()))
                .collect(),
            Self::Named(values) => values
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str()))
                .collect(),
        }
    }

    /// The same blanks with what `fill` makes of each, by its name or place.
    pub fn filled<E>(&self, mut fill: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Listed(values) => Self::Listed(
                (1..=values.len())
                    .map(|place| fill(&place.to_string()))
                    .collect::<Result<_, E>>()?,
            ),
            Self::Named(values) => Self::Named(
                values
                    .keys()
                    .map(|name| Ok((name.clone(), fill(name)?)))
                    .collect::<Result<_, E>>()?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_named_or_listed() {
        let listed: Blanks = serde_json::from_str(r#"["a", "b"]"#).unwrap();
        assert_eq!(listed.each(), [("1".to_owned(), "a"), ("2".to_owned(), "b")]);
        let named: Blanks = serde_json::from_str(r#"{"n": "x"}"#).unwrap();
        let filled = named.filled(|name| Ok::<_, ()>(format!("<{name}>"))).unwrap();
        assert_eq!(filled.each(), [("n".to_owned(), "<n>")]);
    }
}
