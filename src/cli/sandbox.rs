//! `kith sandbox`: what the sandbox took in.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Context;
use super::context::refused;
use super::output::{self, Format, Table};
use crate::domain::zone::local;
use crate::store::sandbox;

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
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// One message as it came in
    #[command(after_help = "Examples:\n  kith sandbox show 17\n  kith sandbox show 17 > message.eml")]
    Show {
        /// Number of `kith sandbox list`
        id: i64,
    },
}

/// Looks.
pub async fn run(args: SandboxArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let mut conn = opened.pool.acquire().await?;
    match args.what {
        What::List { limit, format } => {
            let messages = sandbox::list(&mut conn, None, limit).await?;
            let zone = context.settings.company.timezone;
            let mut table = Table::new(
                format!("The sandbox, newest first, times in {zone}"),
                &["#id", "at", "channel", "to", "subject"],
            );
            table.rows = messages
                .iter()
                .map(|m| {
                    vec![
                        m.id.to_string(),
                        local(m.at, zone).format("%Y-%m-%d %H:%M").to_string(),
                        m.channel.clone(),
                        m.recipient.clone(),
                        m.subject.clone().unwrap_or_default(),
                    ]
                })
                .collect();
            print!("{}", output::text(format, &[table], &messages)?);
        }
        What::Show { id } => match sandbox::show(&mut conn, id).await? {
            Some((_, raw)) => {
                let mut out = std::io::stdout().lock();
                out.write_all(&raw)?;
                if !raw.ends_with(b"\n") {
                    out.write_all(b"\n")?;
                }
            }
            None => {
                return refused(format!(
                    "the sandbox has no message {id}: see `kith sandbox list`"
                ));
            }
        },
    }
    drop(conn);
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
