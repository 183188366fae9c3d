//! The wire, as the daemons see it: which letters were really between their dot and its reply when a blow came.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ground::DOMAIN;
use crate::clock::Clock;
use crate::sandbox::proxy::Ear;

/// Listens at the daemons' end of every link. The mail server names the letter in each of its answers to a dot.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    links: HashMap<u64, Link>,
    tries: HashMap<Uuid, Vec<Try>>,
    /// When each began, and when what it broke was put right.
    blows: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

/// The unfinished lines of a link, and the letter that is on its way there.
#[derive(Default)]
struct Link {
    said: Vec<u8>,
    heard: Vec<u8>,
    letter: Option<Uuid>,
    /// The letter whose reply was passed on last, as long as nothing was said after it.
    answered: Option<Uuid>,
    left: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
struct Try {
    connection: u64,
    dot: DateTime<Utc>,
    /// When it was there to be read; `None` also if the daemon ended and had not read it.
    reply: Option<DateTime<Utc>>,
}

/// What a blow cost, and what it may have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Letters whose dot had left a daemon, and whose reply had not come back to it when the blow came, or never came.
    pub between: usize,
    /// Letters of that time that are unknown in the end.
    pub unknown: usize,
    /// Those of them whose dot had not left the daemon.
    pub without_dot: usize,
    /// Those of them whose reply had come to the daemon's socket.
    pub answered: usize,
}

impl Cost {
    /// How many are unknown beyond those that really were.
    pub fn beyond(&self) -> usize {
        self.unknown.saturating_sub(self.between)
    }
}

impl Wire {
    /// A blow came, and what it broke was put right by then.
    pub fn blow(&self, from: DateTime<Utc>, to: DateTime<Utc>) {
        self.lock().blows.push((from, to));
    }

    /// The costs by blow, in their order; the last is of what came after the last blow. `unknown`: the letters that are unknown
    /// in the end, and when they crossed last.
    pub fn costs(&self, unknown: &[(Uuid, DateTime<Utc>)]) -> Vec<Cost> {
        let seen = self.lock();
        let mut costs = vec![Cost::default(); seen.blows.len() + 1];
        let mut between: BTreeSet<(usize, Uuid)> = BTreeSet::new();
        for (letter, tries) in &seen.tries {
            for one in tries {
                let blow = seen.blow_of(one);
                if seen.is_open(one, blow) {
                    between.insert((blow, *letter));
                }
            }
        }
        for (blow, _) in between {
            costs[blow].between += 1;
        }
        for (letter, crossed) in unknown {
            let last = seen.tries.get(letter).and_then(|tries| tries.last());
            match last.filter(|one| one.dot >= *crossed) {
                None => {
                    let cost = &mut costs[seen.blow_after(*crossed)];
                    cost.unknown += 1;
                    cost.without_dot += 1;
                }
                Some(one) => {
                    let blow = seen.blow_of(one);
                    costs[blow].unknown += 1;
                    costs[blow].answered += usize::from(!seen.is_open(one, blow));
                }
            }
        }
        costs
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn blow_after(&self, at: DateTime<Utc>) -> usize {
        self.blows.partition_point(|(from, _)| *from < at)
    }

    /// The next after the dot; or the one before, if its link ended in that: a daemon goes on while it is being killed, and what
    /// it has sent comes here a little later.
    fn blow_of(&self, one: &Try) -> usize {
        let next = self.blow_after(one.dot);
        let left = self.links.get(&one.connection).and_then(|link| link.left);
        let before = next.checked_sub(1).and_then(|before| self.blows.get(before));
        match (left, before) {
            (Some(left), Some((_, to))) if one.dot <= *to && left <= *to => next - 1,
            _ => next,
        }
    }

    fn is_open(&self, one: &Try, blow: usize) -> bool {
        match (one.reply, self.blows.get(blow)) {
            (None, _) => true,
            (Some(reply), Some((from, _))) => reply > *from,
            (Some(_), None) => false,
        }
    }
}

impl Ear for Wire {
    fn said(&self, connection: u64, bytes: &[u8]) {
        let mut seen = self.lock();
        let Seen { links, tries, .. } = &mut *seen;
        let link = links.entry(connection).or_default();
        link.answered = None;
        for line in lines(&mut link.said, bytes) {
            if line == b"." {
                if let Some(letter) = link.letter.take() {
                    let dot = Clock::System.now();
                    let one = Try {
                        connection,
                        dot,
                        reply: None,
                    };
                    tries.entry(letter).or_default().push(one);
                }
            } else if line.len() > 11 && line[..11].eq_ignore_ascii_case(b"message-id:") {
                link.letter = named_in(&line);
            }
        }
    }

    fn heard(&self, connection: u64, bytes: &[u8]) {
        let mut seen = self.lock();
        let Seen { links, tries, .. } = &mut *seen;
        let link = links.entry(connection).or_default();
        for line in lines(&mut link.heard, bytes) {
            let Some(letter) = named_in(&line) else { continue };
            if let Some(one) = tries.get_mut(&letter).and_then(|tries| tries.last_mut()) {
                one.reply.get_or_insert(Clock::System.now());
                link.answered = Some(letter);
            }
        }
    }

    fn left(&self, connection: u64, unread: bool) {
        let mut seen = self.lock();
        let Seen { links, tries, .. } = &mut *seen;
        let link = links.entry(connection).or_default();
        if link.left.is_some() {
            return;
        }
        link.left = Some(Clock::System.now());
        let last = link
            .answered
            .and_then(|letter| tries.get_mut(&letter)?.last_mut());
        if let Some(one) = last.filter(|_| unread) {
            one.reply = None;
        }
    }
}

/// The lines that are whole now, without their ends; the rest waits.
fn lines(waiting: &mut Vec<u8>, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    for byte in bytes {
        match byte {
            b'\n' => whole.push(std::mem::take(waiting)),
            b'\r' => {}
            byte => waiting.push(*byte),
        }
    }
    whole
}

/// The letter whose Message-ID is in a line.
fn named_in(line: &[u8]) -> Option<Uuid> {
    let line = std::str::from_utf8(line).ok()?;
    let (before, _) = line.split_once(&format!("@{DOMAIN}"))?;
    before.get(before.len().checked_sub(32)?..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n: u128) -> (Uuid, String) {
        let id = Uuid::from_u128(n);
        (id, format!("{}@{DOMAIN}", id.simple()))
    }

    /// An instant that is later than all before it, and earlier than all after it: the clock counts microseconds.
    fn instant() -> DateTime<Utc> {
        let later_than =
            |before: DateTime<Utc>| std::iter::repeat_with(|| Clock::System.now()).find(|now| *now > before);
        let now = later_than(Clock::System.now()).unwrap();
        later_than(now).unwrap();
        now
    }

    fn hand_over(wire: &Wire, connection: u64, message_id: &str) {
        let text = format!("DATA\r\nSubject: x\r\nMessage-ID: <{message_id}>\r\n\r\n..\r\n.\r\n");
        let (first, second) = text.as_bytes().split_at(40);
        wire.said(connection, first);
        wire.said(connection, second);
    }

    #[test]
    fn only_what_was_open_when_the_blow_came_may_be_unknown() {
        let wire = Wire::default();
        let start = instant();
        let (open, answered, unsent) = (letter(1), letter(2), letter(3));
        hand_over(&wire, 1, &open.1);
        hand_over(&wire, 2, &answered.1);
        wire.heard(2, format!("250 2.0.0 taken {}\r", answered.1).as_bytes());
        wire.heard(2, b"\n250 something else\r\n");
        let now = instant();
        wire.blow(now, now);
        wire.heard(1, format!("250 2.0.0 taken {}\r\n", open.1).as_bytes());
        let unknown = [(open.0, start), (answered.0, start), (unsent.0, start)];
        let costs = wire.costs(&unknown);
        let told = Cost {
            between: 1,
            unknown: 3,
            without_dot: 1,
            answered: 1,
        };
        assert_eq!(costs, [told, Cost::default()]);
        assert_eq!(told.beyond(), 2);
        assert_eq!(wire.costs(&unknown[..1])[0].beyond(), 0);
    }

    #[test]
    fn what_a_daemon_sends_while_it_is_killed_is_of_that_blow() {
        let wire = Wire::default();
        let start = instant();
        let (killed, lives) = (letter(1), letter(2));
        for (connection, (_, message_id)) in [(1, &killed), (2, &lives)] {
            hand_over(&wire, connection, message_id);
            wire.heard(connection, format!("250 2.0.0 taken {message_id}\r\n").as_bytes());
        }
        wire.left(1, false);
        wire.blow(start, instant());
        wire.left(2, false);
        let costs = wire.costs(&[(killed.0, start), (lives.0, start)]);
        assert_eq!((costs[0].between, costs[0].unknown, costs[0].answered), (1, 1, 0));
        assert_eq!((costs[1].between, costs[1].unknown, costs[1].answered), (0, 1, 1));
    }

    #[test]
    fn a_reply_that_the_daemon_had_not_read_leaves_its_letter_open() {
        for (said_more, unread, open) in [(false, true, 1), (false, false, 0), (true, true, 0)] {
            let wire = Wire::default();
            let start = instant();
            let (id, message_id) = letter(1);
            hand_over(&wire, 1, &message_id);
            wire.heard(1, format!("250 2.0.0 taken {message_id}\r\n").as_bytes());
            if said_more {
                wire.said(1, b"QUIT\r\n");
                wire.heard(1, b"221 2.0.0 bye\r\n");
            }
            wire.left(1, unread);
            wire.left(1, false);
            let now = instant();
            wire.blow(now, now);
            let cost = wire.costs(&[(id, start)])[0];
            assert_eq!((cost.between, cost.answered), (open, 1 - open));
        }
    }

    #[test]
    fn a_reply_that_never_comes_leaves_its_letter_open() {
        let wire = Wire::default();
        let start = instant();
        wire.blow(start, start);
        let (id, message_id) = letter(1);
        hand_over(&wire, 1, &message_id);
        wire.heard(1, b"250 2.0.0 tak");
        let cost = wire.costs(&[(id, instant())]);
        assert_eq!(
            (cost[1].between, cost[1].without_dot),
            (1, 1),
            "its last try had no dot"
        );
        assert_eq!(wire.costs(&[(id, start)])[1].beyond(), 0);
    }
}
