//! `kith apply`: checks the files, shows what would change, and puts it in force, all or nothing.

pub mod check;
pub mod diff;
mod files;
mod people;
mod registered;
pub mod write;

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use crate::config::Settings;
use crate::config::calendar::Calendar;
use crate::domain::cadence::Cadence;
use crate::domain::document::DocumentKind;
use crate::domain::retention::RetentionRules;
use crate::render::{Registry, TemplateSet};

pub use check::check;
pub use diff::{Change, Diff, How};
pub use write::{Applied, Refused, apply, plan};

/// Files that were found to be sound.
pub struct Checked {
    /// `kith.toml` with the environment.
    pub settings: Settings,
    /// The cadences by name.
    pub cadences: BTreeMap<String, Cadence>,
    /// The calendars by name.
    pub calendars: BTreeMap<String, Calendar>,
    /// The templates.
    pub templates: TemplateSet,
    registry: Registry,
    /// Where the templates were read, for messages.
    templates_root: String,
    documents: Vec<Document>,
}

impl Checked {
    /// The same with other rules of retention than the file's, for a company whose figures stand in no file.
    pub fn with_retention(mut self, change: impl FnOnce(&mut RetentionRules)) -> anyhow::Result<Self> {
        let found = self
            .documents
            .iter_mut()
            .find(|d| d.kind == DocumentKind::Retention);
        if let Some(document) = found {
            let mut rules = serde_json::from_value(document.body.clone())?;
            change(&mut rules);
            *document = Document::new(document.kind, &document.name.clone(), &rules)?;
        }
        Ok(self)
    }
}

/// A document as it will be stored.
#[derive(Debug, Clone)]
struct Document {
    kind: DocumentKind,
    name: String,
    hash: String,
    body: Value,
}

impl Document {
    /// Equal bodies have equal hashes: maps are sorted and fields have a fixed order.
    fn new(kind: DocumentKind, name: &str, body: &impl Serialize) -> anyhow::Result<Self> {
        let body = serde_json::to_value(body)?;
        let hash = digest(&SHA256, body.to_string().as_bytes());
        let hash = hash.as_ref().iter().fold(String::with_capacity(64), |hex, byte| {
            hex + &format!("{byte:02x}")
        });
        Ok(Self {
            kind,
            name: name.to_owned(),
            hash,
            body,
        })
    }
}
