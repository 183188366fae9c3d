//! `kith recover`: what may have been sent and the database does not know.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::context::{actor, refused};
use super::output::{self, Format, Table, grouped};
use crate::engine::recover::{self, Item};
use crate::store::control;

/// List what may have been sent and the database does not know: after a restore, a failover, a crash
#[derive(Debug, Args)]
#[command(after_help = "\
Two lists. *Forgotten*: what this machine's journal says went out, and the database knows nothing of; it is behind, and
would send it again. *Uncertain*: what the database itself does not know, since nobody heard the answer. Run it on every
machine that sends: each knows its own crossings. `--remember` writes the forgotten ones down as what they were, so that
they are not sent again; it wants the brake on. Then `kith brake off`, which says that you answer for the rest.

Examples:
  kith recover
  kith recover --format csv > maybe-sent.csv
  kith recover --remember")]
pub struct RecoverArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write the forgotten ones into the database: accepted or refused where that was seen, else uncertain
    #[arg(long)]
    pub remember: bool,
    /// Uncertain messages to list, the latest first
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub limit: i64,
}

/// Lists or writes.
pub async fn run(args: RecoverArgs, context: &Context) -> Result<ExitCode> {
    let folder = context.journal()?;
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    if args.remember {
        if !control::read(&mut conn).await?.brake {
            return refused("the brake is off, so something may be on its way: `kith brake on` first");
        }
        let remembered = recover::remember(&mut conn, &folder).await?;
        let after = serde_json::json!({ "messages": remembered });
        let id = context.ids.next(now);
        control::audit(&mut conn, id, now, &actor(), "recover", "control", Some(&after)).await?;
        eprintln!("{} messages written down", grouped(remembered as i128));
    }
    let found = recover::list(&mut conn, &folder, args.limit).await?;
    drop(conn);
    let tables = [
        table(
            "Forgotten: sent or maybe sent from here, unknown to the database",
            &found.forgotten,
        ),
        table("Uncertain: nobody heard the answer", &found.uncertain),
    ];
    print!("{}", output::text(args.format, &tables, &found)?);
    if args.format == Format::Table {
        if found.refused_outcomes > 0 {
            println!(
                "\n{} outcomes were refused by the database: see {}",
                grouped(found.refused_outcomes as i128),
                folder.join("refused.jsonl").display()
            );
        }
        println!("\nThe brake is {}.", if found.brake { "on" } else { "off" });
    }
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn table(title: &str, items: &[Item]) -> Table {
    let columns = [
        "at", "contact", "name", "cadence", "step", "channel", "seen", "database", "message",
    ];
    let mut table = Table::new(title, &columns);
    table.rows = items
        .iter()
        .map(|item| {
            vec![
                item.at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                item.contact.clone(),
                item.name.clone().unwrap_or_default(),
                item.cadence.clone(),
                item.step.clone(),
                item.channel.clone(),
                item.seen.clone(),
                item.database.clone(),
                item.message.clone(),
            ]
        })
        .collect();
    table
}
