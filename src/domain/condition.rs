//! Conditions over stored facts and events: audiences, guards, exits and branches are written in them.

use serde::{Deserialize, Serialize};

use super::cadence::Subject;
use super::event::EventType;
use super::fact::{self, FACTS, FactType};
use super::fault::Fault;
use super::span::Span;

/// A condition. Written as one table with exactly one of its forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Written")]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct All {
    /// The parts.
    pub all: Vec<Condition>,
}

/// `{ any = [..] }`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Any {
    /// The parts.
    pub any: Vec<Condition>,
}

/// `{ not = {..} }`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Not {
    /// What must not hold.
    pub not: Box<Condition>,
}

/// `{ fact = "lead.grade", in = ["B"] }`: exactly one test beside `fact`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FactTest {
    /// Name of the fact, as in the reference.
    pub fact: String,
    /// Equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<Constant>,
    /// One of.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<Constant>>,
    /// Known (true) or unknown (false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// At least this much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Less than this much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// An instant at least this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<Span>,
    /// An instant less than this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// A date at most this many days ahead (and not past).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_at_most: Option<i32>,
}

/// `{ event = "clicked", within = "30d", at_least = 2, tag = "pricing" }`: of this contact, by people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventTest {
    /// Type of the event.
    pub event: EventType,
    /// How far back.
    pub within: Span,
    /// How many at the least.
    pub at_least: u32,
    /// Only clicks on links of this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
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

/// A condition as it stands in a file: every key of every form, so that a wrong one is named where it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    fact: Option<String>,
    event: Option<EventType>,
    is: Option<Constant>,
    #[serde(rename = "in")]
    is_in: Option<Vec<Constant>>,
    known: Option<bool>,
    at_least: Option<f64>,
    below: Option<f64>,
    older_than: Option<Span>,
    within: Option<Span>,
    days_until_at_most: Option<i32>,
    tag: Option<String>,
}

impl TryFrom<Written> for Condition {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let forms = [
            written.all.is_some(),
            written.any.is_some(),
            written.not.is_some(),
            written.fact.is_some(),
            written.event.is_some(),
        ];
        if forms.into_iter().filter(|given| *given).count() != 1 {
            return Err("a condition has exactly one of all, any, not, fact, event".to_owned());
        }
        let of_facts = written.is.is_some()
            || written.is_in.is_some()
            || written.known.is_some()
            || written.below.is_some()
            || written.older_than.is_some()
            || written.days_until_at_most.is_some();
        let of_events = written.tag.is_some();
        let of_both = written.at_least.is_some() || written.within.is_some();
        if written.fact.is_none() && of_facts || written.event.is_none() && of_events {
            return Err("a test of a fact and a test of events do not mix".to_owned());
        }
        if written.fact.is_none() && written.event.is_none() && of_both {
            return Err("`at_least` and `within` belong to a fact or to an event".to_owned());
        }
        if let Some(all) = written.all {
            return Ok(Self::All(All {
                all: some(all, "all")?,
            }));
        }
        if let Some(any) = written.any {
            return Ok(Self::Any(Any {
                any: some(any, "any")?,
            }));
        }
        if let Some(not) = written.not {
            return Ok(Self::Not(Not { not }));
        }
        if let Some(event) = written.event {
            let within = written
                .within
                .ok_or("a test of events needs `within`, such as \"30d\"")?;
            let at_least = written.at_least.unwrap_or(1.0);
            if at_least.fract() != 0.0 || !(1.0..=f64::from(u32::MAX)).contains(&at_least) {
                return Err("`at_least` of a test of events is a whole number from 1".to_owned());
            }
            return Ok(Self::Event(EventTest {
                event,
                within,
                at_least: at_least as u32,
                tag: written.tag,
            }));
        }
        Ok(Self::Fact(FactTest {
            fact: written.fact.unwrap_or_default(),
            is: written.is,
            is_in: written.is_in,
            known: written.known,
            at_least: written.at_least,
            below: written.below,
            older_than: written.older_than,
            within: written.within,
            days_until_at_most: written.days_until_at_most,
        }))
    }
}

fn some(parts: Vec<Condition>, form: &str) -> Result<Vec<Condition>, String> {
    if parts.is_empty() {
        Err(format!("`{form}` needs at least one condition"))
    } else {
        Ok(parts)
    }
}

impl Condition {
    /// Everything that types alone cannot tell, for a cadence about that subject.
    pub fn faults(&self, subject: Subject) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.collect(subject, &mut Vec::new(), &mut faults);
        faults
    }

    fn collect(&self, subject: Subject, path: &mut Vec<String>, faults: &mut Vec<Fault>) {
        match self {
            Self::All(All { all: parts }) | Self::Any(Any { any: parts }) => {
                let form = if matches!(self, Self::All(_)) {
                    "all"
                } else {
                    "any"
                };
                for (position, part) in parts.iter().enumerate() {
                    path.extend([form.to_owned(), position.to_string()]);
                    part.collect(subject, path, faults);
                    path.truncate(path.len() - 2);
                }
            }
            Self::Not(Not { not }) => {
                path.push("not".to_owned());
                not.collect(subject, path, faults);
                path.pop();
            }
            Self::Fact(test) => {
                let mut fault = |key: &str, reason: String| faults.push(Fault::new(path, &[key], reason));
                match fact::fact(&test.fact) {
                    None => {
                        let names = FACTS.iter().map(|fact| fact.name);
                        let reason = format!("there is no fact `{}`", test.fact);
                        faults.push(Fault::new(path, &["fact"], reason).unknown(&test.fact, names));
                    }
                    Some(fact) if !fact.fits(subject) => {
                        fault("fact", format!("`{}` needs a cadence about a lead", test.fact));
                    }
                    Some(fact) => {
                        if let Err((key, reason)) = test.check(fact.kind) {
                            fault(key, reason);
                        }
                    }
                }
            }
            Self::Event(test) => {
                if test.within.length() <= chrono::TimeDelta::zero() {
                    faults.push(Fault::new(path, &["within"], "must be longer than nothing"));
                }
            }
        }
    }

    /// Whether events are asked about anywhere in it.
    pub fn asks_events(&self) -> bool {
        match self {
            Self::All(All { all: parts }) | Self::Any(Any { any: parts }) => {
                parts.iter().any(Self::asks_events)
            }
            Self::Not(Not { not }) => not.asks_events(),
            Self::Fact(_) => false,
            Self::Event(_) => true,
        }
    }
}

impl FactTest {
    /// Whether the test fits what the fact holds; else the key to blame and why.
    fn check(&self, kind: FactType) -> Result<(), (&'static str, String)> {
        let given = [
            ("is", self.is.is_some()),
            ("in", self.is_in.is_some()),
            ("known", self.known.is_some()),
            ("at_least", self.at_least.is_some()),
            ("below", self.below.is_some()),
            ("older_than", self.older_than.is_some()),
            ("within", self.within.is_some()),
            ("days_until_at_most", self.days_until_at_most.is_some()),
        ];
        let given: Vec<&'static str> = given
            .into_iter()
            .filter_map(|(key, given)| given.then_some(key))
            .collect();
        let fitting: &[&str] = match kind {
            FactType::Text | FactType::Word(_) => &["is", "in", "known"],
            FactType::YesNo => &["is", "known"],
            FactType::Number => &["is", "in", "known", "at_least", "below"],
            FactType::Instant => &["known", "older_than", "within"],
            FactType::Date => &["known", "older_than", "within", "days_until_at_most"],
        };
        let [key] = given[..] else {
            return Err((
                "fact",
                format!("exactly one test beside `fact`: one of {}", fitting.join(", ")),
            ));
        };
        if !fitting.contains(&key) {
            return Err((
                key,
                format!(
                    "`{key}` does not fit `{}`; fitting: {}",
                    self.fact,
                    fitting.join(", ")
                ),
            ));
        }
        let one = self.is.iter();
        for constant in one.chain(self.is_in.iter().flatten()) {
            constant.check(kind).map_err(|reason| (key, reason))?;
        }
        if self.is_in.as_ref().is_some_and(Vec::is_empty) {
            return Err((key, "`in` needs at least one value".to_owned()));
        }
        Ok(())
    }
}

impl Constant {
    fn check(&self, kind: FactType) -> Result<(), String> {
        match (kind, self) {
            (FactType::Word(words), Self::Text(text)) => {
                let all = words.all();
                if all.contains(&text.as_str()) {
                    Ok(())
                } else {
                    Err(format!("`{text}` is not one of {}", all.join(", ")))
                }
            }
            (FactType::Text, Self::Text(_))
            | (FactType::YesNo, Self::Bool(_))
            | (FactType::Number, Self::Number(_)) => Ok(()),
            (FactType::YesNo, _) => Err("must be true or false".to_owned()),
            (FactType::Number, _) => Err("must be a number".to_owned()),
            _ => Err("must be a text".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Condition, String> {
        #[derive(Deserialize)]
        struct Holder {
            when: Condition,
        }
        toml::from_str::<Holder>(&format!("when = {text}"))
            .map(|holder| holder.when)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn reads_back_what_it_wrote() {
        for text in [
            r#"{ fact = "lead.grade", in = ["A", "B"] }"#,
            r#"{ all = [{ fact = "lead.open", is = true }, { not = { event = "clicked", within = "30d", at_least = 2, tag = "pricing" } }] }"#,
            r#"{ any = [{ fact = "lead.value", at_least = 1000 }, { fact = "contact.email", known = true }] }"#,
            r#"{ fact = "lead.expected_on", days_until_at_most = 14 }"#,
        ] {
            let condition = read(text).unwrap();
            assert_eq!(condition.faults(Subject::Lead), []);
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(
                serde_json::from_str::<Condition>(&json).unwrap(),
                condition,
                "{json}"
            );
        }
    }

    #[test]
    fn one_form_and_its_keys_only() {
        for (text, part) in [
            ("{}", "exactly one of"),
            (r#"{ fact = "lead.open", event = "clicked" }"#, "exactly one of"),
            ("{ any = [] }", "at least one condition"),
            (r#"{ event = "clicked" }"#, "needs `within`"),
            (
                r#"{ event = "clicked", within = "3d", at_least = 0 }"#,
                "whole number",
            ),
            (r#"{ event = "clicked", within = "3d", is = 3 }"#, "do not mix"),
            (r#"{ fact = "lead.open", tag = "x" }"#, "do not mix"),
            (r#"{ fact = "lead.open", isnt = true }"#, "unknown field `isnt`"),
            (
                r#"{ event = "cliked", within = "3d" }"#,
                "unknown variant `cliked`",
            ),
            (r#"{ fact = "x", within = "3 days" }"#, "not a duration"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_test_must_fit_its_fact() {
        for (text, subject, path, part) in [
            (
                r#"{ fact = "lead.garde", is = "A" }"#,
                Subject::Lead,
                "fact",
                "no fact",
            ),
            (
                r#"{ fact = "lead.grade", is = "E" }"#,
                Subject::Lead,
                "is",
                "not one of A, B, C, D",
            ),
            (
                r#"{ fact = "lead.grade", is = "A" }"#,
                Subject::Contact,
                "fact",
                "about a lead",
            ),
            (
                r#"{ fact = "lead.grade", at_least = 3 }"#,
                Subject::Lead,
                "at_least",
                "does not fit",
            ),
            (
                r#"{ fact = "lead.open", is = "yes" }"#,
                Subject::Lead,
                "is",
                "true or false",
            ),
            (
                r#"{ fact = "lead.value", is = "9" }"#,
                Subject::Lead,
                "is",
                "a number",
            ),
            (
                r#"{ fact = "account.lost_at", days_until_at_most = 3 }"#,
                Subject::Lead,
                "days_until_at_most",
                "not fit",
            ),
            (
                r#"{ fact = "lead.open" }"#,
                Subject::Lead,
                "fact",
                "exactly one test",
            ),
            (
                r#"{ fact = "contact.email", known = true, is = "x" }"#,
                Subject::Lead,
                "fact",
                "exactly one test",
            ),
            (
                r#"{ not = { any = [{ fact = "lead.x", is = 1 }] } }"#,
                Subject::Lead,
                "not.any.0.fact",
                "no fact",
            ),
            (
                r#"{ event = "clicked", within = "0d" }"#,
                Subject::Lead,
                "within",
                "longer",
            ),
        ] {
            let faults = read(text).unwrap().faults(subject);
            assert_eq!(faults.len(), 1, "{text}");
            assert_eq!(faults[0].path.join("."), path, "{text}");
            assert!(faults[0].reason.contains(part), "{}", faults[0].reason);
        }
    }
}
