//! `kith plan`: who will get what, and when.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::output::{self, Format, Table};
use crate::forecast::{self, Planned};

/// Show who would get what in the coming days, by the real engine run ahead of time
#[derive(Debug, Args)]
#[command(after_help = "\
Nobody answers in this future, and nothing is sent or changed. Times are UTC; `date` is the person's own.

Examples:
  kith plan
  kith plan --days 7 --cadence b-to-a --format csv > week.csv")]
pub struct PlanArgs {
    /// Days ahead
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
    /// This cadence only
    #[arg(long, value_name = "NAME")]
    pub cadence: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Looks ahead.
pub async fn run(args: PlanArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let options = (*opened.pool.connect_options()).clone();
    let mut planned = forecast::run(options, context.settings.clone(), now, args.days).await?;
    if let Some(cadence) = &args.cadence {
        planned.retain(|touch| touch.cadence == *cadence);
    }
    print!(
        "{}",
        output::text(args.format, &[table(&planned, args.days)], &planned)?
    );
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn table(planned: &[Planned], days: u32) -> Table {
    let columns = [
        "at", "date", "contact", "name", "cadence", "step", "channel", "template",
    ];
    let mut table = Table::new(format!("{} touches in {days} days", planned.len()), &columns);
    table.rows = planned
        .iter()
        .map(|touch| {
            vec![
                touch.at.format("%Y-%m-%d %H:%M").to_string(),
                touch.local_date.to_string(),
                touch.contact.clone(),
                touch.name.clone(),
                touch.cadence.clone(),
                touch.step.clone(),
                touch.channel.clone(),
                touch.template.clone(),
            ]
        })
        .collect();
    table
}
