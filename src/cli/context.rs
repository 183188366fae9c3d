//! What every subcommand starts from: the configuration, and the database it names.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::Files;
use super::own_server::OwnServer;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::id::IdSource;
use crate::domain::retention::RetentionRules;
use crate::domain::token::TokenKey;
use crate::engine::journal::Journal;
use crate::engine::links::LinkDesk;
use crate::engine::rules::{NoRules, Rules};
use crate::engine::{Channels, Deps, Parts};
use crate::postgres;
use crate::store::queue::Incarnation;
use crate::store::{self, control};

/// Wrong use or input that is not taken: exit code 2, and the text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Says no to what was asked.
pub fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(Refused(why.into()).into())
}

/// What every subcommand starts from.
#[derive(Debug, Clone)]
pub struct Context {
    /// The configuration of this process.
    pub settings: Arc<Settings>,
    /// Directory of the rules; `None` = those built in.
    pub config_dir: Option<PathBuf>,
    /// Directory of the templates; `None` = those built in.
    pub templates_dir: Option<PathBuf>,
    /// Ids of what this process makes.
    pub ids: Arc<IdSource>,
    /// The embedded Postgres, where this process uses it.
    pub server: OwnServer,
}

impl Context {
    /// Reads the configuration.
    pub fn load(files: &Files) -> Result<Self> {
        let config_dir = files.config.clone().or_else(|| present("config"));
        let settings = Settings::load(config_dir.as_deref())?;
        Ok(Self {
            settings: Arc::new(settings),
            config_dir,
            templates_dir: files.templates.clone().or_else(|| present("templates")),
            ids: Arc::new(IdSource::Random),
            server: OwnServer::default(),
        })
    }

    /// Where this machine keeps what must not be lost while the database is away.
    pub fn state_dir(&self) -> Result<PathBuf> {
        match &self.settings.database.data_dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(postgres::default_data_dir()?),
        }
    }

    /// The folder of this machine's journal.
    pub fn journal(&self) -> Result<PathBuf> {
        Ok(self.state_dir()?.join("journal"))
    }

    /// Opens the database, whatever its schema: the one that is configured, else the embedded one.
    pub async fn reach(&self) -> Result<Opened> {
        let database = &self.settings.database;
        let (options, embedded): (PgConnectOptions, _) = if let Some(url) = &database.url {
            let parsed = url.resolve()?.parse();
            let options = parsed.map_err(|error| Refused(format!("the address of the database: {error}")))?;
            (options, false)
        } else {
            (self.server.join(database.data_dir.clone()).await?, true)
        };
        let pool = store::connect(options, database.max_connections)
            .await
            .context("the database cannot be reached")?;
        Ok(Opened {
            pool,
            settings: (*self.settings).clone(),
            embedded,
            server: self.server.clone(),
        })
    }

    /// Opens the database with this program's schema in it: an embedded one is migrated, another is only checked.
    pub async fn open(&self) -> Result<Opened> {
        let opened = self.reach().await?;
        if opened.embedded {
            store::migrate(&opened.pool).await?;
        } else {
            store::check_schema(&opened.pool).await?;
        }
        Ok(opened)
    }
}

fn present(dir: &str) -> Option<PathBuf> {
    Some(PathBuf::from(dir)).filter(|dir| dir.is_dir())
}

/// The database of this process.
#[derive(Debug)]
pub struct Opened {
    /// Connections.
    pub pool: PgPool,
    /// The configuration of this process.
    pub settings: Settings,
    /// It is the embedded one: none is configured.
    pub embedded: bool,
    server: OwnServer,
}

impl Opened {
    /// Where business time comes from: a simulated clock, where one is in force, stands where the daemon put it.
    pub async fn clock(&self) -> Result<Clock> {
        let mut conn = self.pool.acquire().await?;
        let control = control::read(&mut conn).await?;
        Ok(control.simulated_now.map_or(Clock::System, Clock::manual))
    }

    /// Business time.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(self.clock().await?.now())
    }

    /// The rules of retention in force; the shipped ones before anything was applied.
    pub async fn retention(&self) -> Result<RetentionRules> {
        let mut conn = self.pool.acquire().await?;
        match Rules::load(&mut conn).await {
            Ok(rules) => Ok(rules.retention),
            Err(error) if error.is::<NoRules>() => Ok(RetentionRules::shipped()?),
            Err(error) => Err(error),
        }
    }

    /// What the services need, for a command that uses one of them once and owns no work.
    pub async fn deps(&self, context: &Context, channels: Channels) -> Result<Deps> {
        let mut conn = self.pool.acquire().await?;
        let control = control::read(&mut conn).await?;
        let rules = Rules::load(&mut conn).await?;
        let clock = control.simulated_now.map_or(Clock::System, Clock::manual);
        Ok(Deps::new(Parts {
            pool: self.pool.clone(),
            clock,
            ids: context.ids.clone(),
            settings: context.settings.clone(),
            channels,
            links: LinkDesk::new(
                TokenKey::new(&control.token_key),
                &self.settings.listen.public_url,
            ),
            journal: Journal::none(),
            rules,
            incarnation: Incarnation {
                id: Uuid::nil(),
                epoch: 0,
            },
        }))
    }

    /// Closes the connections, and the embedded server unless others use it.
    pub async fn close(self) -> Result<()> {
        self.pool.close().await;
        self.server.leave().await
    }
}

/// Who does what this process does, as the audit names it.
pub fn actor() -> String {
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty());
    format!("cli:{}", name.as_deref().unwrap_or("unknown"))
}
