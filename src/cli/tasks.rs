//! `kith tasks`: what there is to do for the owners.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::output::{self, Format, Table};
use crate::domain::zone::local;
use crate::store::task;

/// Most tasks that one list shows.
const MOST: i64 = 500;

/// List open tasks by deadline
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kith tasks
  kith tasks --owner li@example.com --format csv")]
pub struct TasksArgs {
    /// Of this owner only: external id or mail address
    #[arg(long, value_name = "O")]
    pub owner: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Lists them.
pub async fn run(args: TasksArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let tasks = task::open(&mut conn, args.owner.as_deref(), now, MOST).await?;
    drop(conn);
    let zone = context.settings.company.timezone;
    let mut table = Table::new(
        format!("Open tasks, times in {zone}"),
        &["id", "due", "kind", "owner", "contact", "task"],
    );
    table.rows = tasks
        .iter()
        .map(|task| {
            vec![
                task.id.to_string(),
                local(task.due_at, zone).format("%Y-%m-%d %H:%M").to_string(),
                task.kind.clone(),
                task.owner_name.clone().unwrap_or_else(|| "nobody".into()),
                task.contact_name.clone().unwrap_or_default(),
                task.title.clone(),
            ]
        })
        .collect();
    print!("{}", output::text(args.format, &[table], &tasks)?);
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
