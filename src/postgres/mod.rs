//! The embedded Postgres used when no database is configured: an installed Postgres, run on a directory of ours.
//!
//! It listens on a Unix socket only, behind a directory nobody else may enter, and syncs every commit. Several kith
//! processes may use one server; the last one to leave stops it. A server left behind by a killed kith is adopted by
//! the next start, and one directory never has two.

mod account;
mod binaries;
mod error;
mod layout;
mod server;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

pub use error::PostgresError;
pub use layout::default_data_dir;

use account::Account;
use binaries::Binaries;
use error::file;
use layout::Layout;
use server::Server;

const DATABASE: &str = "kith";
const LOCK_PATIENCE: Duration = Duration::from_mins(3);

/// How to run the embedded server.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// Where the data is; [`default_data_dir`] when not said.
    pub data_dir: Option<PathBuf>,
    /// Postgres settings by name, over kith's own (`max_connections`, `shared_buffers`, ..). They take effect when
    /// the server is started, not when a running one is adopted or shared.
    pub settings: Vec<(String, String)>,
}

/// A use of the embedded server. Dropping it leaves the server running for the next start; [`Embedded::stop`] ends it.
#[derive(Debug)]
pub struct Embedded {
    layout: Layout,
    server: Server,
    membership: File,
}

/// Starts the server of a directory, or adopts or shares the one that runs there. The first start creates the data.
pub async fn start(options: EmbeddedOptions) -> Result<Embedded, PostgresError> {
    if let Some((name, _)) = options.settings.iter().find(|(name, _)| !is_setting_name(name)) {
        return Err(PostgresError::BadSetting { name: name.clone() });
    }
    let base = match options.data_dir {
        Some(dir) => dir,
        None => default_data_dir()?,
    };
    let layout = Layout::new(&base)?;
    let account = Account::choose(&layout.data)?;
    layout.make_base(&account)?;
    let starting = layout.lock_start(LOCK_PATIENCE).await?;
    let server = match Server::find(&layout).await? {
        Some(running) => running,
        None => launch(&layout, &account, &options.settings).await?,
    };
    let membership = layout.join_users()?;
    create_database(&server).await?;
    drop(starting);
    tracing::info!(pid = server.pid(), dir = %layout.base.display(), "embedded Postgres is ready");
    Ok(Embedded {
        layout,
        server,
        membership,
    })
}

impl Embedded {
    /// How to reach kith's database on this server.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.server.options(DATABASE)
    }

    /// The directory given or chosen at the start.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.layout.base
    }

    /// The process id of the server.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.server.pid()
    }

    /// Leaves the server and stops it unless another kith process uses it. Close your pools first.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let stopping = self.layout.lock_start(LOCK_PATIENCE).await?;
        let (pid, last) = (self.server.pid(), self.layout.leave_users(&self.membership)?);
        if last {
            self.server.stop().await?;
        }
        tracing::info!(pid, stopped = last, "left the embedded Postgres");
        drop(stopping);
        Ok(())
    }

    /// Ends the server as a crash would, whoever uses it: no session is heard out and no checkpoint is written, so the next
    /// start recovers from the log.
    pub async fn crash(self) -> Result<(), PostgresError> {
        let starting = self.layout.lock_start(LOCK_PATIENCE).await?;
        self.server.crash().await?;
        drop(starting);
        Ok(())
    }
}

async fn launch(
    layout: &Layout,
    account: &Account,
    settings: &[(String, String)],
) -> Result<Server, PostgresError> {
    account.check_reaches(&layout.data)?;
    let binaries = binaries::find(&layout.data, layout.data_major()?)?;
    account.check_reaches(&binaries.program("postgres"))?;
    if layout.data_major()?.is_none() {
        create_data(layout, account, &binaries).await?;
    }
    layout.make_run(account)?;
    Server::spawn(layout, account, &binaries, settings).await
}

/// Peers are trusted because only the owner of the socket's directory can reach it.
async fn create_data(layout: &Layout, account: &Account, binaries: &Binaries) -> Result<(), PostgresError> {
    layout.make_incoming(account)?;
    let program = binaries.program("initdb");
    let mut command = account.command(&program);
    command.args([
        "-U",
        "kith",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-locale",
        "--no-instructions",
    ]);
    command
        .arg("-D")
        .arg(&layout.incoming)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .map_err(file("run", &program))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PostgresError::Initdb {
            dir: layout.incoming.clone(),
            output: said,
        });
    }
    layout.accept_incoming()
}

async fn create_database(server: &Server) -> Result<(), PostgresError> {
    let mut connection = PgConnection::connect_with(&server.options("postgres")).await?;
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !there {
        sqlx::query("create database kith")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

fn is_setting_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_name_only() {
        assert!(is_setting_name("shared_buffers") && is_setting_name("auto_explain.log_min_duration"));
        assert!(!is_setting_name("") && !is_setting_name("fsync=off") && !is_setting_name("-c"));
    }
}
