//! The one loop shape, roles, incarnation and heartbeat.

pub mod identity;
pub mod lease;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use self::lease::Lease;
use crate::engine::dispatch::Dispatcher;
use crate::engine::{Deps, care, digest, enroll, plan, regrade, retier, sweep};
use crate::store::daemon;

/// How long the flow waits when there was nothing to do: the most that a touch made due then waits to be handed over.
const FLOW_PAUSE: Duration = Duration::from_millis(250);
/// How often calendars, schedules and the work of the dead are looked at.
const ROUND_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a daemon does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything
    #[default]
    All,
    /// Sends and goes the rounds; serves no pages, links or hooks
    Worker,
    /// Serves pages, links and hooks; sends nothing
    Web,
}

impl Role {
    /// The text form, as in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Worker => "worker",
            Self::Web => "web",
        }
    }

    /// Whether it claims and sends.
    pub fn works(self) -> bool {
        self != Self::Web
    }

    /// Whether it listens.
    pub fn serves(self) -> bool {
        self != Self::Worker
    }
}

/// Runs until `stop`, then drains: nothing more is claimed, what has begun is finished, the incarnation leaves. Stops by
/// itself, in the same order, when a newer kith has migrated the database; that is the error [`StoreError::SchemaTooNew`].
pub async fn run(deps: Arc<Deps>, role: Role, stop: CancellationToken) -> Result<()> {
    let lease = Lease::hold(deps.clone(), role, stop.clone());
    if role.works() {
        work(&deps, &lease, &stop).await?;
    } else {
        repeat("the rules", rules, deps.clone(), lease.clone(), stop.clone()).await;
    }
    let outdated = lease.end().await;
    let mut conn = deps.pool.acquire().await?;
    daemon::leave(&mut conn, deps.incarnation()).await?;
    outdated?;
    tracing::info!("stopped in order");
    Ok(())
}

/// The loops of a daemon that sends; returns when all have ended.
async fn work(deps: &Arc<Deps>, lease: &Lease, stop: &CancellationToken) -> Result<()> {
    let flow = tokio::spawn(flow(deps.clone(), lease.clone(), stop.clone()));
    let rounds = tokio::spawn(repeat(
        "the calendar",
        calendar,
        deps.clone(),
        lease.clone(),
        stop.clone(),
    ));
    // Apart from the calendar, which must not wait for a mail server.
    let digests = tokio::spawn(repeat(
        "digests",
        digests,
        deps.clone(),
        lease.clone(),
        stop.clone(),
    ));
    // Apart from both, so that work of the dead is never more than seconds behind their burial.
    let heirs = tokio::spawn(repeat(
        "the sweep",
        sweeping,
        deps.clone(),
        lease.clone(),
        stop.clone(),
    ));
    let (flow, rounds, digests, heirs) = tokio::join!(
        or_stop(flow, stop),
        or_stop(rounds, stop),
        or_stop(digests, stop),
        or_stop(heirs, stop)
    );
    flow?;
    rounds?;
    digests?;
    heirs?;
    Ok(())
}

/// Waits for a task. One that breaks off ends the others too: a daemon that keeps its lease and does half of its work is worse
/// than one that is started anew.
async fn or_stop(task: JoinHandle<()>, stop: &CancellationToken) -> Result<(), JoinError> {
    let ended = task.await;
    if ended.is_err() {
        stop.cancel();
    }
    ended
}

/// Regrade, plan and dispatch: what makes a response or a due time into a message.
async fn flow(deps: Arc<Deps>, lease: Lease, stop: CancellationToken) {
    let mut dispatcher = Dispatcher::new(deps.clone());
    let mut failures = 0;
    while !stop.is_cancelled() {
        let again = if lease.may_claim() {
            match flow_once(&deps, &mut dispatcher, || lease.may_claim()).await {
                Ok(again) => {
                    failures = 0;
                    again
                }
                Err(error) => {
                    failures += 1;
                    lease.doubt();
                    tracing::warn!(%error, failures, "a round of the flow failed");
                    false
                }
            }
        } else {
            false
        };
        if !again {
            pause(FLOW_PAUSE, failures, &stop).await;
        }
    }
    tracing::info!(attempts = dispatcher.under_way(), "draining");
    dispatcher.end().await;
}

/// One pass of the flow. True when there may be more to do at once. Whether touches may be claimed is asked just before: the
/// services until then are the first to find out that the database was away.
pub async fn flow_once(
    deps: &Arc<Deps>,
    dispatcher: &mut Dispatcher,
    may_claim: impl Fn() -> bool,
) -> Result<bool> {
    let now = deps.clock.now();
    // What keeps one of them from working holds up no other.
    let graded = regrade::run_once(deps, now).await;
    let planned = plan::run_once(deps, now).await;
    let sent = if may_claim() {
        dispatcher.run_once(now).await.map(Some)
    } else {
        Ok(None)
    };
    let (graded, planned) = (graded?, planned?);
    Ok(sent?.is_some_and(|sent| graded.more || planned.more || sent.more || planned.done > 0))
}

/// Goes its rounds with a pause in between.
async fn repeat(
    what: &'static str,
    round: fn(Arc<Deps>) -> BoxFuture<'static, Result<()>>,
    deps: Arc<Deps>,
    lease: Lease,
    stop: CancellationToken,
) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        if lease.may_claim() {
            match round(deps.clone()).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "a round of {what} failed");
                }
            }
        }
        pause(ROUND_PAUSE, failures, &stop).await;
    }
}

fn calendar(deps: Arc<Deps>) -> BoxFuture<'static, Result<()>> {
    async move { round(&deps).await }.boxed()
}

fn rules(deps: Arc<Deps>) -> BoxFuture<'static, Result<()>> {
    async move { deps.refresh_rules().await.map(|_| ()) }.boxed()
}

fn sweeping(deps: Arc<Deps>) -> BoxFuture<'static, Result<()>> {
    async move { sweep::run_once(&deps, deps.clock.now()).await.map(|_| ()) }.boxed()
}

fn digests(deps: Arc<Deps>) -> BoxFuture<'static, Result<()>> {
    async move { digest::run_once(&deps, deps.clock.now()).await.map(|_| ()) }.boxed()
}

/// One pass over rules, calendars and the work of the dead.
pub async fn round(deps: &Deps) -> Result<()> {
    let now = deps.clock.now();
    if deps.refresh_rules().await? {
        tracing::info!("new rules are in force");
    }
    // What was applied since the last time, or while no daemon ran.
    let stamp = deps.rules().stamp.clone();
    if deps.caught_up_with().as_ref() != Some(&stamp) {
        enroll::catch_up(deps, now).await?;
        deps.caught_up(stamp);
    }
    // What fails is run again in every round: it must not keep birthdays and audiences from theirs.
    let standings = retier::run_once(deps, now).await;
    let birthdays = care_for_all(deps, now).await;
    let audiences = enroll::by_schedule(deps, now).await;
    standings?;
    birthdays?;
    audiences?;
    Ok(())
}

async fn care_for_all(deps: &Deps, now: DateTime<Utc>) -> Result<()> {
    while care::run_once(deps, now).await?.more {}
    Ok(())
}

async fn pause(usual: Duration, failures: u32, stop: &CancellationToken) {
    let pause = (usual * 2u32.saturating_pow(failures.min(8)))
        .min(LONGEST_PAUSE)
        .max(usual);
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}
