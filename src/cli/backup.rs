//! `kith backup`: the whole database in one file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::context::refused;
use super::output::grouped;
use crate::engine::backup;

/// Write the whole database into one file
#[derive(Debug, Args)]
#[command(after_help = "\
One moment of the database, taken while the daemon runs. Needs no Postgres tools. The file holds personal data and the
keys of links: keep it as safe as the database. Logins to the pages are not in it.

Examples:
  kith backup kith-2027-01-31.backup")]
pub struct BackupArgs {
    /// Where to; must not exist
    pub file: PathBuf,
}

/// Writes it.
pub async fn run(args: BackupArgs, context: &Context) -> Result<ExitCode> {
    if args.file.exists() {
        return refused(format!(
            "{} exists: a backup is never written over a file",
            args.file.display()
        ));
    }
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let sum = backup::backup(&mut conn, &args.file, now).await?;
    drop(conn);
    opened.close().await?;
    println!(
        "{}: {} tables, {} rows, {} bytes",
        args.file.display(),
        sum.tables,
        grouped(sum.rows),
        grouped(sum.bytes)
    );
    Ok(ExitCode::SUCCESS)
}
