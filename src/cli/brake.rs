//! `kith brake`: nothing leaves while it is on.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::Context;
use super::context::{actor, refused};
use crate::engine::brake::{self, Order};

/// Stop everything that would go out, or let it go on
#[derive(Debug, Args)]
#[command(after_help = "\
What has reached the point of no return when `brake on` answers still ends; everything else waits, and is checked again
before it goes. Lifting it says that you answer for what was sent before: see `kith recover`.

Examples:
  kith brake on --reason 'wrong price in b-pricing'
  kith brake off
  kith brake off --live                   and let this copy of the database, not the old one, be live")]
pub struct BrakeArgs {
    /// on or off
    pub position: Position,
    /// Why, for colleagues
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Bind live mode to this database: after a restore or a move, once the old one is out of use
    #[arg(long)]
    pub live: bool,
}

/// Whether the brake is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Position {
    /// Nothing goes out
    On,
    /// What is due goes out
    Off,
}

/// Sets it.
pub async fn run(args: BrakeArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let on = args.position == Position::On;
    if on && args.live {
        return refused("--live goes with `brake off`");
    }
    let order = Order {
        on,
        reason: &args.reason,
        by: &actor(),
        live: args.live,
    };
    brake::set(&opened.pool, &context.ids, order, now).await?;
    println!(
        "{}",
        if on {
            "the brake is on: nothing goes out"
        } else {
            "the brake is off"
        }
    );
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
