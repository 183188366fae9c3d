//! `kith user`: people who log in to the pages.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};

use super::Context;
use super::context::{actor, refused};
use crate::domain::role::Role;
use crate::engine::access;
use crate::store::{StoreError, control};

/// Where a password may come from that is not typed.
const PASSWORD: &str = "KITH_USER_PASSWORD";
/// The shortest that is taken.
const SHORTEST: usize = 8;

/// Let people log in to the pages
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kith user add ann --role operator")]
pub struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add somebody, or give somebody another role and password
    #[command(after_help = "\
The password is read from KITH_USER_PASSWORD, else from the first line of stdin.

Examples:
  kith user add ann --role operator
  kith user add li --role rep --owner li@example.com < password.txt")]
    Add {
        /// Name to log in with
        name: String,
        /// What he may do
        #[arg(long, value_enum)]
        role: RoleArg,
        /// The owner he is, for a rep: external id or mail address
        #[arg(long, value_name = "OWNER")]
        owner: Option<String>,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything, the brake and the clock of a demo too
    Operator,
    /// Rules and reports
    Marketer,
    /// The team's people, tasks and reports
    Lead,
    /// Own people and tasks
    Rep,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Operator => Self::Operator,
            RoleArg::Marketer => Self::Marketer,
            RoleArg::Lead => Self::Lead,
            RoleArg::Rep => Self::Rep,
        }
    }
}

/// Adds somebody.
pub async fn run(args: UserArgs, context: &Context) -> Result<ExitCode> {
    let What::Add { name, role, owner } = args.what;
    if name.trim().is_empty() || name.len() > 100 || name.contains(char::is_control) {
        return refused("a name has between 1 and 100 characters");
    }
    let password = password()?;
    if password.chars().count() < SHORTEST {
        return refused(format!("a password has at least {SHORTEST} characters"));
    }
    let opened = context.open().await?;
    let now = opened.now().await?;
    let mut tx = opened.pool.begin().await?;
    let role = Role::from(role);
    let id = context.ids.next(now);
    match access::put_user(&mut tx, id, &name, role, &password, owner.as_deref(), now).await {
        Ok(()) => {}
        Err(error) if error.is::<StoreError>() => return Err(error),
        Err(error) => return refused(format!("{error:#}")),
    }
    let after = serde_json::json!({ "role": role.as_str() });
    let id = context.ids.next(now);
    control::audit(
        &mut tx,
        id,
        now,
        &actor(),
        "put-user",
        &format!("user:{name}"),
        Some(&after),
    )
    .await?;
    tx.commit().await?;
    opened.close().await?;
    println!("{name} may log in as {role}");
    Ok(ExitCode::SUCCESS)
}

fn password() -> Result<String> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        eprint!("Password: ");
        echo("-echo");
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if terminal {
        echo("echo");
        eprintln!();
    }
    read.context("reading the password")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Whether the terminal shows what is typed. Where it cannot be told, it is shown: better than no way in.
fn echo(setting: &str) {
    std::process::Command::new("stty").arg(setting).status().ok();
}
