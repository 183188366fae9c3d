//! All SQL: one file per noun, one function per statement; the caller passes the connection.
//!
//! Every table lives in the schema `kith`. SQL names tables unqualified: the role's own `search_path` in this database
//! finds them, so that nothing depends on the state of a session (a pooler in transaction mode is fine).

pub mod admin;
pub mod audience;
pub mod audience_change;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod body;
pub mod chaos;
mod condition;
pub mod contact;
pub mod control;
pub mod crossing;
pub mod daemon;
pub mod decision;
pub mod digest;
pub mod document;
pub mod enrollment;
pub mod entrant;
pub mod event;
pub mod facts;
pub mod grant;
pub mod grievance;
pub mod lead;
pub mod link;
pub mod outcome;
pub mod owner;
pub mod partition;
pub mod person;
pub mod purchase;
pub mod queue;
pub mod recipient;
pub mod recover;
pub mod report;
pub mod sandbox;
pub mod sender_state;
pub mod session;
pub mod shadow;
pub mod simulation;
pub mod staging;
pub mod standing;
pub mod status;
pub mod story;
pub mod suppression;
pub mod tally;
pub mod task;
pub mod today;
pub mod token;
pub mod touch;
pub mod uncertain;
pub mod user;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::time::{Instant, timeout_at};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const MIGRATION_TABLE: &str = "kith._sqlx_migrations";
const SEARCH_PATH: &str = "kith, public";
/// What the role is set to in this database. Settings of the role, not of a session: they hold behind a pooler too. A daemon
/// that stands still while it holds a transaction loses it, and its locks, before others have waited long.
const ROLE_SETTINGS: [(&str, &str); 3] = [
    ("search_path", SEARCH_PATH),
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "10s"),
];
/// One process at a time migrates a database. The number is arbitrary and belongs to kith.
const MIGRATION_LOCK: i64 = 0x006b_6974_685f_6d67;
static CONNECTIONS_MADE: AtomicU64 = AtomicU64::new(0);
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a database may take to answer for the first time.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What the store answers when a statement could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused, or could not be reached.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// Nothing answers where the database should be.
    #[error("no database answers at {place} within {seconds} s: {why}")]
    Unreachable {
        /// Host and port, or the directory of the socket.
        place: String,
        /// How long was waited.
        seconds: u64,
        /// What the last try found.
        why: String,
    },
    /// A migration failed. The database is as it was before that migration.
    #[error("migration: {0}")]
    Migration(#[source] MigrateError),
    /// What was to be written, or was read, has not the form it must have.
    #[error("stored form: {0}")]
    Decode(String),
    /// The database was migrated by a newer kith.
    #[error(
        "the database has schema version {found}, and this kith knows versions up to {known}: \
         run the newer kith, or restore a backup of before the upgrade"
    )]
    SchemaTooNew {
        /// The version in the database.
        found: i64,
        /// The newest version of this program.
        known: i64,
    },
    /// The database has not been migrated to this program's version.
    #[error("the database has schema version {found}, and this kith needs {needed}: run `kith migrate`")]
    SchemaTooOld {
        /// The version in the database; 0 when it is empty.
        found: i64,
        /// The version this program needs.
        needed: i64,
    },
}

impl StoreError {
    /// Whether the database refuses the data themselves, so that trying again cannot help: not a lost connection, a lock, a
    /// full disk or a server that is only a standby.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Decode(_) => true,
            Self::Sql(sqlx::Error::Database(error)) => error
                .code()
                // Data exception, cardinality, integrity, limit exceeded.
                .is_some_and(|code| {
                    ["21", "22", "23", "54"]
                        .iter()
                        .any(|class| code.starts_with(class))
                }),
            _ => false,
        }
    }
}

/// Opens a pool, and proves by one connection that the database can be reached. One that refuses or says nothing is given a
/// few seconds, as it may be starting.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> Result<PgPool, StoreError> {
    reach(&options).await?;
    Ok(lazily(options, max_connections))
}

/// One connection of its own to the database of a pool, for what must not wait for the others.
pub fn aside(pool: &PgPool) -> PgPool {
    lazily((*pool.connect_options()).clone(), 1)
}

fn lazily(options: PgConnectOptions, max_connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_PATIENCE)
        .after_connect(|_, _| {
            CONNECTIONS_MADE.fetch_add(1, Ordering::AcqRel);
            Box::pin(async { Ok(()) })
        })
        .connect_lazy_with(options)
}

async fn reach(options: &PgConnectOptions) -> Result<(), StoreError> {
    let deadline = Instant::now() + FIRST_PATIENCE;
    let mut why = "no answer".to_owned();
    while let Ok(reached) = timeout_at(deadline, PgConnection::connect_with(options)).await {
        match reached {
            Ok(connection) => return Ok(connection.close().await?),
            Err(error) if may_be_starting(&error) => why = error.to_string(),
            Err(error) => return Err(error.into()),
        }
        if timeout_at(deadline, tokio::time::sleep(FIRST_PAUSE))
            .await
            .is_err()
        {
            break;
        }
    }
    Err(StoreError::Unreachable {
        place: place(options),
        seconds: FIRST_PATIENCE.as_secs(),
        why,
    })
}

fn may_be_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // cannot_connect_now: it starts up, recovers or shuts down.
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Where a database is, without who asks for what.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// How many connections this process has made so far. While it stays the same, the server did not restart or change hands
/// behind our back, since that ends every connection.
pub fn connections_made() -> u64 {
    CONNECTIONS_MADE.load(Ordering::Acquire)
}

/// Brings the schema to this program's version. Several processes may ask at once; one works, the others wait.
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    // A connection of its own: it holds a session lock, which must end with it whatever happens.
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    // What is there already is no news; warnings are still told.
    sqlx::query("select set_config('client_min_messages', 'warning', false)")
        .execute(&mut connection)
        .await?;
    sqlx::query("select set_config(name, '0', false) from unnest(array['lock_timeout', 'idle_in_transaction_session_timeout']) as s (name)")
        .execute(&mut connection)
        .await?;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut connection)
        .await?;
    let found = schema_version(&mut connection).await?;
    if found > known_version() {
        return Err(StoreError::SchemaTooNew {
            found,
            known: known_version(),
        });
    }
    let settled = settle_role(&mut connection).await?;
    sqlx::query("select set_config('search_path', $1, false)")
        .bind(SEARCH_PATH)
        .execute(&mut connection)
        .await?;
    let migrator = Migrator {
        migrations: MIGRATIONS.migrations.clone(),
        table_name: MIGRATION_TABLE.into(),
        ..Migrator::DEFAULT
    };
    // `run` would make this future impossible to spawn: its `Acquire` bound is not general enough for `Send`.
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(StoreError::Migration)?;
    connection.close().await?;
    if !settled {
        // Sessions opened before now do not have the role's new setting.
        while let Some(idle) = pool.try_acquire() {
            idle.close().await?;
        }
    }
    Ok(())
}

/// Checks that the database's schema is the one this program was built for.
pub async fn check_schema(pool: &PgPool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let (found, known) = (schema_version(&mut connection).await?, known_version());
    match found.cmp(&known) {
        std::cmp::Ordering::Greater => Err(StoreError::SchemaTooNew { found, known }),
        std::cmp::Ordering::Less => Err(StoreError::SchemaTooOld { found, needed: known }),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// Checks that the schema has not become newer than this program while it runs: a newer kith is being put in its place. One
/// that is older is none of a running program's business.
pub async fn check_not_outdated(conn: &mut PgConnection) -> Result<(), StoreError> {
    let (found, known) = (schema_version(conn).await?, known_version());
    if found > known {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    Ok(())
}

/// The newest migration in this program; 0 without any.
pub fn known_version() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

/// The newest migration in the database; 0 without any.
pub async fn schema_version(connection: &mut PgConnection) -> Result<i64, StoreError> {
    let table: Option<String> = sqlx::query_scalar("select to_regclass($1)::text")
        .bind(MIGRATION_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if table.is_none() {
        return Ok(0);
    }
    let version =
        sqlx::query_scalar("select coalesce(max(version), 0) from kith._sqlx_migrations where success");
    Ok(version.fetch_one(connection).await?)
}

/// Makes the schema and settles this role's settings in this database. True when they were so already.
async fn settle_role(connection: &mut PgConnection) -> Result<bool, StoreError> {
    sqlx::query("create schema if not exists kith")
        .execute(&mut *connection)
        .await?;
    let mut settled = true;
    for (name, value) in ROLE_SETTINGS {
        let set: bool = sqlx::query_scalar(
            "select exists (
                 select from pg_db_role_setting s
                 join pg_database d on d.oid = s.setdatabase
                 join pg_roles r on r.oid = s.setrole
                 where d.datname = current_database() and r.rolname = current_user
                   and $1 || '=' || $2 = any (s.setconfig))",
        )
        .bind(name)
        .bind(value)
        .fetch_one(&mut *connection)
        .await?;
        if set {
            continue;
        }
        settled = false;
        // A list of schemas is not one quoted name.
        let value = if name == "search_path" {
            value.to_owned()
        } else {
            format!("'{value}'")
        };
        let statement: String = sqlx::query_scalar(
            "select format('alter role %I in database %I set %I = %s', current_user, current_database(), $1, $2)",
        )
        .bind(name)
        .bind(value)
        .fetch_one(&mut *connection)
        .await?;
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await?;
    }
    Ok(settled)
}

/// This transaction takes its time: it may stand still and wait for locks for as long as it must. For imports, backups and
/// restores, which hold nothing that sending needs.
pub async fn unhurried(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        select set_config('idle_in_transaction_session_timeout', '0', true) as idle,
               set_config('lock_timeout', '0', true) as lock
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
