//! The floor of one daemon: what is under way by sender and by recipients' side, and which senders are left alone.
//!
//! The first half of what one daemon may have under way is anybody's. Of the other half a sender has only as much as it has
//! shown that it can use, and senders that are not answered have next to nothing: so no server that is slow or stands still
//! can hold up the messages of the others.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::channel::{RefusalClass, SENDER_PROBLEM, SendOutcome};
use crate::domain::breaker::{Breaker, BreakerRules, Says};

/// So many attempts under way are anybody's.
const SHARED: usize = 300;
/// Beyond them: attempts under way of all senders together that have not been answered lately,
const UNANSWERED: usize = 400;
/// and of each of them.
const FIRST: usize = 4;
/// A sender was answered lately when it was within this time.
const LATELY: TimeDelta = TimeDelta::seconds(5);
/// Answers are counted by slots of this many seconds.
const SLOT: i64 = 2;
/// Attempts under way for each of a sender's connections, as long as it is slow.
const PER_CONNECTION: usize = 8;
/// Answers in a slot for each connection of a sender, whatever it has shown.
const THOUGHT_FAST: usize = 20;
/// The same of one that has just begun, of which nothing is known yet,
const HOPED_FAST: usize = 200;
/// but no more than this for all its connections.
const HOPED_MOST: usize = 2000;
/// Nobody is put off for longer than this because a sender is busy.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);

/// One sender.
#[derive(Debug, Default)]
pub struct Seat {
    under_way: usize,
    breaker: Breaker,
    answered: Option<DateTime<Utc>>,
    busy_since: Option<DateTime<Utc>>,
    slot: i64,
    answers: [u32; 2],
    line: Option<DateTime<Utc>>,
}

/// What is under way.
#[derive(Debug, Default)]
pub struct Floor {
    seats: BTreeMap<String, Seat>,
    sides: BTreeMap<String, u32>,
}

/// What a batch is going to begin, before it does.
#[derive(Debug, Default)]
pub struct Planned {
    all: usize,
    of: BTreeMap<String, usize>,
}

impl Planned {
    /// One more.
    pub fn add(&mut self, sender: &str) {
        self.all += 1;
        *self.of.entry(sender.to_owned()).or_default() += 1;
    }
}

/// Whether a sender may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Yes; `true` = it is the trial of a breaker.
    Yes(bool),
    /// It is left alone until then.
    Down(DateTime<Utc>),
    /// It has enough under way; somebody's turn is then.
    Busy(DateTime<Utc>),
}

impl Floor {
    /// Whether a sender with so many connections may be used now.
    pub fn may_use(&mut self, sender: &str, connections: usize, now: DateTime<Utc>) -> Use {
        self.may_plan(&Planned::default(), sender, connections, now)
    }

    /// Whether it may be used now beside what is planned.
    pub fn may_plan(
        &mut self,
        planned: &Planned,
        sender: &str,
        connections: usize,
        now: DateTime<Utc>,
    ) -> Use {
        let planned_of = |sender: &str| planned.of.get(sender).copied().unwrap_or(0);
        let (mut all, mut silent) = (planned.all, 0);
        for (name, seat) in &self.seats {
            all += seat.under_way;
            silent += if seat.is_answered(now) {
                0
            } else {
                seat.under_way + planned_of(name)
            };
        }
        let seat = self.seats.entry(sender.to_owned()).or_default();
        let trial = match seat.breaker.says(now) {
            Says::Open(until) => return Use::Down(until),
            Says::Trial => true,
            Says::Closed => false,
        };
        let lately = seat.answers.iter().copied().max().unwrap_or(0) as usize;
        let enough = (connections * PER_CONNECTION).max(lately * 2);
        let under_way = seat.under_way + planned_of(sender);
        let fits = if seat.is_answered(now) {
            under_way < enough
        } else {
            under_way < FIRST && silent < UNANSWERED
        };
        if all >= SHARED && !fits {
            return Use::Busy(seat.turn(lately, connections, now));
        }
        if under_way * 2 < enough {
            seat.line = None;
        }
        Use::Yes(trial)
    }

    /// Whether nobody but a trial is to begin with a sender now.
    pub fn leaves_alone(&self, sender: &str) -> bool {
        self.seats.get(sender).is_some_and(|seat| seat.breaker.is_open())
    }

    /// How many attempts are under way over senders that were not answered lately.
    pub fn unanswered(&self, now: DateTime<Utc>) -> usize {
        let silent = self.seats.values().filter(|seat| !seat.is_answered(now));
        silent.map(|seat| seat.under_way).sum()
    }

    /// How many attempts are under way to a provider or domain.
    pub fn to_side(&self, side: &str) -> u32 {
        self.sides.get(side).copied().unwrap_or(0)
    }

    /// An attempt begins.
    pub fn begins(&mut self, sender: &str, side: Option<&str>, trial: bool, now: DateTime<Utc>) {
        let seat = self.seats.entry(sender.to_owned()).or_default();
        if seat.under_way == 0 {
            seat.busy_since = Some(now);
        }
        seat.under_way += 1;
        if trial {
            seat.breaker.tries();
        }
        if let Some(side) = side {
            *self.sides.entry(side.to_owned()).or_default() += 1;
        }
    }

    /// It is over, however it ended.
    pub fn ends(&mut self, sender: &str, side: Option<&str>, trial: bool) {
        if let Some(seat) = self.seats.get_mut(sender) {
            seat.under_way = seat.under_way.saturating_sub(1);
            if trial {
                seat.breaker.neutral();
            }
        }
        if let Some(side) = side
            && let Some(n) = self.sides.get_mut(side)
        {
            *n -= 1;
            if *n == 0 {
                self.sides.remove(side);
            }
        }
    }

    /// What an attempt says about its sender. Some = that opened its breaker until then.
    pub fn hears(
        &mut self,
        sender: &str,
        outcome: &SendOutcome,
        rules: &BreakerRules,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let seat = self.seats.entry(sender.to_owned()).or_default();
        match sign(outcome) {
            Sign::Answer => {
                seat.count(now);
                if seat.breaker.succeeded() {
                    tracing::info!(sender, "the sender works again");
                }
                None
            }
            Sign::Failure => seat.breaker.failed(rules, now),
            Sign::Nothing => None,
        }
    }

    /// Each sender with what is under way and the level of its breaker.
    pub fn seats(&self, now: DateTime<Utc>) -> impl Iterator<Item = (&str, usize, f64)> {
        self.seats
            .iter()
            .map(move |(name, seat)| (name.as_str(), seat.under_way, seat.breaker.level(now)))
    }
}

impl Seat {
    fn is_answered(&self, now: DateTime<Utc>) -> bool {
        self.answered.is_some_and(|at| now - at < LATELY)
    }

    fn count(&mut self, now: DateTime<Utc>) {
        let slot = now.timestamp().div_euclid(SLOT);
        if slot != self.slot {
            self.answers = [0, if slot == self.slot + 1 { self.answers[0] } else { 0 }];
            self.slot = slot;
        }
        self.answers[0] = self.answers[0].saturating_add(1);
        self.answered = Some(now);
    }

    /// The next place in the line of those who wait for a busy sender, by how fast it was answered. As long as it cannot have
    /// shown that, it is thought to be fast: who comes too soon is turned away again at little cost, and who comes too late
    /// leaves a good sender idle. One that has had work for some time and not one answer stands still.
    fn turn(&mut self, answers: usize, connections: usize, now: DateTime<Utc>) -> DateTime<Utc> {
        let has_begun = self.busy_since.is_none_or(|at| now - at < LATELY);
        let (expected, soonest) = if has_begun {
            let hoped = (connections * HOPED_FAST).min(HOPED_MOST);
            (answers.max(hoped), TimeDelta::milliseconds(20))
        } else if self.is_answered(now) {
            (
                answers.max(connections * THOUGHT_FAST),
                TimeDelta::milliseconds(250),
            )
        } else {
            (2, TimeDelta::seconds(1))
        };
        let each =
            TimeDelta::microseconds(SLOT * 1_000_000 / i64::try_from(expected).unwrap_or(i64::MAX).max(1));
        let at = self.line.unwrap_or(now).max(now + soonest) + each;
        let at = if at > now + LONGEST_WAIT {
            now + LONGEST_WAIT / 2
        } else {
            at
        };
        self.line = Some(at);
        at
    }
}

enum Sign {
    /// The other side answered as one that works.
    Answer,
    /// It was not reached, was cut, or wants nothing of this sender.
    Failure,
    /// It was not asked.
    Nothing,
}

fn sign(outcome: &SendOutcome) -> Sign {
    match outcome {
        SendOutcome::Refused {
            class: RefusalClass::PolicyBlocked,
            ..
        }
        | SendOutcome::Uncertain { .. } => Sign::Failure,
        SendOutcome::Accepted { .. } | SendOutcome::Refused { .. } => Sign::Answer,
        SendOutcome::Deferred { why, .. } if why.starts_with(SENDER_PROBLEM) => Sign::Failure,
        // A temporary reply is an answer; anything else that put it off came from the way there, or from the login.
        SendOutcome::Deferred { until, why } if until.is_some() || why.starts_with('4') => Sign::Answer,
        SendOutcome::Deferred { .. } => Sign::Failure,
        SendOutcome::NotBegun | SendOutcome::Withdrawn | SendOutcome::NotCrossed => Sign::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules = BreakerRules {
        failures: 2,
        open_for: TimeDelta::seconds(30),
        longest: TimeDelta::seconds(30),
    };

    fn accepted() -> SendOutcome {
        SendOutcome::Accepted {
            reply: "250".to_owned(),
        }
    }

    #[test]
    fn an_account_that_is_not_served_counts_as_a_failure() {
        let (mut floor, now) = (Floor::default(), DateTime::UNIX_EPOCH);
        let problem = SendOutcome::Deferred {
            until: Some(now + TimeDelta::hours(1)),
            why: format!("{SENDER_PROBLEM}403 no money"),
        };
        let busy = SendOutcome::Deferred {
            until: Some(now + TimeDelta::hours(1)),
            why: "429 too fast".to_owned(),
        };
        for outcome in [&busy, &problem, &busy, &problem] {
            assert_eq!(floor.hears("text", outcome, &RULES, now), None);
        }
        assert!(floor.hears("text", &problem, &RULES, now).is_some());
    }

    #[test]
    fn five_hundred_silent_senders_leave_room_for_one_that_is_answered() {
        let (mut floor, now) = (Floor::default(), DateTime::UNIX_EPOCH);
        floor.begins("well", None, false, now);
        floor.hears("well", &accepted(), &RULES, now);
        let mut begun = 0;
        for n in 0..500 {
            let name = format!("s{n}");
            while let Use::Yes(_) = floor.may_use(&name, 8, now) {
                floor.begins(&name, None, false, now);
                begun += 1;
            }
        }
        assert_eq!(begun, UNANSWERED);
        assert_eq!(floor.may_use("well", 8, now), Use::Yes(false));
    }

    #[test]
    fn a_silent_sender_has_a_part_and_a_fast_one_all_it_can_use() {
        let (mut floor, now) = (Floor::default(), DateTime::UNIX_EPOCH);
        let fill = |floor: &mut Floor| {
            let mut n = 0;
            while n < 5000
                && let Use::Yes(_) = floor.may_use("mail", 4, now)
            {
                floor.begins("mail", None, false, now);
                n += 1;
            }
            n
        };
        assert_eq!(fill(&mut floor), SHARED);
        for _ in 0..1000 {
            floor.hears("mail", &accepted(), &RULES, now);
        }
        assert_eq!(fill(&mut floor), 2000 - SHARED);
        let Use::Busy(first) = floor.may_use("mail", 4, now) else {
            panic!()
        };
        let Use::Busy(next) = floor.may_use("mail", 4, now) else {
            panic!()
        };
        assert!(now < first && first < next && next < now + TimeDelta::seconds(2));
    }

    #[test]
    fn what_counts_as_a_failure() {
        let deferred = |why: &str| SendOutcome::Deferred {
            until: None,
            why: why.to_owned(),
        };
        let refused = |class| SendOutcome::Refused {
            class,
            why: String::new(),
        };
        for (outcome, opens) in [
            (deferred("connect: connection refused"), true),
            (deferred("535 5.7.8 bad credentials"), true),
            (deferred("451 4.7.1 greylisted"), false),
            (refused(RefusalClass::PolicyBlocked), true),
            (refused(RefusalClass::AddressBad), false),
            (SendOutcome::Uncertain { why: String::new() }, true),
            (SendOutcome::NotCrossed, false),
            (SendOutcome::NotBegun, false),
        ] {
            let (mut floor, now) = (Floor::default(), DateTime::UNIX_EPOCH);
            floor.hears("mail", &outcome, &RULES, now);
            floor.hears("mail", &outcome, &RULES, now);
            let down = matches!(floor.may_use("mail", 8, now), Use::Down(_));
            assert_eq!(down, opens, "{outcome:?}");
            assert_eq!(floor.leaves_alone("mail"), opens, "{outcome:?}");
        }
    }
}
