//! `kith apply`: the rules of config/ and templates/ are checked and put in force.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use sqlx::PgPool;

use super::context::actor;
use super::{Context, WRONG_USE};
use crate::config::{Problem, shipped};
use crate::domain::id::IdSource;
use crate::engine::apply::write::MOST_LEFT;
use crate::engine::apply::{self, Checked, Refused};
use crate::sample;

/// Check config/ and templates/ and put them in force
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is changed unless everything is sound. People who are in a cadence stay on the version they began with;
what its templates say follows the newest.

Examples:
  kith apply --dry-run                    check, and show what would change and for how many people
  kith apply
  kith apply --move b-to-a                also move those who are in the cadence to its new version")]
pub struct ApplyArgs {
    /// Check and show the difference; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Move live enrollments of this cadence to its newest version, where their step still exists
    #[arg(long = "move", value_name = "CADENCE")]
    pub moves: Vec<String>,
}

/// Applies the rules.
pub async fn run(args: ApplyArgs, context: &Context) -> Result<ExitCode> {
    let checked = match check(context)? {
        Ok(checked) => checked,
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            eprintln!("refused: {} problems; nothing was changed", problems.len());
            return Ok(ExitCode::from(WRONG_USE));
        }
    };
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut conn = opened.pool.acquire().await?;
    let applied = if args.dry_run {
        apply::plan(&mut conn, &checked, now)
            .await
            .map(|diff| (diff, Vec::new()))
    } else {
        apply::apply(&mut conn, &checked, &args.moves, &actor(), now, &context.ids)
            .await
            .map(|done| (done.diff, done.moved))
    };
    drop(conn);
    opened.close().await?;
    let (diff, moved) = match applied {
        Ok(applied) => applied,
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => {
                eprintln!("{refused}\nrefused; nothing was changed");
                return Ok(ExitCode::from(WRONG_USE));
            }
            None => return Err(error),
        },
    };
    print!("{diff}");
    for moved in moved {
        println!(
            "{}: {} live enrollments moved to the newest version",
            moved.cadence, moved.enrollments
        );
        for behind in &moved.left {
            println!(
                "    stays behind: enrollment {} of contact {} is at `{}`, which is no more",
                behind.enrollment_id, behind.contact_id, behind.cursor
            );
        }
        if moved.left.len() as i64 == MOST_LEFT {
            println!("    (and perhaps more)");
        }
    }
    if args.dry_run {
        println!("dry run: nothing was changed");
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the files of a context; what is not on the disk is taken as it was shipped.
fn check(context: &Context) -> Result<Result<Checked, Vec<Problem>>> {
    let unpacked = tempfile::tempdir()?;
    if context.config_dir.is_none() || context.templates_dir.is_none() {
        shipped::unpack(unpacked.path())?;
    }
    let dir = |given: &Option<PathBuf>, name: &str| -> PathBuf {
        given.clone().unwrap_or_else(|| unpacked.path().join(name))
    };
    let config = dir(&context.config_dir, "config");
    let templates = dir(&context.templates_dir, "templates");
    Ok(apply::check(Path::new(&config), Path::new(&templates)))
}

/// Puts the files of a context in force without a word, with the costs of the sample company, for the demo.
pub async fn put_in_force(
    context: &Context,
    pool: &PgPool,
    actor: &str,
    now: DateTime<Utc>,
    ids: &IdSource,
) -> Result<()> {
    let checked = match check(context)? {
        Ok(checked) => checked,
        Err(problems) => {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("config/ and templates/ were refused:\n{}", list.join("\n"));
        }
    };
    let mut conn = pool.acquire().await?;
    let checked = checked.with_retention(sample::state_costs)?;
    apply::apply(&mut conn, &checked, &[], actor, now, ids).await?;
    Ok(())
}
