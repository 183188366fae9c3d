//! `kith status`: how things stand, in a few lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::engine::status;

/// Show mode, brake, daemons, queue and today's sends
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kith status\n  kith status --json")]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Shows it.
pub async fn run(args: StatusArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let found = status::status(&mut conn, &context.settings, now).await?;
    drop(conn);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{found}");
    }
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
