//! `kith bench`: what the engine does in how long, measured on this machine.

mod audience;
mod cadences;
mod deliver;
mod enroll;
mod figures;
mod forecast;
mod ground;
mod import;
mod ingest;
mod old_snapshot;
mod pooled;
mod postbox;
mod postfix;
mod process;
mod queue_size;
mod server_work;
mod statements;
mod tick;
mod timings;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Context;

/// Measure this machine: a tick, enrolling, audiences, importing, events, delivering
#[derive(Debug, Args)]
#[command(after_help = "\
Each benchmark makes a database of its own on the embedded Postgres (which syncs every commit), fills it, measures with
the engine that the daemon runs and the rules of config/, and drops it. Mails go to a recording SMTP server in this process,
or where that would be the bottleneck to postfix's smtp-sink.

Examples:
  kith bench tick --contacts 1000000
  kith bench enroll --contacts 1000000    a tenth of them, by an audience
  kith bench audience --contacts 5000000  ten audiences, of whom 10,000 people have changed
  kith bench import --contacts 1000000
  kith bench ingest                       events, opens and clicks, by HTTP into a daemon
  kith bench deliver --messages 100000    the whole way of a mail, against postfix's smtp-sink
  kith bench deliver --contacts 1200000 --old-snapshot 90s    the same beside a transaction left open
  kith bench forecast --messages 8000     the same alone, and beside `kith plan --days 30`")]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    Tick(tick::TickArgs),
    Enroll(enroll::EnrollArgs),
    Audience(audience::AudienceArgs),
    Import(import::ImportArgs),
    Ingest(ingest::IngestArgs),
    Deliver(deliver::DeliverArgs),
    Forecast(forecast::ForecastArgs),
}

impl BenchArgs {
    /// Refuses sizes that do not fit together; each of them may be right by itself.
    pub fn check(&self) -> Result<()> {
        match &self.what {
            What::Audience(audience) => audience.check(),
            What::Ingest(ingest) => ingest.check(),
            What::Deliver(deliver) => deliver.check(),
            What::Forecast(forecast) => forecast.check(),
            What::Tick(_) | What::Enroll(_) | What::Import(_) => Ok(()),
        }
    }
}

/// Measures, and prints the figures.
pub async fn run(args: BenchArgs, context: &Context) -> Result<ExitCode> {
    let sheet = match args.what {
        What::Tick(tick) => tick::run(tick, context).await?,
        What::Enroll(enroll) => enroll::run(enroll, context).await?,
        What::Audience(audience) => audience::run(audience, context).await?,
        What::Ingest(ingest) => ingest::run(ingest, context).await?,
        What::Import(import) => import::run(import, context).await?,
        What::Deliver(deliver) => deliver::run(deliver, context).await?,
        What::Forecast(forecast) => forecast::run(forecast, context).await?,
    };
    print!("{}", sheet.text(args.json)?);
    Ok(ExitCode::SUCCESS)
}
