//! `kith version`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use crate::store;

/// Show the version of the program and of its schema
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kith version")]
pub struct VersionArgs {}

/// Says the versions.
#[allow(clippy::unused_async, reason = "every subcommand runs the same way")]
pub async fn run(_args: VersionArgs, _context: &Context) -> Result<ExitCode> {
    println!(
        "kith {}, schema {}",
        env!("CARGO_PKG_VERSION"),
        store::known_version()
    );
    Ok(ExitCode::SUCCESS)
}
