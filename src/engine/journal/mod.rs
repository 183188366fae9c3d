//! The journal: what this host knows of its own, in a folder. Outcomes that came while the database was away wait here and
//! are replayed at start; the trail says what this host let cross, so that a database that forgot can be told.
//!
//! | file | holds |
//! |---|---|
//! | `PROCESS.outcomes` | outcomes that wait, one JSON line each; gone after they were replayed |
//! | `PROCESS.NUMBER.crossings` | the trail: see [`trail`] |
//! | `refused.jsonl` | outcomes that the database refused, with its reason; only an operator removes them |

pub mod trail;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use self::trail::{End, Line, Mark, Trail};
use super::outcomes::{self, Ended};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::uncertain::LeftBehind;

/// How many outcomes are replayed at once.
const CHUNK: usize = 1000;
/// How much later than others a daemon may write down that a message is uncertain.
const LATE: TimeDelta = TimeDelta::minutes(1);

/// The folder, and what this process writes there.
#[derive(Debug)]
pub struct Journal {
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Files of this process begin with it; several processes may share the folder.
    process: Uuid,
    database: Uuid,
    outcomes: Mutex<Option<File>>,
    trail: Mutex<Trail>,
    /// The uncertain messages that were looked up in the trail last, and when they became so.
    looked: Mutex<HashMap<Uuid, DateTime<Utc>>>,
}

impl Journal {
    /// In a folder; `process` is new at each start, `database` the identity of the database that is written to.
    pub fn at(folder: PathBuf, process: Uuid, database: Uuid) -> Self {
        Self {
            place: Some(Place {
                trail: Mutex::new(Trail::new(&folder, process)),
                folder,
                process,
                database,
                outcomes: Mutex::default(),
                looked: Mutex::default(),
            }),
        }
    }

    /// None at all: for runs that hand nothing over for real.
    pub fn none() -> Self {
        Self { place: None }
    }

    /// Where it is.
    pub fn folder(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.folder.as_path())
    }

    /// Appends outcomes and waits for the disk.
    pub fn append<'e>(&self, ended: impl Iterator<Item = &'e Ended>) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let mut text = Vec::new();
        for one in ended {
            serde_json::to_writer(&mut text, one)?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        let mut file = lock(&place.outcomes);
        if file.is_none() {
            *file = Some(place.open_outcomes()?);
        }
        if let Some(file) = file.as_mut() {
            file.write_all(&text)?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// Notes who asks to cross, before the database hears of it. Who cannot be noted must not cross.
    pub fn asking(&self, messages: Vec<Uuid>, at: DateTime<Utc>) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let boot = trail::boot();
        lock(&place.trail).append(&Line::Asking { at, boot, messages })?;
        Ok(())
    }

    /// Notes that an attempt goes, as the last thing before it does. One that cannot be noted must not go: what has no such note
    /// counts as not sent.
    pub fn going(&self, message: Uuid) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        lock(&place.trail).append(&Line::Going { message })?;
        Ok(())
    }

    /// Notes who crossed, before anybody is told to go. On the disk at once for the first group of each second; a machine
    /// that loses its power may forget the rest of that second, a process that is killed forgets nothing.
    pub async fn crossed(&self, marks: Vec<Mark>, at: DateTime<Utc>) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let line = Line::Crossed {
            at,
            database: place.database,
            marks,
        };
        let to_sync: Option<Arc<File>> = lock(&place.trail).append(&line)?;
        if let Some(file) = to_sync {
            tokio::task::spawn_blocking(move || file.sync_data()).await??;
        }
        Ok(())
    }

    /// Notes what attempts came to, as this host saw it. It does not wait for the disk: a process that is killed forgets
    /// nothing, a machine that loses its power may forget the last second.
    pub fn ended(&self, ends: Vec<End>) -> Result<()> {
        let Some(place) = self.place.as_ref().filter(|_| !ends.is_empty()) else {
            return Ok(());
        };
        lock(&place.trail).append(&Line::Ended { ends })?;
        Ok(())
    }

    /// Notes attempts that were over before their crossing was answered: the dot of none of them was sent. Each with its
    /// crossing, if it asked for one.
    pub fn given_up(&self, attempts: &[(Uuid, Option<DateTime<Utc>>)]) -> Result<()> {
        let ends = attempts
            .iter()
            .map(|(message, crossed)| End::not_sent(*message, *crossed));
        self.ended(ends.collect())
    }

    /// Keeps an outcome that the database refuses, for people to look at.
    pub fn set_aside(&self, ended: &Ended, error: &StoreError) {
        metrics::counter!("kith_outcomes_refused_total").increment(1);
        tracing::error!(message = %ended.message(), outcome = ended.word(), %error, "the database refuses an outcome; it is set aside");
        let Some(place) = &self.place else { return };
        let kept = serde_json::to_value(ended)
            .unwrap_or_else(|_| json!({ "message": ended.message(), "ended": ended.word() }));
        place.set_aside(&error.to_string(), &kept);
    }

    /// Uncertain messages that became so before this were looked up already; those of other daemons may come with a little delay.
    pub fn looked_since(&self) -> Option<DateTime<Utc>> {
        let place = self.place.as_ref()?;
        Some(*lock(&place.looked).values().max()? - LATE)
    }

    /// Which of these were not looked up before.
    pub fn not_looked_up(&self, found: &[LeftBehind]) -> Vec<LeftBehind> {
        let Some(place) = &self.place else {
            return Vec::new();
        };
        let looked = lock(&place.looked);
        found
            .iter()
            .filter(|one| !looked.contains_key(&one.message_id))
            .copied()
            .collect()
    }

    /// These were looked up, and what was found is written.
    pub fn looked_up(&self, found: &[LeftBehind]) {
        if let Some(place) = &self.place {
            *lock(&place.looked) = found.iter().map(|one| (one.message_id, one.at)).collect();
        }
    }

    /// How many outcomes were set aside.
    pub fn set_aside_in(folder: &Path) -> usize {
        File::open(folder.join("refused.jsonl")).map_or(0, |file| BufReader::new(file).lines().count())
    }

    /// Writes what waits in the folder to the database, but for what living processes still owe, and removes it. Outcomes are
    /// keyed and monotone, so replaying twice does no harm. A line that cannot be read (torn, as the machine died while
    /// writing, or another version's) is set aside: its row is uncertain anyway.
    pub async fn replay(&self, pool: &PgPool, clock: &Clock) -> Result<usize> {
        let Some(place) = &self.place else { return Ok(0) };
        let mut replayed = 0;
        for path in files(&place.folder, ".outcomes")? {
            let file =
                File::open(&path).with_context(|| format!("reading the journal {}", path.display()))?;
            if file.try_lock().is_err() {
                continue;
            }
            let mut lines = BufReader::new(&file).split(b'\n');
            loop {
                let read: Vec<Vec<u8>> = lines.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
                if read.is_empty() {
                    break;
                }
                let mut owed = Vec::with_capacity(read.len());
                for line in read {
                    match serde_json::from_slice::<Ended>(&line) {
                        Ok(ended) => owed.push(ended),
                        Err(error) => {
                            place.set_aside(&error.to_string(), &json!(String::from_utf8_lossy(&line)));
                        }
                    }
                }
                replayed += owed.len();
                outcomes::write(pool, self, &mut owed, clock).await?;
            }
            // An empty one may be about to be locked and written by the process that made it.
            if file.metadata()?.len() > 0 {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(replayed)
    }
}

impl Place {
    fn set_aside(&self, why: &str, outcome: &Value) {
        let line = json!({ "why": why, "outcome": outcome }).to_string() + "\n";
        let written = self.make_folder().and_then(|()| {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.folder.join("refused.jsonl"))?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        if let Err(error) = written {
            tracing::error!(%error, "an outcome could not even be set aside");
        }
    }

    fn open_outcomes(&self) -> Result<File> {
        self.make_folder()?;
        let path = self.folder.join(format!("{}.outcomes", self.process));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening the journal {}", path.display()))?;
        // Held until this process ends: what it owes is nobody else's to replay.
        file.lock()?;
        Ok(file)
    }

    fn make_folder(&self) -> std::io::Result<()> {
        trail::make_folder(&self.folder)
    }
}

/// Files of the folder with an ending, in order of their names: the oldest process first.
fn files(folder: &Path, ending: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.to_str().is_some_and(|name| name.ends_with(ending)) {
                    found.push(path);
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.sort();
    Ok(found)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
