//! `kith demo`: the sample company, played through time on a simulated clock.

use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::NaiveDate;
use clap::Args;

use super::Context;
use crate::domain::span::Span;

/// Play three months of a sample company against the built-in sandbox
#[derive(Debug, Args)]
#[command(after_help = "\
Loads the sample company, applies config/ and templates/, plays the days on a simulated clock with a simulated
audience, tells what happened, and stays up with its pages until Ctrl-C.

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
    #[arg(long, value_name = "DATE")]
    pub start: Option<NaiveDate>,
    /// Move the clock of the demo that is up, and end
    #[arg(long, value_name = "TIME", conflicts_with_all = ["days", "exit", "seed", "start"])]
    pub advance: Option<Span>,
}

/// Plays the demo.
pub async fn run(_args: DemoArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `demo`")
}
