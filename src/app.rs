//! Builds the parts from the configuration, starts the services and stops them in order.

pub mod inbox;
pub mod ways;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use sqlx::PgPool;

use crate::clock::Clock;
use crate::config::{Mode, Settings};
use crate::daemon::lease;
use crate::domain::id::IdSource;
use crate::domain::token::TokenKey;
use crate::engine::journal::Journal;
use crate::engine::links::LinkDesk;
use crate::engine::rules::Rules;
use crate::engine::{Channels, Deps, Parts};
use crate::store::{control, partition};

use self::ways::Sandbox;

/// What a process needs to hand messages over.
pub struct App {
    /// What every service works with.
    pub deps: Arc<Deps>,
    /// The sandbox, where messages go that must not leave the machine.
    pub sandbox: Option<Sandbox>,
}

/// How an app is built.
pub struct Options {
    /// Business time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdSource,
    /// The folder of the journal; `None` keeps none.
    pub journal: Option<PathBuf>,
    /// What this incarnation does: `all`, or `worker` (it sends and serves nothing).
    pub roles: Vec<String>,
}

/// Opens the ways out, loads the rules and registers this process as an incarnation.
///
/// In live mode the database must be the one live mode was bound to: a copy of it must not write to people again.
pub async fn build(pool: PgPool, settings: Settings, options: Options) -> Result<App> {
    let settings = Arc::new(settings);
    let now = options.clock.now();
    let mut conn = pool.acquire().await?;
    partition::ensure(&mut conn, now).await?;
    let control = control::read(&mut conn).await?;
    let rules = Rules::load(&mut conn)
        .await
        .context("loading the rules in force")?;
    let id = options.ids.next(now);
    let mode = settings.delivery.mode;
    let incarnation = lease::register(&mut conn, id, &options.roles, mode).await?;
    drop(conn);
    let sandbox = match settings.delivery.mode {
        Mode::Sandbox => Some(Sandbox::start(pool.clone(), options.clock.clone()).await?),
        Mode::Rehearsal | Mode::Live => None,
    };
    let channels: Channels = ways::channels(&settings, sandbox.as_ref(), &options.clock)?;
    let deps = Arc::new(Deps::new(Parts {
        pool,
        clock: options.clock,
        ids: Arc::new(options.ids),
        links: LinkDesk::new(TokenKey::new(&control.token_key), &settings.listen.public_url),
        settings,
        channels,
        journal: options.journal.map_or_else(Journal::none, |folder| {
            Journal::at(folder, id, control.database_id)
        }),
        rules,
        incarnation,
    }));
    let replayed = deps.journal.replay(&deps.pool, &deps.clock).await?;
    if replayed > 0 {
        tracing::warn!(outcomes = replayed, "outcomes from the journal were written");
    }
    Ok(App { deps, sandbox })
}
