//! `kith restore`: a database from the file of a backup.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::context::{actor, refused};
use super::output::grouped;
use crate::engine::backup::{self, Restored};
use crate::engine::status;
use crate::store;

/// Fill an empty database from a backup; the brake is on afterwards
#[derive(Debug, Args)]
#[command(after_help = "\
The database gets a new identity and its brake is on, so that nothing is sent twice: `kith recover` on each machine
that sends lists what may have been sent since the backup, then `kith brake off`. All or nothing: a file that is damaged changes nothing.

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

/// Restores.
pub async fn run(args: RestoreArgs, context: &Context) -> Result<ExitCode> {
    if !args.file.is_file() {
        return refused(format!("{}: no such file", args.file.display()));
    }
    let opened = context.reach().await?;
    store::migrate(&opened.pool).await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let found = status::status(&mut conn, &context.settings, now).await?;
    if found.running.alive > 0 {
        return refused("a daemon works on this database: stop it first");
    }
    let restored = backup::restore(&mut conn, &args.file, args.force, &actor(), now).await?;
    drop(conn);
    opened.close().await?;
    match restored {
        Restored::Done { sum, taken_at } => {
            println!(
                "{} tables, {} rows as of {}. The brake is on: nothing is sent until `kith brake off`.",
                sum.tables,
                grouped(sum.rows),
                taken_at.format("%Y-%m-%d %H:%M UTC")
            );
            Ok(ExitCode::SUCCESS)
        }
        Restored::Refused(why) => refused(why),
    }
}
