//! `kith token`: tokens for the HTTP API.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::Context;

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
    #[command(after_help = "Examples:\n  kith token create crm")]
    Create {
        /// What it is for; the source of the events that it brings
        name: String,
    },
}

/// Does it.
pub async fn run(_args: TokenArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `token`")
}
