//! `kith daemons`: who runs what.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::output::{self, Format, Table};
use crate::store::daemon::{self, Listed};

/// List the daemons: where, as what, how long silent, and the work they hold
#[derive(Debug, Args)]
#[command(after_help = "\
A daemon that is silent for longer than lease.dead_after is dead to the others: its claims go back, and what it had crossed
becomes uncertain.

Examples:
  kith daemons
  kith daemons --all --format csv")]
pub struct DaemonsArgs {
    /// Those too that ended within the last day
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists them.
pub async fn run(args: DaemonsArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let mut conn = opened.pool.acquire().await?;
    let dead_after = context.settings.lease.dead_after.length().num_milliseconds() as f64 / 1000.0;
    let found = daemon::list(&mut conn, dead_after, args.all).await?;
    drop(conn);
    print!("{}", output::text(args.format, &[table(&found)], &found)?);
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Listed]) -> Table {
    let mut table = Table::new(
        "Daemons",
        &[
            "id",
            "host",
            "#pid",
            "roles",
            "version",
            "mode",
            "state",
            "#silent s",
            "#claimed",
            "#crossing",
            "since",
        ],
    );
    for one in found {
        table.rows.push(vec![
            one.id.to_string(),
            one.host.clone(),
            one.pid.to_string(),
            one.roles.join("+"),
            one.version.clone(),
            one.mode.clone(),
            one.state.clone(),
            format!("{:.0}", one.silent_secs),
            one.claimed.to_string(),
            one.crossing.to_string(),
            one.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        ]);
    }
    table
}
