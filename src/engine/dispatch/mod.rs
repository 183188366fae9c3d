//! Dispatch: claims due touches, clears them, builds their messages and hands them over.

mod attempt;
pub mod compose;
mod crosser;
mod draft;
mod ledger;
mod low_water;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use self::attempt::WORDS;
use self::attempt::{Hands, attempt};
use self::compose::Letter;
use self::crosser::Crosser;
use self::ledger::Ledger;
use self::low_water::LowWater;
use super::clear::{Cleared, clear};
use super::pace::{Pace, Pass};
use super::{Deps, Summary};
use crate::domain::gate::Reason;
use crate::store;
use crate::store::queue::{self, ClaimedTouch, Held, Incarnation};

/// How many touches one claim takes.
const BATCH: i64 = 300;
/// How many attempts may be under way before nothing more is claimed, beside those that a server keeps waiting: of these pace
/// lets no more than some hundreds begin.
const IN_FLIGHT: usize = 600;

/// A touch, and who claimed it: an attempt of a former life of this daemon is not that of a new claim.
type Claim = (Uuid, Incarnation);

fn claim_of(touch: &ClaimedTouch) -> Claim {
    (touch.id(), touch.owner())
}

/// Hands touches over. One per daemon; holds the attempts that are under way.
pub struct Dispatcher {
    deps: Arc<Deps>,
    hands: Hands,
    pace: Pace,
    low_water: LowWater,
    attempts: JoinSet<Claim>,
    /// The claims of those.
    under_way: HashSet<Claim>,
    /// Something may be claimed that nobody works on: a claim may have been committed although it failed here, or what was to
    /// be done with it did. Given back as soon as the database takes it.
    astray: bool,
}

impl Dispatcher {
    /// With its two group committers.
    pub fn new(deps: Arc<Deps>) -> Self {
        let hands = Hands {
            crosser: Crosser::start(deps.clone()),
            ledger: Ledger::start(deps.clone()),
            ending: CancellationToken::new(),
        };
        Self {
            pace: Pace::new(deps.clone()),
            deps,
            hands,
            low_water: LowWater::default(),
            attempts: JoinSet::new(),
            under_way: HashSet::new(),
            astray: false,
        }
    }

    /// Claims one batch and starts its attempts. `more` says that the claim was full.
    pub async fn run_once(&mut self, now: DateTime<Utc>) -> Result<Summary> {
        while let Some(ended) = self.attempts.try_join_next() {
            self.ended(ended);
        }
        self.give_back().await?;
        let answered = self.attempts.len().saturating_sub(self.pace.unanswered(now));
        let room = IN_FLIGHT.saturating_sub(answered) as i64;
        if room == 0 {
            if let Some(ended) = self.attempts.join_next().await {
                self.ended(ended);
            }
            return Ok(Summary { done: 0, more: true });
        }
        let limit = BATCH.min(room);
        self.astray = true;
        let claimed = self.claim(limit, now).await?;
        let count = claimed.len();
        let letters = self.prepare(self.new_of(claimed), now).await?;
        self.astray = false;
        for (letter, pass) in letters {
            let claim = claim_of(&letter.touch);
            let attempt = attempt(self.deps.clone(), self.hands.clone(), letter, pass);
            self.under_way.insert(claim);
            self.attempts.spawn(async move {
                attempt.await;
                claim
            });
        }
        Ok(Summary {
            done: count as u64,
            more: count as i64 == limit,
        })
    }

    async fn claim(&mut self, limit: i64, now: DateTime<Utc>) -> Result<Vec<ClaimedTouch>> {
        let started = Instant::now();
        let from = self.low_water.places(now, started, store::connections_made());
        let mut tx = queue::begin_unwaiting(&self.deps.pool).await?;
        let claimed = queue::claim(&mut tx, self.deps.incarnation(), now, limit, &from).await?;
        tx.commit().await?;
        let took = started.elapsed();
        metrics::histogram!("kith_claim_seconds").record(took);
        self.low_water.claimed(&claimed, limit, now, started + took);
        Ok(claimed)
    }

    /// A server that lost the claim of somebody under way lets it be claimed once more: that attempt goes on in the new claim, if
    /// it is of the same incarnation.
    fn new_of(&self, mut claimed: Vec<ClaimedTouch>) -> Vec<ClaimedTouch> {
        claimed.retain(|touch| !self.under_way.contains(&claim_of(touch)));
        claimed
    }

    async fn prepare(
        &mut self,
        claimed: Vec<ClaimedTouch>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Letter, Option<Pass>)>> {
        let claimed = self.pace.turn_away(claimed, now).await?;
        let cleared = clear(&self.deps, claimed, now).await?;
        let composed = compose::compose(&self.deps, cleared, now).await?;
        self.put_back(&composed.broken, now).await?;
        self.pace.admit(composed.letters, now).await
    }

    async fn give_back(&mut self) -> Result<()> {
        if !self.astray {
            return Ok(());
        }
        let under_way: Vec<Uuid> = self.under_way.iter().map(|(touch, _)| *touch).collect();
        let mut conn = self.deps.pool.acquire().await?;
        queue::give_back_all_but(&mut conn, self.deps.incarnation(), &under_way).await?;
        self.astray = false;
        self.low_water.forget();
        Ok(())
    }

    /// One that panicked stays under way: nobody knows how far it had come.
    fn ended(&mut self, ended: Result<Claim, JoinError>) {
        match ended {
            Ok(claim) => drop(self.under_way.remove(&claim)),
            Err(error) => tracing::error!(%error, "an attempt broke off"),
        }
    }

    /// Waits for every attempt that is under way.
    pub async fn drain(&mut self) {
        while let Some(ended) = self.attempts.join_next().await {
            self.ended(ended);
        }
    }

    /// The same for the last time: who still waits for a connection goes back to the queue.
    pub async fn end(&mut self) {
        self.hands.ending.cancel();
        self.drain().await;
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
