//! The grading rules as written in `config/grading.toml`, and what they make of an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::event::{Event, EventType, Intent};
use super::evidence::{EvidenceKind, Source, Step};
use super::factor::{Factor, Level, Setting, SettingError};
use super::grade::Situation;
use super::matrix::{self, Row};

/// The rules as shipped; the reference of every key.
pub const SHIPPED: &str = include_str!("../../config/grading.toml");

/// Everything that decides a grade beside the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradingRules {
    /// When on, an A without purchasing power is a B.
    #[serde(default)]
    pub purchasing_power: bool,
    /// An expected close in the past counts as so many months ahead until it is restated.
    pub past_close_counts_as_months: u32,
    /// What silence does.
    pub silence: Silence,
    /// What keeps one click from flapping a grade.
    pub hysteresis: Hysteresis,
    /// The table for leads without such a product.
    pub greenfield: Vec<Row>,
    /// The table for leads with an incumbent.
    pub replacement: Vec<Row>,
    /// What each kind of event moves; of the rules that fit an event the first one counts.
    #[serde(default)]
    pub evidence: Vec<EvidenceRule>,
}

/// What silence does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Days without a word after which resolve drops one level, and again after as many; 0 = never.
    pub drop_after_days: u32,
    /// Silence alone never takes resolve below this level.
    pub floor: Level,
    /// While a lead waits for something (`waiting_for`), silence is counted from `expected_on`.
    pub pause_while_waiting: bool,
    /// Events that end a silence, when a person is behind them.
    pub heard_by: Vec<EventType>,
}

/// What keeps one click from flapping a grade. Weights of responses sum, each fading by its half-life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hysteresis {
    /// A factor moves one level when the sum passes this, two at twice this.
    pub raise_at: f64,
    /// It falls back only when the sum is below this; less than `raise_at`.
    pub fall_at: f64,
    /// What responses reached stays at least so many days against fading and silence, unless responses to the
    /// contrary are strong enough to move a factor themselves.
    pub hold_days: u32,
}

/// One `[[evidence]]` rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRule {
    /// Name, shown where a grade is explained.
    pub name: String,
    /// The event type.
    pub on: EventType,
    /// Only clicks on links with one of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Only replies with one of these intents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Intent>,
    /// Only events whose data have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Value>,
    /// False when such an event does not end a silence although its type would (nobody picked up).
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub heard: bool,
    /// How far it pushes each factor: up when positive, down when negative; for the expected close up is nearer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moves: BTreeMap<Factor, f64>,
    /// Values it states outright.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub set: Settings,
    /// The most that responses under this rule count for together on one factor; absent = the weight itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// Days after which a response counts half; absent = it does not fade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life_days: Option<f64>,
    /// With `expected_close` up: the close is within so many days of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_within_days: Option<u32>,
    /// With `expected_close` down: the close is not before so many days after the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_after_days: Option<u32>,
}

fn yes() -> bool {
    true
}

/// Factors with their values, written as a table `{ resolve = "none" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Factor, String>", into = "BTreeMap<Factor, String>")]
pub struct Settings(Vec<Setting>);

impl Settings {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<Factor, String>> for Settings {
    type Error = SettingError;

    fn try_from(table: BTreeMap<Factor, String>) -> Result<Self, SettingError> {
        table
            .into_iter()
            .map(|(factor, text)| Setting::parse(factor, &text))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<Settings> for BTreeMap<Factor, String> {
    fn from(settings: Settings) -> Self {
        settings
            .0
            .into_iter()
            .map(|s| (s.factor(), s.to_string()))
            .collect()
    }
}

/// What the rules look at in an event.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts<'a> {
    /// Its type.
    pub event_type: EventType,
    /// A person is behind it.
    pub human: bool,
    /// Tag of the clicked link.
    pub tag: Option<&'a str>,
    /// Intent of the reply.
    pub intent: Option<Intent>,
    /// Everything else.
    pub data: &'a Value,
}

impl<'a> From<&'a Event> for EventFacts<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            event_type: event.event_type,
            human: event.human,
            tag: event.tag(),
            intent: event.intent(),
            data: &event.data,
        }
    }
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GradingError {
    /// No TOML, or not of the form of the rules; the message names line and key.
    #[error("{0}")]
    Form(String),
    /// Of the right form, but without a meaning.
    #[error("{place}: {reason}")]
    Sense {
        /// The table or rule.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl EvidenceRule {
    fn fits(&self, event: &EventFacts<'_>) -> bool {
        self.on == event.event_type
            && (self.tags.is_empty() || event.tag.is_some_and(|tag| self.tags.iter().any(|t| t == tag)))
            && (self.intents.is_empty() || event.intent.is_some_and(|intent| self.intents.contains(&intent)))
            && self
                .data
                .iter()
                .all(|(key, value)| event.data.get(key) == Some(value))
    }

    fn steps(&self) -> impl Iterator<Item = EvidenceKind> + '_ {
        self.moves.iter().map(|(factor, weight)| {
            let close_days = if *weight > 0.0 {
                self.close_within_days
            } else {
                self.close_after_days
            };
            EvidenceKind::Step(Step {
                factor: *factor,
                weight: *weight,
                rule: self.name.clone(),
                cap: self.cap.unwrap_or(weight.abs()),
                half_life_days: self.half_life_days,
                close_days: close_days.filter(|_| *factor == Factor::ExpectedClose),
            })
        })
    }

    fn statements(&self) -> impl Iterator<Item = EvidenceKind> + '_ {
        self.set.0.iter().map(|setting| EvidenceKind::Stated {
            setting: setting.clone(),
            source: Source::Rule(self.name.clone()),
        })
    }

    fn check(&self) -> Result<(), String> {
        for (factor, weight) in &self.moves {
            if !(weight.is_finite() && *weight != 0.0) {
                return Err(format!("moves.{factor}: must be a number other than 0"));
            }
            let days = if *weight > 0.0 {
                self.close_within_days
            } else {
                self.close_after_days
            };
            match factor {
                Factor::ExpectedClose if days.is_none() && *weight > 0.0 => {
                    return Err("moves.expected_close up needs close_within_days".into());
                }
                Factor::ExpectedClose if days.is_none() => {
                    return Err("moves.expected_close down needs close_after_days".into());
                }
                Factor::WaitingFor | Factor::ExpectedOn | Factor::Likelihood => {
                    return Err(format!("moves.{factor}: has no up and down; use `set`"));
                }
                _ => {}
            }
        }
        if self.cap.is_some_and(|cap| !(cap.is_finite() && cap > 0.0)) {
            return Err("cap: must be more than 0".into());
        }
        if self
            .half_life_days
            .is_some_and(|days| !(days.is_finite() && days > 0.0))
        {
            return Err("half_life_days: must be more than 0; leave it out when it shall not fade".into());
        }
        if !self.tags.is_empty() && self.on != EventType::Clicked {
            return Err("tags: only clicks have them".into());
        }
        if !self.intents.is_empty() && self.on != EventType::Replied {
            return Err("intents: only replies have them".into());
        }
        Ok(())
    }
}

impl GradingRules {
    /// Reads and checks rules.
    pub fn from_toml(text: &str) -> Result<Self, GradingError> {
        let rules: Self = toml::from_str(text).map_err(|e| GradingError::Form(e.to_string()))?;
        rules.check()?;
        Ok(rules)
    }

    /// The rules as shipped.
    pub fn shipped() -> Result<Self, GradingError> {
        Self::from_toml(SHIPPED)
    }

    /// Whether the rules have a meaning; the form alone does not say so.
    pub fn check(&self) -> Result<(), GradingError> {
        let sense = |place: &str, reason: String| GradingError::Sense {
            place: place.to_owned(),
            reason,
        };
        let h = &self.hysteresis;
        if !(h.fall_at.is_finite() && h.raise_at.is_finite() && 0.0 < h.fall_at && h.fall_at < h.raise_at) {
            return Err(sense(
                "hysteresis",
                "fall_at must be more than 0 and less than raise_at".into(),
            ));
        }
        matrix::check(&self.greenfield).map_err(|reason| sense("greenfield", reason))?;
        matrix::check(&self.replacement).map_err(|reason| sense("replacement", reason))?;
        for (n, rule) in self.evidence.iter().enumerate() {
            let place = format!("evidence `{}`", rule.name);
            rule.check().map_err(|reason| sense(&place, reason))?;
            if self.evidence[..n].iter().any(|other| other.name == rule.name) {
                return Err(sense(&place, "the name is taken".into()));
            }
        }
        Ok(())
    }

    /// The table of a situation, the best grade first.
    pub fn rows(&self, situation: Situation) -> &[Row] {
        match situation {
            Situation::Greenfield => &self.greenfield,
            Situation::Replacement => &self.replacement,
        }
    }

    /// What an event says about a lead: nothing when a machine is behind it.
    pub fn evidence_for(&self, event: &EventFacts<'_>) -> Vec<EvidenceKind> {
        if !event.human {
            return Vec::new();
        }
        let rule = self.evidence.iter().find(|rule| rule.fits(event));
        let heard = self.silence.heard_by.contains(&event.event_type) && rule.is_none_or(|r| r.heard);
        let said = rule
            .into_iter()
            .flat_map(|rule| rule.statements().chain(rule.steps()));
        heard
            .then_some(EvidenceKind::Heard)
            .into_iter()
            .chain(said)
            .collect()
    }
}

#[cfg(test)]
mod tests;
