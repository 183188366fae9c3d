//! Secrets: a file names where one is, never the secret itself.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Where a secret is: `{ env = "NAME" }` or `{ file = "path" }`. A literal is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file: its first line, or all of it where the secret is a key in PEM.
    File(PathBuf),
}

/// A secret that is not where the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("the secret in {place} is not there: {why}")]
pub struct SecretMissing {
    place: String,
    why: String,
}

impl SecretRef {
    /// Fetches the secret, the first line of what is there. Read when used, so that a new one needs no restart.
    pub fn fetch(&self) -> Result<SecretString, SecretMissing> {
        let text = self.fetch_whole()?;
        match text.expose_secret().lines().next().map(str::trim_end) {
            Some(line) if !line.is_empty() => Ok(SecretString::from(line.to_owned())),
            _ => Err(self.missing("it is empty")),
        }
    }

    /// Fetches a secret of several lines, such as a key in PEM.
    pub fn fetch_whole(&self) -> Result<SecretString, SecretMissing> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| self.missing(error))?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| self.missing(error))?,
        };
        if text.trim().is_empty() {
            return Err(self.missing("it is empty"));
        }
        Ok(SecretString::from(text))
    }

    fn missing(&self, why: impl fmt::Display) -> SecretMissing {
        SecretMissing {
            place: self.to_string(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(out, "environment variable {name}"),
            Self::File(path) => write!(out, "file {}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Reference)
    }
}

struct Reference;

impl<'de> de::Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "a reference to a secret: {{ env = \"NAME\" }} or {{ file = \"path\" }}"
        )
    }

    fn visit_str<E: de::Error>(self, _literal: &str) -> Result<SecretRef, E> {
        Err(E::custom(
            "a secret must not stand in the file: name where it is with { env = \"NAME\" } or { file = \"path\" }",
        ))
    }

    fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<SecretRef, M::Error> {
        let wrong =
            || de::Error::custom("a secret is { env = \"NAME\" } or { file = \"path\" }, one of the two");
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(wrong());
        };
        if map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        match key.as_str() {
            "env" => Ok(SecretRef::Env(value)),
            "file" => Ok(SecretRef::File(value.into())),
            other => Err(de::Error::unknown_field(other, &["env", "file"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        password: SecretRef,
    }

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        let error = toml::from_str::<Holder>("password = \"hunter2\"").unwrap_err();
        assert!(error.message().contains("must not stand in the file"));
        assert!(!error.message().contains("hunter2"));
        assert!(toml::from_str::<Holder>("password = { env = \"A\", file = \"b\" }").is_err());
        assert!(toml::from_str::<Holder>("password = { evn = \"A\" }").is_err());
    }

    #[test]
    fn the_first_line_of_a_file_is_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "open sesame\n").unwrap();
        let holder: Holder = toml::from_str(&format!("password = {{ file = {path:?} }}")).unwrap();
        assert_eq!(holder.password.fetch().unwrap().expose_secret(), "open sesame");
        std::fs::write(&path, "\n").unwrap();
        assert!(holder.password.fetch().is_err());
        assert!(SecretRef::Env("KITH_NO_SUCH_SECRET".into()).fetch().is_err());
    }
}
