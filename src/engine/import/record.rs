//! Reading CSV record by record, in bounded memory, and finding the way again after a broken one.
//!
//! A quote that is never closed would make the rest of the file one cell. So a record has a limit of bytes and
//! lines, and text behind a closing quote is an error; then only the line that the record began on is refused and
//! reading goes on with the next line.

use std::io::{self, BufRead, Read};

/// The longest record, in bytes.
const MAX_RECORD: usize = 64 * 1024;
/// The most lines that one record may span, by line breaks inside quotes.
const MAX_LINES: usize = 200;

/// One record: the unquoted text of its cells and the bytes it was made of. Made once and filled again and again.
#[derive(Debug, Default)]
pub struct Record {
    /// The line of the file on which the record begins; the header is line 1.
    pub line: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
    raw: Vec<u8>,
    raw_starts: Vec<usize>,
}

impl Record {
    /// A record that stands in no file, of these cells.
    pub fn of<'a>(line: u64, cells: impl Iterator<Item = &'a str>) -> Self {
        let mut record = Self {
            line,
            ..Self::default()
        };
        for cell in cells {
            record.text.extend_from_slice(cell.as_bytes());
            record.ends.push(record.text.len());
        }
        record
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of one cell without its quotes; `None` when the record is shorter.
    pub fn cell(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    /// The record as it stands in the file, without its line end and its first `skip` cells.
    pub fn raw(&self, skip: usize) -> &[u8] {
        self.raw_starts
            .get(skip)
            .and_then(|start| self.raw.get(*start..))
            .unwrap_or(&self.raw)
    }

    fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }
}

/// What reading on brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A record, whole.
    Record,
    /// The line at `line` cannot be read, for the reason given; `raw` is that line.
    Broken(&'static str),
    /// Nothing more.
    End,
}

/// The records of one input.
pub struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
    read: u64,
}

impl<R: BufRead> Records<R> {
    /// Reads from `input`, which stands at the first line, behind a byte order mark if there is one.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            line: 1,
            read: 0,
        }
    }

    /// How many bytes were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Reads the next record that is not blank into `record`.
    pub fn next(&mut self, record: &mut Record) -> io::Result<Found> {
        loop {
            if self.buffer.is_empty() && !self.read_line()? {
                return Ok(Found::End);
            }
            record.line = self.line;
            let outcome = self.take(record)?;
            if outcome != Found::Record || !record.is_blank() {
                return Ok(outcome);
            }
        }
    }

    fn take(&mut self, record: &mut Record) -> io::Result<Found> {
        loop {
            let broken = match split(&self.buffer, record) {
                Split::Whole(used) => {
                    keep_raw(record, &self.buffer[..used]);
                    self.drop_front(used);
                    return Ok(Found::Record);
                }
                Split::Open if self.buffer.len() > MAX_RECORD || lines(&self.buffer) > MAX_LINES => {
                    "a quote is opened and not closed"
                }
                Split::Open if self.read_line()? => continue,
                Split::Open => "a quote is opened and not closed",
                Split::Wrong => "there is text behind a closing quote",
                Split::TooLong => "the row is longer than 64 KB",
            };
            let first = self
                .buffer
                .iter()
                .position(|&b| b == b'\n')
                .map_or(self.buffer.len(), |at| at + 1);
            keep_raw(record, &self.buffer[..first]);
            self.drop_front(first);
            return Ok(Found::Broken(broken));
        }
    }

    fn drop_front(&mut self, used: usize) {
        self.line += lines(&self.buffer[..used]) as u64;
        self.buffer.drain(..used);
    }

    /// Adds one line to the buffer, cut when it is too long; false at the end of the input.
    fn read_line(&mut self) -> io::Result<bool> {
        let cap = MAX_RECORD as u64 + 2;
        let before = self.buffer.len();
        let mut got = (&mut self.input).take(cap).read_until(b'\n', &mut self.buffer)? as u64;
        if got == cap && self.buffer.last() != Some(&b'\n') {
            got += self.skip_line()?;
            self.buffer.push(b'\n');
        }
        self.read += got;
        Ok(self.buffer.len() > before)
    }

    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let chunk = self.input.fill_buf()?;
            let end = chunk.iter().position(|&b| b == b'\n');
            let used = end.map_or(chunk.len(), |at| at + 1);
            self.input.consume(used);
            skipped += used as u64;
            if end.is_some() || used == 0 {
                return Ok(skipped);
            }
        }
    }
}

fn keep_raw(record: &mut Record, bytes: &[u8]) {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    record.raw.clear();
    record.raw.extend_from_slice(bytes);
}

// Lines are short; counting fast would take a crate more.
#[allow(clippy::naive_bytecount)]
fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b'\n').count()
}

enum Split {
    /// A whole record of so many bytes, its line end included.
    Whole(usize),
    /// The input ends inside quotes.
    Open,
    /// Text behind a closing quote.
    Wrong,
    /// More bytes than a record may have.
    TooLong,
}

/// Splits the first record of `bytes` into cells (RFC 4180; a quote inside an unquoted cell stands for itself).
fn split(bytes: &[u8], record: &mut Record) -> Split {
    record.text.clear();
    record.ends.clear();
    record.raw_starts.clear();
    let mut at = 0;
    loop {
        record.raw_starts.push(at);
        let after = if bytes.get(at) == Some(&b'"') {
            match unquote(bytes, at + 1, &mut record.text) {
                Some(after) => after,
                None => return Split::Open,
            }
        } else {
            let rest = &bytes[at..];
            let end = rest
                .iter()
                .position(|&b| b == b',' || b == b'\n')
                .unwrap_or(rest.len());
            let cell = &rest[..end];
            let cell = if rest.get(end) == Some(&b',') {
                cell
            } else {
                cell.strip_suffix(b"\r").unwrap_or(cell)
            };
            record.text.extend_from_slice(cell);
            at + end
        };
        record.ends.push(record.text.len());
        let used = match &bytes[after..] {
            [b',', ..] => {
                at = after + 1;
                continue;
            }
            [] | [b'\r'] => bytes.len(),
            [b'\n', ..] => after + 1,
            [b'\r', b'\n', ..] => after + 2,
            _ => return Split::Wrong,
        };
        return if used > MAX_RECORD {
            Split::TooLong
        } else {
            Split::Whole(used)
        };
    }
}

/// Adds the quoted text that begins at `at` and answers where its closing quote is passed; `None` when it has none.
fn unquote(bytes: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        let quote = at + bytes[at..].iter().position(|&b| b == b'"')?;
        text.extend_from_slice(&bytes[at..quote]);
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote + 1);
        }
        text.push(b'"');
        at = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(u64, Result<Vec<String>, &'static str>)> {
        let mut records = Records::new(text);
        let mut record = Record::default();
        let mut out = Vec::new();
        loop {
            let cells = match records.next(&mut record).unwrap() {
                Found::Record => Ok((0..record.len())
                    .map(|i| String::from_utf8_lossy(record.cell(i).unwrap()).into_owned())
                    .collect()),
                Found::Broken(reason) => Err(reason),
                Found::End => return out,
            };
            out.push((record.line, cells));
        }
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Result<Vec<String>, &'static str>) {
        (line, Ok(cells.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn cells_quotes_line_ends_and_blank_lines() {
        let text = b"a,b\r\n\"x,1\",\"say \"\"hi\"\"\"\n\n , \n5\" pipe,\n\"two\nlines\",z\r\nlast,";
        assert_eq!(
            read(text),
            [
                row(1, &["a", "b"]),
                row(2, &["x,1", "say \"hi\""]),
                row(5, &["5\" pipe", ""]),
                row(6, &["two\nlines", "z"]),
                row(8, &["last", ""]),
            ]
        );
    }

    #[test]
    fn a_broken_row_costs_its_own_line_only() {
        let text = b"a,\"b\nc,d\ne,\"f\"\ng,\"h\"x\ni,j\nk,\"l";
        let got = read(text);
        assert_eq!(got[0], (1, Err("there is text behind a closing quote")));
        assert_eq!(got[1], row(2, &["c", "d"]));
        assert_eq!(got[2], row(3, &["e", "f"]));
        assert_eq!(got[3], (4, Err("there is text behind a closing quote")));
        assert_eq!(got[4], row(5, &["i", "j"]));
        assert_eq!(got[5], (6, Err("a quote is opened and not closed")));
    }

    #[test]
    fn an_open_quote_does_not_swallow_a_large_file() {
        let mut text = b"a,\"open\n".to_vec();
        for _ in 0..50_000 {
            text.extend_from_slice(b"b,c\n");
        }
        let got = read(&text);
        assert_eq!(got.len(), 50_001);
        assert_eq!(got[0], (1, Err("a quote is opened and not closed")));
        assert_eq!(got[50_000], row(50_001, &["b", "c"]));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut text = vec![b'x'; 3_000_000];
        text.extend_from_slice(b"\nb,c\n");
        let got = read(&text);
        assert_eq!(
            got,
            [(1, Err("the row is longer than 64 KB")), row(2, &["b", "c"])]
        );
    }
}
