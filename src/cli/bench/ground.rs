//! The ground of a benchmark: a database of its own, people in it, the rules in force.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Days, TimeDelta, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tempfile::{Builder, TempDir};
use uuid::Uuid;

use crate::app::{self, App, Options};
use crate::cli::Context;
use crate::cli::apply::put_in_force;
use crate::cli::own_database::OwnDatabase;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::id::IdSource;
use crate::engine::Deps;
use crate::engine::journal::trail;
use crate::store::{self, bench, control};

/// What [`Ground::load`] fills.
const LOADED: [&str; 5] = ["account", "contact", "contact_ref", "lead", "lead_contact"];
/// From so many enrollments on their indexes are made afterwards.
const MANY: i64 = 500_000;

/// How long a session may take to come back that somebody has just used.
const BACK: Duration = Duration::from_secs(1);

/// The application name of this process's sessions, to tell them from others'.
pub const OURS: &str = "kith-bench";

/// A Tuesday of no holiday, half past ten in Shanghai: marketing may go out.
pub fn business_time() -> Result<DateTime<Utc>> {
    DateTime::from_timestamp(1_804_559_400, 0).context("the business time of benchmarks")
}

/// The ground.
pub struct Ground {
    /// Connections.
    pub pool: PgPool,
    /// Business time when it was made.
    pub begin: DateTime<Utc>,
    /// Where its engine keeps the trail of its crossings, as every daemon does: beside the data of the server, whose disk it then
    /// shares. Gone with the ground.
    journal: TempDir,
    database: OwnDatabase,
}

impl Ground {
    /// Makes the database and puts the rules of the context in force.
    pub async fn make(context: &Context, bench: &str) -> Result<Self> {
        let begin = business_time()?;
        let Some(database) = OwnDatabase::make(context, &format!("kith_bench_{bench}")).await? else {
            bail!("another `kith bench {bench}` is running on this server");
        };
        let journal = Builder::new()
            .prefix("bench-journal-")
            .tempdir_in(context.state_dir()?)
            .or_else(|_| tempfile::tempdir())?;
        let options = database.options.clone().application_name(OURS);
        let pool = store::connect(options, context.settings.database.max_connections).await?;
        store::migrate(&pool).await?;
        put_in_force(context, &pool, "bench", begin, &IdSource::Random).await?;
        let mut conn = pool.acquire().await?;
        control::simulated(&mut conn, Some(begin)).await?;
        drop(conn);
        Ok(Self {
            pool,
            begin,
            journal,
            database,
        })
    }

    /// Lets this process's sessions tell of what they have done; by themselves they do so only now and then. They live on with
    /// all that they have prepared.
    pub async fn tell(&self) -> Result<()> {
        let started = Instant::now();
        // One that was let go a moment ago is on its way.
        while self.pool.num_idle() < self.pool.size() as usize && started.elapsed() < BACK {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut idle = Vec::new();
        while let Some(mut session) = self.pool.try_acquire() {
            bench::tell(&mut session).await?;
            idle.push(session);
        }
        Ok(())
    }

    /// Rows written so far, once this process's sessions have told of theirs.
    pub async fn rows_written(&self) -> Result<i64> {
        self.tell().await?;
        let mut conn = self.pool.acquire().await?;
        Ok(bench::rows_written(&mut conn).await?)
    }

    /// The engine over it, on a clock that stands still.
    pub async fn app(&self, settings: Settings, clock: Clock) -> Result<App> {
        let options = Options {
            clock,
            ids: IdSource::Random,
            journal: Some(self.journal.path().to_owned()),
            roles: vec!["all".to_owned()],
        };
        app::build(self.pool.clone(), settings, options).await
    }

    /// Loads so many people, and with `leads` an open B lead for each.
    pub async fn load(&self, people: i64, leads: bool) -> Result<()> {
        let started = Instant::now();
        let mut conn = self.pool.acquire().await?;
        let (birthdays_from, known_since) = (
            self.begin.date_naive() + Days::new(40),
            self.begin - TimeDelta::days(30),
        );
        let indexes = bench::drop_indexes(&mut conn, &LOADED).await?;
        bench::people(&mut conn, people, birthdays_from, known_since).await?;
        if leads {
            bench::leads(&mut conn, people, known_since).await?;
        }
        bench::make_indexes(&mut conn, &indexes).await?;
        eprintln!(
            "  loaded {people} people in {:.0} s",
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Enrolls the people `from..=to` in a step of `b-to-a`, the first at an instant and the others over so many days after it.
    pub async fn enroll(
        &self,
        deps: &Deps,
        people: std::ops::RangeInclusive<i64>,
        first_at: DateTime<Utc>,
        over_days: i32,
    ) -> Result<()> {
        let (cadence, step) = ("b-to-a", "value");
        let version: Uuid = deps
            .rules()
            .current()
            .find(|(_, found)| found.name == cadence && found.step(step).is_some())
            .map(|(version, _)| version)
            .context(
                "benchmarks use the step `value` of the cadence `b-to-a`, which the rules do not have",
            )?;
        let at = bench::Standing {
            cadence,
            version,
            step,
            first_at,
            over_days,
        };
        let mut conn = self.pool.acquire().await?;
        let indexes = if people.end() - people.start() >= MANY {
            bench::drop_indexes(&mut conn, &["enrollment"]).await?
        } else {
            Vec::new()
        };
        bench::enroll(&mut conn, *people.start(), *people.end(), at).await?;
        bench::make_indexes(&mut conn, &indexes).await?;
        Ok(())
    }

    /// Lets the database clean up behind what was planned and know its new rows.
    pub async fn tidy(&self) -> Result<()> {
        let mut conn = self.pool.acquire().await?;
        Ok(bench::tidy(&mut conn).await?)
    }

    /// Lets the database settle down after a load.
    pub async fn settle(&self) -> Result<()> {
        let started = Instant::now();
        let mut conn = self.pool.acquire().await?;
        bench::settle(&mut conn).await?;
        let bytes = bench::size(&mut conn).await?;
        eprintln!(
            "  settled in {:.0} s; the database has {} MB",
            started.elapsed().as_secs_f64(),
            bytes / 1_000_000
        );
        Ok(())
    }

    /// The address of the database, for another process of this user.
    pub fn url(&self) -> String {
        let options: &PgConnectOptions = &self.database.options;
        let socket = options
            .get_socket()
            .map(|s| s.display().to_string())
            .unwrap_or_default();
        format!(
            "postgres://{}@localhost:{}/{}?host={socket}",
            options.get_username(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        )
    }

    /// Bytes of the trail on the disk; the oldest of a long one are gone.
    pub fn trail_bytes(&self) -> Result<u64> {
        trail::files(self.journal.path())?
            .iter()
            .try_fold(0, |sum, path| Ok(sum + path.metadata()?.len()))
    }

    /// Drops it.
    pub async fn clear(self) -> Result<()> {
        self.pool.close().await;
        self.database.drop().await?;
        self.journal.close().context("removing the journal")
    }
}
