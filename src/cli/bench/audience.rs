//! `kith bench audience`: ten cadences look at their audiences again after some people's facts have changed.

use std::time::Instant;

use anyhow::Result;
use chrono::TimeDelta;
use clap::Args;

use super::cadences::{self, AUDIENCES};
use super::figures::{Sheet, Target};
use super::ground::Ground;
use crate::cli::Context;
use crate::cli::context::refused;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::enroll;
use crate::store::bench;

/// Measure ten audiences that are asked again after some facts have changed
#[derive(Debug, Args)]
pub struct AudienceArgs {
    /// People
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(i64).range(1000..=10_000_000))]
    contacts: i64,
    /// How many of them change
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    changed: i64,
}

impl AudienceArgs {
    /// The changed are dealt out over all the people, more than ten apart.
    pub(super) fn check(&self) -> Result<()> {
        if self.changed * 11 > self.contacts {
            return refused("--changed is less than a tenth of the people");
        }
        Ok(())
    }
}

/// Measures.
pub async fn run(args: AudienceArgs, context: &Context) -> Result<Sheet> {
    let rules = tempfile::tempdir()?;
    let context = cadences::unpack_audiences(context, rules.path())?;
    let ground = Ground::make(&context, "audience").await?;
    let sheet = measure(&args, &context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &AudienceArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    ground.load(args.contacts, false).await?;
    let clock = Clock::manual(ground.begin);
    let deps = ground.app(Settings::clone(&context.settings), clock).await?.deps;
    // The first look at a schedule only notes where it begins.
    enroll::by_schedule(&deps, ground.begin).await?;
    ground.settle().await?;
    let day = |n: i64| ground.begin + TimeDelta::days(n);
    let started = Instant::now();
    let first = enroll::by_schedule(&deps, day(1)).await?;
    let took_first = started.elapsed().as_secs_f64();

    let mut conn = ground.pool.acquire().await?;
    let spoken_at = day(2) - TimeDelta::hours(1);
    let changed = bench::speak(&mut conn, args.contacts, args.changed, spoken_at).await?;
    drop(conn);
    ground.tell().await?;
    let mut conn = ground.pool.acquire().await?;
    let before = bench::rows_scanned(&mut conn).await?;
    drop(conn);
    let started = Instant::now();
    let entered = enroll::by_schedule(&deps, day(2)).await?;
    let took = started.elapsed().as_secs_f64();
    ground.tell().await?;
    let mut conn = ground.pool.acquire().await?;
    let scanned = bench::rows_scanned(&mut conn).await? - before;
    drop(conn);
    let started = Instant::now();
    let again = enroll::by_schedule(&deps, day(3)).await?;
    let took_again = started.elapsed().as_secs_f64();

    let mut sheet = Sheet::new("audience", args.contacts);
    sheet.note("cadences", AUDIENCES as f64, "cadences");
    sheet.note("the first pass, which asks everybody", took_first, "s");
    sheet.hold_to(
        "taken in by it",
        first.done as f64,
        "people",
        Target::Exactly(0.0),
    );
    sheet.hold_to(
        "people changed",
        changed as f64,
        "people",
        Target::Exactly(args.changed as f64),
    );
    sheet.hold_to("the pass after it", took, "s", Target::Under(3.0));
    let fit = args.changed / 10 * AUDIENCES;
    sheet.hold_to(
        "taken in by it, of all cadences",
        entered.done as f64,
        "people",
        Target::Exactly(fit as f64),
    );
    sheet.hold_to(
        "rows it read by scanning whole tables",
        scanned as f64,
        "rows",
        Target::Exactly(0.0),
    );
    sheet.note("a pass after nothing has changed", took_again, "s");
    sheet.note("taken in by that", again.done as f64, "people");
    sheet.value("pass_s", took);
    sheet.value("rows_scanned", scanned);
    Ok(sheet)
}
