//! Dispatch: claims due touches, clears them, builds their messages and hands them over.

pub mod compose;
mod crosser;
mod ledger;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::compose::Letter;
use self::crosser::Crosser;
use self::ledger::{Ledger, back};
use super::clear::{Cleared, clear};
use super::outcomes::Ended;
use super::pace::{Pace, Pass};
use super::{Deps, Summary, ingest, senders};
use crate::channel::{RefusalClass, SendOutcome};
use crate::domain::cadence::Class;
use crate::domain::gate::Reason;
use crate::domain::reply::{ReplyClass, class_of_reason};
use crate::domain::retry::{self, PutOff};
use crate::store::outcome::{Again, MessageRow};
use crate::store::queue::{self, ClaimedTouch, Held};

/// How many touches one claim takes.
const BATCH: i64 = 300;
/// How many attempts may be under way before nothing more is claimed.
const IN_FLIGHT: usize = 600;

/// Hands touches over. One per daemon; holds the attempts that are under way.
pub struct Dispatcher {
    deps: Arc<Deps>,
    crosser: Crosser,
    ledger: Ledger,
    pace: Pace,
    attempts: JoinSet<()>,
    /// Claimed, but their preparation failed: given back as soon as the database takes it.
    stranded: Vec<ClaimedTouch>,
}

impl Dispatcher {
    /// With its two group committers.
    pub fn new(deps: Arc<Deps>) -> Self {
        let (crosser, ledger) = (Crosser::start(deps.clone()), Ledger::start(deps.clone()));
        Self {
            pace: Pace::new(deps.clone()),
            deps,
            crosser,
            ledger,
            attempts: JoinSet::new(),
            stranded: Vec::new(),
        }
    }

    /// Claims one batch and starts its attempts. `more` says that the claim was full.
    pub async fn run_once(&mut self, now: DateTime<Utc>) -> Result<Summary> {
        while self.attempts.try_join_next().is_some() {}
        self.give_back().await?;
        let room = IN_FLIGHT.saturating_sub(self.attempts.len()) as i64;
        if room == 0 {
            self.attempts.join_next().await;
            return Ok(Summary { done: 0, more: true });
        }
        let limit = BATCH.min(room);
        let started = Instant::now();
        let claimed = {
            let mut tx = self.deps.pool.begin().await?;
            queue::without_waiting(&mut tx).await?;
            let claimed = queue::claim(&mut tx, self.deps.incarnation(), now, limit).await?;
            tx.commit().await?;
            claimed
        };
        metrics::histogram!("kith_claim_seconds").record(started.elapsed());
        let count = claimed.len();
        let letters = match self.prepare(claimed.clone(), now).await {
            Ok(letters) => letters,
            Err(error) => {
                self.stranded = claimed;
                return Err(error);
            }
        };
        for (letter, pass) in letters {
            self.attempts.spawn(attempt(
                self.deps.clone(),
                self.crosser.clone(),
                self.ledger.clone(),
                letter,
                pass,
            ));
        }
        Ok(Summary {
            done: count as u64,
            more: count as i64 == limit,
        })
    }

    async fn prepare(
        &mut self,
        claimed: Vec<ClaimedTouch>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Letter, Option<Pass>)>> {
        let cleared = clear(&self.deps, claimed, now).await?;
        let composed = compose::compose(&self.deps, cleared, now).await?;
        self.put_back(&composed.broken, now).await?;
        self.pace.admit(composed.letters, now).await
    }

    async fn give_back(&mut self) -> Result<()> {
        let Some(owner) = self.stranded.first().map(ClaimedTouch::owner) else {
            return Ok(());
        };
        let ids: Vec<Uuid> = self.stranded.iter().map(ClaimedTouch::id).collect();
        let mut conn = self.deps.pool.acquire().await?;
        queue::give_back(&mut conn, owner, &ids).await?;
        self.stranded.clear();
        Ok(())
    }

    /// Waits for every attempt that is under way.
    pub async fn drain(&mut self) {
        while self.attempts.join_next().await.is_some() {}
    }

    /// How many attempts are under way.
    pub fn under_way(&self) -> usize {
        self.attempts.len()
    }

    /// Touches whose message could not be built wait an hour for a better template, until they expire.
    async fn put_back(&self, broken: &[(Cleared, String)], now: DateTime<Utc>) -> Result<()> {
        let held: Vec<Held> = broken
            .iter()
            .map(|(cleared, why)| {
                tracing::error!(touch = %cleared.touch.id(), cadence = %cleared.touch.cadence, why, "message not built");
                Held {
                    touch_id: cleared.touch.id(),
                    until: now + TimeDelta::hours(1),
                    reason: Reason::Render.as_str().to_owned(),
                }
            })
            .collect();
        let Some(owner) = broken.first().map(|(cleared, _)| cleared.touch.owner()) else {
            return Ok(());
        };
        let mut conn = self.deps.pool.acquire().await?;
        queue::hold(&mut conn, owner, &held).await?;
        Ok(())
    }
}

/// One attempt, from the first byte to the written outcome.
async fn attempt(deps: Arc<Deps>, crosser: Crosser, ledger: Ledger, letter: Letter, pass: Option<Pass>) {
    let ticket = crosser.ticket(&letter.touch, letter.charges.clone(), pass.clone());
    let outcome = letter
        .channel
        .send(letter.clearance, &letter.message, &ticket)
        .await;
    let now = deps.clock.now();
    let late = pass.as_ref().is_some_and(|pass| pass.is_late(now));
    if let Some(pass) = pass {
        pass.ended(&deps.settings, &outcome, now);
    }
    metrics::counter!("kith_attempts_total", "channel" => letter.touch.channel.clone(), "outcome" => word(&outcome))
        .increment(1);
    let body = match &outcome {
        SendOutcome::Uncertain { .. } | SendOutcome::Deferred { .. } => {
            compose::body_of(&letter.message, &letter.row, now)
        }
        _ => None,
    };
    let sender = letter.row.sender.clone();
    let row = |outcome: &str, reply: String| {
        Box::new(MessageRow {
            outcome: outcome.to_owned(),
            // No text of the database can hold the one character that a server may well send.
            reply: Some(reply.replace('\0', "\u{fffd}")),
            done_at: now,
            ..letter.row
        })
    };
    let went_at = ticket.crossed_at();
    let done = |row, task| Ended::Done {
        row,
        task,
        body: None,
        crossed: went_at,
    };
    let (mut bounce, mut blocked, mut said) = (None, false, String::new());
    let ended = match outcome {
        SendOutcome::Accepted { reply } => done(row("accepted", reply), letter.task.map(Box::new)),
        SendOutcome::Refused { class, why } => {
            blocked = class == RefusalClass::PolicyBlocked;
            said.clone_from(&why);
            bounce = Some((class, why.clone()));
            done(row("refused", why), None)
        }
        SendOutcome::Uncertain { why } => Ended::Done {
            row: row("uncertain", why),
            task: None,
            body,
            crossed: went_at,
        },
        SendOutcome::Deferred { until, why } => {
            blocked |= class_of_reason(&why) == ReplyClass::PolicyBlocked;
            said.clone_from(&why);
            let put_off = PutOff {
                touch: letter.touch.id(),
                class: Class::from_number(letter.touch.class),
                tries: letter.touch.tries,
                first_tried_at: letter.touch.dated_at,
                expires_at: letter.touch.expires_at,
                why: &why,
                until,
            };
            match retry::next(&put_off, now) {
                Ok(at) => Ended::Again(
                    Again {
                        crossed: went_at,
                        ..back(&letter.touch, at, Reason::Deferred, true)
                    },
                    letter.touch.message_id,
                    body,
                ),
                Err(end) => done(row("refused", format!("given up, {end}: {why}")), None),
            }
        }
        // Soon again: the gate then finds out why and for how long.
        SendOutcome::NotCrossed => Ended::Again(
            back(
                &letter.touch,
                now + TimeDelta::seconds(if late { 1 } else { 30 }),
                if late { Reason::Pace } else { Reason::Cap },
                false,
            ),
            letter.touch.message_id,
            None,
        ),
        SendOutcome::Withdrawn => Ended::Withdrawn(
            Again {
                crossed: went_at,
                ..back(
                    &letter.touch,
                    now + TimeDelta::seconds(30),
                    Reason::Deferred,
                    false,
                )
            },
            letter.touch.message_id,
        ),
    };
    ledger.write(ended).await;
    if blocked && let Err(error) = senders::blocked(&deps, &sender, &said, now).await {
        tracing::warn!(%error, "a blocked sender could not be paused");
    }
    if let Some((class, why)) = bounce
        && let Err(error) = Box::pin(ingest::bounced(
            &deps,
            &letter.touch,
            bounce_word(class),
            &why,
            now,
        ))
        .await
    {
        tracing::warn!(%error, "a refusal could not be taken in as an event");
    }
}

/// The words of [`word`].
pub(super) const WORDS: [&str; 6] = [
    "accepted",
    "deferred",
    "refused",
    "withdrawn",
    "not-crossed",
    "uncertain",
];

fn word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted { .. } => "accepted",
        SendOutcome::Deferred { .. } => "deferred",
        SendOutcome::Refused { .. } => "refused",
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
