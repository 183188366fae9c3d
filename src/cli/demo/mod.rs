//! `kith demo`: the sample company, played through time on a simulated clock.

mod stage;
mod stay;
mod story;

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use chrono::{NaiveDate, TimeDelta};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::run::until_signal;
use crate::domain::span::Span;
use crate::simulate::Simulation;
use stage::Stage;
use story::Figures;

/// Play three months of a sample company against the built-in sandbox
#[derive(Debug, Args)]
#[command(after_help = "\
Loads the sample company, applies config/ and templates/, plays the days on a simulated clock with a simulated
audience, tells what happened, and stays up with its pages until Ctrl-C. It uses a database of its own.

Examples:
  kith demo
  kith demo --days 30 --seed 7
  kith demo --days 90 --exit --json       one JSON object, and the end
  kith demo --advance 7d                  move the clock of the demo that is up")]
pub struct DemoArgs {
    /// Days to play
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=730))]
    pub days: u32,
    /// End when the days are played
    #[arg(long)]
    pub exit: bool,
    /// Print one JSON object instead of the story
    #[arg(long)]
    pub json: bool,
    /// The same seed gives the same course
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// First day
    #[arg(long, value_name = "DATE", default_value = "2027-01-04", value_parser = first_day)]
    pub start: NaiveDate,
    /// SMTP connections to the sandbox at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Move the clock of the demo that is up, and end
    #[arg(long, value_name = "TIME", conflicts_with_all = ["days", "exit", "seed", "start", "json"])]
    pub advance: Option<Span>,
}

fn first_day(text: &str) -> Result<NaiveDate, String> {
    let date: NaiveDate = text.parse().map_err(|_| "a date such as 2027-01-04".to_owned())?;
    let years = NaiveDate::from_ymd_opt(2000, 1, 1)..NaiveDate::from_ymd_opt(2090, 1, 1);
    if years.contains(&Some(date)) {
        Ok(date)
    } else {
        Err("a date from 2000 to 2089".to_owned())
    }
}

/// Plays the demo.
pub async fn run(args: DemoArgs, context: &Context) -> Result<ExitCode> {
    if let Some(by) = args.advance {
        return stay::advance(context, by).await;
    }
    // A port that is taken is told now, not after three months.
    let doors = if args.exit {
        None
    } else {
        Some(stay::Doors::open(context).await?)
    };
    let counts = crate::cli::trace::metrics(&context.settings)?;
    let stop = CancellationToken::new();
    tokio::spawn(until_signal(stop.clone()));
    let interrupted = "interrupted before the end";
    let stage = tokio::select! {
        stage = Stage::build(&args, context) => stage?,
        () = stop.cancelled() => bail!(interrupted),
    };
    let played = tokio::select! {
        played = play(&args, &stage) => played,
        () = stop.cancelled() => Err(anyhow!(interrupted)),
    };
    match (played, doors) {
        (Ok((simulation, _)), Some(doors)) => stay::stay(stage, simulation, doors, counts, stop).await,
        (Ok((simulation, figures)), None) => {
            drop(simulation);
            let clean = figures.is_clean();
            stage.clear().await?;
            if clean {
                Ok(ExitCode::SUCCESS)
            } else {
                bail!("messages were lost or sent twice")
            }
        }
        (Err(error), _) => {
            stage.clear().await.ok();
            Err(error)
        }
    }
}

async fn play(args: &DemoArgs, stage: &Stage) -> Result<(Simulation, Figures)> {
    let bar = if args.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(u64::from(args.days))
    };
    bar.set_style(
        ProgressStyle::with_template("  {msg} [{bar:40}] day {pos} of {len}  {eta}")?.progress_chars("=> "),
    );
    let mut simulation = Simulation::new(stage.app.deps.clone(), args.seed);
    let target = stage.begin + TimeDelta::days(i64::from(args.days));
    simulation.settle_down(stage.begin).await?;
    let before = stage.grades().await?;
    simulation
        .play(target, |now| {
            bar.set_position((now - stage.begin).num_days().unsigned_abs());
            bar.set_message(now.format("%Y-%m-%d").to_string());
        })
        .await?;
    bar.finish_and_clear();
    let figures = Figures::gather(args, stage, before).await?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        story::tell(args, stage, &figures).await?;
    }
    Ok((simulation, figures))
}
