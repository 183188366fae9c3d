//! `kith backup`: the whole database in one file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;

/// Write the whole database into one file
#[derive(Debug, Args)]
#[command(after_help = "\
One moment of the database, taken while the daemon runs. Needs no Postgres tools. docs/backup.md tells the format.

Examples:
  kith backup kith-2027-01-31.backup")]
pub struct BackupArgs {
    /// Where to; must not exist
    pub file: PathBuf,
}

/// Does it.
pub async fn run(_args: BackupArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `backup`")
}
