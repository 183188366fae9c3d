//! The demo stays up: its pages are served, its clock waits to be moved.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::TimeDelta;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::ConnectOptions as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::stage::{DATABASE, Stage};
use crate::cli::Context;
use crate::daemon::Role;
use crate::daemon::lease::Lease;
use crate::domain::span::Span;
use crate::simulate::Simulation;
use crate::store::{self, control};
use crate::web;

/// How often the clock looks whether it has been asked to move, and responses are taken in.
const LOOK: Duration = Duration::from_millis(300);

/// The two listeners, taken before anything is played.
pub struct Doors {
    public: TcpListener,
    admin: TcpListener,
}

impl Doors {
    /// Takes the ports.
    pub async fn open(context: &Context) -> Result<Self> {
        let listen = &context.settings.listen;
        let bind = async |address| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("listening on {address}"))
        };
        Ok(Self {
            public: bind(listen.public).await?,
            admin: bind(listen.admin).await?,
        })
    }
}

/// Serves the pages until Ctrl-C, still on the simulated clock.
pub async fn stay(
    stage: Stage,
    mut simulation: Simulation,
    doors: Doors,
    counts: PrometheusHandle,
    stop: CancellationToken,
) -> Result<ExitCode> {
    let deps = stage.app.deps.clone();
    let at = doors.admin.local_addr()?;
    let lease = Lease::hold(deps.clone(), Role::All, stop.clone());
    let pages = web::WebState::new(deps.clone(), Some(counts));
    let servers = [
        tokio::spawn(web::serve(
            doors.public,
            web::public_router(pages.clone()),
            stop.clone(),
        )),
        tokio::spawn(web::serve(doors.admin, web::admin_router(pages), stop.clone())),
    ];
    let link = web::login_link(&deps, "operator", TimeDelta::hours(12)).await?;
    println!("\n  The page is up: http://{at}{link}");
    println!(
        "  To ask on the command line: export DATABASE_URL='{}'",
        stage.options().to_url_lossy()
    );
    println!(
        "  The clock stands still at {}. `kith demo --advance 7d` moves it. Ctrl-C ends the demo.",
        deps.clock.now().format("%Y-%m-%d %H:%M")
    );
    while !stop.is_cancelled() {
        let now = deps.clock.now();
        let target = {
            let mut conn = deps.pool.acquire().await?;
            control::read(&mut conn).await?.simulated_target
        };
        match target.filter(|target| *target > now) {
            Some(target) => simulation.play(target, |_| {}).await?,
            // Somebody may have clicked a link of a message in the sandbox.
            None => simulation.settle_down(now).await?,
        }
        let mut conn = deps.pool.acquire().await?;
        control::simulated(&mut conn, Some(deps.clock.now())).await?;
        drop(conn);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    drop(simulation);
    lease.end().await?;
    for server in servers {
        server.await??;
    }
    stage.clear().await?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the demo that is up to move its clock, and waits until it has.
pub async fn advance(context: &Context, by: Span) -> Result<ExitCode> {
    let length = by.length();
    if length <= TimeDelta::zero() || length > TimeDelta::days(730) {
        bail!("--advance: more than nothing and at most 730d");
    }
    let options = context
        .server
        .join(context.settings.database.data_dir.clone())
        .await?;
    let pool = store::connect(options.database(DATABASE), 1)
        .await
        .context("no demo is up: `kith demo` starts one")?;
    let mut conn = pool.acquire().await?;
    let control = control::read(&mut conn).await?;
    let Some(now) = control.simulated_now else {
        bail!("no demo is up: `kith demo` starts one")
    };
    let target = now + length;
    control::ask_simulated(&mut conn, Some(target)).await?;
    loop {
        let at = control::read(&mut conn).await?.simulated_now.unwrap_or(now);
        if at >= target {
            println!("It is {} now.", at.format("%Y-%m-%d %H:%M"));
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    drop(conn);
    pool.close().await;
    context.server.leave().await?;
    Ok(ExitCode::SUCCESS)
}
