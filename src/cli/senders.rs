//! `kith senders`: which of them a receiving side blocked, and going on before the pause is over.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use super::context::{actor, refused};
use super::output::{self, Format, Table};
use crate::engine::senders;

/// List senders with their pauses, or end a pause
#[derive(Debug, Args)]
#[command(after_help = "\
A sender that a receiving side blocks by its policy is paused: five minutes, and twice as long each further time within a
day. Its touches wait; nobody is suppressed.

Examples:
  kith senders
  kith senders resume mail               once the cause is gone")]
pub struct SendersArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// End the pause of a sender
    #[command(after_help = "Examples:\n  kith senders resume mail")]
    Resume {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Serialize)]
struct Row {
    sender: String,
    channel: &'static str,
    paused_until: Option<DateTime<Utc>>,
    why: Option<String>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let until = self
            .paused_until
            .map(|until| until.format("%Y-%m-%d %H:%M UTC").to_string());
        vec![
            self.sender.clone(),
            self.channel.to_owned(),
            until.unwrap_or_default(),
            self.why.clone().unwrap_or_default(),
        ]
    }
}

/// Lists or resumes.
pub async fn run(args: SendersArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let code = match args.verb {
        None => {
            let paused = senders::paused(&opened.pool, now).await?;
            let mut table = Table::new("Senders", &["sender", "channel", "paused until", "why"]);
            let rows: Vec<Row> = context
                .settings
                .senders
                .iter()
                .map(|sender| {
                    let pause = paused.iter().find(|one| one.sender == sender.name);
                    Row {
                        sender: sender.name.clone(),
                        channel: sender.channel().as_str(),
                        paused_until: pause.map(|one| one.pause.until),
                        why: pause.map(|one| one.reason.clone()),
                    }
                })
                .collect();
            table.rows = rows.iter().map(Row::cells).collect();
            print!("{}", output::text(args.format, &[table], &rows)?);
            ExitCode::SUCCESS
        }
        Some(Verb::Resume { name }) => {
            if senders::resume(&opened.pool, &context.ids, &name, &actor(), now).await? {
                println!("{name} goes on");
                ExitCode::SUCCESS
            } else {
                refused(format!("no pause of a sender {name}: `kith senders` lists them"))?
            }
        }
    };
    opened.close().await?;
    Ok(code)
}
