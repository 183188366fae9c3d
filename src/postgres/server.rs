//! The server process: found running, spawned, waited for, stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::account::Account;
use super::binaries::Binaries;
use super::error::{PostgresError, file};
use super::layout::Layout;

const PORT: u16 = 5432; // only a part of the socket's name: no TCP port is opened
const POLL: Duration = Duration::from_millis(10);
/// How long a server may be silent. One that says that it is starting up (recovery) has all the time it needs.
const SILENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_mins(2);

/// Settings of every server, before the caller's. Errors are logged without values, which may be personal data.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_error_verbosity", "terse"),
    ("log_min_error_statement", "panic"),
    ("max_wal_size", "2GB"),
    ("jit", "off"),
];

/// A live server process, ours or one left behind by an earlier run.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    child: Option<Child>,
    socket: PathBuf,
    port: u16,
}

/// What a connect attempt found.
enum Answer {
    Ready(PgConnection),
    NotYet,
    Silent,
}

impl Server {
    /// The server that runs on this data already, if any. A stale `postmaster.pid` is removed.
    pub async fn find(layout: &Layout) -> Result<Option<Self>, PostgresError> {
        let mut heard = Instant::now();
        loop {
            let Some(note) = PidFile::read(&layout.data)? else {
                return Ok(None);
            };
            if !is_server(note.pid) {
                PidFile::remove(&layout.data)?;
                return Ok(None);
            }
            if let (Some(socket), Some(port)) = (note.socket, note.port) {
                let server = Self {
                    pid: note.pid,
                    child: None,
                    socket,
                    port,
                };
                match server.ask().await? {
                    Answer::Ready(mut connection) => {
                        let dir: String = sqlx::query_scalar("show data_directory")
                            .fetch_one(&mut connection)
                            .await?;
                        connection.close().await?;
                        if same_file(Path::new(&dir), &layout.data) {
                            return Ok(Some(server));
                        }
                    }
                    Answer::NotYet => heard = Instant::now(),
                    Answer::Silent => {}
                }
            }
            if heard.elapsed() > SILENCE {
                let pid = note.pid.as_raw();
                return Err(PostgresError::NotAnswering {
                    pid,
                    dir: layout.data.clone(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts a server on the data and waits until it answers.
    pub async fn spawn(
        layout: &Layout,
        account: &Account,
        binaries: &Binaries,
        settings: &[(String, String)],
    ) -> Result<Self, PostgresError> {
        let began = Instant::now();
        loop {
            let log = layout.open_log()?;
            let position = log.metadata().map_err(file("read", &layout.log))?.len();
            let program = binaries.program("postgres");
            let mut command = account.command(&program);
            command
                .arg("-D")
                .arg(&layout.data)
                .arg("-k")
                .arg(&layout.run)
                .arg("-p")
                .arg(PORT.to_string());
            for (name, value) in SETTINGS {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            for (name, value) in settings {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            let child = command
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(file("run", &program))?;
            let pid = Pid::from_raw(child.id() as i32);
            let mut server = Self {
                pid,
                child: Some(child),
                socket: layout.run.clone(),
                port: PORT,
            };
            let Err(what) = server.wait_ready().await? else {
                return Ok(server);
            };
            let tail = layout.log_since(position);
            // The sessions of a server that was killed go away by themselves within moments.
            let remains = tail.contains("pre-existing shared memory block");
            if !remains || began.elapsed() > SILENCE {
                let (dir, log) = (layout.data.clone(), layout.log.clone());
                return Err(PostgresError::DidNotStart { dir, what, log, tail });
            }
            tokio::time::sleep(POLL * 10).await;
        }
    }

    /// Options for a database of this server.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(self.port)
            .username("kith")
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("kith")
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// A fast shutdown: sessions are ended, a checkpoint is written. Never by force.
    pub async fn stop(self) -> Result<(), PostgresError> {
        self.end(Signal::SIGINT).await
    }

    /// An immediate shutdown: nothing is written.
    pub async fn crash(self) -> Result<(), PostgresError> {
        self.end(Signal::SIGQUIT).await
    }

    async fn end(mut self, signal: Signal) -> Result<(), PostgresError> {
        match kill(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => tracing::warn!(pid = self.pid(), error = %e, "the server did not take the stop signal"),
        }
        let began = Instant::now();
        while !self.has_ended() {
            if began.elapsed() > STOP_PATIENCE {
                return Err(PostgresError::StillStopping {
                    pid: self.pid(),
                    seconds: STOP_PATIENCE.as_secs(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(_))) => true,
            Some(Ok(None)) => false,
            Some(Err(_)) | None => !is_server(self.pid),
        }
    }

    /// `Err` holds what went wrong, in words.
    async fn wait_ready(&mut self) -> Result<Result<(), String>, PostgresError> {
        let mut heard = Instant::now();
        loop {
            match self.ask().await? {
                Answer::Ready(connection) => {
                    connection.close().await?;
                    return Ok(Ok(()));
                }
                Answer::NotYet => heard = Instant::now(),
                Answer::Silent => {}
            }
            if self.has_ended() {
                return Ok(Err("ended at once".to_owned()));
            }
            if heard.elapsed() > SILENCE {
                let _ = kill(self.pid, Signal::SIGINT);
                return Ok(Err(format!("did not answer for {} s", SILENCE.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn ask(&self) -> Result<Answer, PostgresError> {
        let options = self.options("postgres").disable_statement_logging();
        match tokio::time::timeout(Duration::from_secs(2), PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => Ok(Answer::Ready(connection)),
            // cannot_connect_now: it starts up, recovers or shuts down.
            Ok(Err(sqlx::Error::Database(e))) if e.code().as_deref() == Some("57P03") => Ok(Answer::NotYet),
            Ok(Err(e @ sqlx::Error::Database(_))) => Err(e.into()),
            Ok(Err(_)) | Err(_) => Ok(Answer::Silent),
        }
    }
}

/// The server's own note in its data directory: process, directory, start time, port, socket directory, ...
struct PidFile {
    pid: Pid,
    port: Option<u16>,
    socket: Option<PathBuf>,
}

impl PidFile {
    fn path(data: &Path) -> PathBuf {
        data.join("postmaster.pid")
    }

    fn read(data: &Path) -> Result<Option<Self>, PostgresError> {
        let path = Self::path(data);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(file("read", &path)(e)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A single-user server writes a negative number; the process is the same.
        let pid = lines
            .next()?
            .trim()
            .parse::<i32>()
            .ok()?
            .checked_abs()
            .filter(|&pid| pid > 0)?;
        let port = lines.nth(2).and_then(|l| l.trim().parse().ok());
        let socket = lines
            .next()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(PathBuf::from);
        Some(Self {
            pid: Pid::from_raw(pid),
            port,
            socket,
        })
    }

    fn remove(data: &Path) -> Result<(), PostgresError> {
        let path = Self::path(data);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

/// True when the process lives and is a Postgres: after a restart of the machine the number may be anybody's.
fn is_server(pid: Pid) -> bool {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return !Path::new("/proc/self/stat").exists(); // no /proc here: the signal's answer must do
    };
    let Some((head, state)) = stat.rsplit_once(')') else {
        return true;
    };
    let dead = matches!(state.trim_start().chars().next(), Some('Z' | 'X'));
    !dead
        && head
            .split_once('(')
            .is_some_and(|(_, name)| name.starts_with("postgres"))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_read_whole_or_in_part() {
        let whole =
            PidFile::parse("4711\n/var/lib/kith/postgres\n1764000000\n5432\n/run/kith\n\n  1 2\nready\n")
                .unwrap();
        assert_eq!((whole.pid.as_raw(), whole.port), (4711, Some(5432)));
        assert_eq!(whole.socket.as_deref(), Some(Path::new("/run/kith")));
        let early = PidFile::parse("4711\n/var/lib/kith/postgres\n").unwrap();
        assert!(early.port.is_none() && early.socket.is_none());
        assert!(PidFile::parse("").is_none());
        assert!(PidFile::parse("0\n").is_none());
    }

    #[test]
    fn a_number_that_is_somebody_elses_is_no_server() {
        assert!(!is_server(Pid::this()));
    }
}
