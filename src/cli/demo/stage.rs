//! The stage of the demo: a database of its own, the sample company in it, the rules in force, the sandbox up.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::DemoArgs;
use crate::app::{self, App, Options};
use crate::cli::Context;
use crate::cli::apply::put_in_force;
use crate::cli::own_database::OwnDatabase;
use crate::clock::Clock;
use crate::config::{Mode, Settings, Transport};
use crate::domain::address_hash::AddressKey;
use crate::domain::birthday::BirthdayRules;
use crate::domain::id::IdSource;
use crate::domain::zone::day_start;
use crate::engine::import::{self, ImportDeps, ImportOrder, Imported, Kind};
use crate::sample::SampleCompany;
use crate::store::tally::{self, Counts};
use crate::store::{self, control};

/// The name of the database of the demo that stays up; one that ends has a name of its own.
pub const DATABASE: &str = "kith_demo";
/// Seeds of the two id sources, told apart so that imported and engine ids never meet.
const IMPORT_IDS: u64 = 1 << 32;

/// Everything the demo plays on.
pub struct Stage {
    /// The engine with its sandbox.
    pub app: App,
    /// When it begins.
    pub begin: DateTime<Utc>,
    database: OwnDatabase,
    kept: bool,
}

impl Stage {
    /// Builds it.
    pub async fn build(args: &DemoArgs, context: &Context) -> Result<Self> {
        let say = |what: &str| {
            if !args.json {
                println!("  {what}");
            }
        };
        say("starting Postgres");
        let name = if args.exit {
            format!("{DATABASE}_{}", std::process::id())
        } else {
            DATABASE.to_owned()
        };
        let Some(database) = OwnDatabase::make(context, &name).await? else {
            bail!("a demo is up already; `kith demo --advance 7d` moves its clock, Ctrl-C there ends it");
        };
        let settings = demo_settings(&context.settings, args);
        let pool = store::connect(database.options.clone(), settings.database.max_connections).await?;
        store::migrate(&pool).await?;

        let zone = settings.company.timezone;
        let begin = day_start(args.start, zone);
        say(&format!("the sample company, as of {} {}", args.start, zone));
        load_sample(&pool, args, &settings, begin).await?;
        let ids = IdSource::seeded(args.seed);
        say("applying config/ and templates/");
        put_in_force(context, &pool, "demo", begin, &ids).await?;
        let mut conn = pool.acquire().await?;
        control::simulated(&mut conn, Some(begin)).await?;
        drop(conn);
        let app = app::build(
            pool,
            settings,
            Options {
                clock: Clock::manual(begin),
                ids,
                journal: None,
                roles: vec!["all".to_owned()],
            },
        )
        .await?;
        Ok(Self {
            app,
            begin,
            database,
            kept: !args.exit,
        })
    }

    /// How to open more connections.
    pub fn options(&self) -> &PgConnectOptions {
        &self.database.options
    }

    /// Open leads by grade, now.
    pub async fn grades(&self) -> Result<Counts> {
        let mut conn = self.app.deps.pool.acquire().await?;
        Ok(tally::grades(&mut conn).await?)
    }

    /// Takes everything down; the database of a demo that ends goes too.
    pub async fn clear(self) -> Result<()> {
        self.app.deps.pool.close().await;
        if self.kept {
            self.database.leave().await
        } else {
            self.database.drop().await
        }
    }
}

/// The settings as configured, but for what a demo must be: into the sandbox.
fn demo_settings(settings: &Arc<Settings>, args: &DemoArgs) -> Settings {
    let mut settings = Settings::clone(settings);
    settings.delivery.mode = Mode::Sandbox;
    for sender in &mut settings.senders {
        if let Transport::Email(email) = &mut sender.transport {
            email.smtp.max_connections = args.connections;
        }
    }
    settings
}

async fn load_sample(pool: &PgPool, args: &DemoArgs, settings: &Settings, now: DateTime<Utc>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let company = SampleCompany::generate(args.seed, args.start, settings.company.timezone);
    let files = company.write_csv(folder.path())?;
    let mut conn = pool.acquire().await?;
    let key = control::read(&mut conn).await?.address_key;
    drop(conn);
    let deps = ImportDeps {
        pool: pool.clone(),
        ids: Arc::new(IdSource::seeded(args.seed ^ IMPORT_IDS)),
        zone: settings.company.timezone,
        region: settings.company.region.clone(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(&key),
    };
    // What the company knew was known the day before.
    let imported_at = now - chrono::TimeDelta::days(1);
    for (name, path) in files {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .with_context(|| format!("the sample file {name}"))?;
        let order = ImportOrder {
            kind,
            path,
            source: "sample".to_owned(),
            dry_run: false,
        };
        match import::import(&deps, &order, imported_at, |_| {}).await? {
            Imported::Done(report) if report.refused == 0 => {}
            Imported::Done(report) => bail!("{} rows of the sample file {name} were refused", report.refused),
            Imported::FileRefused(refusal) => bail!("the sample file {name}: {}", refusal.reason),
            Imported::Busy => bail!("another import is running in this database"),
        }
    }
    Ok(())
}
