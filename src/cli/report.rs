//! `kith report`: the standing reports.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::output::Format;
use super::{Context, report_tables};
use crate::engine::report;

/// Show a report
#[derive(Debug, Args)]
#[command(after_help = "\
pyramid: what each tier of customers brings, by boundaries held since the base period, and who moved since
funnel: leads by grade and stage, and the moves of each month
cadences: who is in them, what was sent, and what came back

Examples:
  kith report pyramid
  kith report funnel --format csv > funnel.csv
  kith report cadences --format json")]
pub struct ReportArgs {
    /// Which
    pub which: Which,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// Customers by value
    Pyramid,
    /// Leads by grade and stage
    Funnel,
    /// Cadences and their responses
    Cadences,
}

/// Prints it.
pub async fn run(args: ReportArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let text = match args.which {
        Which::Pyramid => {
            let retention = opened.retention().await?;
            let found = report::pyramid(&mut conn, &retention, now).await?;
            super::output::text(args.format, &report_tables::pyramid(&found), &found)?
        }
        Which::Funnel => {
            let found = report::funnel(&mut conn, context.settings.company.timezone).await?;
            super::output::text(args.format, &report_tables::funnel(&found), &found)?
        }
        Which::Cadences => {
            let found = report::cadences(&mut conn).await?;
            super::output::text(args.format, &report_tables::cadences(&found), &found)?
        }
    };
    drop(conn);
    print!("{text}");
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
