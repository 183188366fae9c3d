//! `kith apply`: the rules of config/ and templates/ are checked and put in force.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;

/// Check config/ and templates/ and put them in force
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kith apply --dry-run                    check, and show what would change and for how many people
  kith apply
  kith apply --move b-to-a                also move those who are in the cadence to its new version")]
pub struct ApplyArgs {
    /// Check and show the difference; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Move live enrollments of this cadence to its newest version
    #[arg(long = "move", value_name = "CADENCE")]
    pub move_cadence: Vec<String>,
}

/// Applies the rules.
pub async fn run(_args: ApplyArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `apply`")
}
