//! The files of one embedded server, under one directory that kith owns.
//!
//! | name | what |
//! |---|---|
//! | `postgres/` | the data; its `PG_VERSION` says which major version made it |
//! | `postgres.new/` | a data directory in the making; renamed when complete |
//! | `run/` | the socket (elsewhere when the path would be too long for one) |
//! | `start.lock` | held while the server is started or stopped |
//! | `users.lock` | held shared by every process that uses the server; the last one stops it |
//! | `postgres.log` | what the server says |

use std::env;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use ring::digest;

use super::account::Account;
use super::error::{PostgresError, file};

/// `sun_path` holds 104 bytes on macOS and 108 on Linux, with the final NUL.
const SOCKET_PATH_MAX: usize = 103;
const SOCKET_FILE: &str = "/.s.PGSQL.65535";
const LOG_MAX: u64 = 8 * 1024 * 1024;

/// Paths of one server.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub base: PathBuf,
    pub data: PathBuf,
    pub incoming: PathBuf,
    pub run: PathBuf,
    pub log: PathBuf,
    start_lock: PathBuf,
    users_lock: PathBuf,
}

impl Layout {
    /// The layout under `base`, which need not exist.
    pub fn new(base: &Path) -> Result<Self, PostgresError> {
        let base = std::path::absolute(base).map_err(file("find", base))?;
        Ok(Self {
            data: base.join("postgres"),
            incoming: base.join("postgres.new"),
            run: run_dir(&base),
            log: base.join("postgres.log"),
            start_lock: base.join("start.lock"),
            users_lock: base.join("users.lock"),
            base,
        })
    }

    /// Makes the base directory: private, or passable for the account that runs the server.
    pub fn make_base(&self, account: &Account) -> Result<(), PostgresError> {
        if !self.base.is_dir() {
            fs::create_dir_all(&self.base).map_err(file("create", &self.base))?;
            let mode = if account.is_other() { 0o711 } else { 0o700 };
            set_mode(&self.base, mode)?;
        }
        Ok(())
    }

    /// Makes the socket's directory, private to the account. Ask only while no server runs on the data.
    pub fn make_run(&self, account: &Account) -> Result<(), PostgresError> {
        make_private(&self.run, account)?;
        // A killed server leaves its socket behind, and its number may be somebody else's process by now.
        for entry in fs::read_dir(&self.run).map_err(file("read", &self.run))? {
            let path = entry.map_err(file("read", &self.run))?.path();
            fs::remove_file(&path).map_err(file("remove", &path))?;
        }
        Ok(())
    }

    /// Makes an empty directory for `initdb`, over the remains of one that was interrupted.
    pub fn make_incoming(&self, account: &Account) -> Result<(), PostgresError> {
        if self.incoming.exists() {
            fs::remove_dir_all(&self.incoming).map_err(file("remove", &self.incoming))?;
        }
        make_private(&self.incoming, account)
    }

    /// Puts the complete data directory into its place.
    pub fn accept_incoming(&self) -> Result<(), PostgresError> {
        fs::rename(&self.incoming, &self.data).map_err(file("rename", &self.incoming))?;
        File::open(&self.base)
            .and_then(|dir| dir.sync_all())
            .map_err(file("sync", &self.base))
    }

    /// The major version that made the data; `None` when there is no data yet.
    pub fn data_major(&self) -> Result<Option<u32>, PostgresError> {
        let path = self.data.join("PG_VERSION");
        if !self.data.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(file("read", &path))?;
        let parsed = text.trim().parse().map_err(|_| {
            let source = std::io::Error::other(format!("{:?} is not a major version", text.trim()));
            PostgresError::File {
                action: "read",
                path,
                source,
            }
        })?;
        Ok(Some(parsed))
    }

    /// Waits for the right to start or stop the server.
    pub async fn lock_start(&self, patience: Duration) -> Result<File, PostgresError> {
        let lock = open_lock(&self.start_lock)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(PostgresError::Busy {
                        dir: self.base.clone(),
                        seconds: patience.as_secs(),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(file("lock", &self.start_lock)(source)),
            }
        }
    }

    /// Counts this process among the server's users until the file is closed. Ask only while holding the start lock.
    pub fn join_users(&self) -> Result<File, PostgresError> {
        let lock = open_lock(&self.users_lock)?;
        lock.lock_shared().map_err(file("lock", &self.users_lock))?;
        Ok(lock)
    }

    /// Leaves the users; true when nobody else is left. Ask only while holding the start lock.
    pub fn leave_users(&self, membership: &File) -> Result<bool, PostgresError> {
        membership.unlock().map_err(file("unlock", &self.users_lock))?;
        match membership.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(file("lock", &self.users_lock)(source)),
        }
    }

    /// Opens the log for a new server; one old log is kept.
    pub fn open_log(&self) -> Result<File, PostgresError> {
        if fs::metadata(&self.log).is_ok_and(|m| m.len() > LOG_MAX) {
            let old = self.log.with_extension("log.1");
            fs::rename(&self.log, &old).map_err(file("rename", &self.log))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(file("open", &self.log))?;
        set_mode(&self.log, 0o600)?;
        Ok(log)
    }

    /// What the log says from a position on, at most its last 4 KiB.
    pub fn log_since(&self, position: u64) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            let end = log.metadata()?.len();
            log.seek(SeekFrom::Start(position.max(end.saturating_sub(4096))))?;
            log.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(e) => format!("(the log cannot be read: {e})"),
        }
    }
}

/// Where data goes when nobody says: `/var/lib/kith` for root, else the XDG data directory of the user.
pub fn default_data_dir() -> Result<PathBuf, PostgresError> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/kith"));
    }
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|dir| dir.join("kith"))
        .ok_or(PostgresError::NoPlace)
}

/// `base/run` when a socket fits there, else a short directory named by a hash of the path.
fn run_dir(base: &Path) -> PathBuf {
    let run = base.join("run");
    if run.as_os_str().len() + SOCKET_FILE.len() <= SOCKET_PATH_MAX {
        return run;
    }
    let hash = digest::digest(&digest::SHA256, base.as_os_str().as_bytes());
    let name = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
    PathBuf::from("/tmp").join(format!("kith-{name:016x}"))
}

fn make_private(dir: &Path, account: &Account) -> Result<(), PostgresError> {
    match fs::create_dir(dir) {
        Ok(()) => account.give(dir).map_err(file("give away", dir))?,
        // In a shared place anybody may have made it first.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && account.owns(dir) => {}
        Err(e) => return Err(file("create", dir)(e)),
    }
    set_mode(dir, 0o700)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PostgresError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(file("set the mode of", path))
}

fn open_lock(path: &Path) -> Result<File, PostgresError> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(file("open", path))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_moves_the_socket_to_a_short_one() {
        let short = Layout::new(Path::new("/var/lib/kith")).unwrap();
        assert_eq!(short.run, Path::new("/var/lib/kith/run"));
        let base = PathBuf::from("/srv").join("x".repeat(90));
        let long = Layout::new(&base).unwrap();
        assert!(long.run.starts_with("/tmp"), "{:?}", long.run);
        assert_eq!(
            long.run,
            Layout::new(&base).unwrap().run,
            "the same path gives the same place"
        );
    }

    #[test]
    fn data_without_a_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path()).unwrap();
        assert_eq!(layout.data_major().unwrap(), None);
        fs::create_dir(&layout.data).unwrap();
        assert!(layout.data_major().is_err());
        fs::write(layout.data.join("PG_VERSION"), "fifteen\n").unwrap();
        assert!(layout.data_major().unwrap_err().to_string().contains("fifteen"));
        fs::write(layout.data.join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(layout.data_major().unwrap(), Some(15));
    }
}
