//! The daemons of a run: real processes of this program, started, killed, stopped and started again.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::ground::Ground;

/// The daemons, by number from 0.
pub struct Fleet {
    daemons: Vec<Daemon>,
}

struct Daemon {
    child: Option<Child>,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Fleet {
    /// Starts so many.
    pub fn start(ground: &Ground, daemons: usize) -> Result<Self> {
        let places = (0..daemons)
            .map(|_| {
                Ok(Daemon {
                    child: None,
                    public: free()?,
                    admin: free()?,
                })
            })
            .collect::<Result<_>>()?;
        let mut fleet = Self { daemons: places };
        fleet.start_missing(ground)?;
        Ok(fleet)
    }

    /// Starts those that do not run.
    pub fn start_missing(&mut self, ground: &Ground) -> Result<()> {
        let program = std::env::current_exe().context("finding this program")?;
        for (number, daemon) in self.daemons.iter_mut().enumerate() {
            if let Some(child) = &mut daemon.child
                && child.try_wait()?.is_none()
            {
                continue;
            }
            let log = File::options()
                .create(true)
                .append(true)
                .open(ground.dir.join(format!("daemon-{number}.log")))?;
            let mut command = Command::new(&program);
            for (name, _) in std::env::vars_os() {
                if name
                    .to_str()
                    .is_some_and(|name| name.starts_with("KITH_") && name != "KITH_PG_BIN")
                {
                    command.env_remove(name);
                }
            }
            let child = command
                .arg("run")
                .env("DATABASE_URL", ground.url())
                .env("KITH_CONFIG", ground.config())
                .env("KITH_TEMPLATES", ground.templates())
                .env(
                    "KITH_DATABASE__DATA_DIR",
                    ground.dir.join(format!("daemon-{number}")),
                )
                .env("KITH_LISTEN__PUBLIC", daemon.public.to_string())
                .env("KITH_LISTEN__ADMIN", daemon.admin.to_string())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(ground.group)
                .kill_on_drop(true)
                .spawn()
                .context("starting a daemon")?;
            daemon.child = Some(child);
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.daemons.len()
    }

    /// The public listeners.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.daemons.iter().map(|daemon| daemon.public).collect()
    }

    /// kill -9.
    pub async fn kill(&mut self, number: usize) -> Result<()> {
        if let Some(mut child) = self.daemons[number].child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Stops one where it stands, or lets it go on.
    pub fn freeze(&self, number: usize, on: bool) -> Result<()> {
        let child = self.daemons[number].child.as_ref();
        if let Some(pid) = child.and_then(Child::id) {
            let signal = if on { Signal::SIGSTOP } else { Signal::SIGCONT };
            kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }
}

/// A port of the loopback that nobody listens on now.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
