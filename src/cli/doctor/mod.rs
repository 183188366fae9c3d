//! `kith doctor`: why nothing goes out, and what else is wrong.

mod outside;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::clock::Clock;
use crate::config::Mode;
use crate::engine::doctor::{self, Diagnosis, Finding, Verdict, Why};

/// Say in one line why nothing goes out, then check everything it takes
#[derive(Debug, Args)]
#[command(after_help = "\
Checks database, clock, rules, each sender's server, the public URL, and the SPF, DKIM and DMARC records of each
sender domain. What cannot be asked is no failure. Exit code 1 when something is wrong.

Examples:
  kith doctor
  kith doctor --json
  kith doctor --offline          ask only the database")]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Ask only the database
    #[arg(long)]
    pub offline: bool,
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    why: Why,
    findings: Vec<Finding>,
}

/// Looks, and says what is wrong.
pub async fn run(args: DoctorArgs, context: &Context) -> Result<ExitCode> {
    let found = match inside(context).await {
        Ok(found) => found,
        // What stops everything is an answer here, not an accident.
        Err(error) => Diagnosis {
            why: Why {
                blocked: true,
                text: format!("The database cannot be used: {error:#}"),
            },
            findings: Vec::new(),
            leaves: context.settings.delivery.mode != Mode::Sandbox,
        },
    };
    let Diagnosis {
        why,
        mut findings,
        leaves,
    } = found;
    if !args.offline {
        findings.extend(outside::look(&context.settings, leaves).await);
    }
    let wrong = why.blocked || findings.iter().any(|f| f.verdict == Verdict::Wrong);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Report { why, findings })?);
    } else {
        println!("{}\n", why.text);
        for finding in &findings {
            println!("{finding}");
        }
    }
    Ok(ExitCode::from(u8::from(wrong)))
}

async fn inside(context: &Context) -> Result<Diagnosis> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let found = doctor::examine(&mut conn, &context.settings, Clock::System.now(), now).await?;
    drop(conn);
    opened.close().await?;
    Ok(found)
}
