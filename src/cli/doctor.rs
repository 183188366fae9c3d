//! `kith doctor`: why nothing goes out, and what else is wrong.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;

/// Say in one line why nothing goes out, then check everything it takes
#[derive(Debug, Args)]
#[command(after_help = "\
Checks database, clock, senders, public URL, and the SPF, DKIM and DMARC records of each sender domain.
Exit code 1 when something is wrong.

Examples:
  kith doctor
  kith doctor --json")]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Does it.
pub async fn run(_args: DoctorArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `doctor`")
}
