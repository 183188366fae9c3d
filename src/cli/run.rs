//! `kith run`: the daemon.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;

/// Run the daemon: cadences, deliveries, responses, pages
#[derive(Debug, Args)]
#[command(after_help = "\
Runs until SIGTERM or Ctrl-C, which let it finish what it is handing over. Several daemons may share a database.

Examples:
  kith run
  DATABASE_URL=postgres://kith@db.example.com/kith kith run --config /etc/kith
  KITH_DELIVERY__MODE=live KITH_LOG=info,kith::engine=debug kith run")]
pub struct RunArgs {}

/// Runs the daemon.
pub async fn run(_args: RunArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `run`")
}
