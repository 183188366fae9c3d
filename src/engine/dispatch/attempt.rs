//! One attempt, from the first byte to the written outcome, and what it says beyond its own message.

use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::compose::Letter;
use super::crosser::{Crosser, Ticket};
use super::draft::body_of;
use super::ledger::{Ledger, back};
use crate::channel::{BuiltMessage, Crossed, Crossing, RefusalClass, SendOutcome};
use crate::domain::cadence::Class;
use crate::domain::gate::{NUMBER, Reason};
use crate::domain::reply::{ReplyClass, class_of_reason};
use crate::domain::retry::{self, PutOff};
use crate::engine::outcomes::Ended;
use crate::engine::pace::Pass;
use crate::engine::{Deps, ingest, senders};
use crate::store::outcome::{Again, MessageRow};
use crate::store::queue::ClaimedTouch;
use crate::store::task::NewTask;

/// An attempt that met a passing obstacle of its own comes again after this long; the gate then finds out why and for how long.
const SOON: TimeDelta = TimeDelta::seconds(30);
/// One whose grant came to the end of its life, or that found no free connection, comes again sooner.
const LATE: TimeDelta = TimeDelta::seconds(1);

/// What attempts of one dispatcher share.
#[derive(Clone)]
pub struct Hands {
    /// Lets them cross.
    pub crosser: Crosser,
    /// Writes down what they came to.
    pub ledger: Ledger,
    /// Cancelled when those that have not begun shall not begin any more.
    pub ending: CancellationToken,
}

/// What one attempt may ask.
struct Asked<'a> {
    ticket: &'a Ticket,
    pass: Option<&'a Pass>,
    ending: &'a CancellationToken,
}

impl Crossing for Asked<'_> {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        self.ticket.cross()
    }

    fn is_called_off(&self) -> bool {
        self.ending.is_cancelled() || self.pass.is_some_and(Pass::is_called_off)
    }
}

/// Makes one attempt.
pub async fn attempt(deps: Arc<Deps>, hands: Hands, letter: Letter, pass: Option<Pass>) {
    let Hands {
        crosser,
        ledger,
        ending,
    } = hands;
    let Letter {
        touch,
        clearance,
        charges,
        channel,
        message,
        row,
        task,
    } = letter;
    let number = charges.iter().find(|charge| charge.kind == NUMBER);
    let number = number.map(|charge| charge.key.clone());
    let ticket = crosser.ticket(&touch, charges, pass.clone());
    let asked = Asked {
        ticket: &ticket,
        pass: pass.as_ref(),
        ending: &ending,
    };
    let outcome = channel.send(clearance, &message, &asked).await;
    let now = deps.clock.now();
    metrics::counter!("kith_attempts_total", "channel" => touch.channel.clone(), "outcome" => word(&outcome))
        .increment(1);
    let late = pass.as_ref().is_some_and(|pass| pass.is_late(now));
    let broken = pass.is_some_and(|pass| pass.ended(&deps.settings, &outcome, now).is_some());
    let trouble = Trouble::told_by(&touch, &row.sender, &outcome, broken);
    let handed = Handed {
        touch,
        message,
        row,
        task,
        number,
    };
    let ended = ended(handed, outcome, ticket.asked_at(), late, now);
    ledger.write(ended, ticket.went_at()).await;
    if let Some(trouble) = trouble {
        Box::pin(trouble.follow(&deps, now)).await;
    }
}

/// What was handed over.
struct Handed {
    touch: ClaimedTouch,
    message: BuiltMessage,
    row: MessageRow,
    task: Option<NewTask>,
    /// The key of the cap of its number, if it has one.
    number: Option<String>,
}

/// What is written down of it.
fn ended(
    handed: Handed,
    outcome: SendOutcome,
    crossed: Option<DateTime<Utc>>,
    late: bool,
    now: DateTime<Utc>,
) -> Ended {
    let body = match &outcome {
        SendOutcome::Uncertain { .. } | SendOutcome::Deferred { .. } => {
            body_of(&handed.message, &handed.row, now)
        }
        _ => None,
    };
    let (touch, number) = (handed.touch, handed.number);
    let done = |outcome: &str, reply: String, task, body| Ended::Done {
        row: Box::new(MessageRow {
            outcome: outcome.to_owned(),
            // No text of the database can hold the one character that a server may well send.
            reply: Some(reply.replace('\0', "\u{fffd}")),
            done_at: now,
            crossed_at: crossed,
            ..handed.row
        }),
        task,
        body,
    };
    let again = |at, reason, counts| Again {
        crossed,
        number: number.clone(),
        ..back(&touch, at, reason, counts)
    };
    match outcome {
        SendOutcome::Accepted { reply } => done("accepted", reply, handed.task.map(Box::new), None),
        SendOutcome::Refused { why, .. } => done("refused", why, None, None),
        SendOutcome::Uncertain { why } => done("uncertain", why, None, body),
        SendOutcome::Deferred { until, why } => match retry::next(&put_off(&touch, &why, until), now) {
            Ok(at) => Ended::Again(again(at, Reason::Deferred, true), touch.message_id, body),
            Err(end) => done("refused", format!("given up, {end}: {why}"), None, None),
        },
        SendOutcome::NotBegun => Ended::Again(again(now + LATE, Reason::Pace, false), touch.message_id, None),
        SendOutcome::NotCrossed if late => {
            Ended::Again(again(now + LATE, Reason::Pace, false), touch.message_id, None)
        }
        SendOutcome::NotCrossed => {
            Ended::Again(again(now + SOON, Reason::Cap, false), touch.message_id, None)
        }
        SendOutcome::Withdrawn => {
            Ended::Withdrawn(again(now + SOON, Reason::Deferred, false), touch.message_id)
        }
    }
}

fn put_off<'a>(touch: &ClaimedTouch, why: &'a str, until: Option<DateTime<Utc>>) -> PutOff<'a> {
    PutOff {
        touch: touch.id(),
        class: Class::from_number(touch.class),
        tries: touch.tries,
        first_tried_at: touch.dated_at,
        expires_at: touch.expires_at,
        why,
        until,
    }
}

/// What an attempt that came to nothing says of its sender, or of the address.
struct Trouble {
    touch: ClaimedTouch,
    sender: String,
    why: String,
    /// The receiving side refused the message for good.
    refused: Option<RefusalClass>,
    /// It blocks the sender by its policy.
    blocked: bool,
    /// That was one failure of the sender too many.
    broken: bool,
}

impl Trouble {
    /// `None` for what asks for nothing, as almost all attempts do.
    fn told_by(touch: &ClaimedTouch, sender: &str, outcome: &SendOutcome, broken: bool) -> Option<Self> {
        let (why, refused, blocked) = match outcome {
            SendOutcome::Refused { class, why } => (why, Some(*class), *class == RefusalClass::PolicyBlocked),
            SendOutcome::Deferred { why, .. } => {
                (why, None, class_of_reason(why) == ReplyClass::PolicyBlocked)
            }
            SendOutcome::Uncertain { why } => (why, None, false),
            SendOutcome::Accepted { .. }
            | SendOutcome::NotBegun
            | SendOutcome::Withdrawn
            | SendOutcome::NotCrossed => return None,
        };
        (refused.is_some() || blocked || broken).then(|| Self {
            touch: touch.clone(),
            sender: sender.to_owned(),
            why: why.clone(),
            refused,
            blocked,
            broken,
        })
    }

    /// Each on its own: one that fails keeps no other from being done.
    async fn follow(self, deps: &Deps, now: DateTime<Utc>) {
        if let Some(class) = self.refused {
            let told = ingest::bounced(deps, &self.touch, bounce_word(class), &self.why, now).await;
            warn_of(told, "a refusal could not be taken in as an event");
        }
        if self.blocked {
            let paused = senders::blocked(deps, &self.sender, &self.why, now).await;
            warn_of(paused, "a blocked sender could not be paused");
        }
        if self.broken {
            let told = senders::failing(deps, &self.sender, &self.why, now).await;
            warn_of(told, "nobody could be told of a sender that fails");
        }
    }
}

fn warn_of(done: Result<()>, what: &str) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what}");
    }
}

/// The words of [`word`].
pub const WORDS: [&str; 7] = [
    "accepted",
    "deferred",
    "refused",
    "not-begun",
    "withdrawn",
    "not-crossed",
    "uncertain",
];

fn word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted { .. } => "accepted",
        SendOutcome::Deferred { .. } => "deferred",
        SendOutcome::Refused { .. } => "refused",
        SendOutcome::NotBegun => "not-begun",
        SendOutcome::Withdrawn => "withdrawn",
        SendOutcome::NotCrossed => "not-crossed",
        SendOutcome::Uncertain { .. } => "uncertain",
    }
}

fn bounce_word(class: RefusalClass) -> &'static str {
    match class {
        RefusalClass::AddressBad => "hard",
        RefusalClass::MailboxFull | RefusalClass::RateLimited => "soft",
        RefusalClass::PolicyBlocked => "blocked",
        RefusalClass::Other => "unknown",
    }
}
