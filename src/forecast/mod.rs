//! Forecast: runs the engine's services ahead of time over shadow tables, and says who would get what, and when.
//!
//! One connection of its own shadows the tables that the engine writes with temp tables of the same names (`pg_temp` is searched
//! first), so the very same statements run and the live daemon waits for nothing. While that has work due, the forecast rests
//! most of its time, so that it does not take the processor from it either. Silence is assumed: nobody answers.

mod courtesy;

use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use self::courtesy::Courtesy;
use crate::channel::task::TaskChannel;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::pace::SenderPace;
use crate::domain::cadence::ChannelKind;
use crate::domain::id::IdSource;
use crate::domain::token::TokenKey;
use crate::engine::dispatch::Dispatcher;
use crate::engine::journal::Journal;
use crate::engine::links::LinkDesk;
use crate::engine::rules::Rules;
use crate::engine::{Channels, Deps, Parts, enroll, next_due, run_until_idle};
use crate::store::daemon::Process;
use crate::store::{control, daemon, shadow};

/// The least that the imagined time moves on.
const STEP: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// A touch that would go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// When.
    pub at: DateTime<Utc>,
    /// The person's own date then.
    pub local_date: chrono::NaiveDate,
    /// The person, as the source calls him.
    pub contact: String,
    /// His name.
    pub name: String,
    /// Cadence by name.
    pub cadence: String,
    /// Step by key.
    pub step: String,
    /// email, sms, task
    pub channel: String,
    /// Template by name.
    pub template: String,
}

/// Runs the engine from `now` for `days` and returns what it would hand over, in order of time.
pub async fn run(
    options: PgConnectOptions,
    settings: Arc<Settings>,
    now: DateTime<Utc>,
    days: u32,
) -> Result<Vec<Planned>> {
    // A forecast writes to nobody, and the digest's table is not shadowed.
    let mut settings = Settings::clone(&settings);
    settings.digest.enabled = false;
    // What would be planned, not how fast a server lets it go; and no forecast takes grants from the living.
    settings.pace.lift();
    for sender in &mut settings.senders {
        sender.pace = SenderPace::default();
    }
    let settings = Arc::new(settings);
    let courtesy = Arc::new(Courtesy::from(now));
    let giving_way = courtesy.clone();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .before_acquire(move |conn, _| {
            let courtesy = giving_way.clone();
            Box::pin(async move { courtesy.give_way(conn).await.map(|()| true) })
        })
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .context("opening the forecast's connection")?;
    let clock = Clock::manual(now);
    let mut conn = pool.acquire().await?;
    shadow::plan_anew(&mut conn).await?;
    for table in shadow::tables() {
        shadow::cast(&mut conn, table)
            .await
            .with_context(|| format!("shadowing the table {table}"))?;
        courtesy.give_way(&mut conn).await?;
    }
    let rules = Rules::load(&mut conn).await?;
    let keys = control::read(&mut conn).await?;
    // The brake and the mode stop messages, not plans.
    control::brake(&mut conn, false, "forecast", "forecast", now).await?;
    let ids = IdSource::Random;
    let id: Uuid = ids.next(now);
    let process = Process {
        host: "forecast",
        pid: 0,
        roles: &[],
        version: env!("CARGO_PKG_VERSION"),
        mode: settings.delivery.mode,
    };
    let incarnation = daemon::register(&mut conn, id, &process).await?;
    drop(conn);
    let deps = Arc::new(Deps::new(Parts {
        pool: pool.clone(),
        clock: clock.clone(),
        ids: Arc::new(ids),
        channels: imagined(&settings),
        links: LinkDesk::new(TokenKey::new(&keys.token_key), &settings.listen.public_url),
        settings,
        journal: Journal::none(),
        rules,
        incarnation,
    }));
    let until = now + chrono::TimeDelta::days(i64::from(days));
    let mut dispatcher = Dispatcher::new(deps.clone());
    enroll::catch_up(&deps, now).await?;
    let mut at = now;
    loop {
        run_until_idle(&deps, &mut dispatcher, at).await?;
        let next = next_due(&deps, at).await?.unwrap_or(until);
        at = next.max(at + STEP);
        if at >= until {
            break;
        }
        clock.set(at)?;
    }
    let mut conn = pool.acquire().await?;
    let rows = shadow::handed_over(&mut conn, now).await?;
    drop(conn);
    drop(dispatcher);
    let planned = rows
        .into_iter()
        .map(|row| Planned {
            at: row.at,
            local_date: crate::domain::zone::local_date(row.at, deps.zone_of(row.timezone.as_deref())),
            contact: row.external_id,
            name: row.name,
            cadence: row.cadence,
            step: row.step_key,
            channel: row.channel,
            template: row.template,
        })
        .collect();
    // The shadows go with their connection.
    pool.close().await;
    Ok(planned)
}

/// Ways out that only note that something went.
fn imagined(settings: &Settings) -> Channels {
    let mut channels = Channels::default();
    for sender in &settings.senders {
        channels.add(sender.channel(), &sender.name, Arc::new(TaskChannel));
    }
    channels.add(ChannelKind::Task, "owner", Arc::new(TaskChannel));
    channels
}
