//! Where a run of chaos takes place: a directory with a Postgres of its own, the rules, and the people.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Days, TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::os::unix::process::CommandExt as _;
use uuid::Uuid;

use crate::cli::Context;
use crate::cli::apply::put_in_force;
use crate::config::{Settings, shipped};
use crate::domain::id::IdSource;
use crate::engine::rules::Rules;
use crate::postgres::{self, Embedded, EmbeddedOptions};
use crate::store::{self, bench, chaos};

/// The cadence of marketing that everybody is in.
pub const NOTE: &str = "chaos-note";
/// A second one, for some who are in the first: the cap holds it.
pub const MORE: &str = "chaos-more";
/// The cadence of what is owed: an unknown one is tried once more.
pub const OWED: &str = "chaos-owed";
/// The one step of each.
pub const STEP: &str = "letter";
/// Domain of the sender and so of every Message-ID.
pub const DOMAIN: &str = "chaos.example";
/// What the cap holds waits longer than this, and what was put off waits less.
pub const FAR: TimeDelta = TimeDelta::hours(5);

/// The ground. Dropped, its server is gone at once, and so is its directory unless it is kept.
pub struct Ground {
    /// Connections of the judge.
    pub pool: PgPool,
    /// Where everything is.
    pub dir: PathBuf,
    /// The group of processes that the daemons join.
    pub group: i32,
    /// The directory stays.
    pub keep: bool,
    server: Option<Embedded>,
    options: PgConnectOptions,
    watcher: Child,
}

impl Ground {
    /// Makes the server and puts the rules in force. Mails go to `port` of the loopback.
    pub async fn make(context: &Context, port: u16, now: DateTime<Utc>) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("kith-chaos-{}", std::process::id()));
        let server = postgres::start(EmbeddedOptions {
            data_dir: Some(dir.clone()),
            settings: settings_of_postgres(),
        })
        .await?;
        let options = server.connect_options();
        let watcher = watch(&dir)?;
        let ground = Self {
            pool: store::connect(options.clone(), 4).await?,
            group: i32::try_from(watcher.id())?,
            keep: false,
            server: Some(server),
            options,
            watcher,
            dir,
        };
        store::migrate(&ground.pool).await?;
        let context = ground.write_rules(context, port)?;
        put_in_force(&context, &ground.pool, "chaos", now, &IdSource::Random).await?;
        let mut conn = ground.pool.acquire().await?;
        chaos::remember(&mut conn).await?;
        drop(conn);
        Ok(ground)
    }

    /// Loads the people 1..=n.
    pub async fn load(&self, people: i64, now: DateTime<Utc>) -> Result<()> {
        let mut conn = self.pool.acquire().await?;
        let birthdays_from = now.date_naive() + Days::new(40);
        bench::people(&mut conn, people, birthdays_from, now - TimeDelta::days(30)).await?;
        bench::settle(&mut conn).await?;
        Ok(())
    }

    /// The version of a cadence in force.
    pub async fn version(&self, cadence: &str) -> Result<Uuid> {
        let mut conn = self.pool.acquire().await?;
        let rules = Rules::load(&mut conn).await?;
        let mut current = rules.current();
        let found = current.find(|(_, found)| found.name == cadence);
        Ok(found.context("a cadence of the run is not in force")?.0)
    }

    /// Ends the server as a crash would: no checkpoint, no farewell.
    pub async fn crash(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.crash().await?;
        }
        Ok(())
    }

    /// Starts it again after [`Ground::crash`]; it recovers from its log.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.server.is_none() {
            let server = postgres::start(EmbeddedOptions {
                data_dir: Some(self.dir.clone()),
                settings: settings_of_postgres(),
            })
            .await?;
            self.server = Some(server);
        }
        Ok(())
    }

    /// Where the rules are.
    pub fn config(&self) -> PathBuf {
        self.dir.join("rules/config")
    }

    /// Where the templates are.
    pub fn templates(&self) -> PathBuf {
        self.dir.join("rules/templates")
    }

    /// The address of the database, for a daemon.
    pub fn url(&self) -> String {
        let socket = self.options.get_socket().map(|s| s.display().to_string());
        format!(
            "postgres://{}@localhost:{}/{}?host={}",
            self.options.get_username(),
            self.options.get_port(),
            self.options.get_database().unwrap_or_default(),
            socket.unwrap_or_default()
        )
    }

    fn write_rules(&self, context: &Context, port: u16) -> Result<Context> {
        let (config, templates) = (self.config(), self.templates());
        shipped::unpack(&self.dir.join("rules"))?;
        for entry in std::fs::read_dir(config.join("cadences"))? {
            std::fs::remove_file(entry?.path())?;
        }
        // Nobody is won back here: that cadence went with the others.
        let retention = std::fs::read_to_string(config.join("retention.toml"))?;
        let kept: Vec<&str> = retention.lines().filter(|l| !l.starts_with("win_back")).collect();
        std::fs::write(config.join("retention.toml"), kept.join("\n"))?;
        std::fs::write(config.join("kith.toml"), settings(port))?;
        for (name, function) in [(NOTE, "information"), (MORE, "information"), (OWED, "service")] {
            let text = format!(
                "name = \"{name}\"\ntitle = \"Chaos\"\nsubject = \"contact\"\n\
                 [entry]\non_event = \"form\"\nreentry = \"event\"\n\
                 [[steps]]\nkey = \"{STEP}\"\nchannel = \"email\"\ntemplate = \"chaos\"\nfunction = \"{function}\"\nexpires = \"7d\"\n"
            );
            std::fs::write(config.join("cadences").join(format!("{name}.toml")), text)?;
        }
        let letter = templates.join("chaos/en");
        std::fs::create_dir_all(&letter)?;
        std::fs::write(letter.join("subject.hbs"), "A letter to {{contact.name}}")?;
        std::fs::write(
            letter.join("html.hbs"),
            "<p>Dear {{contact.name}},</p><p>all is well.</p>",
        )?;
        Ok(Context {
            settings: Arc::new(Settings::load(Some(&config))?),
            config_dir: Some(config),
            templates_dir: Some(templates),
            ..context.clone()
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            let _ = kill(Pid::from_raw(server.pid()), Signal::SIGQUIT);
        }
        // The watcher ends with its pipe, and whatever daemon is left with it.
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Ends the server and every daemon when this process is gone, however it went: the watcher reads from a pipe that only this
/// process holds open, and leads the group that the daemons are in.
fn watch(dir: &Path) -> Result<Child> {
    let script = "cat >/dev/null
        pid=$(head -n 1 \"$1/postgres/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\" 2>/dev/null
        kill -KILL 0";
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting the watcher")
}

/// The times of commits are kept: whether a letter had crossed when an opt-out was answered is asked of them.
fn settings_of_postgres() -> Vec<(String, String)> {
    [("max_connections", "200"), ("track_commit_timestamp", "on")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// `kith.toml` of the daemons: open at all hours, a lease that runs out quickly, one letter of marketing in twelve hours.
fn settings(port: u16) -> String {
    format!(
        r#"[company]
timezone = "UTC"
region = "US"
[delivery]
mode = "live"
[digest]
enabled = false
[lease]
heartbeat = "1s"
dead_after = "4s"
[gate.windows.email]
marketing = "always"
[gate.business_days_only]
marketing = false
[gate.caps.marketing]
contact = [{{ n = 1, per = "12h" }}]
account_per_day = 0
[gate.uncertain]
transactional = {{ retry-after = "5s" }}
[[senders]]
name = "mail"
channel = "email"
from_name = "Chaos"
from_email = "hello@{DOMAIN}"
[senders.smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
max_connections = 16
"#
    )
}
