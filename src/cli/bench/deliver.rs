//! `kith bench deliver`: how fast due mails are handed over, alone and beside a forecast.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use sqlx::PgPool;
use tokio::process::{Child, Command};

use super::figures::{Sheet, Target};
use super::ground::{Ground, OURS};
use super::postbox::Postbox;
use crate::cli::Context;
use crate::clock::Clock;
use crate::engine::dispatch::Dispatcher;
use crate::engine::{Deps, plan};
use crate::store::{bench, control};

/// How often locks are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the forecast may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measure handing mails over, alone and beside `kith plan`
#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// People, each enrolled for an open lead
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    contacts: i64,
    /// Mails of each of the three runs: alone, beside the forecast, alone
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    messages: i64,
    /// SMTP connections at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Days of the forecast
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
}

/// Measures.
pub async fn run(args: DeliverArgs, context: &Context) -> Result<Sheet> {
    ensure!(
        args.messages * 3 <= args.contacts,
        "three runs of {} mails need as many contacts",
        args.messages
    );
    let ground = Ground::make(context, "deliver").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &DeliverArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    let postbox = Postbox::open().await?;
    let clock = Clock::manual(ground.begin);
    let app = ground
        .app(
            postbox.settings(&context.settings, args.connections),
            clock.clone(),
        )
        .await?;
    let deps = app.deps;
    ground.load(args.contacts, true).await?;
    let n = args.messages;
    let at = |run: i64| ground.begin + TimeDelta::minutes(run);
    for run in 0..3 {
        ground
            .enroll(&deps, run * n + 1..=(run + 1) * n, at(run), 0)
            .await?;
    }
    ground
        .enroll(
            &deps,
            3 * n + 1..=args.contacts,
            ground.begin + TimeDelta::days(1),
            20,
        )
        .await?;
    ground.settle().await?;

    let mut course = Course {
        deps: deps.clone(),
        dispatcher: Dispatcher::new(deps),
        clock,
        postbox,
        planned: Vec::new(),
    };
    let before = course.run(n, at(0), None).await?;
    let mut conn = ground.pool.acquire().await?;
    control::simulated(&mut conn, Some(at(1))).await?;
    drop(conn);
    let (forecast, beside, waits) = course.beside(args, context, ground, at(1)).await?;
    let after = course.run(n, at(2), None).await?;
    let alone = f64::midpoint(before, after);

    let mut sheet = Sheet::new("deliver", args.contacts);
    sheet.note("mails of each run", n as f64, "messages");
    sheet.note("SMTP connections", f64::from(args.connections), "connections");
    sheet.note(
        "planning due touches",
        course.planned.iter().sum::<f64>() / course.planned.len() as f64,
        "touches/s",
    );
    sheet.note("handed over alone, first run", before, "messages/s");
    sheet.note("handed over alone, last run", after, "messages/s");
    sheet.note("handed over beside the forecast", beside, "messages/s");
    sheet.hold_to(
        "beside the forecast, of alone",
        100.0 * beside / alone,
        "%",
        Target::Over(90.0),
    );
    sheet.note("looks at the locks", waits.looks as f64, "looks");
    sheet.hold_to(
        "waits for a lock of the forecast",
        waits.waited as f64,
        "waits",
        Target::Exactly(0.0),
    );
    sheet.note("the forecast ran beside for", forecast, "s");
    Ok(sheet)
}

/// The engine, run by run.
struct Course {
    deps: Arc<Deps>,
    dispatcher: Dispatcher,
    clock: Clock,
    postbox: Postbox,
    planned: Vec<f64>,
}

impl Course {
    /// Plans what is due at an instant; returns once all of it is in the queue.
    async fn plan(&mut self, at: DateTime<Utc>) -> Result<()> {
        self.clock.set(at)?;
        let (started, mut touches) = (Instant::now(), 0);
        loop {
            let summary = plan::run_once(&self.deps, at).await?;
            touches += summary.done;
            if !summary.more {
                self.planned
                    .push(touches as f64 / started.elapsed().as_secs_f64());
                return Ok(());
            }
        }
    }

    /// Hands over what is due at an instant. Returns mails a second, of the time until the forecast ended where one runs.
    async fn run(&mut self, n: i64, at: DateTime<Utc>, forecast: Option<&mut Child>) -> Result<f64> {
        if forecast.is_none() {
            self.plan(at).await?;
        }
        let taken = self.postbox.taken();
        let (started, first) = (Instant::now(), *taken.borrow());
        let sending = async {
            while self.dispatcher.run_once(at).await?.more {}
            self.dispatcher.drain().await;
            anyhow::Ok(())
        };
        tokio::pin!(sending);
        let rate = |taken: u64| (taken - first) as f64 / started.elapsed().as_secs_f64();
        let mut while_it_ran = None;
        if let Some(forecast) = forecast {
            tokio::select! {
                sent = &mut sending => sent?,
                ended = forecast.wait() => {
                    ensure!(ended?.success(), "the forecast failed");
                    while_it_ran = Some(rate(*taken.borrow()));
                    sending.await?;
                }
            }
        } else {
            sending.await?;
        }
        let rate = while_it_ran.unwrap_or_else(|| rate(*taken.borrow()));
        let sent = *taken.borrow() - first;
        ensure!(sent == n.unsigned_abs(), "{sent} of {n} mails were handed over");
        Ok(rate)
    }

    /// A run beside `kith plan` in a process of its own. Returns how long the two ran side by side, the rate, and who waited.
    async fn beside(
        &mut self,
        args: &DeliverArgs,
        context: &Context,
        ground: &Ground,
        at: DateTime<Utc>,
    ) -> Result<(f64, f64, Waits)> {
        self.plan(at).await?;
        let started = Instant::now();
        let mut forecast = forecast(args, context, ground)?;
        while others(&ground.pool).await?.sessions == 0 {
            ensure!(started.elapsed() < PATIENCE, "the forecast does not connect");
            ensure!(
                forecast.try_wait()?.is_none(),
                "the forecast ended before it connected"
            );
            tokio::time::sleep(LOOK).await;
        }
        let watching = tokio::spawn(watch(ground.pool.clone()));
        let rate = self.run(args.messages, at, Some(&mut forecast)).await?;
        let took = started.elapsed().as_secs_f64();
        forecast.kill().await?;
        Ok((took, rate, watching.await??))
    }
}

fn forecast(args: &DeliverArgs, context: &Context, ground: &Ground) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe().context("where this program is")?);
    command
        .args(["plan", "--format", "csv", "--days", &args.days.to_string()])
        .env("DATABASE_URL", ground.url())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    if let Some(config) = &context.config_dir {
        command.env("KITH_CONFIG", config);
    }
    command.spawn().context("starting `kith plan`")
}

/// What was seen of the locks.
#[derive(Debug, Default)]
struct Waits {
    looks: u64,
    waited: i64,
}

/// Looks at the locks until the other process has left the database.
async fn watch(pool: PgPool) -> Result<Waits> {
    let mut waits = Waits::default();
    loop {
        let seen = others(&pool).await?;
        if seen.sessions == 0 {
            return Ok(waits);
        }
        waits.looks += 1;
        waits.waited += seen.we_wait;
        tokio::time::sleep(LOOK).await;
    }
}

async fn others(pool: &PgPool) -> Result<bench::Others> {
    let mut conn = pool.acquire().await?;
    Ok(bench::others(&mut conn, OURS).await?)
}
