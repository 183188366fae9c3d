//! Postfix's own tools: `smtp-sink`, which takes mails and forgets them, and `smtp-source`, which sends as fast as it can.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long the sink may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that may wait to be taken.
const BACKLOG: &str = "1000";

/// A running `smtp-sink`; it ends with this value.
pub struct Sink {
    child: Child,
    /// Its port on the loopback.
    pub port: u16,
}

impl Sink {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(tool("smtp-sink")?);
        // As root it asks for somebody to become; a mail sink needs no rights.
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .args([&format!("127.0.0.1:{port}"), BACKLOG])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting smtp-sink")?;
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            ensure!(started.elapsed() < PATIENCE, "smtp-sink does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { child, port })
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// One run of `smtp-source` against it, a connection for each mail. Returns messages a second.
    pub async fn yardstick(&self, messages: u32, sessions: u16, bytes: usize) -> Result<f64> {
        let started = Instant::now();
        let status = Command::new(tool("smtp-source")?)
            .args(["-m", &messages.to_string(), "-s", &sessions.to_string()])
            .args(["-l", &bytes.to_string()])
            .args(["-f", "a@source.example", "-t", "b@sink.example"])
            .arg(format!("127.0.0.1:{}", self.port))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .context("running smtp-source")?;
        ensure!(status.success(), "smtp-source failed");
        Ok(f64::from(messages) / started.elapsed().as_secs_f64())
    }
}

/// The tools stand where only an administrator's `PATH` looks.
fn tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .with_context(|| {
            format!("{name} is not on this machine; Debian and Ubuntu have it in the package postfix")
        })
}
