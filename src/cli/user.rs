//! `kith user`: people who log in to the pages.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::Context;

/// Let people log in to the pages
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kith user add ann --role operator")]
pub struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add somebody; the password is read from KITH_USER_PASSWORD, or from the first line of stdin
    #[command(after_help = "\
Examples:
  kith user add ann --role operator
  KITH_USER_PASSWORD='correct horse battery' kith user add li --role rep --owner li@example.com")]
    Add {
        /// Name to log in with
        name: String,
        /// What he may do
        #[arg(long, value_enum)]
        role: RoleArg,
        /// The owner he is, for a rep: external id or mail address
        #[arg(long, value_name = "OWNER")]
        owner: Option<String>,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything, the brake and the mode too
    Operator,
    /// Rules and reports
    Marketer,
    /// The team's people, tasks and reports
    Lead,
    /// Own people and tasks
    Rep,
}

/// Does it.
pub async fn run(_args: UserArgs, _context: &Context) -> Result<ExitCode> {
    bail!("this build has no `user`")
}
