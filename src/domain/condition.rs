//! Conditions over stored facts and events: audiences, guards, exits and branches are written in them.

use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::span::Span;

/// A condition. Written as one table with exactly one of its forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// Every one holds.
    All(All),
    /// At least one holds.
    Any(Any),
    /// It does not hold.
    Not(Not),
    /// A stored fact against a constant, an age or days until.
    Fact(FactTest),
    /// Count of events of a type in a time.
    Event(EventTest),
}

/// `{ all = [..] }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct All {
    /// The parts.
    pub all: Vec<Condition>,
}

/// `{ any = [..] }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Any {
    /// The parts.
    pub any: Vec<Condition>,
}

/// `{ not = {..} }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Not {
    /// What must not hold.
    pub not: Box<Condition>,
}

/// `{ fact = "lead.grade", in = ["B"] }`: exactly one test beside `fact`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactTest {
    /// Name of the fact, as in the reference.
    pub fact: String,
    /// Equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Constant>,
    /// One of.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<Constant>>,
    /// Known (true) or unknown (false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// At least this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Less than this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// An instant at least this long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<Span>,
    /// An instant less than this long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// A date at most this many days ahead (and not past).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_at_most: Option<i32>,
}

/// `{ event = "clicked", within = "30d", at_least = 2, tag = "pricing" }`: of this contact, by people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTest {
    /// Type of the event.
    pub event: EventType,
    /// How far back.
    pub within: Span,
    /// How many at the least.
    #[serde(default = "one")]
    pub at_least: u32,
    /// Only clicks on links of this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

fn one() -> u32 {
    1
}

/// A constant of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// yes or no
    Bool(bool),
    /// a number
    Number(f64),
    /// a text
    Text(String),
}
