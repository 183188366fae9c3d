//! A cadence: an ordered plan of touches with its entry, exit and goal. The structure is pinned by an enrollment.

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::event::EventType;
use super::grade::Grade;
use super::moment::Moment;
use super::schedule::CronSchedule;
use super::span::Span;

/// What a cadence is about, and so what an enrollment hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One possible sale: one enrollment per lead and contact of the lead.
    Lead,
    /// A person.
    Contact,
    /// A customer: enrolled is the person of most influence, decision makers first.
    Account,
}

/// Which of the five functions a touch serves. Every step states one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Care: birthdays, festivals, how are you.
    Care,
    /// Information that is useful without buying.
    Information,
    /// Towards a sale.
    Transaction,
    /// About something running between the two sides.
    Service,
    /// A question to learn something.
    Intelligence,
}

/// Priority class of the queue: lower goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Asked for by the person or owed to him.
    Transactional,
    /// Signals that must be acted on in time.
    Alert,
    /// Care.
    Care,
    /// Everything with a sales aim.
    Marketing,
}

impl Class {
    /// All of them, the first in priority first.
    pub const ALL: [Self; 4] = [Self::Transactional, Self::Alert, Self::Care, Self::Marketing];

    /// Text form, as in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Alert => "alert",
            Self::Care => "care",
            Self::Marketing => "marketing",
        }
    }

    /// The number kept in the queue.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Back from the queue's number; unknown numbers count as marketing, the strictest class.
    pub fn from_number(n: i16) -> Self {
        match n {
            0 => Self::Transactional,
            1 => Self::Alert,
            2 => Self::Care,
            _ => Self::Marketing,
        }
    }

    /// Whether its messages offer the way out of further ones, in their text and in the header of a mail alike. What is
    /// owed to a person offers none: it would not end what he waits for.
    pub fn offers_way_out(self) -> bool {
        matches!(self, Self::Care | Self::Marketing)
    }
}

impl Function {
    /// The class a function is queued, capped and consented under.
    pub fn class(self) -> Class {
        match self {
            Self::Service => Class::Transactional,
            Self::Care => Class::Care,
            Self::Information | Self::Transaction | Self::Intelligence => Class::Marketing,
        }
    }
}

/// How a touch reaches out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A mail.
    Email,
    /// A text message.
    Sms,
    /// Work for the owner.
    Task,
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Email, Self::Sms, Self::Task];

    /// Text form, as in tables and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Task => "task",
        }
    }
}

impl std::fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ChannelKind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "email" => Ok(Self::Email),
            "sms" => Ok(Self::Sms),
            "task" => Ok(Self::Task),
            other => Err(format!("unknown channel `{other}`: email, sms or task")),
        }
    }
}

/// A cadence as written in `config/cadences/NAME.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// Unique name; the file's stem.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// What it is about.
    pub subject: Subject,
    /// Whom of a lead it is for.
    #[serde(default)]
    pub people: People,
    /// Who wins when caps allow one of two: lower goes first.
    #[serde(default = "default_priority")]
    pub priority: i16,
    /// How people come in.
    pub entry: Entry,
    /// How people leave early.
    #[serde(default)]
    pub exit: Exit,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Whom of a lead a cadence is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum People {
    /// Every contact of the lead.
    #[default]
    All,
    /// The person of most influence alone: decision makers first, then who can be reached.
    Decider,
}

fn default_priority() -> i16 {
    50
}

/// How people come in. Exactly one of `on_grade`, `on_event`, `on_date`, `schedule` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// At once when a lead gets one of these grades (and at the first apply for leads that have it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_grade: Vec<Grade>,
    /// At once on an event of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_event: Option<EventType>,
    /// On a date of the contact; the first step is due on the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_date: Option<EntryDate>,
    /// When the audience is looked at: crontab(5), in `zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<CronSchedule>,
    /// IANA zone of `schedule`; the company's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<chrono_tz::Tz>,
    /// Who may come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Condition>,
    /// Whether and when somebody may come in again.
    #[serde(default)]
    pub reentry: Reentry,
    /// Share withheld as control, 0 to 0.5, decided per account at entry.
    #[serde(default)]
    pub hold_out: f64,
}

/// A date of the contact that lets him in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryDate {
    /// The next birthday, in the calendar the person keeps.
    Birthday,
}

/// Whether and when somebody may come in again; decides `entry_key`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reentry {
    /// Never: key `once`. For a lead cadence, once per lead.
    #[default]
    Never,
    /// Once per triggering event.
    Event,
    /// Once per occurrence of the date.
    Occurrence,
    /// Again when the last enrollment ended at least this long ago.
    After(Span),
}

/// How people leave early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// A human reply stops it for all contacts of the lead.
    #[serde(default = "yes")]
    pub on_reply: bool,
    /// A human contact logged by the rep defers the next touch by this much.
    #[serde(default = "three_days")]
    pub human_contact_defers: Span,
    /// Leaving when this holds (looked at before each step).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Reaching this is success; ends as `goal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Condition>,
    /// How long after the last touch responses still count before it is finished.
    #[serde(default = "three_days")]
    pub settle: Span,
}

impl Default for Exit {
    fn default() -> Self {
        Self {
            on_reply: true,
            human_contact_defers: three_days(),
            when: None,
            goal: None,
            settle: three_days(),
        }
    }
}

fn yes() -> bool {
    true
}

fn three_days() -> Span {
    Span::days(3)
}

/// One planned contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name, unique in the cadence; what enrollments and touches point to.
    pub key: String,
    /// Channels that may carry it, best first; the contact's preferred one wins when listed and usable.
    pub channel: Channels,
    /// The template.
    pub template: String,
    /// Which of the five functions it serves.
    pub function: Function,
    /// How long after the step before (or after entry).
    #[serde(default = "at_once")]
    pub wait: Span,
    /// After `wait`, the next such moment in the recipient's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Instead of only waiting: a date of the contact or lead. Never before `wait` is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_date: Option<StepDate>,
    /// Only when this holds at the time; otherwise the step is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Condition>,
    /// After the touch: the first branch whose condition holds when the next step is planned names where to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<Branch>,
    /// Where to go after this step without a branch; the next one in order where absent, `end` to finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// A touch not out this long after it was due is skipped.
    #[serde(default = "three_days")]
    pub expires: Span,
    /// Touches that are due together are spread over this long, within the hours of the gate: each person has a part of it
    /// that stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Span>,
    /// For a task: the owner's deadline after it is made.
    #[serde(default = "one_day")]
    pub deadline: Span,
    /// Sender by name; the first of the channel where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// From and Reply-To: the brand, or the owner of the lead.
    #[serde(default)]
    pub from: From,
}

fn at_once() -> Span {
    Span::seconds(0)
}

fn one_day() -> Span {
    Span::days(1)
}

/// Who a mail comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// The brand's address.
    #[default]
    Brand,
    /// The lead's or contact's owner, where he has a `from_email`.
    Owner,
}

/// One channel or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Channels {
    /// One.
    One(ChannelKind),
    /// Several, best first.
    Many(Vec<ChannelKind>),
}

impl Channels {
    /// Best first.
    pub fn as_slice(&self) -> &[ChannelKind] {
        match self {
            Self::One(kind) => std::slice::from_ref(kind),
            Self::Many(kinds) => kinds,
        }
    }
}

/// A date of the contact or lead with an offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDate {
    /// Which date.
    pub date: DateFact,
    /// Days added; negative is before.
    #[serde(default)]
    pub offset_days: i32,
    /// Local time in the recipient's zone.
    #[serde(default = "nine")]
    pub at: chrono::NaiveTime,
    /// What to do when the date is unknown or already past.
    #[serde(default)]
    pub missing: MissingDate,
}

fn nine() -> chrono::NaiveTime {
    chrono::NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default()
}

/// A date of the contact or lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateFact {
    /// What the lead waits for is expected then.
    #[serde(rename = "lead.expected_on")]
    LeadExpectedOn,
    /// The expected close of the lead.
    #[serde(rename = "lead.expected_close")]
    LeadExpectedClose,
    /// The contact's next birthday.
    #[serde(rename = "contact.birthday")]
    Birthday,
}

/// What to do without the date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingDate {
    /// Pass the step over.
    #[default]
    Skip,
    /// Use `wait` and `until` alone.
    Wait,
}

/// Where to go when a condition holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The condition.
    pub when: Condition,
    /// Step key, or `end`.
    pub goto: String,
}

impl Cadence {
    /// The step of that key.
    pub fn step(&self, key: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.key == key)
    }

    /// The step that follows `key` without a branch; `None` = finished.
    pub fn following(&self, key: &str) -> Option<&Step> {
        let at = self.steps.iter().position(|step| step.key == key)?;
        match self.steps[at].then.as_deref() {
            Some("end") => None,
            Some(next) => self.step(next),
            None => self.steps.get(at + 1),
        }
    }

    /// The share of this cadence's enrollments that is withheld, as a chance.
    pub fn hold_out(&self) -> f64 {
        self.entry.hold_out.clamp(0.0, 0.5)
    }
}
