//! `kith uncertain`: what nobody knows, listed and settled.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::Context;
use super::context::{actor, refused};
use super::output::{self, Format, Table};
use crate::engine::uncertain::{self, Finding, Item, Settled};

/// List messages of which nobody knows whether they arrived, or settle one
#[derive(Debug, Args)]
#[command(after_help = "\
A delivery report, bounce, open, click, reply or opt-out settles one by itself. What is left wants a look at the mail
server's log, by the Message-ID.

Examples:
  kith uncertain list
  kith uncertain list --format csv > unknown.csv
  kith uncertain settle 0199a5c2d3f47aab8c1d2e3f4a5b6c7d accepted --reason 'in the server log of 3 March'")]
pub struct UncertainArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show them, the latest first
    #[command(
        after_help = "Examples:\n  kith uncertain list\n  kith uncertain list --format json --limit 20"
    )]
    List {
        /// How it is printed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// How many
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
        limit: i64,
    },
    /// Say what became of one; it is written down who did
    #[command(after_help = "\
A refused one is not sent again: its touch has failed.

Examples:
  kith uncertain settle 0199a5c2d3f47aab8c1d2e3f4a5b6c7d accepted
  kith uncertain settle '<0199a5c2d3f47aab8c1d2e3f4a5b6c7d@example.com>' refused --reason 'the server never had it'")]
    Settle {
        /// The message, by its id or its Message-ID
        message: String,
        /// What became of it
        outcome: Outcome,
        /// How you know, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// It arrived
    Accepted,
    /// It did not
    Refused,
}

/// Lists or settles.
pub async fn run(args: UncertainArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    match args.what {
        What::List { format, limit } => {
            let items = uncertain::list(&mut conn, limit, now).await?;
            print!("{}", output::text(format, &[table(&items)], &items)?);
        }
        What::Settle {
            message,
            outcome,
            reason,
        } => {
            let Some(id) = uncertain::parse_message(&message) else {
                return refused(format!("{message}: not the id of a message"));
            };
            let finding = match outcome {
                Outcome::Accepted => Finding::Accepted,
                Outcome::Refused => Finding::Refused,
            };
            let settled =
                uncertain::settle(&mut conn, &context.ids, id, finding, &reason, &actor(), now).await?;
            if settled != Settled::Done {
                return refused(format!("{message}: {settled}"));
            }
            println!("{message}: {}", finding.as_str());
        }
    }
    drop(conn);
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Item]) -> Table {
    let columns = [
        "message", "contact", "name", "cadence", "step", "channel", "sender", "when", "age", "#tries", "seen",
    ];
    let mut table = Table::new("Nobody knows whether these arrived", &columns);
    table.rows = items
        .iter()
        .map(|item| {
            vec![
                item.message.clone(),
                item.contact.clone(),
                item.name.clone(),
                item.cadence.clone(),
                item.step.clone(),
                item.channel.clone(),
                item.sender.clone(),
                item.at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                age(item.age_secs),
                item.tries.to_string(),
                item.seen.clone(),
            ]
        })
        .collect();
    table
}

/// The greatest unit that is full.
fn age(secs: i64) -> String {
    match secs {
        172_800.. => format!("{} d", secs / 86_400),
        7200..172_800 => format!("{} h", secs / 3600),
        120..7200 => format!("{} min", secs / 60),
        _ => format!("{secs} s"),
    }
}
