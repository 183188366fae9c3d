//! The journal: a small local file for outcomes that came while the database was away. Replayed at start.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::store::outcome::{self, MessageRow};
use crate::store::task::{self, NewTask};

/// One outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The message's history row.
    pub row: MessageRow,
    /// The task it made.
    pub task: Option<NewTask>,
}

/// The file, opened when first needed.
#[derive(Debug)]
pub struct Journal {
    path: Option<PathBuf>,
    file: Mutex<Option<File>>,
}

impl Journal {
    /// A journal at a path.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            file: Mutex::new(None),
        }
    }

    /// None at all: for runs that hand nothing over for real.
    pub fn none() -> Self {
        Self {
            path: None,
            file: Mutex::new(None),
        }
    }

    /// Appends outcomes and waits for the disk.
    pub fn append(&self, entries: impl Iterator<Item = Entry>) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut file = self
            .file
            .lock()
            .map_err(|_| anyhow::anyhow!("the journal broke before"))?;
        if file.is_none() {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            *file = Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .with_context(|| format!("opening the journal {}", path.display()))?,
            );
        }
        let Some(file) = file.as_mut() else { return Ok(()) };
        for entry in entries {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        file.sync_data()?;
        Ok(())
    }

    /// Writes what is in the journal to the database, then empties it. Outcomes are keyed and monotone, so replaying twice
    /// does no harm. A torn last line (the machine died while writing) is left out: its row is uncertain anyway.
    pub async fn replay(&self, pool: &sqlx::PgPool) -> Result<usize> {
        let Some(path) = &self.path else { return Ok(0) };
        let reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => {
                return Err(error).with_context(|| format!("reading the journal {}", path.display()));
            }
        };
        let entries: Vec<Entry> = reader
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect();
        let mut tx = pool.begin().await?;
        for chunk in entries.chunks(1000) {
            let rows: Vec<MessageRow> = chunk.iter().map(|e| e.row.clone()).collect();
            let tasks: Vec<NewTask> = chunk.iter().filter_map(|e| e.task.clone()).collect();
            outcome::finish(&mut tx, &rows).await?;
            task::insert(&mut tx, &tasks).await?;
        }
        tx.commit().await?;
        if let Ok(mut file) = self.file.lock() {
            *file = None;
        }
        std::fs::remove_file(path).ok();
        Ok(entries.len())
    }
}
