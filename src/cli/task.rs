//! `kith task`: one task is done, put off or handed over.

use std::process::ExitCode;

use anyhow::Result;
use chrono::NaiveDate;
use clap::{Args, Subcommand};

use super::Context;
use super::context::{actor, refused};
use crate::domain::zone::day_start;
use crate::engine::tasks::{self, Act, Acted};

/// Finish a task, put it off, or hand it over
#[derive(Debug, Args)]
#[command(after_help = "\
ID is an id of `kith tasks`, or the beginning of one. Finishing a service task closes the complaint behind it.

Examples:
  kith task done 0199a5c2 --outcome 'Called, wants a quote'
  kith task snooze 0199a5c2 --until 2027-03-01
  kith task hand-over 0199a5c2 --to li@example.com")]
pub struct TaskArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// It is done
    #[command(after_help = "Examples:\n  kith task done 0199a5c2 --outcome 'Called, wants a quote'")]
    Done {
        /// The task
        id: String,
        /// What came of it
        #[arg(long, default_value = "done")]
        outcome: String,
    },
    /// Put it off
    #[command(after_help = "Examples:\n  kith task snooze 0199a5c2 --until 2027-03-01")]
    Snooze {
        /// The task
        id: String,
        /// Until this day
        #[arg(long, value_name = "DATE")]
        until: NaiveDate,
    },
    /// Give it to a colleague
    #[command(after_help = "Examples:\n  kith task hand-over 0199a5c2 --to li@example.com")]
    HandOver {
        /// The task
        id: String,
        /// External id or mail address of the new owner
        #[arg(long, value_name = "OWNER")]
        to: String,
    },
}

/// Does it.
pub async fn run(args: TaskArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let (id, act) = match args.what {
        What::Done { id, outcome } => (id, Act::Done { outcome }),
        What::Snooze { id, until } => {
            let until = day_start(until, context.settings.company.timezone);
            if until <= now {
                return refused("--until: a day to come");
            }
            (id, Act::Snooze { until })
        }
        What::HandOver { id, to } => (id, Act::HandOver { to }),
    };
    let mut tx = opened.pool.begin().await?;
    let acted = tasks::act(&mut tx, &id, &act, &actor(), now).await?;
    tx.commit().await?;
    opened.close().await?;
    match acted {
        Acted::Done(title) => {
            println!("{title}: {act}");
            Ok(ExitCode::SUCCESS)
        }
        Acted::Unknown => refused(format!(
            "no task, or several, begin with {id:?}: see `kith tasks`"
        )),
        Acted::Closed => refused("the task is closed already"),
        Acted::NoSuchOwner => refused("--to: no owner has that external id or mail address"),
    }
}
