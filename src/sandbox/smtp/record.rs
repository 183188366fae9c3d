//! The log of the recording SMTP server: one record per transaction.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::behaviour::Stage;

/// One transaction, written when it is over: answered, reset, or its link gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the connection, from 1.
    pub connection: u64,
    /// Number within the connection, from 1.
    pub transaction: u64,
    /// Message-ID without angle brackets; empty when the content did not arrive whole or has none.
    pub message_id: String,
    /// Envelope sender.
    pub mail_from: String,
    /// Accepted recipients, and the refused one of a transaction that ended there.
    pub rcpt: Vec<String>,
    /// The content after dot-unstuffing, kept on request and never written to the file.
    #[serde(skip)]
    pub bytes: Option<Arc<[u8]>>,
    /// Size of the content in bytes, 0 if it did not arrive whole.
    pub size: usize,
    /// Place in the order of all dots of this server, from 1; none if the dot did not arrive.
    pub dot_received_at: Option<u64>,
    /// Whether the message was taken over.
    pub stored: bool,
    /// The last answer given, without CRLF; empty if none.
    pub reply: String,
    /// Whether that answer was written to the socket whole.
    pub reply_delivered: bool,
    /// The last stage asked for.
    pub stage: Stage,
    /// Bytes the server had read from the socket of this connection when the transaction was over.
    pub link_received: u64,
    /// Bytes it had sent.
    pub link_sent: u64,
}

impl Record {
    pub(super) fn opened(connection: u64, transaction: u64, mail_from: String) -> Self {
        Self {
            connection,
            transaction,
            message_id: String::new(),
            mail_from,
            rcpt: Vec::new(),
            bytes: None,
            size: 0,
            dot_received_at: None,
            stored: false,
            reply: String::new(),
            reply_delivered: false,
            stage: Stage::Mail,
            link_received: 0,
            link_sent: 0,
        }
    }

    /// Reads the records that a server appended to a file. A torn last line is left out.
    pub fn read_file(path: &Path) -> io::Result<Vec<Self>> {
        let text = std::fs::read_to_string(path)?;
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }
}

/// All records of one server.
#[derive(Debug)]
pub(super) struct Log {
    records: Mutex<Vec<Record>>,
    file: Option<Mutex<File>>,
    sequence: AtomicU64,
}

impl Log {
    /// An empty log; records are appended to `file` too, one JSON object a line.
    pub(super) fn open(file: Option<&Path>) -> io::Result<Self> {
        let file = match file {
            Some(path) => Some(Mutex::new(
                OpenOptions::new().create(true).append(true).open(path)?,
            )),
            None => None,
        };
        Ok(Self {
            records: Mutex::default(),
            file,
            sequence: AtomicU64::new(0),
        })
    }

    /// The next number in the order of events.
    pub(super) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The last number given out.
    pub(super) fn last(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    pub(super) fn push(&self, record: Record) {
        if let Some(file) = &self.file {
            let mut line = serde_json::to_vec(&record).unwrap_or_default();
            line.push(b'\n');
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = file.write_all(&line) {
                tracing::error!(%error, "the sandbox cannot write its log");
            }
        }
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }

    pub(super) fn all(&self) -> Vec<Record> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
