//! When what was put off is tried again, and when no more.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::cadence::Class;
use super::reply::{ReplyClass, asked_to_wait, class_of_reason};

/// How a class of "not now" is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    /// The first wait; each further one is twice as long,
    first: TimeDelta,
    /// but no longer than this.
    longest: TimeDelta,
    /// So many tries in all.
    tries: i16,
}

/// No try comes sooner after another, whatever the other side asks for.
const SOONEST: TimeDelta = TimeDelta::seconds(10);

fn course(class: ReplyClass) -> Course {
    let (first, longest, tries) = match class {
        // Grey lists and busy servers are over within minutes.
        ReplyClass::Temporary | ReplyClass::AddressBad | ReplyClass::Other => (1, 4 * 60, 8),
        // Coming back soon is what was complained about.
        ReplyClass::RateLimited => (15, 4 * 60, 8),
        // A policy rarely changes within minutes, and each try may count against the sender.
        ReplyClass::PolicyBlocked => (60, 8 * 60, 4),
        // Somebody has to tidy up.
        ReplyClass::MailboxFull => (2 * 60, 12 * 60, 6),
    };
    Course {
        first: TimeDelta::minutes(first),
        longest: TimeDelta::minutes(longest),
        tries,
    }
}

/// How long after its first try a message of that class is still worth trying.
pub fn patience(class: Class) -> TimeDelta {
    match class {
        Class::Alert => TimeDelta::hours(4),
        Class::Transactional | Class::Care => TimeDelta::hours(24),
        Class::Marketing => TimeDelta::hours(72),
    }
}

/// A touch that was put off once more.
#[derive(Debug, Clone, Copy)]
pub struct PutOff<'a> {
    /// The touch: its id spreads the times, so that a crowd does not come back together.
    pub touch: Uuid,
    /// Its class.
    pub class: Class,
    /// Tries before this one.
    pub tries: i16,
    /// When it was first tried.
    pub first_tried_at: DateTime<Utc>,
    /// Not after this.
    pub expires_at: DateTime<Utc>,
    /// Why it was put off.
    pub why: &'a str,
    /// When the other side asked to be tried again, where its protocol has a field for that.
    pub until: Option<DateTime<Utc>>,
}

/// When to try again, or why not.
pub fn next(put_off: &PutOff<'_>, now: DateTime<Utc>) -> Result<DateTime<Utc>, &'static str> {
    let course = course(class_of_reason(put_off.why));
    let tries = put_off.tries.max(0);
    if tries + 1 >= course.tries {
        return Err("it was tried often enough");
    }
    let own = course
        .longest
        .min(course.first * 2_i32.saturating_pow(u32::try_from(tries).unwrap_or(0).min(16)));
    // Three quarters to five quarters of the wait.
    let own = own * (192 + i32::from(put_off.touch.as_bytes()[15]) / 2) / 256;
    let wait = match (put_off.until, asked_to_wait(put_off.why)) {
        // At its word; but who asks for a moment again and again is given longer each time, up to the own wait.
        (Some(until), _) => {
            let asked = until - now;
            let grown = asked.max(SOONEST) * 2_i32.pow(u32::try_from(tries).unwrap_or(0).min(16));
            asked.max(own.min(grown)).max(SOONEST)
        }
        // Never a moment too soon: many grey lists begin anew then.
        (None, Some(asked)) => asked + own.min(asked) / 8 + TimeDelta::seconds(1),
        (None, None) => own,
    };
    let at = now + wait;
    if at >= put_off.expires_at {
        Err("it would expire before the next try")
    } else if at >= put_off.first_tried_at + patience(put_off.class) {
        Err("it was tried for long enough")
    } else {
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2027-03-01T09:00:00Z".parse().unwrap()
    }

    fn put_off(why: &str) -> PutOff<'_> {
        PutOff {
            touch: Uuid::from_u128(128),
            class: Class::Marketing,
            tries: 0,
            first_tried_at: now(),
            expires_at: now() + TimeDelta::days(30),
            why,
            until: None,
        }
    }

    fn minutes(one: &PutOff<'_>) -> Result<i64, &'static str> {
        next(one, now()).map(|at| (at - now()).num_minutes())
    }

    #[test]
    fn waits_double_by_class_up_to_their_longest() {
        for (why, waits) in [
            ("451 4.3.0 later", &[1, 2, 4, 8, 16, 32, 64][..]),
            (
                "421 4.7.0 too many connections",
                &[15, 30, 60, 120, 240, 240, 240],
            ),
            ("452 4.2.2 full", &[120, 240, 480, 720, 720]),
            ("421 4.7.1 bad reputation", &[60, 120, 240]),
        ] {
            for (tries, wait) in waits.iter().enumerate() {
                let one = PutOff {
                    tries: tries as i16,
                    ..put_off(why)
                };
                assert_eq!(minutes(&one), Ok(*wait), "{why} {tries}");
            }
            let last = PutOff {
                tries: waits.len() as i16,
                ..put_off(why)
            };
            assert_eq!(minutes(&last), Err("it was tried often enough"), "{why}");
        }
    }

    #[test]
    fn a_crowd_is_spread() {
        let at = |byte: u8| {
            let mut id = [0; 16];
            id[15] = byte;
            let one = PutOff {
                touch: Uuid::from_bytes(id),
                tries: 3,
                ..put_off("451 later")
            };
            (next(&one, now()).unwrap() - now()).num_seconds()
        };
        assert_eq!((at(0), at(255)), (360, 598));
        let different: std::collections::BTreeSet<i64> = (0..=255).map(at).collect();
        assert!(different.len() > 100);
    }

    #[test]
    fn what_the_other_side_asks_for_is_heeded() {
        let hint = put_off("451 4.7.1 Greylisted, try again in 300 seconds");
        let wait = next(&hint, now()).unwrap() - now();
        assert!(
            wait > TimeDelta::seconds(300) && wait < TimeDelta::seconds(330),
            "{wait}"
        );
        let field = PutOff {
            until: Some(now() + TimeDelta::seconds(42)),
            ..put_off("429 slow")
        };
        assert_eq!(next(&field, now()), Ok(now() + TimeDelta::seconds(42)));
    }

    #[test]
    fn who_asks_for_a_moment_again_and_again_is_given_longer() {
        let waits = |asked: i64| -> Vec<i64> {
            let wait = |tries| {
                let one = PutOff {
                    tries,
                    until: Some(now() + TimeDelta::seconds(asked)),
                    ..put_off("429 slow")
                };
                (next(&one, now()).unwrap() - now()).num_seconds()
            };
            (0..7).map(wait).collect()
        };
        assert_eq!(waits(0), [10, 20, 40, 80, 160, 320, 640]);
        assert_eq!(waits(-60), waits(0));
        assert_eq!(waits(60)[..3], [60, 120, 240]);
        assert_eq!(
            waits(7200),
            [7200; 7],
            "longer than the own wait it is taken at its word"
        );
    }

    #[test]
    fn it_ends_with_its_expiry_or_the_patience_of_its_class() {
        let late = |class, hours| PutOff {
            class,
            first_tried_at: now() - TimeDelta::hours(hours),
            ..put_off("451 later")
        };
        for (class, hours) in [
            (Class::Alert, 4),
            (Class::Transactional, 24),
            (Class::Care, 24),
            (Class::Marketing, 72),
        ] {
            assert!(minutes(&late(class, hours - 1)).is_ok());
            assert_eq!(minutes(&late(class, hours)), Err("it was tried for long enough"));
        }
        let expiring = PutOff {
            expires_at: now() + TimeDelta::seconds(30),
            ..put_off("451 later")
        };
        assert_eq!(minutes(&expiring), Err("it would expire before the next try"));
    }
}
