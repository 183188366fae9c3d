//! From the file to chunks of checked rows, on a thread of its own.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::cell::{Cells, Refusal};
use super::header::{FileRefusal, Header, REJECTED};
use super::kind::Kind;
use super::record::{Found, Record, Records};
use crate::store::staging::CopyText;

/// The most rows of a chunk: enough that a statement per chunk costs nothing, few enough to hold three.
const CHUNK_ROWS: usize = 20_000;
/// The most bytes of a chunk, for rows that are long.
const CHUNK_BYTES: usize = 12 * 1024 * 1024;

/// Turns the cells of one row into a row of the kind's staging table. The first two columns are put there before.
pub trait Columns: Send {
    /// Adds the row's cells behind line and external id.
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal>;
}

/// Checked rows, and everything needed to say what is wrong with the others.
#[derive(Default)]
pub struct Chunk {
    /// The good rows.
    pub rows: CopyText,
    /// The bad ones, by line.
    pub refused: Vec<(u64, Refusal)>,
    /// How far into the file the chunk reaches, in bytes.
    pub bytes_read: u64,
    raw: Vec<u8>,
    raw_ends: Vec<(u64, usize)>,
}

impl Chunk {
    /// The original cells of the row that begins on a line.
    pub fn raw(&self, line: u64) -> &[u8] {
        let Ok(at) = self.raw_ends.binary_search_by_key(&line, |(line, _)| *line) else {
            return &[];
        };
        let start = if at == 0 { 0 } else { self.raw_ends[at - 1].1 };
        &self.raw[start..self.raw_ends[at].1]
    }

    fn keep_raw(&mut self, line: u64, raw: &[u8]) {
        self.raw.extend_from_slice(raw);
        self.raw_ends.push((line, self.raw.len()));
    }

    fn is_full(&self) -> bool {
        self.raw_ends.len() >= CHUNK_ROWS || self.rows.bytes() + self.raw.len() >= CHUNK_BYTES
    }
}

/// A file being read.
pub struct Feed {
    records: Records<BufReader<File>>,
    record: Record,
    header: Header,
    header_raw: Vec<u8>,
    skip: usize,
    // Hashes of the external ids so far: eight bytes a row, and no chance of two alike worth naming.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Feed {
    /// Opens a file and reads its header. The outer error is the disk's, the inner one the file's.
    pub fn open(path: &Path, kind: Kind) -> io::Result<Result<Self, FileRefusal>> {
        let mut input = BufReader::with_capacity(256 * 1024, File::open(path)?);
        let start = input.fill_buf()?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Ok(Err(FileRefusal::new(
                "",
                "the file is UTF-16; save it as CSV UTF-8",
            )));
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            input.consume(3);
        }
        let mut records = Records::new(input);
        let mut record = Record::default();
        match records.next(&mut record)? {
            Found::Record => {}
            Found::Broken(reason) => return Ok(Err(FileRefusal::new("", format!("the header: {reason}")))),
            Found::End => {
                return Ok(Err(FileRefusal::new(
                    "",
                    "the file is empty; its first row names the columns",
                )));
            }
        }
        Ok(Header::parse(kind, &record).map(|header| {
            let skip = if header.was_rejected() { REJECTED.len() } else { 0 };
            let header_raw = record.raw(skip).to_vec();
            let (seen, hasher) = (HashSet::new(), RandomState::new());
            Self {
                records,
                record,
                header,
                header_raw,
                skip,
                seen,
                hasher,
            }
        }))
    }

    /// The columns of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's own cells as they stand in the file.
    pub fn header_raw(&self) -> &[u8] {
        &self.header_raw
    }

    /// The next chunk; `None` at the end.
    pub fn chunk(&mut self, columns: &mut dyn Columns) -> io::Result<Option<Chunk>> {
        let mut chunk = Chunk::default();
        while !chunk.is_full() {
            let refusal = match self.records.next(&mut self.record)? {
                Found::End => break,
                Found::Broken(reason) => Some(Refusal::row(reason)),
                Found::Record => self.take(columns, &mut chunk.rows).err(),
            };
            let line = self.record.line;
            chunk.keep_raw(line, self.record.raw(self.skip));
            if let Some(refusal) = refusal {
                chunk.rows.drop_row();
                chunk.refused.push((line, refusal));
            }
        }
        chunk.bytes_read = self.records.bytes_read();
        Ok((!chunk.raw_ends.is_empty()).then_some(chunk))
    }

    fn take(&mut self, columns: &mut dyn Columns, rows: &mut CopyText) -> Result<(), Refusal> {
        let cells = Cells::open(&self.record, &self.header)?;
        let external_id = cells.must("external_id")?;
        let hash = self.hasher.hash_one(external_id);
        if self.seen.contains(&hash) {
            return Err(Refusal::new(
                "external_id",
                "the same external id stands further up in this file",
            ));
        }
        stage(self.record.line, &cells, columns, rows)?;
        self.seen.insert(hash);
        Ok(())
    }
}

/// Puts one row among the staged ones. After a refusal the caller drops what there is of it.
pub fn stage(
    line: u64,
    cells: &Cells<'_>,
    columns: &mut dyn Columns,
    rows: &mut CopyText,
) -> Result<(), Refusal> {
    rows.plain(Some(line));
    rows.text(Some(cells.must("external_id")?));
    columns.read(cells, rows)?;
    rows.end_row();
    Ok(())
}
