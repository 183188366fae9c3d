//! `kith token`: tokens for the HTTP API.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Context;
use super::context::{actor, refused};
use crate::engine::access;
use crate::store::control;

/// Make tokens for the HTTP API
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kith token create crm")]
pub struct TokenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token; it is shown this once
    #[command(after_help = "\
Examples:
  kith token create crm
  curl -H \"Authorization: Bearer $TOKEN\" -d @events.json http://127.0.0.1:8600/v1/events")]
    Create {
        /// What it is for; the source of the events that it brings
        name: String,
    },
}

/// Makes one. Only the token goes to stdout.
pub async fn run(args: TokenArgs, context: &Context) -> Result<ExitCode> {
    let What::Create { name } = args.what;
    if name.trim().is_empty() || name.len() > 100 || name.contains(char::is_control) {
        return refused("a name has between 1 and 100 characters");
    }
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut tx = opened.pool.begin().await?;
    let Some(token) = access::create_token(&mut tx, context.ids.next(now), &name, now).await? else {
        return refused(format!(
            "there is a token called {name:?}: give this one another name"
        ));
    };
    let id = context.ids.next(now);
    control::audit(
        &mut tx,
        id,
        now,
        &actor(),
        "create-token",
        &format!("token:{name}"),
        None,
    )
    .await?;
    tx.commit().await?;
    opened.close().await?;
    println!("{token}");
    eprintln!("keep it now: only its hash is stored");
    Ok(ExitCode::SUCCESS)
}
