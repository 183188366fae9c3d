//! How far back a claim has to look.
//!
//! A row that was sent leaves the index only when no snapshot can see it any more. Beside a transaction that stays open, claims
//! walk over all that was sent since it began, each time. So when a claim from the start was slow, the next ones begin where
//! it ended, class by class. What comes later lies behind that place: no row is queued as due before the moment it is queued at
//! ([`crate::store::touch::insert`]), and what comes back from a hold or the dead is due now. There remain rows that somebody
//! else held while we passed, and then left where they were: a claim from the start finds those. It is made anew before it has
//! had a two-hundredth of the time; so such a row waits 200 times as long as that claim takes, 4 s when it is just slow, and
//! not at all when it is not.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::queue::{ClaimedTouch, Place, SHARE, START};

/// A claim from the start that takes longer than this is slow.
const SLOW: Duration = Duration::from_millis(20);
/// Claims from the start have one part in so many of the time.
const SELDOM: u32 = 200;
/// What is queued with the time of now may commit so much later.
const UNSEEN: TimeDelta = TimeDelta::seconds(5);

/// The places at which the claims of one daemon begin.
#[derive(Debug, Default)]
pub struct LowWater {
    places: Option<[Place; 4]>,
    from_start: bool,
    anew_at: Option<Instant>,
    asked: Option<Asked>,
}

/// What must stay the same for the places to hold.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    now: DateTime<Utc>,
    connections: u64,
}

impl LowWater {
    /// Where the next claim begins. All are forgotten when business time went back, or somebody was connected to anew: the
    /// server may have lost claims, which it may since they do not wait for the disk.
    pub fn places(&mut self, now: DateTime<Utc>, at: Instant, connections: u64) -> [Place; 4] {
        let changed = self
            .asked
            .is_some_and(|asked| now < asked.now || connections != asked.connections);
        if changed || self.anew_at.is_some_and(|anew_at| at >= anew_at) {
            self.forget();
        }
        self.asked = Some(Asked { at, now, connections });
        self.from_start = self.places.is_none();
        self.places.unwrap_or([START; 4])
    }

    /// Learns from the claim that was made from there and over at an instant.
    pub fn claimed(&mut self, rows: &[ClaimedTouch], limit: i64, now: DateTime<Utc>, at: Instant) {
        let ends: Vec<(i16, Place)> = rows.iter().map(|r| (r.class, (r.due_at, r.contact_id))).collect();
        self.learn(&ends, limit, now, at);
    }

    /// The next claim begins at the start.
    pub fn forget(&mut self) {
        (self.places, self.anew_at) = (None, None);
    }

    fn learn(&mut self, rows: &[(i16, Place)], limit: i64, now: DateTime<Utc>, at: Instant) {
        if self.from_start {
            let took = self.asked.map_or(Duration::ZERO, |asked| at - asked.at);
            if took <= SLOW {
                return;
            }
            self.anew_at = Some(at + took * SELDOM);
        }
        let seen = (now - UNSEEN, START.1);
        // Of a full claim, each class was taken up to some row. Else all that was due was taken.
        let full = rows.len() as i64 >= limit;
        let mut places = self.places.unwrap_or([START; 4]);
        for (class, place) in (0..).zip(&mut places) {
            let last = rows
                .iter()
                .filter(|(of, _)| *of == class)
                .map(|(_, place)| *place)
                .max();
            let reached = match last {
                Some(last) if full => last.min(seen),
                None if full && limit < SHARE => continue,
                _ => seen,
            };
            *place = reached.max(*place);
        }
        self.places = Some(places);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn minute(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(n)
    }

    fn at(n: i64, contact: u128) -> Place {
        (minute(n), Uuid::from_u128(contact))
    }

    /// A claim of three that takes so long.
    fn claim(water: &mut LowWater, begun: Instant, took: Duration, rows: &[(i16, Place)]) -> [Place; 4] {
        let from = water.places(minute(60), begun, 1);
        water.learn(rows, 20, minute(60), begun + took);
        from
    }

    fn full(class: i16, from: u128) -> Vec<(i16, Place)> {
        (from..from + 20).map(|contact| (class, at(9, contact))).collect()
    }

    #[test]
    fn while_claims_are_fast_each_begins_at_the_start() {
        let (mut water, begun) = (LowWater::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(claim(&mut water, begun, SLOW, &full(3, 1)), [START; 4]);
        }
    }

    #[test]
    fn after_a_slow_one_the_next_begins_where_it_ended_and_seldom_one_at_the_start() {
        let (mut water, begun) = (LowWater::default(), Instant::now());
        let took = Duration::from_millis(50);
        claim(&mut water, begun, took, &full(3, 1));
        let seen = (minute(60) - UNSEEN, Uuid::nil());
        // Every class that waits has a share of a full claim: of the others nothing waits.
        let from = claim(&mut water, begun + took, Duration::ZERO, &full(3, 21));
        assert_eq!(from, [seen, seen, seen, at(9, 20)]);
        let from = claim(&mut water, begun + took, Duration::ZERO, &full(2, 1)[..5]);
        assert_eq!(from[3], at(9, 40));
        let (waits, moment) = (took * SELDOM, Duration::from_millis(1));
        let anew = begun + took + waits;
        let from = claim(
            &mut water,
            begun + waits + took.saturating_sub(moment),
            Duration::ZERO,
            &[],
        );
        assert_eq!(from, [seen; 4], "all that was due was taken");
        assert_eq!(claim(&mut water, anew, took, &[]), [START; 4]);
        assert_ne!(claim(&mut water, anew + took, took, &[]), [START; 4]);
    }

    #[test]
    fn what_may_not_be_seen_yet_is_never_passed() {
        let (mut water, begun) = (LowWater::default(), Instant::now());
        let took = Duration::from_secs(1);
        let rows: Vec<(i16, Place)> = (0..20).map(|n| (0, (minute(60), Uuid::from_u128(n)))).collect();
        claim(&mut water, begun, took, &rows);
        assert!(claim(&mut water, begun + took, took, &[])[0].0 < minute(60));
    }

    #[test]
    fn another_server_or_an_earlier_time_begins_anew() {
        let (mut water, begun) = (LowWater::default(), Instant::now());
        claim(&mut water, begun, Duration::from_secs(1), &full(3, 1));
        assert_ne!(water.places(minute(60), begun, 1), [START; 4]);
        assert_eq!(water.places(minute(60), begun, 2), [START; 4]);
        claim(&mut water, begun, Duration::from_secs(1), &full(3, 1));
        assert_eq!(water.places(minute(59), begun, 1), [START; 4]);
    }
}
