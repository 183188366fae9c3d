//! What goes wrong, drawn from the seed: the blow of each cycle, the moods of the mail server, the links that break.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;

use crate::domain::chance::draw;
use crate::sandbox::gate::Gate;
use crate::sandbox::proxy::{Fault, Harm, Plan, Way};
use crate::sandbox::smtp::{Action, Behaviour, Moment, Stage};

/// What happens in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// kill -9 of one daemon.
    Kill(usize),
    /// kill -9 of all of them.
    KillAll,
    /// One is stopped, for less than its lease or for longer, and goes on.
    Freeze(usize, Duration),
    /// The database ends without a farewell and comes back after a while.
    Database(Duration),
    /// Every link to the mail server is reset.
    Reset,
    /// Every link to the mail server is silent for a while and then reset.
    Silence(Duration),
    /// The mail server is gone for a while: its links are reset, and new ones are.
    Server(Duration),
}

/// The kinds of blows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// kill -9 of one daemon
    Kill,
    /// kill -9 of all daemons
    KillAll,
    /// Stop a daemon for less or more than its lease
    Freeze,
    /// End Postgres without a farewell
    Database,
    /// Reset every link
    Reset,
    /// Silence every link, then reset it
    Silence,
    /// Take the mail server away for a while: it refuses every connection
    Server,
}

/// A cycle.
#[derive(Debug, Clone, Copy)]
pub struct Cycle {
    /// The blow.
    pub blow: Blow,
    /// It comes when this share of the cycle's letters has reached the mail server.
    pub after: f64,
    /// How long until what ended is started again.
    pub rest: Duration,
    /// How many people opt out meanwhile.
    pub opt_outs: usize,
}

/// The cycle of that number, from 0. Each of the kinds comes once in as many cycles; there must be one.
pub fn cycle(seed: u64, number: usize, daemons: usize, kinds: &[Kind]) -> Cycle {
    let text = number.to_string();
    let share = |what: &str| draw(seed, &["cycle", &text, what]);
    let up_to = |what: &str, n: usize| ((share(what) * n as f64) as usize).min(n - 1);
    let secs = |what: &str, from: f64, to: f64| Duration::from_secs_f64(from + share(what) * (to - from));
    let who = up_to("who", daemons);
    let blow = match in_order(seed, number / kinds.len(), kinds)[number % kinds.len()] {
        Kind::Kill => Blow::Kill(who),
        Kind::KillAll => Blow::KillAll,
        // Its lease ends after four seconds.
        Kind::Freeze if share("long") < 0.6 => Blow::Freeze(who, secs("freeze", 5.5, 8.0)),
        Kind::Freeze => Blow::Freeze(who, secs("freeze", 0.2, 3.0)),
        Kind::Database => Blow::Database(secs("database", 0.0, 2.0)),
        Kind::Reset => Blow::Reset,
        Kind::Silence => Blow::Silence(secs("silence", 0.5, 4.0)),
        Kind::Server => Blow::Server(secs("server", 0.5, 4.0)),
    };
    Cycle {
        blow,
        after: 0.05 + 0.8 * share("after"),
        rest: secs("rest", 0.0, 1.5),
        opt_outs: if share("opts") < 0.5 {
            1 + up_to("opt-outs", 2)
        } else {
            0
        },
    }
}

/// The kinds in their order within one block of cycles.
fn in_order(seed: u64, block: usize, kinds: &[Kind]) -> Vec<Kind> {
    let mut kinds = kinds.to_vec();
    let block = block.to_string();
    for last in (1..kinds.len()).rev() {
        let other = draw(seed, &["block", &block, &last.to_string()]) * (last + 1) as f64;
        kinds.swap(last, (other as usize).min(last));
    }
    kinds
}

/// The mail server's moods, drawn from the recipient and the number of his letter. It says which letter each answer is about,
/// so that what a daemon calls accepted can be held to what it has read.
#[derive(Clone)]
pub struct Moods {
    seed: u64,
    letters: Arc<Mutex<HashMap<String, u32>>>,
    dots: Arc<AtomicU64>,
    unanswered: Arc<AtomicU64>,
}

impl Moods {
    /// None had a letter so far.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            letters: Arc::default(),
            dots: Arc::default(),
            unanswered: Arc::default(),
        }
    }

    /// How many final dots have come.
    pub fn dots(&self) -> u64 {
        self.dots.load(Ordering::Acquire)
    }

    /// How many letters are held between their dot and their reply.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Acquire)
    }

    fn mood(&self, moment: &Moment<'_>) -> Action {
        let to = moment.rcpt.last().map_or("", String::as_str);
        let number = {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            let number = letters.entry(to.to_owned()).or_default();
            *number += 1;
            number.to_string()
        };
        let answer = |words: &str| Action::Reply(format!("{words} {}", moment.message_id));
        let action = match draw(self.seed, &["mood", to, &number]) {
            x if x < 0.010 => answer("451 4.3.0 later"),
            x if x < 0.014 => answer("550 5.1.1 nobody here"),
            x if x < 0.018 => Action::store_and_drop(),
            x if x < 0.022 => Action::Drop,
            _ => answer("250 2.0.0 taken"),
        };
        let wait = draw(self.seed, &["wait", to, &number]);
        if wait > 0.4 {
            return action;
        }
        let gate = Gate::shut();
        let (opened, unanswered) = (gate.clone(), self.unanswered.clone());
        unanswered.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(wait / 4.0)).await;
            unanswered.fetch_sub(1, Ordering::AcqRel);
            opened.open();
        });
        Action::Hold(gate, Box::new(action))
    }
}

impl Behaviour for Moods {
    fn at(&self, moment: &Moment<'_>) -> Action {
        if moment.stage != Stage::Dot {
            return Action::Go;
        }
        self.dots.fetch_add(1, Ordering::AcqRel);
        self.mood(moment)
    }
}

/// Which links break, drawn from the number of the connection.
#[derive(Debug, Clone, Copy)]
pub struct BadLinks(pub u64);

impl Plan for BadLinks {
    fn fault(&self, connection: u64) -> Option<Fault> {
        let number = connection.to_string();
        let chance = |what: &str| draw(self.0, &["link", &number, what]);
        let harm = match chance("harm") {
            x if x < 0.08 => Harm::Reset,
            x if x < 0.16 => Harm::Blackhole(Some(Duration::from_secs_f64(0.5 + 2.5 * chance("time")))),
            x if x < 0.24 => Harm::Delay(Duration::from_secs_f64(0.5 * chance("time"))),
            _ => return None,
        };
        // A letter is some two kilobytes one way and two hundred bytes the other.
        let (way, most) = if chance("way") < 0.5 {
            (Way::ToServer, 40_000.0)
        } else {
            (Way::ToClient, 4_000.0)
        };
        let at = (chance("at") * most) as u64;
        Some(Fault { way, at, harm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_cycles_and_every_blow_comes() {
        let kinds = Kind::value_variants();
        let told = |seed| -> Vec<String> {
            (0..60)
                .map(|n| format!("{:?}", cycle(seed, n, 2, kinds)))
                .collect()
        };
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
        for block in 0..10 {
            let order = in_order(7, block, kinds);
            assert!(order.len() == kinds.len() && kinds.iter().all(|kind| order.contains(kind)));
        }
        let frozen = (0..20).map(|n| cycle(7, n, 5, &[Kind::Freeze]).blow);
        assert!(frozen.into_iter().all(|blow| matches!(blow, Blow::Freeze(..))));
        assert!((0..1000).filter(|n| BadLinks(7).fault(*n).is_some()).count() > 150);
    }
}
