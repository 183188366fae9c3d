//! Pace: how fast. Never more than `n` in any window of a length, by grants that are taken ahead of their use.
//!
//! Each limited key has a [`Meter`], which several daemons share. It holds one instant, the *level*, which every grant moves
//! on by a fixed step and which never lies further back than a small reserve. The step is chosen so that no window of the
//! limit's length can hold more uses than it allows, even when each grant is used at the worst moment of its life.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::cadence::Class;
use super::span::Span;
use super::text::{Malformed, text_form};

/// At most `n` in any window of a length, written `600/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    n: u32,
    per: Span,
}

/// A grant is good for this long at the most.
const LONGEST_LIFE: TimeDelta = TimeDelta::seconds(5);
/// And for this long at the least, so that a dialogue can be opened meanwhile.
const SHORTEST_LIFE: TimeDelta = TimeDelta::milliseconds(250);

impl Rate {
    /// Reads a rate. A window is a second at the least and a day at the most.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let refused = || Malformed::new(format!("{text:?} is not a rate such as 10/1s, 600/1m or 5000/1d"));
        let (n, per) = text.split_once('/').ok_or_else(refused)?;
        let n: u32 = n.trim().parse().map_err(|_| refused())?;
        let per = Span::parse(per).map_err(|_| refused())?;
        let length = per.length();
        if n == 0 || n > 10_000_000 || length < TimeDelta::seconds(1) || length > TimeDelta::days(1) {
            return Err(Malformed::new(format!(
                "the rate {text:?} must allow something, in a window between 1s and 1d"
            )));
        }
        Ok(Self { n, per })
    }

    /// How long a grant may wait for its use; then it is lost.
    pub fn life(self) -> TimeDelta {
        (self.per.length() / 10).clamp(SHORTEST_LIFE, LONGEST_LIFE)
    }

    /// How many grants may be taken at once: what a second allows, and of a short window a quarter.
    pub fn reserve(self) -> u32 {
        let window = self.per.length();
        let ahead = TimeDelta::seconds(1).min(window / 4);
        let share = i64::from(self.n) * ahead.num_milliseconds() / window.num_milliseconds();
        u32::try_from(share).unwrap_or(u32::MAX).clamp(1, self.n)
    }

    /// How far one grant moves the level: uses of one window come from takes of window and life together, and what was
    /// saved up before.
    pub fn step(self) -> TimeDelta {
        let micros = (self.per.length() + self.life())
            .num_microseconds()
            .unwrap_or(i64::MAX / 2);
        TimeDelta::microseconds(micros / i64::from(self.n + 1 - self.reserve()) + 1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.n, self.per)
    }
}

text_form!(Rate);

/// What a key is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How fast.
    pub rate: Option<Rate>,
    /// How many on one day.
    pub today: Option<Quota>,
}

/// How many on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The day.
    pub day: NaiveDate,
    /// When the next begins.
    pub ends: DateTime<Utc>,
    /// How many.
    pub n: u32,
}

/// What has been granted under one key, and who stands in line for more. One row of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meter {
    /// Moved on by every grant.
    pub level: Option<DateTime<Utc>>,
    /// The end of the line of each class, by its number.
    pub line: [Option<DateTime<Utc>>; 4],
    /// The day that `used` counts.
    pub day: Option<NaiveDate>,
    /// Grants of that day.
    pub used: u32,
}

/// Of so many places one is for those behind.
const EVERY: i32 = 10;

/// A line that nobody has drawn from for this long, and for ten steps, is no line any more.
const IDLE: TimeDelta = TimeDelta::seconds(5);

impl Meter {
    /// How many may be granted now.
    pub fn room(&self, limit: &Limit, now: DateTime<Utc>) -> u32 {
        let by_rate = limit.rate.map_or(u32::MAX, |rate| {
            let (step, floor) = (rate.step(), now - rate.step() * reserve(rate));
            let level = self.level.map_or(floor, |level| level.max(floor));
            micros((now - level).max(TimeDelta::zero()))
                .checked_div(micros(step))
                .map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX))
        });
        by_rate.min(
            limit
                .today
                .map_or(u32::MAX, |quota| quota.n.saturating_sub(self.used_on(quota.day))),
        )
    }

    fn used_on(&self, day: NaiveDate) -> u32 {
        if self.day == Some(day) { self.used } else { 0 }
    }

    fn grant(&mut self, limit: &Limit, now: DateTime<Utc>) {
        if let Some(rate) = limit.rate {
            let floor = now - rate.step() * reserve(rate);
            self.level = Some(self.level.map_or(floor, |level| level.max(floor)) + rate.step());
        }
        if let Some(quota) = limit.today {
            self.used = self.used_on(quota.day) + 1;
            self.day = Some(quota.day);
        }
    }

    /// A line is forgotten when nobody came for what was there: those who stood in it are gone.
    fn forget(&mut self, limit: &Limit, now: DateTime<Utc>) {
        let idle = limit.rate.is_some_and(|rate| {
            self.level
                .is_some_and(|at| at + rate.step() * (reserve(rate) + 10) + IDLE < now)
        });
        if idle {
            self.line = [None; 4];
        }
    }

    /// When somebody who got nothing shall ask again. Whoever comes for the first time goes to the end of his line; whose
    /// turn had come already waits behind the better classes only. But nobody waits longer than the places take that are kept
    /// for those behind. `missed` counts whose turn had come.
    fn turn(
        &mut self,
        limit: &Limit,
        who: &Request<'_>,
        missed: &mut i32,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        if let Some(quota) = limit.today.filter(|quota| self.used_on(quota.day) >= quota.n) {
            return quota.ends;
        }
        let Some(rate) = limit.rate else { return now };
        let (class, step) = (usize::from(who.class.number().unsigned_abs()).min(3), rate.step());
        let open = self.level.map_or(now, |level| now.max(level));
        let behind =
            |classes: &[Option<DateTime<Utc>>]| classes.iter().flatten().fold(open, |a, b| a.max(*b));
        if who.waited {
            *missed += 1;
            return (behind(&self.line[..class]) + step * *missed).min(open + step * EVERY * *missed);
        }
        let own = self.line[class].map_or(open, |end| end.max(open));
        let at = (behind(&self.line[..=class]) + step).min(own + step * EVERY);
        self.line[class] = Some(at);
        at
    }
}

/// Which limit: its kind (`sender`, `provider`, `domain` of the recipient, `from` = domain of From) and for whom.
pub type Key = (&'static str, String);

/// Somebody who asks to go.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// His limits; all of them must have room.
    pub keys: &'a [Key],
    /// His class.
    pub class: Class,
    /// He was told to come now.
    pub waited: bool,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// He may go, if he does so before this instant; `None` = whenever.
    Go(Option<DateTime<Utc>>),
    /// Not before.
    Wait(DateTime<Utc>),
}

/// Answers a batch, in its order. What is granted is written into the meters.
pub fn admit(
    limits: &BTreeMap<Key, Limit>,
    meters: &mut BTreeMap<Key, Meter>,
    requests: &[Request<'_>],
    now: DateTime<Utc>,
) -> Vec<Answer> {
    for (key, meter) in meters.iter_mut() {
        if let Some(limit) = limits.get(key) {
            meter.forget(limit, now);
        }
    }
    let mut missed = 0;
    requests
        .iter()
        .map(|who| {
            let bound: Vec<(&Key, &Limit)> = who
                .keys
                .iter()
                .filter_map(|key| limits.get(key).map(|limit| (key, limit)))
                .collect();
            let full: Vec<_> = bound
                .iter()
                .filter(|(key, limit)| meters.get(*key).cloned().unwrap_or_default().room(limit, now) == 0)
                .collect();
            let waits = full
                .iter()
                .map(|(key, limit)| {
                    meters
                        .entry((*key).clone())
                        .or_default()
                        .turn(limit, who, &mut missed, now)
                })
                .max();
            if let Some(until) = waits {
                return Answer::Wait(until);
            }
            for (key, limit) in &bound {
                meters.entry((*key).clone()).or_default().grant(limit, now);
            }
            Answer::Go(
                bound
                    .iter()
                    .filter_map(|(_, limit)| limit.rate)
                    .map(|rate| now + rate.life())
                    .min(),
            )
        })
        .collect()
}

/// The order in which a batch asks, as positions: better classes first, those whose turn it is before those who have just
/// come, but every tenth place goes to the other end, so that no class waits for ever. `turn` counts the places given so far.
pub fn order(asking: &[(Class, bool)], turn: &mut u64) -> Vec<usize> {
    let mut lines: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
    for (at, (class, _)) in asking.iter().enumerate().rev() {
        lines.entry(*class).or_default().push(at);
    }
    for line in lines.values_mut() {
        // Stable, and taken from the end.
        line.sort_by_key(|at| asking[*at].1);
    }
    let mut ordered = Vec::with_capacity(asking.len());
    while let Some(best) = lines.keys().next().copied() {
        *turn = turn.wrapping_add(1);
        let class = if turn.is_multiple_of(EVERY as u64) {
            // The worse classes in turn.
            let worse: Vec<Class> = lines.keys().skip(1).rev().copied().collect();
            let nth = usize::try_from(*turn / EVERY as u64).unwrap_or(0) % worse.len().max(1);
            worse.get(nth).copied().unwrap_or(best)
        } else {
            best
        };
        let line = lines.entry(class).or_default();
        ordered.extend(line.pop());
        if line.is_empty() {
            lines.remove(&class);
        }
    }
    ordered
}

fn reserve(rate: Rate) -> i32 {
    i32::try_from(rate.reserve()).unwrap_or(i32::MAX)
}

fn micros(span: TimeDelta) -> i64 {
    span.num_microseconds().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
