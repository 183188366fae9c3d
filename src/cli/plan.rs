//! `kith plan`: who will get what, and when.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;
use super::output::Format;

/// Show who would get what in the coming days, by the real engine run ahead of time
#[derive(Debug, Args)]
#[command(after_help = "\
Nobody answers in this future, and nothing is sent or changed.

Examples:
  kith plan
  kith plan --days 7 --cadence b-to-a --format csv > week.csv")]
pub struct PlanArgs {
    /// Days ahead
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
    /// This cadence only
    #[arg(long, value_name = "NAME")]
    pub cadence: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Looks ahead.
pub async fn run(_args: PlanArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `plan`")
}
