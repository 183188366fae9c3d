//! The daily mail to the owners.

use chrono::NaiveTime;
use serde::Deserialize;

/// The daily mail with the open tasks of an owner, to him or to his deputy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// Whether it is written at all.
    pub enabled: bool,
    /// When, in the owner's zone; the company's where he has none.
    pub at: NaiveTime,
}
