//! `kith sandbox`: what the sandbox took in.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::Context;
use super::output::Format;

/// Look at what the sandbox took in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kith sandbox list
  kith sandbox show 17")]
pub struct SandboxArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest messages
    #[command(after_help = "Examples:\n  kith sandbox list --limit 20\n  kith sandbox list --format csv")]
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: i64,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// One message as it came in
    #[command(after_help = "Examples:\n  kith sandbox show 17")]
    Show {
        /// Number of `kith sandbox list`
        id: i64,
    },
}

/// Does it.
pub async fn run(_args: SandboxArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `sandbox`")
}
