//! Evidence: what was said or done about a lead, and when. Factors and grade are a fold over it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::factor::{Factor, Setting};
use super::grade::Grade;

/// Who stated something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", content = "name", rename_all = "snake_case")]
pub enum Source {
    /// A file or system that was imported, by its name. Restating what it said before is no news.
    Import(String),
    /// A colleague, by name. Restating a value does away with what responses moved since.
    Owner(String),
    /// A rule of `grading.toml`, by name, from an event.
    Rule(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(name) => write!(f, "import {name}"),
            Self::Owner(name) => write!(f, "owner {name}"),
            Self::Rule(name) => write!(f, "rule {name}"),
        }
    }
}

/// How a lead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Bought.
    Won,
    /// Did not buy.
    Lost,
}

/// A push on one factor from a response. Its numbers are those of the rule at the time, so that a later rule
/// does not rewrite history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The factor pushed. For the expected close up is nearer, down is later.
    pub factor: Factor,
    /// Up when positive, down when negative; `raise_at` of the rules is one level.
    pub weight: f64,
    /// The rule it comes from; pushes of one rule count up to `cap` together.
    pub rule: String,
    /// The most that pushes of this rule count for together, as an absolute figure.
    pub cap: f64,
    /// Days after which it counts half; absent = it does not fade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life_days: Option<f64>,
    /// For the expected close: within (up) or not before (down) so many days from the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_days: Option<u32>,
}

/// What a piece of evidence says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EvidenceKind {
    /// A factor has this value. A restated expected close is one of these.
    Stated {
        /// Factor and value.
        setting: Setting,
        /// Who says so.
        source: Source,
    },
    /// A factor is no longer known (a matter waited for is through, a date was wrong).
    Withdrawn {
        /// The factor.
        factor: Factor,
        /// Who says so.
        source: Source,
    },
    /// A response pushes a factor.
    Step(Step),
    /// The person was heard of; ends a silence.
    Heard,
    /// A grade from outside (CRM, file) or from the owner.
    Asserted {
        /// The grade.
        grade: Grade,
        /// Who says so.
        source: Source,
        /// Why, where an owner says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// From when on it counts for nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<DateTime<Utc>>,
    },
    /// The lead ended; its grade stays as it was then.
    Closed {
        /// How.
        outcome: Outcome,
    },
    /// The lead came back.
    Reopened,
}

/// One piece of evidence. Order is by (`at`, `id`); the same id twice counts once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its id.
    pub id: Uuid,
    /// When it was so: the time of the response, of the import, of the owner's word.
    pub at: DateTime<Utc>,
    /// What it says.
    pub kind: EvidenceKind,
    /// The event it comes from.
    pub cites: Option<Uuid>,
}

impl Evidence {
    /// The evidence of one event. Ids follow from the event's id, so taking an event in twice makes no second set.
    pub fn of_event(event_id: Uuid, at: DateTime<Utc>, kinds: Vec<EvidenceKind>) -> Vec<Self> {
        kinds
            .into_iter()
            .zip(1u64..)
            .map(|(kind, n)| Self {
                id: derived(event_id, n),
                at,
                kind,
                cites: Some(event_id),
            })
            .collect()
    }
}

/// The `n`th id derived from `event`: its time part kept (ids stay near each other in the index), its 62 random
/// bits stirred by the golden ratio.
fn derived(event: Uuid, n: u64) -> Uuid {
    let stir = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2;
    Uuid::from_u128(event.as_u128() ^ u128::from(stir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_taken_in_twice_makes_the_same_evidence() {
        let event = Uuid::from_u128(7);
        let make = || {
            Evidence::of_event(
                event,
                DateTime::UNIX_EPOCH,
                vec![EvidenceKind::Heard, EvidenceKind::Reopened],
            )
        };
        assert_eq!(make(), make());
        let ids: Vec<_> = make().iter().map(|e| e.id).collect();
        assert_ne!(ids[0], ids[1]);
        assert!(!ids.contains(&event));
    }

    #[test]
    fn evidence_keeps_its_form_in_json() {
        let step = EvidenceKind::Step(Step {
            factor: Factor::Resolve,
            weight: 0.5,
            rule: "pricing-click".into(),
            cap: 0.75,
            half_life_days: Some(30.0),
            close_days: None,
        });
        let json = serde_json::to_value(&step).unwrap();
        assert_eq!(json["kind"], "step");
        assert_eq!(json["factor"], "resolve");
        assert_eq!(serde_json::from_value::<EvidenceKind>(json).unwrap(), step);
        let stated = EvidenceKind::Stated {
            setting: Setting::FeltNeed(true),
            source: Source::Import("crm".into()),
        };
        let json = serde_json::to_value(&stated).unwrap();
        assert_eq!(serde_json::from_value::<EvidenceKind>(json).unwrap(), stated);
    }
}
