//! Why the embedded Postgres could not serve. Each text says what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the embedded Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No Postgres installation was found.
    #[error(
        "no Postgres {minimum} or newer was found{seen}. Install it (`apt-get install postgresql`, \
         `brew install postgresql@17`), or point KITH_PG_BIN at the directory that holds `initdb` and `postgres`, \
         or set DATABASE_URL to a database of yours"
    )]
    NotFound {
        /// The oldest major version that serves.
        minimum: u32,
        /// Installations that were seen and are too old, ready to print; empty when there are none.
        seen: String,
    },
    /// `KITH_PG_BIN` names a directory without usable binaries.
    #[error("KITH_PG_BIN={dir}: {why}")]
    BadBinaries {
        /// The directory named.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The data was made by a major version whose binaries are gone.
    #[error(
        "the data in {dir} was made by Postgres {major}, and Postgres {major} is not installed any more \
         (found: {found}). Install it again (`apt-get install postgresql-{major}`), point KITH_PG_BIN at its `bin` \
         directory, or move the data with pg_upgrade"
    )]
    VersionGone {
        /// The data directory.
        dir: PathBuf,
        /// The major version that made it.
        major: u32,
        /// The major versions that are installed.
        found: String,
    },
    /// Neither an argument nor the environment says where data goes.
    #[error("no place for the data: set HOME or XDG_DATA_HOME, or name a data directory")]
    NoPlace,
    /// Started as root, and no ordinary account exists to run the server.
    #[error("Postgres refuses to run as root, and neither the user `postgres` nor `nobody` exists")]
    NoServerUser,
    /// The data belongs to somebody else.
    #[error(
        "{dir} belongs to user id {owner}; start kith as that user or as root, or name another data directory"
    )]
    NotOwner {
        /// The data directory.
        dir: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The account that runs the server cannot reach its files.
    #[error(
        "the user `{user}`, who runs the server, may not pass through {blocked} to {target}; name another directory"
    )]
    Unreachable {
        /// Account that runs the server.
        user: String,
        /// The first directory on the way that stops it.
        blocked: PathBuf,
        /// Where it has to get to.
        target: PathBuf,
    },
    /// Another process has been starting or stopping the server for too long.
    #[error("another kith has been starting or stopping the server in {dir} for {seconds} s; is it stuck?")]
    Busy {
        /// The data directory.
        dir: PathBuf,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// A setting's name is not one.
    #[error("`{name}` is not the name of a Postgres setting")]
    BadSetting {
        /// The name given.
        name: String,
    },
    /// `initdb` failed.
    #[error("initdb could not create {dir}: {output}")]
    Initdb {
        /// The data directory.
        dir: PathBuf,
        /// What it said.
        output: String,
    },
    /// The server exited or did not answer in time.
    #[error("the server for {dir} {what}; the end of {log}:\n{tail}")]
    DidNotStart {
        /// The data directory.
        dir: PathBuf,
        /// What happened.
        what: String,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A server runs on the directory and does not answer.
    #[error("process {pid} holds {dir} but does not answer on its socket; look at it before it is stopped")]
    NotAnswering {
        /// The process that holds the directory.
        pid: i32,
        /// The data directory.
        dir: PathBuf,
    },
    /// The server did not end in time after the fast shutdown request. It is never killed by force.
    #[error("the server (process {pid}) did not stop within {seconds} s; it is still shutting down")]
    StillStopping {
        /// The server's process.
        pid: i32,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The server answered with an error.
    #[error("the embedded Postgres answered: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Names the file and the action of an I/O error.
pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
    let path = path.to_owned();
    move |source| PostgresError::File { action, path, source }
}
