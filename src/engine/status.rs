//! Status: mode, brake, daemons, queue, and what went out today.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;

use crate::config::{Mode, Settings};
use crate::domain::zone::{day_start, local, local_date};
use crate::store::control;
use crate::store::report::Count;
use crate::store::sender_state::{self, Paused};
use crate::store::status::{self, DaemonRow, QueueDepth};
use crate::store::uncertain;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Business time.
    pub now: DateTime<Utc>,
    /// Business time is simulated.
    pub simulated: bool,
    /// Where messages really go.
    #[serde(flatten)]
    pub running: Running,
    /// Nothing goes out.
    pub brake: bool,
    /// Why.
    pub brake_reason: Option<String>,
    /// Since when.
    pub brake_at: Option<DateTime<Utc>>,
    /// Daemons that have not ended.
    pub daemons: Vec<DaemonRow>,
    /// Live work.
    pub queue: QueueDepth,
    /// Held work by reason.
    pub held: Vec<Count>,
    /// Senders that a receiving side blocked, and that are left alone for a while.
    pub paused: Vec<Paused>,
    /// Messages of today in the company's zone, by channel and outcome.
    pub today: Vec<Count>,
    /// Messages of which nobody knows whether they arrived.
    pub uncertain: i64,
    /// When the oldest of them became so.
    pub uncertain_since: Option<DateTime<Utc>>,
    /// When a message was accepted last.
    pub last_sent_at: Option<DateTime<Utc>>,
    /// Zone of the local times.
    pub zone: Tz,
}

/// The daemons whose heartbeat is young enough, and where their messages really go. A mode is a daemon's own; what
/// another process is configured to do says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// How many; one that serves pages and nothing else does not count.
    pub alive: usize,
    /// The mode of all of them: sandbox, rehearsal or live; `none` when no daemon runs, `mixed` when they differ.
    pub mode: &'static str,
    /// How many run in which mode.
    pub modes: BTreeMap<Mode, usize>,
    /// The mode of a daemon that would be started with the configuration of this process.
    pub configured_mode: Mode,
}

impl Running {
    fn among(daemons: &[DaemonRow], settings: &Settings) -> Self {
        let dead_after = settings.lease.dead_after.length().num_milliseconds() as f64 / 1000.0;
        let mut modes = BTreeMap::new();
        let works = |one: &&DaemonRow| one.silent_secs <= dead_after && !one.is_web_only();
        for one in daemons.iter().filter(works) {
            *modes.entry(one.mode).or_default() += 1;
        }
        let mode = match modes.keys().collect::<Vec<_>>()[..] {
            [] => "none",
            [mode] => mode.as_str(),
            _ => "mixed",
        };
        Self {
            alive: modes.values().sum(),
            mode,
            modes,
            configured_mode: settings.delivery.mode,
        }
    }

    /// Whether a daemon that is alive runs in that mode.
    pub fn any(&self, mode: Mode) -> bool {
        self.modes.contains_key(&mode)
    }

    /// Daemons of different modes work on one database: which of them takes a message decides whether it leaves.
    pub fn differ(&self) -> bool {
        self.modes.len() > 1
    }

    /// The modes with their numbers: `1 live, 2 sandbox`.
    pub fn counted(&self) -> String {
        let counted: Vec<String> = self
            .modes
            .iter()
            .map(|(mode, n)| format!("{n} {}", mode.as_str()))
            .collect();
        counted.join(", ")
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configured = self.configured_mode.as_str();
        match self.mode {
            "none" => write!(
                f,
                "none: no daemon runs; started with this configuration it would be {configured}"
            ),
            "mixed" => write!(
                f,
                "THEY DIFFER: {}; stop the daemons that should not send",
                self.counted()
            ),
            mode if mode == configured => write!(f, "{mode}"),
            mode => write!(f, "{mode} (the configuration of this command says {configured})"),
        }
    }
}

/// Who runs, and in which mode.
pub async fn running(conn: &mut PgConnection, settings: &Settings) -> Result<Running> {
    Ok(Running::among(&status::daemons(conn).await?, settings))
}

/// Looks.
pub async fn status(conn: &mut PgConnection, settings: &Settings, now: DateTime<Utc>) -> Result<Status> {
    let control = control::read(conn).await?;
    let daemons = status::daemons(conn).await?;
    let zone = settings.company.timezone;
    let today = day_start(local_date(now, zone), zone);
    let unknown = uncertain::standing(conn, None).await?;
    Ok(Status {
        now,
        simulated: control.simulated_now.is_some(),
        running: Running::among(&daemons, settings),
        brake: control.brake,
        brake_reason: control.brake_reason.filter(|reason| !reason.is_empty()),
        brake_at: control.brake_at,
        daemons,
        queue: status::queue(conn, now).await?,
        held: status::held(conn, now).await?,
        paused: sender_state::paused(conn, now).await?.into_values().collect(),
        today: status::sent_since(conn, today).await?,
        uncertain: unknown.n,
        uncertain_since: unknown.oldest,
        last_sent_at: status::last_sent(conn).await?,
        zone,
    })
}

impl Status {
    /// A local time to the minute.
    fn minute(&self, at: DateTime<Utc>) -> String {
        local(at, self.zone).format("%Y-%m-%d %H:%M").to_string()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simulated = if self.simulated { " (simulated)" } else { "" };
        writeln!(f, "time      {} {}{simulated}", self.minute(self.now), self.zone)?;
        writeln!(f, "mode      {}", self.running)?;
        match (self.brake, &self.brake_reason, self.brake_at) {
            (false, ..) => writeln!(f, "brake     off")?,
            (true, reason, at) => {
                let since = at.map_or(String::new(), |at| format!(" since {}", self.minute(at)));
                let why = reason
                    .as_ref()
                    .map_or(String::new(), |reason| format!(": {reason}"));
                writeln!(f, "brake     ON{since}{why}")?;
            }
        }
        writeln!(
            f,
            "daemons   {} alive of {}",
            self.running.alive,
            self.daemons.len()
        )?;
        for one in &self.daemons {
            writeln!(
                f,
                "          {} ({}), kith {} on {}, process {}, last heard of {:.0} s ago",
                one.mode.as_str(),
                one.roles.join(", "),
                one.version,
                one.host,
                one.pid,
                one.silent_secs
            )?;
        }
        let queue = &self.queue;
        writeln!(
            f,
            "queue     {} due, {} being handed over, {} held, {} in all",
            queue.due, queue.in_hand, queue.held, queue.live
        )?;
        for one in &self.held {
            writeln!(f, "          held: {} {}", one.n, one.name)?;
        }
        for one in &self.paused {
            let Paused {
                sender,
                pause,
                reason,
            } = one;
            writeln!(
                f,
                "paused    sender {sender} until {}: {reason}",
                self.minute(pause.until)
            )?;
        }
        if let Some(at) = [queue.next_due_at, queue.next_look_at]
            .into_iter()
            .flatten()
            .min()
        {
            writeln!(
                f,
                "next      {}, {} enrollments go on",
                self.minute(at),
                queue.active
            )?;
        }
        if queue.parked > 0 {
            writeln!(f, "parked    {} events name nobody known", queue.parked)?;
        }
        if self.today.is_empty() {
            writeln!(f, "today     nothing sent")?;
        }
        for one in &self.today {
            writeln!(f, "today     {} {}", one.n, one.name)?;
        }
        if let Some(since) = self.uncertain_since {
            writeln!(
                f,
                "uncertain {} messages of which nobody knows whether they arrived, the oldest since {}: `kith uncertain list`",
                self.uncertain,
                self.minute(since)
            )?;
        }
        if let Some(at) = self.last_sent_at {
            writeln!(f, "last sent {}", self.minute(at))?;
        }
        Ok(())
    }
}
