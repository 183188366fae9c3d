//! How big a template and what it makes may be. Parsing and rendering recurse, so depth is judged before either: some
//! thousand nested blocks would overflow the stack, which no caller could catch.

use std::io::{self, Write};

/// Bytes of one template file.
pub const SOURCE_BYTES: usize = 128 * 1024;
/// Blocks inside blocks, `else` branches with a condition included.
pub const BLOCK_DEPTH: usize = 32;
/// Parentheses inside parentheses in one tag.
pub const PAREN_DEPTH: usize = 8;
/// Loops inside loops. With [`LIST_ITEMS`] it bounds the iterations of a rendering, output or not.
pub const LOOP_DEPTH: usize = 2;
/// Partials inside partials.
pub const PARTIAL_DEPTH: usize = 8;
/// Elements of a part with all its partials put in.
pub const ELEMENTS: usize = 20_000;
/// Entries of a list or object among a contact's attributes.
pub const LIST_ITEMS: usize = 200;
/// Objects inside objects among a contact's attributes.
pub const DATA_DEPTH: usize = 8;
/// Bytes of a rendered HTML part.
pub const HTML_BYTES: usize = 1024 * 1024;
/// Bytes of a rendered text or task part.
pub const TEXT_BYTES: usize = 256 * 1024;
/// Bytes of a rendered subject.
pub const SUBJECT_BYTES: usize = 1024;
/// Bytes of a rendered text message; ten segments of UCS-2 are 670 characters, so nothing sane is near it.
pub const SMS_BYTES: usize = 4 * 1024;

/// A writer that refuses what would not fit, so that rendering stops instead of filling the memory.
#[derive(Debug)]
pub struct Capped {
    bytes: Vec<u8>,
    limit: usize,
}

impl Capped {
    /// An empty writer for at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(limit.min(8 * 1024)),
            limit,
        }
    }

    /// What was written.
    pub fn into_string(self) -> io::Result<String> {
        String::from_utf8(self.bytes).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Whether an error came from a full writer.
    #[must_use]
    pub fn is_full(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::FileTooLarge
    }
}

impl Write for Capped {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_writer_refuses_and_keeps_what_fitted() {
        let mut out = Capped::new(5);
        out.write_all(b"hello").unwrap();
        let error = out.write_all(b"!").unwrap_err();
        assert!(Capped::is_full(&error));
        assert_eq!(out.into_string().unwrap(), "hello");
    }
}
