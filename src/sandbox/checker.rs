//! Compares what the recording server knows with what the database says.
//!
//! The promise under test: nothing is lost, nothing is sent twice without a recorded unknown that explains it, and
//! every unknown is known to be unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::smtp::Record;

/// The database's last word on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A final 2xx was read.
    Accepted,
    /// Refused for good.
    Refused,
    /// The dot went out, the answer is unknown.
    Uncertain,
    /// Not sent: waiting, deferred, withdrawn or given up.
    NotSent,
}

/// What the database says about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The outcome.
    pub outcome: Outcome,
    /// Earlier attempts that ended uncertain and were followed by another; each explains one copy.
    pub earlier_uncertain: u32,
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            earlier_uncertain: 0,
        }
    }
}

/// What is wrong, by Message-ID, sorted. All empty is a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Told accepted, and the server never took it.
    pub lost: Vec<String>,
    /// The server took it, and no recorded attempt accounts for that: the next try would be a second copy.
    pub untold: Vec<String>,
    /// Taken more often than recorded attempts explain, with the number of copies.
    pub duplicates: Vec<(String, u32)>,
    /// Told accepted, but no acceptance was ever delivered: a guess where `uncertain` was the truth.
    pub guessed: Vec<String>,
    /// Told uncertain although no dot arrived and no link broke after one: cautious, harmful only in numbers.
    pub needlessly_uncertain: Vec<String>,
    /// Taken by the server, unknown to the database.
    pub strangers: Vec<String>,
}

impl Findings {
    /// Whether the promise was kept. Needless uncertainty does not break it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let wrong = [&self.lost, &self.untold, &self.guessed, &self.strangers];
        wrong.iter().all(|list| list.is_empty()) && self.duplicates.is_empty()
    }
}

#[derive(Debug, Default)]
struct Seen {
    copies: u32,
    acknowledged: bool,
    dots: u32,
}

/// Judges `told` (Message-ID without brackets to outcome) by the server's records.
pub fn check(records: &[Record], told: &BTreeMap<String, Told>) -> Findings {
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    for record in records.iter().filter(|record| record.dot_received_at.is_some()) {
        let entry = seen.entry(&record.message_id).or_default();
        entry.dots += 1;
        entry.copies += u32::from(record.stored);
        entry.acknowledged |= record.stored && record.reply_delivered && record.reply.starts_with('2');
    }
    let nothing = Seen::default();
    let mut findings = Findings::default();
    for (
        id,
        Told {
            outcome,
            earlier_uncertain,
        },
    ) in told
    {
        let seen = seen.get(id.as_str()).unwrap_or(&nothing);
        let explained =
            earlier_uncertain + u32::from(matches!(outcome, Outcome::Accepted | Outcome::Uncertain));
        match outcome {
            Outcome::Accepted if seen.copies == 0 => findings.lost.push(id.clone()),
            Outcome::Accepted if !seen.acknowledged => findings.guessed.push(id.clone()),
            Outcome::Uncertain if seen.dots == 0 => findings.needlessly_uncertain.push(id.clone()),
            _ => {}
        }
        if explained == 0 && seen.copies > 0 {
            findings.untold.push(id.clone());
        } else if seen.copies > explained {
            findings.duplicates.push((id.clone(), seen.copies));
        }
    }
    let strangers: BTreeSet<_> = seen
        .iter()
        .filter(|(id, seen)| seen.copies > 0 && !told.contains_key(**id))
        .map(|(id, _)| *id)
        .collect();
    findings.strangers = strangers.into_iter().map(str::to_owned).collect();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::smtp::Stage;

    fn record(id: &str, stored: bool, reply: &str, delivered: bool) -> Record {
        Record {
            connection: 1,
            transaction: 1,
            message_id: id.to_owned(),
            mail_from: String::new(),
            rcpt: vec![],
            bytes: None,
            size: 1,
            dot_received_at: Some(1),
            stored,
            reply: reply.to_owned(),
            reply_delivered: delivered,
            stage: Stage::Dot,
            link_received: 0,
            link_sent: 0,
        }
    }

    fn told(id: &str, told: impl Into<Told>) -> BTreeMap<String, Told> {
        BTreeMap::from([(id.to_owned(), told.into())])
    }

    fn ids() -> Vec<String> {
        vec!["m".to_owned()]
    }

    #[test]
    fn what_agrees_is_clean() {
        let taken = [record("m", true, "250 ok", true)];
        assert_eq!(check(&taken, &told("m", Outcome::Accepted)), Findings::default());
        assert_eq!(check(&[], &told("m", Outcome::NotSent)), Findings::default());
        let refused = [record("m", false, "550 no", true)];
        assert_eq!(check(&refused, &told("m", Outcome::Refused)), Findings::default());
        let unknown = [record("m", true, "", false)];
        assert_eq!(
            check(&unknown, &told("m", Outcome::Uncertain)),
            Findings::default()
        );
        let unknown_not_taken = [record("m", false, "", false)];
        assert_eq!(
            check(&unknown_not_taken, &told("m", Outcome::Uncertain)),
            Findings::default()
        );
    }

    #[test]
    fn lost_untold_and_strangers_are_found() {
        assert_eq!(check(&[], &told("m", Outcome::Accepted)).lost, ids());
        let taken = [record("m", true, "250 ok", true)];
        assert_eq!(check(&taken, &told("m", Outcome::NotSent)).untold, ids());
        assert_eq!(check(&taken, &told("m", Outcome::Refused)).untold, ids());
        assert_eq!(check(&taken, &BTreeMap::new()).strangers, ids());
    }

    #[test]
    fn a_second_copy_needs_a_recorded_unknown() {
        let twice = [record("m", true, "", false), record("m", true, "250 ok", true)];
        assert_eq!(
            check(&twice, &told("m", Outcome::Accepted)).duplicates,
            vec![("m".to_owned(), 2)]
        );
        let explained = Told {
            outcome: Outcome::Accepted,
            earlier_uncertain: 1,
        };
        assert!(check(&twice, &told("m", explained)).is_clean());
        let once_then_refused = Told {
            outcome: Outcome::Refused,
            earlier_uncertain: 1,
        };
        assert!(check(&twice[..1], &told("m", once_then_refused)).is_clean());
    }

    #[test]
    fn certainty_without_an_answer_is_a_guess_and_doubt_without_a_dot_is_needless() {
        let unknown = [record("m", true, "250 ok", false)];
        assert_eq!(check(&unknown, &told("m", Outcome::Accepted)).guessed, ids());
        let findings = check(&[], &told("m", Outcome::Uncertain));
        assert_eq!(findings.needlessly_uncertain, ids());
        assert!(findings.is_clean());
    }
}
