//! The file of a backup: frames of a kind, a length and a body, and at the end a hash of everything before.
//!
//! | kind | body |
//! |---|---|
//! | `K` | the first frame: `kith backup 1` |
//! | `H` | [`Header`] as JSON |
//! | `T` | a table begins: [`TableHead`] as JSON |
//! | `D` | rows of that table, in the text form of COPY |
//! | `E` | the table ends: its number of rows as text |
//! | `Z` | the last frame: SHA-256 of all bytes before this frame |
//!
//! A frame is the kind (one byte), the length of the body (four bytes, big-endian) and the body.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::backup::Sequence;

const MAGIC: &[u8] = b"kith backup 1";
/// Longer frames are not written, so a longer one is no frame.
const LONGEST: usize = 64 << 20;
/// Kind and length.
const HEAD: usize = 5;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the program that wrote it.
    pub kith: String,
    /// Version of the schema.
    pub schema: i64,
    /// The moment it shows.
    pub taken_at: DateTime<Utc>,
    /// Identity of the database it was taken from.
    pub database_id: Uuid,
    /// Months that have partitions, by their first day.
    pub months: Vec<NaiveDate>,
    /// Where the sequences stood.
    pub sequences: Vec<Sequence>,
}

/// A table in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHead {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of the rows.
    pub columns: Vec<String>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A table begins.
    Table(TableHead),
    /// Rows.
    Rows(Vec<u8>),
    /// The table ends, with so many rows.
    EndOfTable(u64),
    /// The file ends, and its hash is right.
    End,
}

/// Writes a file.
pub struct Writer {
    out: BufWriter<File>,
    hash: Context,
}

impl Writer {
    /// Makes the file, readable by its owner only; one that exists is not touched.
    pub fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let mut writer = Self {
            out: BufWriter::new(file),
            hash: Context::new(&SHA256),
        };
        writer.frame(b'K', MAGIC)?;
        Ok(writer)
    }

    /// The header.
    pub fn header(&mut self, header: &Header) -> io::Result<()> {
        self.frame(b'H', &serde_json::to_vec(header)?)
    }

    /// A table begins.
    pub fn table(&mut self, head: &TableHead) -> io::Result<()> {
        self.frame(b'T', &serde_json::to_vec(head)?)
    }

    /// Rows of the table.
    pub fn rows(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(LONGEST).try_for_each(|part| self.frame(b'D', part))
    }

    /// The table ends.
    pub fn end_of_table(&mut self, rows: u64) -> io::Result<()> {
        self.frame(b'E', rows.to_string().as_bytes())
    }

    /// Ends the file; it is on the disk afterwards. Returns its length in bytes.
    pub fn finish(mut self) -> io::Result<u64> {
        let hash = self.hash.clone().finish();
        self.frame(b'Z', hash.as_ref())?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    fn frame(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut head = [kind; HEAD];
        head[1..].copy_from_slice(&length.to_be_bytes());
        for part in [&head[..], body] {
            self.hash.update(part);
            self.out.write_all(part)?;
        }
        Ok(())
    }
}

/// Reads a file.
pub struct Reader {
    input: BufReader<File>,
    hash: Context,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no backup, or a damaged one.
    #[error("{0}")]
    Damaged(&'static str),
}

impl Reader {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<(Self, Header), FileError> {
        let mut reader = Self {
            input: BufReader::new(File::open(path)?),
            hash: Context::new(&SHA256),
        };
        match reader.frame(MAGIC.len()) {
            Ok((b'K', body)) if body == MAGIC => {}
            Ok(_) | Err(FileError::Damaged(_)) => {
                return Err(FileError::Damaged("this is no backup of kith"));
            }
            Err(error) if is_short(&error) => return Err(FileError::Damaged("this is no backup of kith")),
            Err(error) => return Err(error),
        }
        let (kind, body) = reader.frame(LONGEST)?;
        let header = serde_json::from_slice(&body).ok().filter(|_| kind == b'H');
        Ok((
            reader,
            header.ok_or(FileError::Damaged("the header cannot be read"))?,
        ))
    }

    /// The next frame. After [`Frame::End`] there is none.
    pub fn next(&mut self) -> Result<Frame, FileError> {
        let before = self.hash.clone();
        let (kind, body) = match self.frame(LONGEST) {
            Err(error) if is_short(&error) => return Err(FileError::Damaged("the file ends early")),
            other => other?,
        };
        match kind {
            b'T' => serde_json::from_slice(&body)
                .map(Frame::Table)
                .map_err(|_| FileError::Damaged("the head of a table cannot be read")),
            b'D' => Ok(Frame::Rows(body)),
            b'E' => std::str::from_utf8(&body)
                .ok()
                .and_then(|text| text.parse().ok())
                .map(Frame::EndOfTable)
                .ok_or(FileError::Damaged("the end of a table cannot be read")),
            b'Z' if before.finish().as_ref() == body => Ok(Frame::End),
            b'Z' => Err(FileError::Damaged(
                "the file is not as it was written: its hash is wrong",
            )),
            _ => Err(FileError::Damaged("there is something in it that is no frame")),
        }
    }

    fn frame(&mut self, longest: usize) -> Result<(u8, Vec<u8>), FileError> {
        let mut head = [0; HEAD];
        self.input.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > longest {
            return Err(FileError::Damaged("a frame is longer than frames are"));
        }
        let mut body = vec![0; length];
        self.input.read_exact(&mut body)?;
        self.hash.update(&head);
        self.hash.update(&body);
        Ok((head[0], body))
    }
}

fn is_short(error: &FileError) -> bool {
    matches!(error, FileError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> u64 {
        let mut writer = Writer::create(path).unwrap();
        writer
            .header(&Header {
                kith: "0.1.0".into(),
                schema: 1,
                taken_at: "2027-01-01T00:00:00Z".parse().unwrap(),
                database_id: Uuid::nil(),
                months: Vec::new(),
                sequences: Vec::new(),
            })
            .unwrap();
        writer
            .table(&TableHead {
                name: "owner".into(),
                columns: vec!["id".into()],
            })
            .unwrap();
        writer.rows(b"1\n2\n").unwrap();
        writer.end_of_table(2).unwrap();
        writer.finish().unwrap()
    }

    fn read(path: &Path) -> Result<Vec<Frame>, FileError> {
        let (mut reader, _) = Reader::open(path)?;
        let mut frames = Vec::new();
        loop {
            match reader.next()? {
                Frame::End => return Ok(frames),
                frame => frames.push(frame),
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let length = write(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
        let frames = read(&path).unwrap();
        assert_eq!(
            frames[1..],
            [Frame::Rows(b"1\n2\n".to_vec()), Frame::EndOfTable(2)]
        );
        assert!(Writer::create(&path).is_err(), "a file that exists is kept");
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let length = write(&path) as usize;
        let good = std::fs::read(&path).unwrap();
        for at in 0..length {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(read(&path).is_err(), "byte {at} changed");
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
    }
}
