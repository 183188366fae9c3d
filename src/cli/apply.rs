//! `kith apply`: put the configuration and the templates in force.

use std::io::Write;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use sqlx::PgConnection;

use crate::domain::id::IdSource;
use crate::engine::apply::{self, Refused};

/// Options of `kith apply`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    kith apply --dry-run\n  \
    kith apply --config config --templates templates\n  \
    kith apply --move b-to-a")]
pub struct ApplyArgs {
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Move the live enrollments of this cadence to its newest version, where their step still exists
    #[arg(long = "move", value_name = "CADENCE")]
    pub moves: Vec<String>,
    /// Directory of kith.toml, cadences, calendars, grading and retention
    #[arg(long, value_name = "DIR", default_value = "config")]
    pub config: PathBuf,
    /// Directory of the templates
    #[arg(long, value_name = "DIR", default_value = "templates")]
    pub templates: PathBuf,
}

/// What the command needs from outside.
pub struct ApplyContext<'a> {
    /// A connection of its own.
    pub connection: &'a mut PgConnection,
    /// Business time.
    pub now: DateTime<Utc>,
    /// Where new ids come from.
    pub ids: &'a IdSource,
    /// Who applies, for the audit.
    pub actor: &'a str,
}

/// What became of it, for the exit code: done is 0, refused is 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// In force (or shown).
    Done,
    /// The input was refused; nothing changed.
    Refused,
}

/// Runs the command, telling what it does on `out` and what is wrong on `err`.
pub async fn run(
    args: &ApplyArgs,
    context: ApplyContext<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ApplyOutcome> {
    let checked = match apply::check(&args.config, &args.templates) {
        Ok(checked) => checked,
        Err(problems) => {
            for problem in &problems {
                writeln!(err, "{problem}")?;
            }
            writeln!(err, "refused: {} problems; nothing was changed", problems.len())?;
            return Ok(ApplyOutcome::Refused);
        }
    };
    let ApplyContext {
        connection,
        now,
        ids,
        actor,
    } = context;
    let applied = if args.dry_run {
        apply::plan(connection, &checked, now)
            .await
            .map(|diff| (diff, Vec::new()))
    } else {
        apply::apply(connection, &checked, &args.moves, actor, now, ids)
            .await
            .map(|done| (done.diff, done.moved))
    };
    let (diff, moved) = match applied {
        Ok(applied) => applied,
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => {
                writeln!(err, "{refused}\nrefused; nothing was changed")?;
                return Ok(ApplyOutcome::Refused);
            }
            None => return Err(error),
        },
    };
    write!(out, "{diff}")?;
    for moved in moved {
        writeln!(
            out,
            "{}: {} live enrollments moved to the newest version",
            moved.cadence, moved.enrollments
        )?;
        for behind in &moved.left {
            writeln!(
                out,
                "    stays behind: enrollment {} of contact {} is at `{}`, which is no more",
                behind.enrollment_id, behind.contact_id, behind.cursor
            )?;
        }
        if moved.left.len() as i64 == apply::write::MOST_LEFT {
            writeln!(out, "    (and perhaps more)")?;
        }
    }
    if args.dry_run {
        writeln!(out, "dry run: nothing was changed")?;
    }
    Ok(ApplyOutcome::Done)
}
