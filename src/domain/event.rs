//! What came in: one event per thing that a person, a provider or a colleague told us.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

/// What happened. The text form is the one of tables, files, the HTTP API and the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// The receiving side says that the message arrived.
    Delivered,
    /// The receiving side puts it off.
    Deferred,
    /// The message came back; the class is in the data (see [`Event::bounce_class`]).
    Bounced,
    /// The person reported spam. Not a grievance.
    SpamReport,
    /// The message was opened, or a machine fetched its pixel.
    Opened,
    /// A tracked link was followed, or a machine fetched it.
    Clicked,
    /// The person answered; an inbound SMS that is no keyword is a reply too.
    Replied,
    /// A machine answered for the person.
    AutoReplied,
    /// The person wants no more.
    OptedOut,
    /// The person asks to be written to (again).
    OptedIn,
    /// A form was filled in.
    Form,
    /// A meeting or a demonstration was agreed.
    Meeting,
    /// A quote was asked for or given.
    Quote,
    /// Something was bought.
    Purchase,
    /// A colleague spoke with the person by phone.
    Call,
    /// A colleague and the person met face to face.
    Visit,
    /// A colleague and the person wrote to and fro in a chat.
    Chat,
    /// A colleague wrote down something about the person.
    Note,
}

/// A word that is no event type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown event type `{0}`; one of: {all}", all = EventType::names())]
pub struct UnknownEventType(pub String);

impl EventType {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 18] = [
        Self::Delivered,
        Self::Deferred,
        Self::Bounced,
        Self::SpamReport,
        Self::Opened,
        Self::Clicked,
        Self::Replied,
        Self::AutoReplied,
        Self::OptedOut,
        Self::OptedIn,
        Self::Form,
        Self::Meeting,
        Self::Quote,
        Self::Purchase,
        Self::Call,
        Self::Visit,
        Self::Chat,
        Self::Note,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::SpamReport => "spam_report",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Replied => "replied",
            Self::AutoReplied => "auto_replied",
            Self::OptedOut => "opted_out",
            Self::OptedIn => "opted_in",
            Self::Form => "form",
            Self::Meeting => "meeting",
            Self::Quote => "quote",
            Self::Purchase => "purchase",
            Self::Call => "call",
            Self::Visit => "visit",
            Self::Chat => "chat",
            Self::Note => "note",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// A colleague dealt with the person: call, visit, chat, note.
    pub fn is_human_contact(self) -> bool {
        matches!(self, Self::Call | Self::Visit | Self::Chat | Self::Note)
    }

    /// The person did something himself, when it was no machine ([`Event::human`] says so).
    pub fn is_response(self) -> bool {
        matches!(
            self,
            Self::SpamReport
                | Self::Opened
                | Self::Clicked
                | Self::Replied
                | Self::OptedOut
                | Self::OptedIn
                | Self::Form
                | Self::Meeting
                | Self::Quote
                | Self::Purchase
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

/// Why a message came back; kept under `class` in the data of a `bounced` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BounceClass {
    /// The address does not exist or takes no mail: never write to it again.
    Hard,
    /// Full, too large, away for now: the address is good.
    Soft,
    /// Refused for who sent it or what it says: the address is good, the sender has a problem.
    Blocked,
    /// Not to be told from the text.
    Unknown,
}

impl BounceClass {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

/// What a reply wants, as read from its text; kept under `intent` in the data of a `replied` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Interested, wants to know more.
    Interested,
    /// Wants a call, a meeting or a demonstration.
    Meeting,
    /// Asks for a price.
    Price,
    /// Compares vendors.
    Comparing,
    /// Waits for a matter to be finished or decided first ("when the budget is through").
    Waiting,
    /// Not now ("maybe next year").
    NotNow,
    /// Chose another vendor.
    Competitor,
    /// Is not the right person.
    WrongPerson,
    /// Complains about us.
    Grievance,
    /// Wants no more messages.
    OptOut,
    /// Thanks.
    Thanks,
    /// Says something else.
    Other,
}

/// One thing that came in. Events are never changed; facts, evidence and grades are folds over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, made by the program.
    pub id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When it happened; folds go by this, then by id.
    pub occurred_at: DateTime<Utc>,
    /// When it was told.
    pub received_at: DateTime<Utc>,
    /// The person it is about, where known.
    pub contact_id: Option<Uuid>,
    /// The lead it is about, where known.
    pub lead_id: Option<Uuid>,
    /// The message it answers, where known.
    pub message_id: Option<Uuid>,
    /// False when a machine did it (mail scanner, prefetch, robot).
    pub human: bool,
    /// Who told it: a provider, an API token's name, a colleague.
    pub source: String,
    /// What else is known: `class`, `tag` of the link, `intent` of the reply, `outcome` of the call..
    pub data: Value,
}

impl Event {
    /// The class of a bounce; `None` for every other event. A missing or strange class is unknown.
    pub fn bounce_class(&self) -> Option<BounceClass> {
        (self.event_type == EventType::Bounced).then(|| {
            self.data
                .get("class")
                .and_then(|class| BounceClass::deserialize(class).ok())
                .unwrap_or(BounceClass::Unknown)
        })
    }

    /// The intent of a reply; `None` when nobody read one, or a word that is none.
    pub fn intent(&self) -> Option<Intent> {
        self.data
            .get("intent")
            .and_then(|intent| Intent::deserialize(intent).ok())
    }

    /// The tag of the link that was clicked.
    pub fn tag(&self) -> Option<&str> {
        self.data.get("tag").and_then(Value::as_str)
    }

    /// The person himself did something.
    pub fn is_human_response(&self) -> bool {
        self.human && self.event_type.is_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_form_reads_back_and_serde_agrees() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), Value::from(kind.as_str()));
        }
        let error = "clickd".parse::<EventType>().unwrap_err().to_string();
        assert!(error.contains("clickd") && error.contains("clicked"), "{error}");
    }

    #[test]
    fn a_bounce_without_a_good_class_is_unknown() {
        let mut event = Event {
            id: Uuid::nil(),
            event_type: EventType::Bounced,
            occurred_at: DateTime::UNIX_EPOCH,
            received_at: DateTime::UNIX_EPOCH,
            contact_id: None,
            lead_id: None,
            message_id: None,
            human: false,
            source: "test".into(),
            data: serde_json::json!({"class": "hard"}),
        };
        assert_eq!(event.bounce_class(), Some(BounceClass::Hard));
        event.data = serde_json::json!({"class": 7});
        assert_eq!(event.bounce_class(), Some(BounceClass::Unknown));
        event.event_type = EventType::Opened;
        assert_eq!(event.bounce_class(), None);
        assert!(!event.is_human_response());
    }
}
