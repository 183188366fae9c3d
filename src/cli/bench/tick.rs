//! `kith bench tick`: what the daemon costs while nothing is due, and how soon it hands over what becomes due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::figures::{Sheet, Target, percentile};
use super::ground::Ground;
use super::postbox::Postbox;
use super::process::{forget_peak, peak_rss_mb};
use super::statements;
use crate::cli::Context;
use crate::clock::Clock;
use crate::daemon;
use crate::domain::span::Span;
use crate::engine::dispatch::Dispatcher;
use crate::engine::{Deps, sweep};
use crate::store::bench;

/// How long a touch may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Mail connections of the daemon.
const CONNECTIONS: u16 = 8;

/// Measure a tick with nothing due, and the way of a touch that becomes due
#[derive(Debug, Args)]
pub struct TickArgs {
    /// People, each enrolled for an open lead
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    contacts: i64,
    /// Ticks to time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rounds: u32,
    /// Touches to make due, one after another
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    touches: u16,
}

/// Measures.
pub async fn run(args: TickArgs, context: &Context) -> Result<Sheet> {
    let ground = Ground::make(context, "tick").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &TickArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    let postbox = Postbox::open().await?;
    let mut settings = postbox.settings(&context.settings, CONNECTIONS);
    // Nobody says that this daemon lives while people are loaded; what it might have left would be looked for in each tick.
    settings.lease.dead_after = Span::days(1);
    let app = ground.app(settings, Clock::manual(ground.begin)).await?;
    let deps = app.deps;
    let mut dispatcher = Dispatcher::new(deps.clone());
    tick(&deps, &mut dispatcher).await?;
    let (done, of_nobody) = statements::times(tick(&deps, &mut dispatcher)).await;
    done?;

    ground.load(args.contacts, true).await?;
    let later = ground.begin + TimeDelta::days(1);
    ground.enroll(&deps, 1..=args.contacts, later, 60).await?;
    ground.settle().await?;

    let written = ground.rows_written().await?;
    forget_peak()?;
    let (mut flow, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let started = Instant::now();
        daemon::flow_once(&deps, &mut dispatcher, || true).await?;
        flow.push(started.elapsed());
        sweep::run_once(&deps, deps.clock.now()).await?;
        daemon::round(&deps).await?;
        whole.push(started.elapsed());
    }
    let written = (ground.rows_written().await? - written) as f64 / f64::from(args.rounds);
    let (mut least, mut most) = (usize::MAX, 0);
    for _ in 0..20 {
        let (done, times) = statements::times(tick(&deps, &mut dispatcher)).await;
        done?;
        (least, most) = (least.min(times.len()), most.max(times.len()));
    }
    drop(dispatcher);
    let handed_over = hand_over(args, ground, &deps, &postbox).await?;
    let peak = peak_rss_mb()?;
    let rate = whole.len() as f64 / whole.iter().sum::<Duration>().as_secs_f64();

    let mut sheet = Sheet::new("tick", args.contacts);
    sheet.hold_to(
        "a tick with nothing due, median",
        percentile(&whole, 0.5),
        "ms",
        Target::Under(5.0),
    );
    sheet.hold_to(
        "a tick with nothing due, 99 %",
        percentile(&whole, 0.99),
        "ms",
        Target::Under(10.0),
    );
    sheet.note(
        "of it regrade, plan and dispatch, median",
        percentile(&flow, 0.5),
        "ms",
    );
    sheet.note("statements of a tick, least", least as f64, "statements");
    sheet.hold_to(
        "statements of a tick, most",
        most as f64,
        "statements",
        Target::Exactly(of_nobody.len() as f64),
    );
    sheet.note(
        "statements of a tick with nobody enrolled",
        of_nobody.len() as f64,
        "statements",
    );
    sheet.note("ticks, one after the other", rate, "ticks/s");
    sheet.note("rows written by a tick with nothing due", written, "rows");
    sheet.note(
        "from due to handed over, median",
        percentile(&handed_over, 0.5),
        "ms",
    );
    sheet.hold_to(
        "from due to handed over, longest",
        percentile(&handed_over, 1.0),
        "ms",
        Target::Under(1000.0),
    );
    sheet.note("peak memory of this process, which is the daemon", peak, "MB");
    sheet.value("ticks_per_s", rate);
    sheet.value("tick_p50_ms", percentile(&whole, 0.5));
    sheet.value("tick_p99_ms", percentile(&whole, 0.99));
    sheet.value("statements", most);
    sheet.value("rows_written_per_tick", written);
    sheet.value("handed_over_p50_ms", percentile(&handed_over, 0.5));
    sheet.value("handed_over_max_ms", percentile(&handed_over, 1.0));
    sheet.value("peak_rss_mb", peak);
    Ok(sheet)
}

/// Everything a daemon does when nothing is due, in one go.
async fn tick(deps: &Arc<Deps>, dispatcher: &mut Dispatcher) -> Result<()> {
    daemon::flow_once(deps, dispatcher, || true).await?;
    sweep::run_once(deps, deps.clock.now()).await?;
    daemon::round(deps).await
}

/// With the daemon's own loops: makes one touch after another due, and times each until the mail server has it.
async fn hand_over(
    args: &TickArgs,
    ground: &Ground,
    deps: &Arc<Deps>,
    postbox: &Postbox,
) -> Result<Vec<Duration>> {
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon::run(deps.clone(), daemon::Role::Worker, stop.clone()));
    let mut taken = postbox.taken();
    let mut times = Vec::new();
    for n in 1..=args.touches {
        let before = *taken.borrow();
        let mut conn = ground.pool.acquire().await?;
        bench::make_due(&mut conn, i64::from(n), ground.begin).await?;
        drop(conn);
        let due = Instant::now();
        tokio::time::timeout(PATIENCE, taken.wait_for(|n| *n > before))
            .await
            .context("a touch that was made due did not arrive")??;
        times.push(due.elapsed());
    }
    stop.cancel();
    running.await??;
    Ok(times)
}
