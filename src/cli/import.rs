//! `kith import`: records from CSV files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use crate::domain::address_hash::AddressKey;
use crate::domain::birthday::BirthdayRules;
use crate::engine::import::{self, ImportDeps, ImportOrder, ImportReport, Imported, Kind, Progress};
use crate::store::control;

/// Exit code when some rows were refused and the others kept.
const SOME_REFUSED: u8 = 1;
/// Exit code for wrong use, and for a file that is refused as a whole.
const WRONG_USE: u8 = 2;

/// Import records from a CSV file.
#[derive(Debug, Args)]
#[command(after_help = "\
The first row names the columns; docs/import.md lists them. Records are known by source and external_id: what is
new is made, what differs is written, what is the same is left alone. A column that is absent clears nothing.
Refused rows go to FILE.rejected.csv with line, field and reason; the others are kept.

Files refer to each other, so import in this order: owners, organisations, campaigns, contacts, leads, purchases.

Examples:
  kith import contacts contacts.csv
  kith import leads leads.csv --source crm --dry-run

Exit codes: 0 all rows taken, 1 some refused or failed, 2 wrong use or the file refused.")]
pub struct ImportArgs {
    /// What the file holds
    pub kind: KindArg,
    /// The CSV file, UTF-8 with or without byte order mark
    pub file: PathBuf,
    /// Where the records come from; external ids are unique per source [default: import.source in kith.toml]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Count new, changed, same and refused; write nothing but the file of refused rows
    #[arg(long)]
    pub dry_run: bool,
}

/// The kinds as words of the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KindArg {
    /// People
    Contacts,
    /// Customers of more than one person
    Organisations,
    /// The reps
    Owners,
    /// Possible sales
    Leads,
    /// What was bought, and returned
    Purchases,
    /// Where leads came from
    Campaigns,
}

impl From<KindArg> for Kind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Contacts => Self::Contacts,
            KindArg::Organisations => Self::Organisations,
            KindArg::Owners => Self::Owners,
            KindArg::Leads => Self::Leads,
            KindArg::Purchases => Self::Purchases,
            KindArg::Campaigns => Self::Campaigns,
        }
    }
}

/// Imports the file into the database of this process.
pub async fn run(args: ImportArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let control = control::read(&mut *opened.pool.acquire().await?).await?;
    let deps = ImportDeps {
        pool: opened.pool.clone(),
        ids: context.ids.clone(),
        zone: context.settings.company.timezone,
        region: context.settings.company.region.clone(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(&control.address_key),
    };
    let source = args.source.clone();
    let source = source.unwrap_or_else(|| context.settings.import.source.clone());
    let code = import_file(args, source, &deps, now).await?;
    opened.close().await?;
    Ok(code)
}

/// Imports the file, shows how far it is, and says how it went.
async fn import_file(
    args: ImportArgs,
    source: String,
    deps: &ImportDeps,
    now: DateTime<Utc>,
) -> Result<ExitCode> {
    if source.is_empty() || source.chars().count() > 100 || source.contains(char::is_control) {
        eprintln!("--source, or import.source in kith.toml: a name of 1 to 100 characters");
        return Ok(ExitCode::from(WRONG_USE));
    }
    let file = args.file.display().to_string();
    if !args.file.is_file() {
        eprintln!("{file}: no such file");
        return Ok(ExitCode::from(WRONG_USE));
    }
    let kind = Kind::from(args.kind);
    let order = ImportOrder {
        kind,
        path: args.file,
        source,
        dry_run: args.dry_run,
    };
    let bar = bar();
    let imported = import::import(deps, &order, now, |progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    Ok(match imported? {
        Imported::Done(report) => {
            println!("{}", summary(kind, order.dry_run, &report));
            ExitCode::from(if report.refused > 0 { SOME_REFUSED } else { 0 })
        }
        Imported::FileRefused(refusal) => {
            let column = if refusal.field.is_empty() {
                String::new()
            } else {
                format!("column {}: ", refusal.field)
            };
            eprintln!("{file}: refused, nothing was taken. {column}{}", refusal.reason);
            ExitCode::from(WRONG_USE)
        }
        Imported::Busy => {
            eprintln!(
                "{}: another import of {} from {} is running",
                file,
                kind.as_str(),
                order.source
            );
            ExitCode::from(SOME_REFUSED)
        }
    })
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} {elapsed} (ready in {eta})");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of_bytes);
    bar.set_position(progress.bytes);
    bar.set_message(format!("{} rows", progress.rows));
}

fn summary(kind: Kind, dry_run: bool, report: &ImportReport) -> String {
    let counts = format!(
        "{}: {} new, {} changed, {} same, {} refused",
        kind.as_str(),
        report.new,
        report.changed,
        report.same,
        report.refused
    );
    let rejected = match &report.rejected_path {
        Some(path) => format!("\nrefused rows with their reasons: {}", path.display()),
        None => String::new(),
    };
    let dry = if dry_run { "dry run, nothing written. " } else { "" };
    format!("{dry}{counts}{rejected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_happened() {
        let report = ImportReport {
            new: 3,
            changed: 2,
            same: 1,
            refused: 1,
            rejected_path: Some("people.rejected.csv".into()),
        };
        assert_eq!(
            summary(Kind::Contacts, true, &report),
            "dry run, nothing written. contacts: 3 new, 2 changed, 1 same, 1 refused\n\
             refused rows with their reasons: people.rejected.csv"
        );
    }
}
