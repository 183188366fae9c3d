//! The trail: every crossing that this host made, and what came of it, in files that are rolled and dropped by size.
//!
//! It is the second memory beside the database. One that was restored from an older copy, promoted while it lagged, or that
//! lost commits in a crash does not know the last of it. It holds ids and names of steps, no addresses and no words.
//!
//! An attempt leaves up to four words: it asks to cross, it crossed, it goes, it ended. What a killed process asked for and
//! never let go was surely not sent, whatever the database made of the crossing: see [`ends`].

mod ends;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::ends::{Ends, ends};

/// A file that has grown to this is followed by the next.
const ROLL: u64 = 32 << 20;
/// All files together take no more than this and a file; the oldest go first.
const KEEP: u64 = 512 << 20;
/// The first append after this long waits for the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// What is read of a file's end: more than all attempts that can be under way at once leave there.
const TAIL: u64 = 512 << 10;

/// One that crossed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The message.
    #[serde(with = "uuid::serde::simple")]
    pub message: Uuid,
    /// The touch; nil for a digest.
    #[serde(with = "uuid::serde::simple")]
    pub touch: Uuid,
    /// The enrollment; nil for a digest.
    #[serde(with = "uuid::serde::simple")]
    pub enrollment: Uuid,
    /// The person; for a digest the owner.
    #[serde(with = "uuid::serde::simple")]
    pub contact: Uuid,
    /// Cadence by name; `digest` for a digest.
    pub cadence: String,
    /// Step by key.
    pub step: String,
    /// Channel by name.
    pub channel: String,
    /// Class number.
    pub class: i16,
}

/// A line of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Line {
    /// These ask to cross. Written before the database hears of it.
    Asking {
        /// When they will have crossed, as the database will have it.
        #[serde(with = "chrono::serde::ts_microseconds")]
        at: DateTime<Utc>,
        /// The machine's start in which this was written; `None` = it cannot be told apart from others.
        boot: Option<Uuid>,
        /// Who.
        messages: Vec<Uuid>,
    },
    /// It goes: its last byte may be sent from now on.
    Going {
        /// Who.
        message: Uuid,
    },
    /// These crossed.
    Crossed {
        /// Business time.
        at: DateTime<Utc>,
        /// Identity of the database that recorded it.
        database: Uuid,
        /// Who.
        marks: Vec<Mark>,
    },
    /// What attempts came to.
    Ended {
        /// One each.
        ends: Vec<End>,
    },
}

/// What an attempt came to, as its host saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The message.
    #[serde(with = "uuid::serde::simple")]
    pub message: Uuid,
    /// accepted, refused, uncertain; `again` = surely nobody has got it.
    pub word: String,
    /// When the attempt crossed, to the microsecond, as the database has it: it says which attempt this is.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub crossed: Option<DateTime<Utc>>,
    /// The code that the other side answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The other side put it off until then.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub until: Option<DateTime<Utc>>,
}

impl End {
    /// The word on an attempt that surely reached nobody.
    pub const NOT_SENT: &str = "again";

    /// Of one whose dot was never sent.
    pub fn not_sent(message: Uuid, crossed: Option<DateTime<Utc>>) -> Self {
        Self {
            message,
            word: Self::NOT_SENT.to_owned(),
            crossed,
            answer: None,
            until: None,
        }
    }

    /// Whether it is the end of the attempt that crossed at that instant.
    pub fn is_of(&self, crossing: Option<DateTime<Utc>>) -> bool {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        self.crossed.is_some() && self.crossed.map(micros) == crossing.map(micros)
    }
}

/// The end of the trail of one process, where it writes.
#[derive(Debug)]
pub(super) struct Trail {
    folder: PathBuf,
    process: Uuid,
    number: u32,
    /// Locked as long as this process lives, and given up for the next only when that is locked.
    file: Option<Arc<File>>,
    length: u64,
    /// A line may have been written in part; the next would be lost behind it.
    torn: bool,
    synced: Option<Instant>,
}

impl Trail {
    pub(super) fn new(folder: &Path, process: Uuid) -> Self {
        Self {
            folder: folder.to_owned(),
            process,
            number: 0,
            file: None,
            length: 0,
            torn: false,
            synced: None,
        }
    }

    /// Appends a line. The file comes back when it is time to wait for the disk.
    pub(super) fn append(&mut self, line: &Line) -> io::Result<Option<Arc<File>>> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let file = match &self.file {
            Some(file) if self.length < ROLL && !self.torn => file.clone(),
            _ => self.next()?,
        };
        self.torn = true;
        (&*file).write_all(&text)?;
        self.torn = false;
        self.length += text.len() as u64;
        let due = self.synced.is_none_or(|at| at.elapsed() >= SYNC_EVERY);
        if due {
            self.synced = Some(Instant::now());
        }
        Ok(due.then_some(file))
    }

    fn next(&mut self) -> io::Result<Arc<File>> {
        make_folder(&self.folder)?;
        self.number += 1;
        let path = self.folder.join(name(&self.process.to_string(), self.number));
        let file = Arc::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?,
        );
        file.lock()?;
        self.length = 0;
        self.torn = false;
        self.file = Some(file.clone());
        drop_oldest(&self.folder)?;
        Ok(file)
    }
}

/// Makes the folder, for its owner only.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Drops the files that were written to longest ago, while all together are too long.
fn drop_oldest(folder: &Path) -> io::Result<()> {
    let mut all: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for path in files(folder)? {
        let meta = path.metadata()?;
        all.push((meta.modified()?, meta.len(), path));
    }
    all.sort();
    let mut total: u64 = all.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in all {
        if total <= KEEP {
            break;
        }
        std::fs::remove_file(path)?;
        total -= length;
    }
    Ok(())
}

/// The files of the trail, in order of processes and numbers.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    super::files(folder, ".crossings")
}

/// The last file of each process.
pub fn last_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut last: Vec<PathBuf> = Vec::new();
    for path in files(folder)? {
        match last.last_mut() {
            Some(before) if process_of(before) == process_of(&path) => *before = path,
            _ => last.push(path),
        }
    }
    Ok(last)
}

/// The file that would follow.
fn next_of(path: &Path) -> Option<PathBuf> {
    let (process, number) = path
        .file_name()?
        .to_str()?
        .strip_suffix(".crossings")?
        .split_once('.')?;
    Some(path.with_file_name(name(process, number.parse::<u32>().ok()? + 1)))
}

fn name(process: &str, number: u32) -> String {
    format!("{process}.{number:06}.crossings")
}

/// Which start of the machine this is; `None` where the system does not tell.
pub(super) fn boot() -> Option<Uuid> {
    static BOOT: LazyLock<Option<Uuid>> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        text.trim().parse().ok()
    });
    *BOOT
}

fn process_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

/// The lines of a file that can be read, or only those at its end. A torn one is left out: who wrote it had not yet let
/// anybody go.
pub fn lines(path: &Path, only_end: bool) -> io::Result<impl Iterator<Item = io::Result<Line>> + use<>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let cut = only_end && length > TAIL;
    if cut {
        file.seek(SeekFrom::Start(length - TAIL))?;
    }
    let mut reader = BufReader::new(file.take(length));
    if cut {
        reader.skip_until(b'\n')?;
    }
    Ok(reader.split(b'\n').filter_map(|text| match text {
        Ok(text) => serde_json::from_slice(&text).ok().map(Ok),
        Err(error) => Some(Err(error)),
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn crossed(n: u128) -> Line {
        Line::Crossed {
            at: "2027-01-01T00:00:00Z".parse().unwrap(),
            database: Uuid::nil(),
            marks: vec![Mark {
                message: Uuid::from_u128(n),
                touch: Uuid::from_u128(n),
                enrollment: Uuid::nil(),
                contact: Uuid::nil(),
                cadence: "b-to-a".into(),
                step: "offer".into(),
                channel: "email".into(),
                class: 3,
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_but_for_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("journal");
        let mut trail = Trail::new(&folder, Uuid::nil());
        assert!(
            trail.append(&crossed(1)).unwrap().is_some(),
            "the first waits for the disk"
        );
        assert!(
            trail.append(&crossed(2)).unwrap().is_none(),
            "the next within a second does not"
        );
        let path = files(&folder).unwrap().remove(0);
        std::fs::write(
            &path,
            [std::fs::read(&path).unwrap().as_slice(), b"{\"what\":\"cro"].concat(),
        )
        .unwrap();
        let read: Vec<Line> = lines(&path, false).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [crossed(1), crossed(2)]);
    }

    #[test]
    fn the_end_of_a_long_file_is_read_from_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = Trail::new(dir.path(), Uuid::nil());
        for n in 0..2000 {
            trail.append(&crossed(n)).unwrap();
        }
        let path = files(dir.path()).unwrap().remove(0);
        let end: Vec<Line> = lines(&path, true).unwrap().map(Result::unwrap).collect();
        assert!(end.len() > 500 && end.len() < 2000, "{}", end.len());
        assert_eq!(end.last(), Some(&crossed(1999)));
    }

    #[test]
    fn each_process_has_one_last_file() {
        let dir = tempfile::tempdir().unwrap();
        for process in [1, 2] {
            let mut trail = Trail::new(dir.path(), Uuid::from_u128(process));
            for _ in 0..3 {
                trail.length = ROLL;
                trail.append(&crossed(1)).unwrap();
            }
        }
        assert_eq!(files(dir.path()).unwrap().len(), 6);
        let last = last_files(dir.path()).unwrap();
        assert_eq!(last.len(), 2);
        assert!(
            last.iter()
                .all(|path| path.to_str().unwrap().ends_with(".000003.crossings"))
        );
    }
}
