//! A server's reply, RFC 5321 section 4.2.

use super::wire::WireError;
use crate::channel::line::one_line;

/// Longest reply kept, in bytes, all lines together.
const LONGEST: usize = 64 * 1024;

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// 200-599.
    pub(super) code: u16,
    /// The text of each line, without code.
    pub(super) lines: Vec<String>,
}

/// Collects the lines of one reply.
#[derive(Debug, Default)]
pub(super) struct Partial {
    code: Option<u16>,
    lines: Vec<String>,
    size: usize,
}

impl Partial {
    /// Adds a line with its line end; the whole reply when it was the last line.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, WireError> {
        self.size += line.len();
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        let code = text.get(..3).and_then(|digits| digits.parse::<u16>().ok());
        let code =
            code.filter(|code| (200..600).contains(code) && self.code.is_none_or(|first| first == *code));
        let (Some(code), true) = (code, self.size <= LONGEST) else {
            return Err(WireError::Garbage(one_line(&text)));
        };
        let more = match text.as_bytes().get(3) {
            None | Some(b' ') => false,
            Some(b'-') => true,
            Some(_) => return Err(WireError::Garbage(one_line(&text))),
        };
        self.code = Some(code);
        self.lines.push(text.get(4..).unwrap_or_default().to_owned());
        Ok((!more).then(|| Reply {
            code,
            lines: std::mem::take(&mut self.lines),
        }))
    }
}

impl Reply {
    /// 2xx: done. A 3xx is not success.
    pub(super) fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// The server closes the link after this one.
    pub(super) fn is_closing(&self) -> bool {
        self.code == 421
    }

    /// Code and text on one line, at most 512 bytes, without control characters.
    pub(super) fn one_line(&self) -> String {
        one_line(&format!("{} {}", self.code, self.lines.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Reply>, WireError> {
        let mut partial = Partial::default();
        let mut last = Ok(None);
        for line in text.split_inclusive('\n') {
            last = Ok(partial.push(line.as_bytes())?);
        }
        last
    }

    #[test]
    fn replies_are_read_whole() {
        let reply = read("550-5.7.1 blocked\r\n550 5.7.1 by policy\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(reply.one_line(), "550 5.7.1 blocked 5.7.1 by policy");
        assert_eq!(read("250\r\n").unwrap().unwrap().one_line(), "250");
        assert_eq!(read("250-more\r\n").unwrap(), None);
    }

    #[test]
    fn garbage_is_not_a_reply() {
        for text in [
            "hello\r\n",
            "25\r\n",
            "250x\r\n",
            "250-a\r\n354 b\r\n",
            "150 no\r\n",
            "999 no\r\n",
            "é50 a\r\n",
        ] {
            assert!(matches!(read(text), Err(WireError::Garbage(_))), "{text:?}");
        }
    }
}
