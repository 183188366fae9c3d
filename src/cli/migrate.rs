//! `kith migrate`: the schema of this program.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::store;

/// Bring the database to this program's schema
#[derive(Debug, Args)]
#[command(after_help = "\
An embedded database is migrated by every command; one of your own only by this. Several may run at once.

Examples:
  DATABASE_URL=postgres://kith@db.example.com/kith kith migrate")]
pub struct MigrateArgs {}

/// Migrates.
pub async fn run(_args: MigrateArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.reach().await?;
    store::migrate(&opened.pool).await?;
    println!("the database has schema version {}", store::known_version());
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
