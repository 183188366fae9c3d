//! The command line: one file per subcommand, its options and its run.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use or refused input, 3 the schema is newer than this program. Results go to stdout, everything else to stderr.

mod apply;
mod backup;
mod bench;
mod brake;
mod chaos;
mod context;
mod daemons;
mod demo;
mod doctor;
mod explain;
mod import;
mod log;
mod migrate;
pub mod output;
mod own_database;
mod own_server;
mod person;
mod plan;
mod preview;
mod recover;
mod report;
mod report_tables;
mod restore;
mod run;
mod sandbox;
mod send_test;
mod senders;
mod status;
mod task;
mod tasks;
mod token;
mod trace;
mod uncertain;
mod user;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::ConfigError;
use crate::store::StoreError;
pub use context::{Context, Opened, Refused};

/// Exit code for wrong use and refused input; clap uses the same.
const WRONG_USE: u8 = 2;
/// Exit code where the database was migrated by a newer kith: starting this one again is no use.
const OUTDATED: u8 = 3;

/// Keeps a company's people close: cadences by email, SMS and task beside Postgres, and lead grades that explain themselves.
#[derive(Debug, Parser)]
#[command(
    name = "kith",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  kith demo                               see it work: three months of a sample company
  kith import contacts contacts.csv       records in
  kith apply --dry-run                    check the rules in config/ and templates/
  kith run                                the daemon and its pages
  kith explain ann@example.com            one person's story

DATABASE_URL, or database.url in kith.toml, chooses the database; absent, kith starts a Postgres of its own.
Exit codes: 0 done, 1 failed, 2 wrong use or refused input, 3 the schema is newer than this program."
)]
pub struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(subcommand)]
    command: Command,
}

/// Where the files of the rules are.
#[derive(Debug, Clone, clap::Args)]
pub struct Files {
    /// Directory of kith.toml, cadences and calendars [default: config, where it exists, else what is built in]
    #[arg(long, global = true, value_name = "DIR", env = "KITH_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of the templates [default: templates, where it exists, else what is built in]
    #[arg(long, global = true, value_name = "DIR", env = "KITH_TEMPLATES")]
    pub templates: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Migrate(migrate::MigrateArgs),
    Apply(apply::ApplyArgs),
    Import(import::ImportArgs),
    Plan(plan::PlanArgs),
    Explain(explain::ExplainArgs),
    Preview(preview::PreviewArgs),
    SendTest(send_test::SendTestArgs),
    Log(log::LogArgs),
    Tasks(tasks::TasksArgs),
    Task(task::TaskArgs),
    Status(status::StatusArgs),
    Daemons(daemons::DaemonsArgs),
    Brake(brake::BrakeArgs),
    Senders(senders::SendersArgs),
    Report(report::ReportArgs),
    Sandbox(sandbox::SandboxArgs),
    Token(token::TokenArgs),
    User(user::UserArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Recover(recover::RecoverArgs),
    Uncertain(uncertain::UncertainArgs),
    Doctor(doctor::DoctorArgs),
    Bench(bench::BenchArgs),
    Chaos(chaos::ChaosArgs),
    Version(version::VersionArgs),
}

impl Cli {
    /// Refuses what the parser cannot: options of which each is right, and that do not go together.
    pub fn check(&self) -> Result<()> {
        match &self.command {
            Command::Bench(bench) => bench.check(),
            _ => Ok(()),
        }
    }
}

/// Parses the arguments of the process and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Another provider may only have been installed by whoever embeds the library, and then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kith: {error:#}");
            let refused = error
                .chain()
                .any(|cause| cause.is::<Refused>() || cause.is::<ConfigError>());
            let outdated = error
                .chain()
                .any(|cause| matches!(cause.downcast_ref(), Some(StoreError::SchemaTooNew { .. })));
            ExitCode::from(match (refused, outdated) {
                (true, _) => WRONG_USE,
                (false, true) => OUTDATED,
                (false, false) => 1,
            })
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    cli.check()?;
    let context = Context::load(&cli.files)?;
    trace::start(&context.settings.log, matches!(cli.command, Command::Run(_)))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?
        .block_on(conclude(cli.command, &context))
}

/// Does what a command says and leaves the embedded Postgres, also where the command failed or was interrupted.
async fn conclude(command: Command, context: &Context) -> Result<ExitCode> {
    let done = if matches!(command, Command::Run(_) | Command::Demo(_)) {
        // These end in order on a signal.
        dispatch(command, context).await
    } else {
        let stop = CancellationToken::new();
        tokio::spawn(run::until_signal(stop.clone()));
        tokio::select! {
            done = dispatch(command, context) => done,
            () = stop.cancelled() => Err(anyhow!("interrupted")),
        }
    };
    let left = context.server.leave().await;
    let code = done?;
    left?;
    Ok(code)
}

async fn dispatch(command: Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args, context).await,
        Command::Run(args) => run::run(args, context).await,
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Apply(args) => apply::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Plan(args) => plan::run(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Preview(args) => preview::run(args, context).await,
        Command::SendTest(args) => send_test::run(args, context).await,
        Command::Log(args) => log::run(args, context).await,
        Command::Tasks(args) => tasks::run(args, context).await,
        Command::Task(args) => task::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Daemons(args) => daemons::run(args, context).await,
        Command::Brake(args) => brake::run(args, context).await,
        Command::Senders(args) => senders::run(args, context).await,
        Command::Report(args) => report::run(args, context).await,
        Command::Sandbox(args) => sandbox::run(args, context).await,
        Command::Token(args) => token::run(args, context).await,
        Command::User(args) => user::run(args, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) => restore::run(args, context).await,
        Command::Recover(args) => recover::run(args, context).await,
        Command::Uncertain(args) => uncertain::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Bench(args) => bench::run(args, context).await,
        Command::Chaos(args) => chaos::run(args, context).await,
        Command::Version(args) => version::run(args, context).await,
    }
}
