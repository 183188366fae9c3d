//! `kith run`: the daemon.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Context;
use crate::app::{self, Options};
use crate::clock::Clock;
use crate::config::{Mode, Settings};
use crate::daemon::{Role, identity};
use crate::domain::id::IdSource;
use crate::{daemon, web};

/// Run the daemon: claim what is due, send it, take in what comes back, serve the page.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM or Ctrl-C drains: nothing more is claimed, what has begun is finished, then it leaves.

Examples:
  kith run
  DATABASE_URL=postgres://kith@db/kith KITH_DELIVERY__MODE=live kith run
  kith run --role worker
  kith run --role web")]
pub struct RunArgs {
    /// What it does
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// The same as --role worker
    #[arg(long, conflicts_with = "role")]
    no_web: bool,
}

/// Runs until a signal.
pub async fn run(args: RunArgs, context: &Context) -> Result<ExitCode> {
    let role = if args.no_web { Role::Worker } else { args.role };
    let counts = super::trace::metrics(&context.settings)?;
    let opened = context.open().await?;
    let journal = context.journal()?;
    let mode = opened.settings.delivery.mode;
    let clock = Clock::System;
    if !identity::check(&opened.pool, mode, Some(&journal), &context.ids, clock.now()).await? {
        warn!(
            "live mode is bound to another database than this copy: nothing is claimed until `kith brake off --live`"
        );
    }
    let app = app::build(
        opened.pool.clone(),
        Settings::clone(&opened.settings),
        Options {
            clock,
            ids: IdSource::Random,
            journal: Some(journal),
            roles: vec![role.as_str().to_owned()],
        },
    )
    .await?;
    let stop = CancellationToken::new();
    tokio::spawn(until_signal(stop.clone()));
    let mut servers = Vec::new();
    if role.serves() {
        let listen = &opened.settings.listen;
        let pages = web::WebState::new(app.deps.clone(), Some(counts));
        let public = TcpListener::bind(listen.public)
            .await
            .with_context(|| format!("listening on {}", listen.public))?;
        web::check_bind(&opened.pool, listen.admin).await?;
        let admin = TcpListener::bind(listen.admin)
            .await
            .with_context(|| format!("listening on {}", listen.admin))?;
        servers.push(tokio::spawn(web::serve(
            public,
            web::public_router(pages.clone()),
            stop.clone(),
        )));
        servers.push(tokio::spawn(web::serve(
            admin,
            web::admin_router(pages),
            stop.clone(),
        )));
        info!(public = %listen.public, admin = %listen.admin, "listening");
    }
    if mode != Mode::Sandbox {
        for what in placeholders(&opened.settings) {
            warn!("{what}");
        }
    }
    info!(mode = mode.as_str(), role = role.as_str(), "running");
    let ended = daemon::run(app.deps, role, stop).await;
    for server in servers {
        server.await??;
    }
    opened.close().await?;
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// What still says what was shipped, or leads nowhere, in messages that leave the machine.
fn placeholders(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    if settings.company.postal_address == "Your postal address" {
        found.push(
            "company.postal_address is the shipped placeholder; the law wants a real one under a mail"
                .to_owned(),
        );
    }
    if settings.company.name == "Your company" {
        found.push("company.name is the shipped placeholder".to_owned());
    }
    let public = &settings.listen.public_url;
    if !settings.listen.is_reachable() {
        found.push(format!(
            "listen.public_url is {public}: nobody else can follow a link or unsubscribe"
        ));
    }
    found
}

/// Cancels on the first SIGTERM or SIGINT.
pub async fn until_signal(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stop.cancel();
}
