//! `kith bench forecast`: how fast due mails are handed over alone, and beside `kith plan`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use sqlx::PgPool;
use tokio::process::{Child, Command};

use super::figures::{Sheet, Target, median};
use super::ground::{Ground, OURS};
use super::postbox::Postbox;
use crate::cli::Context;
use crate::cli::context::refused;
use crate::clock::Clock;
use crate::engine::dispatch::Dispatcher;
use crate::engine::{Deps, plan};
use crate::store::{bench, control};

/// How often locks are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the forecast may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measure handing mails over alone, and beside `kith plan`
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// People, each enrolled for an open lead
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    contacts: i64,
    /// Mails of each run
    #[arg(long, value_name = "N", default_value_t = 8_000, value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    messages: i64,
    /// Runs beside a forecast; one alone goes before each and after the last, since other work on the machine comes and goes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pairs: u8,
    /// SMTP connections at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// At the end, also run a forecast to its own end with nothing else to do
    #[arg(long)]
    whole: bool,
    /// Days of the forecast
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
}

impl ForecastArgs {
    /// Each run writes to other people.
    pub(super) fn check(&self) -> Result<()> {
        let needed = self.messages * self.runs();
        if needed > self.contacts {
            return refused(format!(
                "{} runs of {} mails need {needed} contacts, and --contacts is {}",
                self.runs(),
                self.messages,
                self.contacts
            ));
        }
        Ok(())
    }

    fn runs(&self) -> i64 {
        i64::from(self.pairs) * 2 + 1
    }
}

/// Measures.
pub async fn run(args: ForecastArgs, context: &Context) -> Result<Sheet> {
    let ground = Ground::make(context, "forecast").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &ForecastArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
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
    for run in 0..args.runs() {
        ground
            .enroll(&deps, run * n + 1..=(run + 1) * n, at(run), 0)
            .await?;
    }
    let others = args.runs() * n + 1..=args.contacts;
    ground
        .enroll(&deps, others, ground.begin + TimeDelta::days(1), 20)
        .await?;
    ground.settle().await?;

    let mut course = Course {
        deps: deps.clone(),
        dispatcher: Dispatcher::new(deps),
        clock,
        postbox,
        planned: Vec::new(),
    };
    let mut alone = vec![course.run(n, at(0), None).await?];
    let (mut beside, mut forecast, mut waits) = (Vec::new(), Vec::new(), Waits::default());
    for pair in 0..i64::from(args.pairs) {
        let together = course.beside(args, context, ground, at(pair * 2 + 1)).await?;
        beside.push(together.rate);
        forecast.push(together.secs);
        waits.looks += together.waits.looks;
        waits.waited += together.waits.waited;
        alone.push(course.run(n, at(pair * 2 + 2), None).await?);
    }
    let shares: Vec<f64> = beside
        .iter()
        .zip(alone.windows(2))
        .map(|(beside, around)| 200.0 * beside / around.iter().sum::<f64>())
        .collect();

    let mut sheet = Sheet::new("forecast", args.contacts);
    sheet.note("mails of each run", n as f64, "messages");
    sheet.note("SMTP connections", f64::from(args.connections), "connections");
    sheet.note(
        "planning due touches, median",
        median(&course.planned),
        "touches/s",
    );
    sheet.note(
        "handed over alone, median of the runs",
        median(&alone),
        "messages/s",
    );
    sheet.note(
        "handed over beside the forecast, median",
        median(&beside),
        "messages/s",
    );
    sheet.hold_to(
        "beside, of the runs before and after, median",
        median(&shares),
        "%",
        Target::Over(90.0),
    );
    sheet.note(
        "of it the least",
        shares.iter().copied().fold(f64::INFINITY, f64::min),
        "%",
    );
    sheet.note("of it the most", shares.iter().copied().fold(0.0, f64::max), "%");
    sheet.note("the forecast ran beside for, median", median(&forecast), "s");
    if args.whole {
        let started = Instant::now();
        ensure!(
            self::forecast(args, context, ground)?.wait().await?.success(),
            "the forecast failed"
        );
        sheet.note("a whole forecast, alone", started.elapsed().as_secs_f64(), "s");
    }
    sheet.note("looks at the locks", waits.looks as f64, "looks");
    sheet.hold_to(
        "waits for a lock of the forecast",
        waits.waited as f64,
        "waits",
        Target::Exactly(0.0),
    );
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

    /// A run beside `kith plan` in a process of its own.
    async fn beside(
        &mut self,
        args: &ForecastArgs,
        context: &Context,
        ground: &Ground,
        at: DateTime<Utc>,
    ) -> Result<Together> {
        let mut conn = ground.pool.acquire().await?;
        control::simulated(&mut conn, Some(at)).await?;
        drop(conn);
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
        let secs = started.elapsed().as_secs_f64();
        forecast.kill().await?;
        Ok(Together {
            rate,
            secs,
            waits: watching.await??,
        })
    }
}

fn forecast(args: &ForecastArgs, context: &Context, ground: &Ground) -> Result<Child> {
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

/// A run beside a forecast.
struct Together {
    /// Mails a second.
    rate: f64,
    /// How long the two ran side by side.
    secs: f64,
    waits: Waits,
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
