//! Doctor: why nothing goes out, in one line, and what the database and the rules look like.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::apply::check::no_sender;
use super::rules::{NoRules, Rules};
use super::status::{Running, Status, status};
use crate::config::{Mode, Settings};
use crate::domain::cadence::ChannelKind;
use crate::domain::zone::local;
use crate::store::status::{self as figures, Server};
use crate::store::{control, tally};

/// Clocks that differ more than this make a daemon claim nothing.
const MOST_OFF: TimeDelta = TimeDelta::seconds(5);
/// Postgres before this is not supported, as a server version number.
const OLDEST: i32 = 150_000;

/// How one thing that was looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Could not be asked, or does not matter now.
    Unknown,
    /// Has to be put right before anything leaves the sandbox.
    BeforeLive,
    /// Has to be put right.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: database, clock, rules, sender, uncertain, smtp, public url, spf, dkim, dmarc.
    pub area: String,
    /// How it is.
    pub verdict: Verdict,
    /// In words, with what to do.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(area: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            area: area.into(),
            verdict,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Fine => "ok     ",
            Verdict::Unknown => "?      ",
            Verdict::BeforeLive => "later  ",
            Verdict::Wrong => "WRONG  ",
        };
        write!(f, "{mark} {}: {}", self.area, self.text)
    }
}

/// The answer to "why did nothing go out?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Something stops everything.
    pub blocked: bool,
    /// One line.
    pub text: String,
}

/// What was found without asking the world outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Why nothing goes out, or that it does.
    pub why: Why,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// Messages leave the machine, or would with the configuration of this process.
    pub leaves: bool,
}

/// Looks at the database and what is in it. `machine` is this machine's clock, `now` is business time.
pub async fn examine(
    conn: &mut PgConnection,
    settings: &Settings,
    machine: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Diagnosis> {
    let server = figures::server(conn).await?;
    let off = (machine - server.clock).abs();
    let found = status(conn, settings, now).await?;
    let control = control::read(conn).await?;
    let live = settings.delivery.mode == Mode::Live || found.running.any(Mode::Live);
    let bound_elsewhere = live
        && control
            .live_database_id
            .is_some_and(|bound| bound != control.database_id);
    let mut unsent = Vec::new();
    let rules = match Rules::load(conn).await {
        Ok(rules) => {
            unsent = without_sender(&rules, settings);
            Finding::new(
                "rules",
                if rules.cadences.is_empty() {
                    Verdict::Wrong
                } else {
                    Verdict::Fine
                },
                format!(
                    "{} cadences and {} templates are in force",
                    rules.cadences.len(),
                    rules.template_versions.len()
                ),
            )
        }
        Err(error) if error.is::<NoRules>() => {
            Finding::new("rules", Verdict::Wrong, "none are in force: run `kith apply`")
        }
        Err(error) => Finding::new("rules", Verdict::Wrong, format!("{error:#}")),
    };
    let case = Case {
        rules_ok: rules.verdict == Verdict::Fine,
        off,
        bound_elsewhere,
        contacts: tally::contacts(conn).await?,
        no_sender: settings.senders.is_empty(),
    };
    let mut findings = vec![
        database(&server),
        Finding::new(
            "clock",
            if off > MOST_OFF && !found.simulated {
                Verdict::Wrong
            } else {
                Verdict::Fine
            },
            if found.simulated {
                "business time is simulated; the machine's clock does not matter".to_owned()
            } else {
                format!(
                    "this machine and the database differ by {:.1} s",
                    off.num_milliseconds() as f64 / 1000.0
                )
            },
        ),
        rules,
        daemons(&found),
    ];
    findings.extend(unsent);
    findings.extend(paused(&found));
    findings.extend(uncertain(&found));
    Ok(Diagnosis {
        leaves: settings.delivery.mode != Mode::Sandbox
            || found.running.any(Mode::Rehearsal)
            || found.running.any(Mode::Live),
        why: case.why(&found, settings),
        findings,
    })
}

/// Senders that are left alone because a receiving side blocked them.
fn paused(status: &Status) -> impl Iterator<Item = Finding> {
    status.paused.iter().map(|one| {
        let until = local(one.pause.until, status.zone).format("%Y-%m-%d %H:%M");
        let text = format!(
            "{} is blocked and left alone until {until}; its touches wait. The reply: {}",
            one.sender, one.reason
        );
        Finding::new("sender", Verdict::Wrong, text)
    })
}

/// Messages of which nobody knows whether they arrived.
fn uncertain(status: &Status) -> Option<Finding> {
    let since = status.uncertain_since?;
    let text = format!(
        "nobody knows of {} messages whether they arrived, the oldest since {}: `kith uncertain list`",
        status.uncertain,
        local(since, status.zone).format("%Y-%m-%d %H:%M")
    );
    Some(Finding::new("uncertain", Verdict::Unknown, text))
}

fn database(server: &Server) -> Finding {
    let mut wrong = Vec::new();
    if server.version_num < OLDEST {
        wrong.push(format!("Postgres {} is too old: 15 or newer", server.version));
    }
    if !server.fsync {
        wrong.push("fsync is off: a crash may lose what was sent, and send it again".to_owned());
    }
    if server.synchronous_commit == "off" {
        wrong.push("synchronous_commit is off for every session: set it to on".to_owned());
    }
    if wrong.is_empty() {
        return Finding::new(
            "database",
            Verdict::Fine,
            format!("Postgres {}, fsync on", server.version),
        );
    }
    Finding::new("database", Verdict::Wrong, wrong.join("; "))
}

/// Cadences in force with a step on a channel that nothing carries.
fn without_sender(rules: &Rules, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, in_force) in &rules.cadences {
        let steps = in_force.cadence.steps.iter();
        let channels: BTreeSet<ChannelKind> = steps
            .flat_map(|step| step.channel.as_slice().iter().copied())
            .filter(|channel| *channel != ChannelKind::Task && settings.sender(*channel, None).is_none())
            .collect();
        findings.extend(
            channels
                .into_iter()
                .map(|channel| Finding::new("senders", Verdict::Wrong, no_sender(channel, name))),
        );
    }
    findings
}

/// Who runs, in which mode; two modes on one database are a mistake.
fn daemons(status: &Status) -> Finding {
    let Running { alive, mode, .. } = status.running;
    if alive == 0 || status.running.differ() {
        return Finding::new("daemons", Verdict::Wrong, status.running.to_string());
    }
    let versions: BTreeSet<&str> = status.daemons.iter().map(|one| one.version.as_str()).collect();
    let versions: Vec<&str> = versions.into_iter().collect();
    let text = format!("{alive} alive, kith {}, mode {mode}", versions.join(" and "));
    let configured = status.running.configured_mode.as_str();
    if mode == configured {
        return Finding::new("daemons", Verdict::Fine, text);
    }
    let text =
        format!("{text}; the configuration of this command says {configured}, which is not in force there");
    Finding::new("daemons", Verdict::Unknown, text)
}

/// What is known beside the status.
struct Case {
    rules_ok: bool,
    off: TimeDelta,
    bound_elsewhere: bool,
    contacts: i64,
    no_sender: bool,
}

impl Case {
    /// The first thing that stops everything; else what is waited for; else that it goes out.
    fn why(&self, status: &Status, settings: &Settings) -> Why {
        if let Some(text) = self.stops(status, settings) {
            return Why { blocked: true, text };
        }
        let running = &status.running;
        let mode = if running.differ() {
            format!(" The daemons run in different modes ({}).", running.counted())
        } else if running.any(Mode::Sandbox) {
            " Mode is sandbox: it goes to the sandbox, and nothing leaves this machine.".to_owned()
        } else {
            String::new()
        };
        Why {
            blocked: false,
            text: waits(status) + &blocked(status) + &mode,
        }
    }

    fn stops(&self, status: &Status, settings: &Settings) -> Option<String> {
        let delivery = &settings.delivery;
        if status.brake {
            let why = status
                .brake_reason
                .as_ref()
                .map_or(String::new(), |why| format!(" ({why})"));
            return Some(format!("The brake is on{why}: `kith brake off` lifts it."));
        }
        if !self.rules_ok {
            return Some(
                "No rules are in force: `kith apply` puts config/ and templates/ in force.".to_owned(),
            );
        }
        if self.bound_elsewhere {
            return Some(
                "Live mode is bound to another database than this copy: `kith brake off --live` binds it here."
                    .to_owned(),
            );
        }
        if self.contacts == 0 {
            return Some("There are no contacts: `kith import contacts FILE.csv`.".to_owned());
        }
        if status.running.alive == 0 {
            if status.daemons.iter().any(figures::DaemonRow::is_web_only) {
                return Some(
                    "Pages are served, but no daemon works: `kith run`, or `kith run --role worker`, starts one."
                        .to_owned(),
                );
            }
            let last = status.daemons.first().map_or(String::new(), |d| {
                format!(" (one was last heard of {:.0} s ago)", d.silent_secs)
            });
            return Some(format!("No daemon is alive{last}: `kith run` starts one."));
        }
        if self.off > MOST_OFF && !status.simulated {
            return Some(format!(
                "This machine's clock and the database's differ by {} s: a daemon claims nothing until they agree.",
                self.off.num_seconds()
            ));
        }
        if self.no_sender {
            return Some("No sender is configured: [[senders]] in kith.toml.".to_owned());
        }
        if delivery.mode == Mode::Rehearsal && delivery.allow_list.is_empty() {
            return Some(
                "Mode is rehearsal and delivery.allow_list is empty, so nobody may be written to.".to_owned(),
            );
        }
        None
    }
}

/// Which senders a receiving side blocked.
fn blocked(status: &Status) -> String {
    let names: Vec<&str> = status.paused.iter().map(|one| one.sender.as_str()).collect();
    match names[..] {
        [] => String::new(),
        [name] => format!(" Sender {name} is blocked and left alone for a while: `kith senders`."),
        _ => format!(
            " Senders {} are blocked and left alone for a while: `kith senders`.",
            names.join(", ")
        ),
    }
}

/// What the queue waits for.
fn waits(status: &Status) -> String {
    let minute = |at: DateTime<Utc>| local(at, status.zone).format("%Y-%m-%d %H:%M").to_string();
    let queue = &status.queue;
    let accepted: i64 = status
        .today
        .iter()
        .filter(|c| c.name.ends_with(" accepted"))
        .map(|c| c.n)
        .sum();
    if queue.due + queue.in_hand > 0 {
        return format!(
            "Work is under way: {} due, {} being handed over, {accepted} sent today.",
            queue.due, queue.in_hand
        );
    }
    if let Some(most) = status.held.first() {
        let next = queue.next_due_at.map_or(String::new(), |at| {
            format!("; the next is looked at {}", minute(at))
        });
        return format!(
            "All {} touches that are due are held, most for {} ({}){next}. {accepted} sent today.",
            queue.held, most.name, most.n
        );
    }
    let next = [queue.next_due_at, queue.next_look_at]
        .into_iter()
        .flatten()
        .min();
    match next {
        Some(at) => format!(
            "Nothing is due before {}; {} enrollments go on. {accepted} sent today.",
            minute(at),
            queue.active
        ),
        None => format!(
            "Nobody is in any cadence: no audience, grade or event has let anybody in. {accepted} sent today."
        ),
    }
}

#[cfg(test)]
mod tests;
