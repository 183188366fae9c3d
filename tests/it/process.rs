//! Real `kith` processes on a test's database, with a recording SMTP server in the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use chrono::Utc;
use kith::sandbox::checker::{self, Findings, Outcome, Told};
use kith::sandbox::smtp::{SmtpSandbox, SmtpSandboxOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;

use crate::harness::TestDb;
use crate::rig::{Files, OPEN_HOURS, enroll, one_mail, settle, until};

/// How many connections a daemon opens to the server at the most.
pub const CONNECTIONS: usize = 16;

/// `kith.toml` of a daemon in live mode against a server on this machine, whose lease runs out quickly.
pub fn live(port: u16) -> String {
    format!(
        r#"{OPEN_HOURS}
[delivery]
mode = "live"
[lease]
heartbeat = "1s"
dead_after = "4s"
[[senders]]
name = "mail"
channel = "email"
from_name = "Test"
from_email = "hello@example.com"
[senders.smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
max_connections = {CONNECTIONS}
"#
    )
}

/// A database, a server that takes mail, and the files of the daemons.
pub struct Workshop {
    /// The database.
    pub db: TestDb,
    /// The judge.
    pub server: SmtpSandbox,
    /// Where `kith` finds the database, if not where the test does.
    pub address: Option<String>,
    files: Files,
    rooms: tempfile::TempDir,
}

impl Workshop {
    /// Cadences of one mail each are in force, put there by `kith apply`.
    pub async fn open(cadences: &[&str]) -> Self {
        let cadences: Vec<_> = cadences.iter().map(|name| one_mail(name)).collect();
        let workshop = Self::with(false, |port| Files::write(&live(port), &cadences)).await;
        workshop.done(&["apply"]);
        workshop
    }

    /// With files for a server on this port, which keeps the contents of mails if asked to. Nothing is applied yet.
    pub async fn with(keep_bytes: bool, files: impl FnOnce(u16) -> Files) -> Self {
        let server = SmtpSandbox::start(SmtpSandboxOptions {
            keep_bytes,
            ..Default::default()
        })
        .await
        .unwrap();
        Self::at(TestDb::new().await, server, files)
    }

    /// On a database of a server of its own, with cadences of one mail each.
    pub async fn on(db: TestDb, cadences: &[&str]) -> Self {
        let cadences: Vec<_> = cadences.iter().map(|name| one_mail(name)).collect();
        let server = SmtpSandbox::start(SmtpSandboxOptions::default()).await.unwrap();
        let workshop = Self::at(db, server, |port| Files::write(&live(port), &cadences));
        workshop.done(&["apply"]);
        workshop
    }

    fn at(db: TestDb, server: SmtpSandbox, files: impl FnOnce(u16) -> Files) -> Self {
        Self {
            db,
            address: None,
            files: files(server.addr.port()),
            server,
            rooms: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs a command to its good end and returns what it said.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.command("cli").args(args).output().unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}\n{complained}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file for a command.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.rooms.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `kith`, with this database and these files, in a room (a state directory) of its own.
    pub fn command(&self, room: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command
            .env(
                "DATABASE_URL",
                self.address.clone().unwrap_or_else(|| self.db.url()),
            )
            // The judge knows the messages of touches; a digest to a colleague would be a stranger to it.
            .env("KITH_DIGEST__ENABLED", "false")
            .env("KITH_CONFIG", self.files.config())
            .env("KITH_TEMPLATES", self.files.templates())
            .env("KITH_DATABASE__DATA_DIR", self.rooms.path().join(room))
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon whose mails have this envelope sender.
    pub fn run(&self, room: &str, mail_from: &str) -> Daemon {
        self.run_with(room, mail_from, &[])
    }

    /// The same, with something in its environment.
    pub fn run_with(&self, room: &str, mail_from: &str, env: &[(&str, &str)]) -> Daemon {
        let mut command = self.command(room);
        command
            .args(["run", "--no-web"])
            .env("KITH_SENDERS__MAIL__FROM_EMAIL", mail_from)
            .envs(env.iter().copied());
        self.start(room, command)
    }

    /// Starts a daemon in a role; where it listens, on free ports.
    pub fn run_as(&self, room: &str, role: &str) -> Daemon {
        let mut command = self.command(room);
        command
            .args(["run", "--role", role])
            .env("KITH_LISTEN__PUBLIC", "127.0.0.1:0")
            .env("KITH_LISTEN__ADMIN", "127.0.0.1:0");
        self.start(room, command)
    }

    /// Starts a daemon with its two listeners.
    pub fn run_with_web(&self) -> Daemon {
        let mut command = self.command("web");
        command.arg("run");
        self.start("web", command)
    }

    fn start(&self, room: &str, mut command: Command) -> Daemon {
        let log = self.rooms.path().join(format!("{room}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// People, each with one mail of `first` due now.
    pub async fn due(&self, people: i32) {
        settle(&self.db.pool, people, 1).await;
        assert_eq!(
            enroll(&self.db.pool, "first", Utc::now(), "true").await,
            people as u64
        );
    }

    /// One number out of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        count(&self.db.pool, sql).await
    }

    /// Waits until every touch has come to an end.
    pub async fn all_ended(&self) {
        until("every touch ended", async || {
            let open = self
                .count(
                    "select (select count(*) from queue) + (select count(*) from enrollment e
                     where not exists (select from touch t where t.enrollment_id = e.id))",
                )
                .await;
            (open == 0).then_some(())
        })
        .await;
    }

    /// How many mails the server took and said so.
    pub fn acknowledged(&self) -> usize {
        let log = self.server.log();
        log.iter()
            .filter(|r| r.stored && r.reply_delivered && r.reply.starts_with('2'))
            .count()
    }

    /// What the database says about every message, by Message-ID.
    pub async fn told(&self) -> BTreeMap<String, Told> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select replace(id::text, '-', '') || '@example.com', outcome from message where channel = 'email'")
                .fetch_all(&self.db.pool)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(id, outcome)| {
                let outcome = match outcome.as_str() {
                    "accepted" => Outcome::Accepted,
                    "refused" => Outcome::Refused,
                    "uncertain" => Outcome::Uncertain,
                    _ => Outcome::NotSent,
                };
                (id, Told::from(outcome))
            })
            .collect()
    }

    /// The judge's verdict on what the database says.
    pub async fn judge(&self) -> Findings {
        self.server.quiet().await;
        checker::check(&self.server.log(), &self.told().await)
    }
}

/// One number out of a database.
pub async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// A running daemon; killed when dropped, and its last words are shown when the test failed.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Its process id, as it stands in the database.
    pub fn id(&self) -> i32 {
        self.pid().as_raw()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it where it stands.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// Waits until it has left by itself; what it said.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = until("the daemon ends", async || self.child.try_wait().unwrap()).await;
        (status, std::fs::read_to_string(&self.log).unwrap())
    }

    /// SIGTERM, and waits until it has left; what it said.
    pub async fn left(self) -> (ExitStatus, String) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        self.ended().await
    }

    /// SIGTERM, and waits until it has left.
    pub async fn leave(mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        until("the daemon leaves", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!(
                "{}:\n{}",
                self.log.display(),
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}
