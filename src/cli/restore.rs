//! `kith restore`: a database from the file of a backup.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Context;

/// Fill an empty database from a backup; the brake is on afterwards
#[derive(Debug, Args)]
#[command(after_help = "\
The database gets a new identity and its brake is on, so that nothing is sent twice: look at what may have been sent
since the backup, then `kith brake off`.

Examples:
  kith restore kith-2027-01-31.backup
  kith restore kith-2027-01-31.backup --force      over what is there")]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
    /// Empty a database that is not empty first
    #[arg(long)]
    pub force: bool,
}

/// Does it.
pub async fn run(_args: RestoreArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `restore`")
}
