//! `kith bench enroll`: a tenth of the people come into a cadence by its audience.

use std::time::Instant;

use anyhow::Result;
use chrono::TimeDelta;
use clap::Args;

use super::figures::{Sheet, Target, percentile};
use super::ground::Ground;
use super::process::{forget_peak, peak_rss_mb};
use super::statements;
use crate::cli::Context;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::enroll;

/// Measure enrolling a tenth of the people by an audience on its schedule
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// People; every tenth is a lost VIP and comes into `win-back`
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    contacts: i64,
}

/// Measures.
pub async fn run(args: EnrollArgs, context: &Context) -> Result<Sheet> {
    let ground = Ground::make(context, "enroll").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &EnrollArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    ground.load(args.contacts, false).await?;
    let app = ground
        .app(Settings::clone(&context.settings), Clock::manual(ground.begin))
        .await?;
    // The first look at a schedule only notes where it begins.
    enroll::by_schedule(&app.deps, ground.begin).await?;
    ground.settle().await?;

    let written = ground.rows_written().await?;
    forget_peak()?;
    let started = Instant::now();
    let pass = enroll::by_schedule(&app.deps, ground.begin + TimeDelta::days(1));
    let (entered, times) = statements::times(pass).await;
    let entered = entered?;
    let took = started.elapsed().as_secs_f64();
    let peak = peak_rss_mb()?;
    let written = ground.rows_written().await? - written;
    let started = Instant::now();
    let again = enroll::by_schedule(&app.deps, ground.begin + TimeDelta::days(2)).await?;
    let took_again = started.elapsed().as_secs_f64();

    let mut sheet = Sheet::new("enroll", args.contacts);
    sheet.hold_to(
        "enrolled",
        entered.done as f64,
        "people",
        Target::Exactly((args.contacts / 10) as f64),
    );
    sheet.hold_to("time", took, "s", Target::Under(15.0));
    let rate = entered.done as f64 / took;
    sheet.note("rate", rate, "people/s");
    sheet.note("statements", times.len() as f64, "statements");
    for (what, share) in [
        ("a statement, median", 0.5),
        ("a statement, 99 %", 0.99),
        ("a statement, longest", 1.0),
    ] {
        sheet.note(what, percentile(&times, share), "ms");
    }
    sheet.note("rows written", written as f64, "rows");
    sheet.note("peak memory of this process", peak, "MB");
    sheet.hold_to(
        "enrolled by the next occurrence",
        again.done as f64,
        "people",
        Target::Exactly(0.0),
    );
    sheet.note("time of the next occurrence", took_again, "s");
    sheet.value("time_s", took);
    sheet.value("rate_per_s", rate);
    sheet.value("statements", times.len());
    sheet.value("statement_p50_ms", percentile(&times, 0.5));
    sheet.value("statement_p99_ms", percentile(&times, 0.99));
    sheet.value("statement_max_ms", percentile(&times, 1.0));
    sheet.value("rows_written", written);
    sheet.value("peak_rss_mb", peak);
    Ok(sheet)
}
