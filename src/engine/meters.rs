//! Meters: what `/metrics` shows. Counters run while the program runs; gauges are read from the database when asked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{DateTime, Utc};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use sqlx::PgConnection;

use super::dispatch;
use super::status::Running;
use crate::config::{Mode, Settings};
use crate::domain::cadence::{ChannelKind, Class};
use crate::domain::event::EventType;
use crate::store::status::{self, Depth};

/// The states of work in the queue.
const STATES: [&str; 5] = ["due", "held", "later", "claimed", "crossing"];
/// What becomes of a digest.
const DIGESTS: [&str; 4] = ["accepted", "deferred", "refused", "uncertain"];

/// Says what each figure means and begins every counter at 0, so that a first event is seen as a rise.
pub fn begin(settings: &Settings) {
    counters(settings);
    gauges();
    describe_histogram!(
        "kith_claim_seconds",
        Unit::Seconds,
        "How long a claim of due touches took"
    );
    describe_histogram!(
        "kith_crossing_seconds",
        Unit::Seconds,
        "How long an attempt waited for its crossing"
    );
    describe_histogram!(
        "kith_dot_to_outcome_seconds",
        Unit::Seconds,
        "From the moment an attempt is let go to its written outcome"
    );
    describe_histogram!(
        "kith_outcome_seconds",
        Unit::Seconds,
        "How long it took until the outcome of an attempt was written"
    );
}

fn counters(settings: &Settings) {
    describe_counter!("kith_attempts_total", "Attempts to hand a message over");
    for channel in ChannelKind::ALL {
        for outcome in dispatch::WORDS {
            counter!("kith_attempts_total", "channel" => channel.as_str(), "outcome" => outcome).increment(0);
        }
    }
    describe_counter!("kith_digests_total", "Digest mails to owners");
    for outcome in DIGESTS {
        counter!("kith_digests_total", "outcome" => outcome).increment(0);
    }
    describe_counter!("kith_events_total", "Events taken in");
    for kind in EventType::ALL {
        counter!("kith_events_total", "type" => kind.as_str()).increment(0);
    }
    describe_counter!(
        "kith_uncertain_total",
        "Messages that became uncertain: by their attempt, or because their daemon died"
    );
    counter!("kith_uncertain_total").increment(0);
    describe_counter!(
        "kith_outcomes_refused_total",
        "Outcomes that the database refused and that were set aside"
    );
    counter!("kith_outcomes_refused_total").increment(0);
    describe_counter!(
        "kith_pace_waits_total",
        "Touches put back because they had to wait for their pace"
    );
    counter!("kith_pace_waits_total").increment(0);
    describe_counter!(
        "kith_sender_breaks_total",
        "Times that a sender was left alone after failures"
    );
    describe_counter!(
        "kith_sender_pauses_total",
        "Times that a sender was paused because a receiving side blocks it"
    );
    describe_counter!(
        "kith_sender_problems_total",
        "Answers of an SMS provider that does not serve the sender: no money, wrong key, no right"
    );
    for sender in &settings.senders {
        counter!("kith_sender_breaks_total", "sender" => sender.name.clone()).increment(0);
        counter!("kith_sender_pauses_total", "sender" => sender.name.clone()).increment(0);
    }
}

fn gauges() {
    describe_gauge!("kith_sender_under_way", "Attempts of this daemon under way");
    describe_gauge!(
        "kith_sender_broken",
        "1 = the sender is left alone after failures; 0.5 = one message tries"
    );
    describe_gauge!("kith_sender_granted_today", "Grants of the day, as last seen");
    describe_gauge!(
        "kith_warm_up_granted_today",
        "Grants of the day of a new domain of From, as last seen"
    );
    describe_gauge!("kith_queue_touches", "Touches in the queue");
    describe_gauge!(
        "kith_queue_oldest_due_seconds",
        "How long the oldest due touch has waited; 0 = none is due"
    );
    describe_gauge!("kith_held_touches", "Touches that the gate holds until later");
    describe_gauge!(
        "kith_uncertain_messages",
        "Messages of which nobody knows whether they arrived"
    );
    describe_gauge!("kith_brake", "1 = the brake is on: nothing goes out");
    describe_gauge!(
        "kith_daemons_alive",
        "Daemons that work and whose heartbeat is young enough"
    );
    describe_gauge!("kith_parked_events", "Events that name nobody known");
    describe_gauge!(
        "kith_database_up",
        "1 = the gauges could be read; else they are those of the last time"
    );
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Reading {
    gauges: status::Gauges,
    running: Running,
    now: DateTime<Utc>,
}

/// Reads the gauges, in two statements. `now` is business time.
pub async fn read(conn: &mut PgConnection, settings: &Settings, now: DateTime<Utc>) -> Result<Reading> {
    Ok(Reading {
        gauges: status::gauges(conn, now).await?,
        running: super::status::running(conn, settings).await?,
        now,
    })
}

impl Reading {
    /// Sets the gauges. `reasons` remembers the reasons of holds that were shown before: one that holds nothing any more
    /// is shown as 0.
    pub fn show(&self, reasons: &mut BTreeSet<String>) {
        gauge!("kith_database_up").set(1.0);
        for class in Class::ALL {
            let of_class = || {
                self.gauges
                    .queue
                    .iter()
                    .filter(|depth| depth.class == class.number())
            };
            for state in STATES {
                let n = sum(of_class().filter(|depth| depth.state == state));
                gauge!("kith_queue_touches", "class" => class.as_str(), "state" => state).set(n as f64);
            }
            let oldest = of_class()
                .filter(|depth| depth.state == "due")
                .map(|depth| depth.oldest)
                .min();
            let waited = oldest.map_or(0, |at| (self.now - at).num_seconds().max(0));
            gauge!("kith_queue_oldest_due_seconds", "class" => class.as_str()).set(waited as f64);
        }
        let mut held: BTreeMap<&str, i64> = BTreeMap::new();
        for depth in &self.gauges.queue {
            if let Some(reason) = &depth.held {
                *held.entry(reason).or_default() += depth.n;
            }
        }
        reasons.extend(held.keys().map(|reason| (*reason).to_owned()));
        for reason in reasons.iter() {
            let n = held.get(reason.as_str()).copied().unwrap_or(0);
            gauge!("kith_held_touches", "reason" => reason.clone()).set(n as f64);
        }
        for mode in Mode::ALL {
            let n = self.running.modes.get(&mode).copied().unwrap_or(0);
            gauge!("kith_daemons_alive", "mode" => mode.as_str()).set(n as f64);
        }
        gauge!("kith_brake").set(f64::from(u8::from(self.gauges.brake)));
        gauge!("kith_uncertain_messages").set(self.gauges.uncertain as f64);
        gauge!("kith_parked_events").set(self.gauges.parked as f64);
    }
}

/// The gauges could not be read.
pub fn unread() {
    gauge!("kith_database_up").set(0.0);
}

fn sum<'a>(depths: impl Iterator<Item = &'a Depth>) -> i64 {
    depths.map(|depth| depth.n).sum()
}
