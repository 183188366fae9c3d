//! One use case per file, each a `run_once(&deps, now)` or a verb.

pub mod access;
pub mod apply;
pub mod audience;
pub mod backup;
pub mod brake;
pub mod by_hand;
pub mod care;
pub mod clear;
pub mod digest;
pub mod dispatch;
pub mod doctor;
pub mod enroll;
pub mod explain;
pub mod import;
pub mod ingest;
pub mod journal;
pub mod links;
pub mod meters;
pub mod outcomes;
pub mod pace;
pub mod person;
pub mod plan;
pub mod recover;
pub mod registered;
pub mod regrade;
pub mod report;
pub mod retier;
pub mod rules;
pub mod senders;
pub mod status;
mod stop;
pub mod sweep;
pub mod tasks;
pub mod texting;
pub mod uncertain;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgPool;

use self::journal::Journal;
use self::links::LinkDesk;
use self::rules::Rules;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::delivery::Mode;
use crate::domain::cadence::ChannelKind;
use crate::domain::id::IdSource;
use crate::store::document;
use crate::store::queue::Incarnation;

/// What every service works with.
pub struct Deps {
    /// Connections. A service holds one at a time, so that a pool of one is enough.
    pub pool: PgPool,
    /// Business time for what happens while a service runs (replies that come in); `now` is an argument otherwise.
    pub clock: Clock,
    /// New ids.
    pub ids: Arc<IdSource>,
    /// The configuration of this process.
    pub settings: Arc<Settings>,
    /// Ways out.
    pub channels: Channels,
    /// Numbers links and signs tokens.
    pub links: LinkDesk,
    /// Outcomes while the database is away, and the trail of what crossed.
    pub journal: Journal,
    rules: RwLock<Arc<Rules>>,
    incarnation: RwLock<Incarnation>,
    caught_up_with: RwLock<Option<String>>,
}

/// What a service did in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of work handled.
    pub done: u64,
    /// There may be more to do at once.
    pub more: bool,
}

/// Ways out, by channel and sender.
#[derive(Clone, Default)]
pub struct Channels {
    by_name: BTreeMap<(ChannelKind, String), Arc<dyn Channel>>,
    defaults: BTreeMap<ChannelKind, String>,
}

impl Channels {
    /// Adds a way out; the first of a channel is its default.
    pub fn add(&mut self, kind: ChannelKind, sender: &str, channel: Arc<dyn Channel>) {
        self.defaults.entry(kind).or_insert_with(|| sender.to_owned());
        self.by_name.insert((kind, sender.to_owned()), channel);
    }

    /// The sender of that name, or the default; `None` = there is no way out on this channel.
    pub fn pick(&self, kind: ChannelKind, sender: Option<&str>) -> Option<(String, Arc<dyn Channel>)> {
        let name = sender
            .map(ToOwned::to_owned)
            .or_else(|| self.defaults.get(&kind).cloned())?;
        let channel = self.by_name.get(&(kind, name.clone()))?.clone();
        Some((name, channel))
    }
}

/// The parts a [`Deps`] is made of.
pub struct Parts {
    /// See [`Deps::pool`].
    pub pool: PgPool,
    /// See [`Deps::clock`].
    pub clock: Clock,
    /// See [`Deps::ids`].
    pub ids: Arc<IdSource>,
    /// See [`Deps::settings`].
    pub settings: Arc<Settings>,
    /// See [`Deps::channels`].
    pub channels: Channels,
    /// See [`Deps::links`].
    pub links: LinkDesk,
    /// See [`Deps::journal`].
    pub journal: Journal,
    /// Rules in force.
    pub rules: Rules,
    /// Who owns the work.
    pub incarnation: Incarnation,
}

impl Deps {
    /// From its parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            pool: parts.pool,
            clock: parts.clock,
            ids: parts.ids,
            settings: parts.settings,
            channels: parts.channels,
            links: parts.links,
            journal: parts.journal,
            rules: RwLock::new(Arc::new(parts.rules)),
            incarnation: RwLock::new(parts.incarnation),
            caught_up_with: RwLock::default(),
        }
    }

    /// The rules in force, as they were when last loaded.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the rules again if something was applied since. True when it was.
    pub async fn refresh_rules(&self) -> Result<bool> {
        let mut conn = self.pool.acquire().await?;
        if document::rules_stamp(&mut conn).await? == self.rules().stamp {
            return Ok(false);
        }
        let fresh = Rules::load(&mut conn).await?;
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(true)
    }

    /// The stamp of the rules that this process has caught up with.
    pub fn caught_up_with(&self) -> Option<String> {
        self.caught_up_with
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes that it has caught up.
    pub fn caught_up(&self, stamp: String) {
        *self
            .caught_up_with
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(stamp);
    }

    /// Who owns the work that this process claims.
    pub fn incarnation(&self) -> Incarnation {
        *self.incarnation.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new incarnation, after the old one was declared dead.
    pub fn reincarnate(&self, incarnation: Incarnation) {
        *self.incarnation.write().unwrap_or_else(PoisonError::into_inner) = incarnation;
    }

    /// The company's zone.
    pub fn company_zone(&self) -> Tz {
        self.settings.company.timezone
    }

    /// A person's zone; the company's where it is unknown.
    pub fn zone_of(&self, name: Option<&str>) -> Tz {
        name.and_then(|name| name.parse().ok())
            .unwrap_or(self.company_zone())
    }

    /// Rehearsal mode, and the address is not on the list.
    pub fn not_on_list(&self, address: Option<&str>) -> bool {
        let delivery = &self.settings.delivery;
        delivery.mode == Mode::Rehearsal && !address.is_some_and(|a| delivery.may_leave(a))
    }
}

/// Runs every service until none has anything to do at `now`. What a daemon does all the time, in one call: forecasts,
/// simulations and tests go through time with it.
pub async fn run_until_idle(
    deps: &Arc<Deps>,
    dispatcher: &mut dispatch::Dispatcher,
    now: DateTime<Utc>,
) -> Result<u64> {
    let mut total = retier::run_once(deps, now).await?.done;
    loop {
        let mut done = 0;
        done += enroll::by_schedule(deps, now).await?.done;
        done += drain(|| care::run_once(deps, now)).await?;
        done += drain(|| regrade::run_once(deps, now)).await?;
        done += drain(|| plan::run_once(deps, now)).await?;
        loop {
            let summary = dispatcher.run_once(now).await?;
            dispatcher.drain().await;
            done += summary.done;
            if summary.done == 0 {
                break;
            }
        }
        total += done;
        if done == 0 {
            return Ok(total + digest::run_once(deps, now).await?.done);
        }
    }
}

/// The next instant at which a service has something to do; `None` = never, as far as is known.
pub async fn next_due(deps: &Deps, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let schedule = enroll::next_schedule(deps, now);
    let birthday = care::next_at(deps).await?;
    let digest = digest::next_at(deps, now).await?;
    let mut conn = deps.pool.acquire().await?;
    let stored = [
        crate::store::queue::next_due(&mut conn).await?,
        crate::store::enrollment::next_due(&mut conn).await?,
        crate::store::lead::next_due(&mut conn).await?,
    ];
    Ok(stored
        .into_iter()
        .chain([schedule, birthday, digest, Some(retier::next_at(deps, now))])
        .flatten()
        .min())
}

async fn drain<F, R>(mut run: F) -> Result<u64>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Summary>>,
{
    let mut done = 0;
    loop {
        let summary = run().await?;
        done += summary.done;
        if !summary.more {
            return Ok(done);
        }
    }
}
