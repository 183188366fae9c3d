//! The last words of a trail: what each attempt came to, as far as its host knows.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{End, Line, TAIL, boot, files, lines, next_of, process_of};

/// The last word on each message at the end of every process's trail: of its last two files, as the last may just have been
/// begun. A message that crossed again after it has none. Processes on one folder take turns with a message, so it is the
/// instant of the crossing that tells which word is the last.
///
/// Of a process that is no more, the last word on what it asked for and never let go is that it was not sent. That holds only
/// as long as the machine has not been started anew: until then the files have all that was ever written to them.
pub fn ends(folder: &Path) -> io::Result<Ends> {
    let mut ends = Ends::default();
    let all = files(folder)?;
    for of_process in all.chunk_by(|one, next| process_of(one) == process_of(next)) {
        let [.., last] = of_process else { continue };
        let over = is_over(last)?;
        // Between the ends of two files there must be no gap.
        let last_is_whole = last.metadata()?.len() <= TAIL;
        let from = of_process.len().saturating_sub(if last_is_whole { 2 } else { 1 });
        for path in &of_process[from..] {
            for line in lines(path, true)? {
                ends.take_in(line?);
            }
        }
        ends.close(over);
    }
    Ok(ends)
}

/// The last words of all trails of a folder.
#[derive(Default)]
pub struct Ends {
    known: HashMap<Uuid, End>,
    /// Attempts that surely reached nobody, by message and crossing in microseconds: also of messages that crossed again.
    unsent: HashSet<(Uuid, i64)>,
    /// What the process at hand asked for and did not let go so far, when, and in which start of the machine.
    asking: HashMap<Uuid, (DateTime<Utc>, Option<Uuid>)>,
}

impl Ends {
    /// The last word on a message.
    pub fn of(&self, message: Uuid) -> Option<&End> {
        self.known.get(&message)
    }

    /// The last words on all messages, in no order.
    pub fn all(&self) -> impl Iterator<Item = &End> {
        self.known.values()
    }

    /// Whether the attempt that crossed at an instant surely reached nobody, whatever came of a later one.
    pub fn is_unsent(&self, message: Uuid, crossed: DateTime<Utc>) -> bool {
        self.unsent.contains(&(message, crossed.timestamp_micros()))
    }

    fn take_in(&mut self, line: Line) {
        match line {
            Line::Asking { at, boot, messages } => {
                self.asking
                    .extend(messages.into_iter().map(|message| (message, (at, boot))));
            }
            Line::Crossed { at, marks, .. } => {
                for mark in marks {
                    if let Entry::Occupied(known) = self.known.entry(mark.message)
                        && known.get().crossed.is_none_or(|crossed| crossed < at)
                    {
                        known.remove();
                    }
                }
            }
            Line::Going { message } => {
                self.asking.remove(&message);
            }
            Line::Ended { ends } => {
                for end in ends {
                    self.asking.remove(&end.message);
                    self.add(end);
                }
            }
        }
    }

    fn add(&mut self, end: End) {
        if let Some(crossed) = end.crossed.filter(|_| end.word == End::NOT_SENT) {
            self.unsent.insert((end.message, crossed.timestamp_micros()));
        }
        match self.known.entry(end.message) {
            Entry::Occupied(known) if known.get().crossed > end.crossed => {}
            // What somebody accepted is so for good, whatever became of another attempt.
            Entry::Occupied(known) if known.get().word == "accepted" && end.word == End::NOT_SENT => {}
            known => drop(known.insert_entry(end)),
        }
    }

    /// The trail of a process has been read.
    fn close(&mut self, over: bool) {
        let this_boot = boot();
        for (message, (at, boot)) in std::mem::take(&mut self.asking) {
            if over && boot.is_some() && boot == this_boot {
                self.add(End::not_sent(message, Some(at)));
            }
        }
    }
}

/// Whether the process that wrote this last file is no more. As long as it lives it holds the lock of the file that it
/// writes to: from before the first line, until it holds that of the next.
fn is_over(last: &Path) -> io::Result<bool> {
    let file = File::open(last)?;
    let begun = file.metadata()?.len() > 0;
    let free = match file.try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    Ok(begun && free && !next_of(last).is_some_and(|next| next.exists()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::crossed;
    use super::super::{ROLL, Trail, last_files};
    use super::*;

    #[test]
    fn the_last_word_is_that_about_the_last_crossing() {
        let dir = tempfile::tempdir().unwrap();
        let said = |word: &str, at| Line::Ended {
            ends: vec![End {
                word: word.to_owned(),
                ..End::not_sent(Uuid::from_u128(1), Some(second(at)))
            }],
        };
        let crossed_at = |n| match crossed(1) {
            Line::Crossed { database, marks, .. } => Line::Crossed {
                at: second(n),
                database,
                marks,
            },
            other => other,
        };
        let word = || {
            ends(dir.path())
                .unwrap()
                .of(Uuid::from_u128(1))
                .map(|end| end.word.clone())
        };
        let (mut older, mut younger) = (
            Trail::new(dir.path(), Uuid::from_u128(1)),
            Trail::new(dir.path(), Uuid::from_u128(2)),
        );
        for line in [crossed_at(1), said("again", 1)] {
            younger.append(&line).unwrap();
        }
        assert_eq!(word().as_deref(), Some("again"));
        for line in [crossed_at(2), said("accepted", 2)] {
            older.append(&line).unwrap();
        }
        assert_eq!(word().as_deref(), Some("accepted"), "whichever file is read last");
        // Another attempt asked while that one was sent, and did not cross.
        younger.append(&said("again", 3)).unwrap();
        assert_eq!(word().as_deref(), Some("accepted"));
        younger.append(&crossed_at(4)).unwrap();
        assert_eq!(word(), None);
        let unsent = |at| {
            ends(dir.path())
                .unwrap()
                .is_unsent(Uuid::from_u128(1), second(at))
        };
        assert!(
            unsent(1) && !unsent(2) && unsent(3) && !unsent(4),
            "an attempt is known also when others followed"
        );
        let nothing = Line::Ended {
            ends: vec![End::not_sent(Uuid::from_u128(1), None)],
        };
        younger.append(&nothing).unwrap();
        assert_eq!(word().as_deref(), Some("again"));
        // The last file may have just been begun.
        younger.length = ROLL;
        younger.append(&crossed(9)).unwrap();
        assert_eq!(word().as_deref(), Some("again"));
    }

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(n, 0).unwrap()
    }

    /// These ask to cross in a second of that number.
    fn asking(messages: std::ops::Range<u128>, at: i64) -> Line {
        Line::Asking {
            at: second(at),
            boot: boot(),
            messages: messages.map(Uuid::from_u128).collect(),
        }
    }

    fn going(n: u128) -> Line {
        let message = Uuid::from_u128(n);
        Line::Going { message }
    }

    /// Those that were surely not sent, by number.
    fn not_sent(folder: &Path) -> Vec<u128> {
        let mut found: Vec<u128> = ends(folder)
            .unwrap()
            .all()
            .filter(|end| end.word == End::NOT_SENT)
            .map(|end| end.message.as_u128())
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn what_a_dead_process_never_let_go_was_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = Trail::new(dir.path(), Uuid::nil());
        trail.append(&asking(1..5, 1)).unwrap();
        trail.append(&crossed(1)).unwrap();
        trail.append(&going(1)).unwrap();
        trail.append(&going(2)).unwrap();
        let accepted = End {
            word: "accepted".to_owned(),
            ..End::not_sent(Uuid::from_u128(2), None)
        };
        trail.append(&Line::Ended { ends: vec![accepted] }).unwrap();
        assert!(
            not_sent(dir.path()).is_empty(),
            "it lives and may let them go yet"
        );
        drop(trail);
        assert_eq!(not_sent(dir.path()), [3, 4]);
        let all = ends(dir.path()).unwrap();
        let end = all.of(Uuid::from_u128(3)).unwrap();
        assert!(end.is_of(Some(second(1))) && !end.is_of(Some(second(2))));
        // Put off, it asked once more, in another process.
        let mut next = Trail::new(dir.path(), Uuid::from_u128(1));
        next.append(&asking(3..4, 9)).unwrap();
        next.append(&going(3)).unwrap();
        drop(next);
        let all = ends(dir.path()).unwrap();
        let end = all.of(Uuid::from_u128(3)).unwrap();
        assert!(
            !end.is_of(Some(second(9))),
            "it says nothing of the later attempt"
        );
    }

    #[test]
    fn a_machine_that_was_started_anew_may_have_lost_words() {
        let other = Some(Uuid::from_u128(1));
        for (boot, told) in [(None, 0), (other, 0), (super::super::boot(), 1)] {
            let dir = tempfile::tempdir().unwrap();
            let mut trail = Trail::new(dir.path(), Uuid::nil());
            let Line::Asking { at, messages, .. } = asking(1..2, 1) else {
                unreachable!()
            };
            trail.append(&Line::Asking { at, boot, messages }).unwrap();
            drop(trail);
            // A system that does not tell its starts apart proves nothing.
            assert_eq!(not_sent(dir.path()).len(), told.min(usize::from(boot.is_some())));
        }
    }

    #[test]
    fn no_word_is_overlooked_where_files_meet() {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = Trail::new(dir.path(), Uuid::nil());
        trail.append(&asking(1..4, 1)).unwrap();
        trail.append(&going(1)).unwrap();
        trail.length = ROLL;
        trail.append(&going(2)).unwrap();
        drop(trail);
        assert_eq!(
            not_sent(dir.path()),
            [3],
            "asked for in one file, let go in the next"
        );
        let last = last_files(dir.path()).unwrap().remove(0);
        let kept = std::fs::read(&last).unwrap();
        let line = serde_json::to_vec(&crossed(9)).unwrap();
        let mut long = kept.clone();
        while long.len() as u64 <= TAIL {
            long.push(b'\n');
            long.extend(&line);
        }
        std::fs::write(&last, &long).unwrap();
        assert!(
            not_sent(dir.path()).is_empty(),
            "what it says of 2 may be in the part that is not read"
        );
        // The next file is there: the process lives, and is just about to lock it.
        std::fs::write(&last, kept).unwrap();
        let next = next_of(&last).unwrap();
        std::fs::write(&next, "").unwrap();
        assert!(not_sent(dir.path()).is_empty());
        assert!(!is_over(&last).unwrap() && !is_over(&next).unwrap());
    }

    #[test]
    fn a_line_that_was_written_in_part_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = Trail::new(dir.path(), Uuid::nil());
        trail.append(&asking(1..2, 1)).unwrap();
        let path = files(dir.path()).unwrap().remove(0);
        let torn = [std::fs::read(&path).unwrap().as_slice(), b"{\"what\":\"go"].concat();
        std::fs::write(&path, torn).unwrap();
        trail.torn = true;
        trail.append(&going(1)).unwrap();
        assert_eq!(files(dir.path()).unwrap().len(), 2);
        drop(trail);
        assert!(not_sent(dir.path()).is_empty());
    }
}
