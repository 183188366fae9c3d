//! Status: mode, brake, daemons, queue, and what went out today.

use std::fmt;

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;

use crate::config::Settings;
use crate::domain::zone::{day_start, local, local_date};
use crate::store::control;
use crate::store::report::Count;
use crate::store::status::{self, DaemonRow, QueueDepth};

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Business time.
    pub now: DateTime<Utc>,
    /// Business time is simulated.
    pub simulated: bool,
    /// sandbox, rehearsal or live, as this process is configured.
    pub mode: &'static str,
    /// Nothing goes out.
    pub brake: bool,
    /// Why.
    pub brake_reason: Option<String>,
    /// Since when.
    pub brake_at: Option<DateTime<Utc>>,
    /// Daemons that have not ended.
    pub daemons: Vec<DaemonRow>,
    /// Of these, those whose heartbeat is young enough.
    pub alive: usize,
    /// Live work.
    pub queue: QueueDepth,
    /// Held work by reason.
    pub held: Vec<Count>,
    /// Messages of today in the company's zone, by channel and outcome.
    pub today: Vec<Count>,
    /// When a message was accepted last.
    pub last_sent_at: Option<DateTime<Utc>>,
    /// Zone of the local times.
    pub zone: Tz,
}

/// Looks.
pub async fn status(conn: &mut PgConnection, settings: &Settings, now: DateTime<Utc>) -> Result<Status> {
    let control = control::read(conn).await?;
    let daemons = status::daemons(conn).await?;
    let dead_after = settings.lease.dead_after.length().num_milliseconds() as f64 / 1000.0;
    let zone = settings.company.timezone;
    let today = day_start(local_date(now, zone), zone);
    Ok(Status {
        now,
        simulated: control.simulated_now.is_some(),
        mode: settings.delivery.mode.as_str(),
        brake: control.brake,
        brake_reason: control.brake_reason.filter(|reason| !reason.is_empty()),
        brake_at: control.brake_at,
        alive: daemons.iter().filter(|d| d.silent_secs <= dead_after).count(),
        daemons,
        queue: status::queue(conn, now).await?,
        held: status::held(conn, now).await?,
        today: status::sent_since(conn, today).await?,
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
        writeln!(f, "mode      {}", self.mode)?;
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
        writeln!(f, "daemons   {} alive of {}", self.alive, self.daemons.len())?;
        for one in &self.daemons {
            writeln!(
                f,
                "          {} on {}, process {}, last heard of {:.0} s ago",
                one.version, one.host, one.pid, one.silent_secs
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
        if let Some(at) = self.last_sent_at {
            writeln!(f, "last sent {}", self.minute(at))?;
        }
        Ok(())
    }
}
