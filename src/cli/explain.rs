//! `kith explain`: one person's story.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Context, person};
use crate::engine::explain::{self, Tongue};

/// Tell one person's story: what happened, what was decided and why, and what comes next
#[derive(Debug, Args)]
#[command(after_help = "\
CONTACT is an external id, a mail address or a phone number.

Examples:
  kith explain ann@example.com
  kith explain +8613800138000
  kith explain c-17 --json")]
pub struct ExplainArgs {
    /// Whose story
    pub contact: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Tells it.
pub async fn run(args: ExplainArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let contact = person::find(&mut conn, context, &args.contact).await?;
    let story = explain::story(&mut conn, contact, Tongue::English, now).await?;
    drop(conn);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&story)?);
    } else {
        print!("{story}");
    }
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
