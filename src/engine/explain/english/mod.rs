//! A story in plain English.

mod vocabulary;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Teller, minute, occurrence, quoted, short};
use crate::domain::assess::Assessment;
use crate::domain::known::Factors;
use crate::store::story::{Cause, Coming, Fact, LeadRow};
use vocabulary::event;
pub use vocabulary::{channel_name, reason_words};

/// English.
pub struct English;

impl Teller for English {
    fn recorded(&self, external_ids: &str) -> String {
        format!("Recorded as {external_ids}.")
    }

    fn fact(&self, at: DateTime<Utc>, fact: &Fact, zone: Tz) -> String {
        match fact {
            Fact::Entered {
                cadence,
                why,
                key,
                control,
                lead,
            } => {
                let lead = lead
                    .as_ref()
                    .map_or(String::new(), |lead| format!(" for lead {lead}"));
                let held = if *control {
                    " as control of the hold-out, so nothing is sent"
                } else {
                    ""
                };
                let occurrence =
                    occurrence(key, at).map_or(String::new(), |key| format!(", occurrence {key}"));
                format!("Entered {cadence}{lead}{held}: {}{occurrence}.", entry_words(why))
            }
            Fact::Left {
                cadence,
                state,
                reason,
            } => left(cadence, state, reason.as_deref()),
            Fact::Decided {
                cadence,
                step,
                channel,
                verdict,
                reason,
                until,
            } => {
                let what = touch(channel.as_deref(), cadence.as_deref(), step.as_deref());
                let why = reason_words(reason);
                match (verdict.as_str(), until) {
                    ("hold", Some(until)) => {
                        format!("Held {what}: {why}. Looked at again {}.", minute(*until, zone))
                    }
                    ("hold", None) => format!("Held {what}: {why}."),
                    _ => format!("Did not send {what}: {why}."),
                }
            }
            Fact::Dropped {
                cadence,
                step,
                channel,
                state,
                reason,
            } => {
                let what = touch(Some(channel), Some(cadence), Some(step));
                let why = reason.as_deref().map_or_else(|| state.clone(), reason_words);
                format!("Did not send {what}: {why}.")
            }
            Fact::Message { .. } => message(fact),
            Fact::Event {
                event_type,
                human,
                source,
                data,
                cadence,
                step,
                late,
            } => {
                let what = event(event_type, *human, data);
                let about = cadence.as_ref().map_or(String::new(), |cadence| {
                    format!(", on {cadence}/{}", step.as_deref().unwrap_or("?"))
                });
                let origin = match (source.as_str(), late) {
                    ("kith" | "link" | "public", _) => String::new(),
                    (source, true) => format!(" (from {source}, told later)"),
                    (source, false) => format!(" (from {source})"),
                };
                format!("{what}{about}{origin}.")
            }
            Fact::Graded { .. } => graded(fact, zone),
            Fact::Stood { before, after } => format!("The customer went from {before} to {after}."),
            Fact::Lost { tier } => format!(
                "The customer counts as lost{}: no purchase for too long.",
                of_tier(tier.as_ref())
            ),
            Fact::WonBack { tier } => format!("The customer{} came back: won back.", of_tier(tier.as_ref())),
            Fact::Purchase {
                amount,
                currency,
                product,
                own,
            } => {
                let who = if *own { "Bought" } else { "The customer bought" };
                let what = product
                    .as_ref()
                    .map_or(String::new(), |product| format!(" {product}"));
                format!("{who}{what} for {} {currency}.", amount.normalize())
            }
            Fact::Task {
                title,
                about,
                owner,
                due,
            } => format!(
                "Task for {}{}: {title}. Due {}.",
                owner.as_deref().unwrap_or("nobody yet"),
                if about == "service" { " (service)" } else { "" },
                minute(*due, zone)
            ),
            Fact::TaskDone { title, outcome, by } => format!(
                "Task closed{}: {title}{}.",
                by.as_ref().map_or(String::new(), |by| format!(" by {by}")),
                outcome
                    .as_ref()
                    .map_or(String::new(), |outcome| format!(" ({outcome})")),
            ),
            Fact::Grievance { text, own } => {
                let who = if *own {
                    "Complained"
                } else {
                    "A colleague of theirs complained"
                };
                let said = quoted(text.as_deref());
                format!("{who}{said}. Marketing waits until it is settled.")
            }
            Fact::GrievanceClosed { by } => format!(
                "The complaint was settled{}.",
                by.as_ref().map_or(String::new(), |by| format!(" by {by}"))
            ),
            Fact::Consent {
                channel,
                granted,
                basis,
                source,
            } => {
                let verb = if *granted { "Allowed" } else { "Refused" };
                let (channel, basis) = (channel_name(channel), reason_words(basis));
                format!("{verb} {channel} ({basis}, from {source}).")
            }
        }
    }

    fn coming(&self, one: &Coming, zone: Tz) -> String {
        let Coming { cadence, step, .. } = one;
        if let (Some(channel), Some(_)) = (&one.channel, one.due_at) {
            let what = touch(Some(channel), Some(cadence), Some(step));
            let held = one
                .held
                .as_deref()
                .map_or(String::new(), |why| format!(", held: {}", reason_words(why)));
            let last = one
                .expires_at
                .map_or(String::new(), |at| format!("; not after {}", minute(at, zone)));
            return format!("{what} is due{held}{last}.");
        }
        match one.state.as_str() {
            "control" => format!("{cadence} moves on past {step}, sending nothing (control)."),
            _ if one.touch_state.is_some() => format!("{cadence} goes on after {step}."),
            _ => format!("{cadence}/{step} is due."),
        }
    }

    fn reason(&self, found: &Assessment) -> String {
        found.reason()
    }

    fn ended(&self, lead: &LeadRow) -> Option<String> {
        match (&lead.not_fit, lead.closed_at) {
            (Some(why), _) => Some(format!("given up: {why}")),
            (None, Some(at)) => Some(format!(
                "{} on {}",
                lead.outcome.as_deref().unwrap_or("closed"),
                at.date_naive()
            )),
            (None, None) => None,
        }
    }
}

fn touch(channel: Option<&str>, cadence: Option<&str>, step: Option<&str>) -> String {
    let name = match (cadence, step) {
        (Some(cadence), Some(step)) => format!("{cadence}/{step}"),
        _ => "a touch".to_owned(),
    };
    match channel {
        Some(channel) => format!("{name} ({})", channel_name(channel)),
        None => name,
    }
}

fn message(fact: &Fact) -> String {
    let Fact::Message {
        channel,
        cadence,
        step,
        template,
        sender,
        address,
        subject,
        segments,
        outcome,
        reply,
        tries,
    } = fact
    else {
        return String::new();
    };
    let origin = match (cadence, step) {
        (Some(cadence), Some(step)) => format!("{cadence}/{step}"),
        _ => format!("{template}, by hand"),
    };
    let what = match channel.as_str() {
        "email" => format!("Mail{} to {address}", quoted(subject.as_deref())),
        "sms" => format!("Text message to {address}, {} segment(s)", segments.unwrap_or(1)),
        _ => format!("Task{}", quoted(subject.as_deref())),
    };
    let said = reply
        .as_deref()
        .map_or(String::new(), |reply| format!(" ({})", short(reply)));
    let tries = if *tries > 1 {
        format!(" after {tries} tries")
    } else {
        String::new()
    };
    let end = match (outcome.as_str(), channel.as_str()) {
        ("accepted", "task") => "handed to the owner".to_owned(),
        ("accepted", _) => format!("accepted by {sender}{said}"),
        ("refused", _) => format!("refused by {sender}{said}"),
        ("uncertain", _) => format!("nobody knows whether it arrived{said}"),
        (other, _) => format!("{other}{said}"),
    };
    format!("{what} ({origin}): {end}{tries}.")
}

fn graded(fact: &Fact, zone: Tz) -> String {
    let Fact::Graded {
        lead,
        before,
        after,
        reason,
        corrected,
        factors,
        events,
    } = fact
    else {
        return String::new();
    };
    let name = |grade: &Option<String>| grade.clone().unwrap_or_else(|| "ungraded".to_owned());
    let because = match (reason.as_str(), events.is_empty()) {
        ("asserted", true) => "because it was stated from outside".to_owned(),
        ("time", _) => "because time passed".to_owned(),
        (_, true) => "because of what was recorded about it".to_owned(),
        (_, false) => {
            let causes: Vec<String> = events.iter().map(|cause| caused(cause, zone)).collect();
            format!("because of {}", causes.join(" and "))
        }
    };
    let corrected = if *corrected {
        " Something told late corrected what was thought before."
    } else {
        ""
    };
    let values: Vec<String> = serde_json::from_value::<Factors>(factors.clone())
        .map(|factors| {
            factors
                .iter()
                .map(|(f, known)| format!("{} {}", reason_words(f.as_str()), known.setting))
                .collect()
        })
        .unwrap_or_default();
    let values = if values.is_empty() {
        String::new()
    } else {
        format!(" Known: {}.", values.join(", "))
    };
    format!(
        "Lead {lead} went from {} to {}, {because}.{corrected}{values}",
        name(before),
        name(after)
    )
}

fn caused(cause: &Cause, zone: Tz) -> String {
    let what = event(&cause.event_type, true, &cause.data);
    let mut letters = what.chars();
    let lower = letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    });
    let who = match (&cause.who, cause.own) {
        (Some(who), Some(false) | None) => format!("{who}: "),
        _ => String::new(),
    };
    format!("\u{201c}{who}{lower}\u{201d} on {}", minute(cause.at, zone))
}

fn left(cadence: &str, state: &str, reason: Option<&str>) -> String {
    match (state, reason) {
        ("finished", Some("goal")) => format!("{cadence} reached its goal."),
        ("finished", _) => format!("{cadence} ran to its end."),
        (_, Some("replied")) => format!("{cadence} stopped: they answered."),
        (_, Some("grade")) => format!("{cadence} stopped: the grade of the lead changed."),
        (_, Some("exit")) => format!("{cadence} stopped: its exit condition holds."),
        (_, Some(reason)) => format!("{cadence} stopped: {}.", reason_words(reason)),
        (_, None) => format!("{cadence} stopped."),
    }
}

fn entry_words(why: &str) -> String {
    match why {
        "grade" => "the grade of the lead is one it is for".to_owned(),
        "audience" => "belongs to its audience".to_owned(),
        "birthday" => "a birthday comes up".to_owned(),
        other => format!("on {}", reason_words(other)),
    }
}

fn of_tier(tier: Option<&String>) -> String {
    tier.map_or(String::new(), |tier| format!(" ({tier})"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sentence(fact: Value) -> String {
        let fact: Fact = serde_json::from_value(fact).unwrap();
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        English.fact(at, &fact, chrono_tz::Asia::Shanghai)
    }

    #[test]
    fn holds_say_why_and_when_they_are_looked_at_again_locally() {
        assert_eq!(
            sentence(json!({
                "kind": "decided", "cadence": "b-to-a", "step": "hello", "channel": "email", "verdict": "hold",
                "reason": "quiet-hours", "until": "2026-11-21T00:30:00+00:00"
            })),
            "Held b-to-a/hello (mail): outside the hours for sending. Looked at again 2026-11-21 08:30."
        );
    }

    #[test]
    fn a_grade_cites_what_caused_it() {
        let text = sentence(json!({
            "kind": "graded", "lead": "l-1", "before": "B", "after": "A", "reason": "evidence", "corrected": false,
            "factors": {"known": {}}, "events": [
                {"type": "clicked", "at": "2026-11-20T09:00:00Z", "who": "Ann", "own": true, "data": {"tag": "pricing"}},
                {"type": "replied", "at": "2026-11-20T09:30:00Z", "who": "Bo", "own": false, "data": {"intent": "price"}}
            ]
        }));
        assert_eq!(
            text,
            "Lead l-1 went from B to A, because of \u{201c}clicked the pricing link\u{201d} on 2026-11-20 17:00 \
             and \u{201c}Bo: replied, meaning: price\u{201d} on 2026-11-20 17:30."
        );
    }
}
