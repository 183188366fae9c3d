//! What the gate asks of a touch: windows, business days, caps, consent, and what an unknown outcome means.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::cadence::{ChannelKind, Class};
use super::span::Span;
use super::text::{Malformed, text_form};
use super::window::SendWindow;

/// What the gate asks of a touch. A document: `kith apply` puts it in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRules {
    /// When local time at the recipient allows a message, by channel and class.
    pub windows: ByChannel<ByClass<Opening>>,
    /// Whether a class keeps off the holidays of the recipient's region.
    pub business_days_only: ByClass<bool>,
    /// The calendar of a region (ISO 3166, `CN` or `CN-31`).
    pub calendars: BTreeMap<String, String>,
    /// How often, by class, over all cadences together.
    pub caps: ByClass<Caps>,
    /// Which permission a class needs, by channel that has an address.
    pub consent: ConsentRules,
    /// Whether an open grievance or an unanswered question of theirs holds a class.
    pub held_by_grievance: ByClass<bool>,
    /// Whether "leave to me until" by the owner holds a class.
    pub held_by_owner: ByClass<bool>,
    /// What to do with a message of which nobody knows whether it arrived.
    pub uncertain: ByClass<Uncertain>,
}

/// One value for each class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByClass<T> {
    /// Asked for by the person or owed to him.
    pub transactional: T,
    /// Signals that must be acted on in time.
    pub alert: T,
    /// Care.
    pub care: T,
    /// Everything with a sales aim.
    pub marketing: T,
}

impl<T> ByClass<T> {
    /// The value of a class.
    pub fn of(&self, class: Class) -> &T {
        match class {
            Class::Transactional => &self.transactional,
            Class::Alert => &self.alert,
            Class::Care => &self.care,
            Class::Marketing => &self.marketing,
        }
    }
}

/// One value for each channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByChannel<T> {
    /// Mail.
    pub email: T,
    /// Text messages.
    pub sms: T,
    /// Work for the owner, in the owner's zone.
    pub task: T,
}

impl<T> ByChannel<T> {
    /// The value of a channel.
    pub fn of(&self, channel: ChannelKind) -> &T {
        match channel {
            ChannelKind::Email => &self.email,
            ChannelKind::Sms => &self.sms,
            ChannelKind::Task => &self.task,
        }
    }
}

/// When messages may go out: `always`, or a window such as `mon-fri 09:00-18:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At any hour of any day.
    Always,
    /// In the window only.
    Window(SendWindow),
}

impl Opening {
    /// Reads `always` or a window.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.trim() {
            "always" => Ok(Self::Always),
            other => SendWindow::parse(other).map(Self::Window),
        }
    }

    /// The window, where there is one.
    pub fn window(&self) -> Option<&SendWindow> {
        match self {
            Self::Always => None,
            Self::Window(window) => Some(window),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => write!(out, "always"),
            Self::Window(window) => write!(out, "{window}"),
        }
    }
}

text_form!(Opening);

/// How often people may be written to. No caps by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Per person; all of them hold.
    pub contact: Vec<Cap>,
    /// People of one account on one local day; 0 = as many as there are. The decision maker goes first.
    pub account_per_day: u32,
}

/// At most `n` messages `per` period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// How many.
    pub n: u32,
    /// In which time.
    pub per: Period,
}

/// The time of a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `1d`, `7d`, `2w`: this many of the recipient's calendar days, today included.
    LocalDays(u16),
    /// `90s`, `30m`, `12h`: the time just gone.
    Sliding(Span),
}

impl Period {
    /// Reads a duration; whole days and weeks count the recipient's calendar days.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let span = Span::parse(text)?;
        if span.length() <= chrono::TimeDelta::zero() {
            return Err(Malformed::new(format!("{text:?} is no time at all")));
        }
        if span.length() > chrono::TimeDelta::days(366) {
            return Err(Malformed::new(format!(
                "{text:?} is over a year, too long for a cap"
            )));
        }
        if text.trim_end().ends_with("bd") {
            return Err(Malformed::new(format!(
                "{text:?} counts business days; a cap counts days"
            )));
        }
        if text.trim_end().ends_with(['d', 'w']) {
            return Ok(Self::LocalDays(span.length().num_days() as u16));
        }
        Ok(Self::Sliding(span))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalDays(days) => write!(out, "{days}d"),
            Self::Sliding(span) => write!(out, "{span}"),
        }
    }
}

text_form!(Period);

/// Which permission a class needs, by channel that has an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRules {
    /// Mail.
    pub email: ByClass<Consent>,
    /// Text messages.
    pub sms: ByClass<Consent>,
}

impl ConsentRules {
    /// The permission that a class needs on a channel; a task goes to the owner and needs none.
    pub fn of(&self, channel: ChannelKind, class: Class) -> Consent {
        match channel {
            ChannelKind::Email => *self.email.of(class),
            ChannelKind::Sms => *self.sms.of(class),
            ChannelKind::Task => Consent::NotNeeded,
        }
    }
}

/// A permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// The person said yes.
    OptIn,
    /// The person did not say no.
    NotRefused,
    /// Asked for by the person or owed to him; a suppression still holds it.
    NotNeeded,
}

impl Consent {
    /// Whether what is known of a person's consent (`None` = never asked) is enough.
    pub fn allows(self, given: Option<bool>) -> bool {
        match self {
            Self::OptIn => given == Some(true),
            Self::NotRefused => given != Some(false),
            Self::NotNeeded => true,
        }
    }
}

/// What to do with a message of which nobody knows whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uncertain {
    /// It stays unknown and the cadence goes on.
    Hold,
    /// Without evidence in this time it is tried once more, with the same Message-ID.
    RetryAfter(Span),
}

impl GateRules {
    /// The name of the calendar of a region: `CN-31` is looked up as it stands, then as `CN`.
    pub fn calendar(&self, region: &str) -> Option<&str> {
        let country = region.split('-').next().unwrap_or(region);
        self.calendars
            .get(region)
            .or_else(|| self.calendars.get(country))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_local_and_hours_slide() {
        assert_eq!(Period::parse("7d").unwrap(), Period::LocalDays(7));
        assert_eq!(Period::parse("2w").unwrap(), Period::LocalDays(14));
        assert_eq!(
            Period::parse("24h").unwrap(),
            Period::Sliding(Span::parse("24h").unwrap())
        );
        for text in ["0d", "-1d", "2bd", "often", "5000w"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn consent_is_what_the_class_needs() {
        for (rule, unknown, yes, no) in [
            (Consent::OptIn, false, true, false),
            (Consent::NotRefused, true, true, false),
            (Consent::NotNeeded, true, true, true),
        ] {
            assert_eq!(
                (
                    rule.allows(None),
                    rule.allows(Some(true)),
                    rule.allows(Some(false))
                ),
                (unknown, yes, no)
            );
        }
    }

    #[test]
    fn always_or_a_window() {
        assert_eq!(Opening::parse("always").unwrap(), Opening::Always);
        assert_eq!(
            Opening::parse("mon-fri 09:00-18:00").unwrap().to_string(),
            "mon-fri 09:00-18:00"
        );
        assert!(Opening::parse("sometimes").is_err());
    }
}
