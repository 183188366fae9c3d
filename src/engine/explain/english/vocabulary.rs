//! Stored words in English.

use serde_json::Value;

use super::super::{quoted, short};

/// An event in words, without a full stop.
pub fn event(event_type: &str, human: bool, data: &Value) -> String {
    let get = |key: &str| data.get(key).and_then(Value::as_str);
    let said = quoted(get("text"));
    match event_type {
        "delivered" => "The message was delivered".to_owned(),
        "deferred" => format!("The receiving side put the message off{said}"),
        "bounced" => format!(
            "The message came back ({}){said}",
            get("class").unwrap_or("unknown")
        ),
        "spam_report" => "Reported spam".to_owned(),
        "opened" if human => "Opened the mail".to_owned(),
        "opened" => "A machine opened the mail".to_owned(),
        "clicked" => {
            let who = if human { "Clicked" } else { "A machine followed" };
            match (get("tag"), get("target").or(get("url"))) {
                (Some(tag), _) => format!("{who} the {tag} link"),
                (None, Some(target)) => format!("{who} the link to {}", short(target)),
                (None, None) => format!("{who} a link"),
            }
        }
        "replied" => {
            let intent = get("intent").map_or(String::new(), |intent| {
                format!(", meaning: {}", reason_words(intent))
            });
            format!("Replied{said}{intent}")
        }
        "auto_replied" => format!("A machine answered for them{said}"),
        "opted_out" => "Opted out".to_owned(),
        "opted_in" => "Asked to be written to again".to_owned(),
        "form" => format!("Filled in a form{}{said}", named(get("form").or(get("tag")))),
        "meeting" => format!("Agreed to meet{said}"),
        "quote" => format!("A quote was asked for or given{said}"),
        "purchase" => "Bought".to_owned(),
        "call" | "visit" | "chat" | "note" => {
            let what = match event_type {
                "call" => "A colleague called",
                "visit" => "A colleague visited",
                "chat" => "A colleague chatted with them",
                _ => "A colleague noted",
            };
            let by = get("by").map_or(String::new(), |by| format!(" [{by}]"));
            let outcome =
                get("outcome").map_or(String::new(), |outcome| format!("; outcome: {}", short(outcome)));
            format!("{what}{by}{said}{outcome}")
        }
        other => format!("{other}{said}"),
    }
}

/// A stored word in words for people.
pub fn reason_words(word: &str) -> String {
    match word {
        "expired" => "too late to be worth sending",
        "opted-out" | "opted_out" => "opted out",
        "spam-report" | "spam_report" => "reported spam",
        "address-bad" => "the address takes no messages",
        "suppressed" | "operator" => "an operator closed the address",
        "erased" => "erased on request",
        "no-address" => "no address for this channel",
        "no-consent" => "no permission for this channel",
        "prefers-phone" => "wants to be called, not written to",
        "not-fit" => "the lead was given up",
        "lead-closed" => "the lead is closed",
        "merged" => "the record was merged into another",
        "ended" => "the cadence ended",
        "hold-out" => "withheld as control",
        "brake" => "the brake is on",
        "grievance" => "a complaint is open",
        "leave-to-me" => "the owner asked to leave them to him",
        "human-contact" => "a colleague spoke with them just now",
        "quiet-hours" => "outside the hours for sending",
        "holiday" => "a day off where they live",
        "colleague" => "a colleague of theirs is written to that day",
        "cap" => "enough messages for now",
        "rehearsal" => "rehearsal, and the address is not on the list",
        "deferred" => "the other side asked to try again later",
        "render" => "the template could not be filled in",
        "sender-paused" => "a receiving side blocks the sender, which is left alone for a while",
        "pace" => "enough for now on this way out",
        "sender-down" => "the sender is left alone after failures",
        "no-sender" => "no sender for this channel",
        other => return other.replace(['-', '_'], " "),
    }
    .to_owned()
}

/// A channel in words.
pub fn channel_name(channel: &str) -> &str {
    match channel {
        "email" => "mail",
        "sms" => "text message",
        other => other,
    }
}

fn named(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!(" ({})", short(name)))
}
