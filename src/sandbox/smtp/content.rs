//! Reading the content of a mail strictly: only CRLF "." CRLF ends it, and only a dot after CRLF was stuffed.

/// Collects the lines after DATA.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    inside_line: bool,
}

impl Content {
    /// Adds a line with its line end; true when it was the final dot.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        let starts_line = !self.inside_line;
        if starts_line && line == b".\r\n" {
            return true;
        }
        let line = if starts_line {
            line.strip_prefix(b".").unwrap_or(line)
        } else {
            line
        };
        self.bytes.extend_from_slice(line);
        self.inside_line = !line.ends_with(b"\r\n");
        false
    }

    /// Size so far in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The content as it was before dot-stuffing.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The Message-ID of a mail without angle brackets; empty if it has none.
pub(super) fn message_id(mail: &[u8]) -> String {
    let end = mail
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or(mail.len());
    let header = String::from_utf8_lossy(&mail[..end])
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ");
    let value = header.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("message-id").then(|| value.trim())
    });
    value
        .unwrap_or_default()
        .trim_start_matches('<')
        .trim_end_matches('>')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dot_between_two_crlf_ends_the_content() {
        let mut content = Content::default();
        for line in ["a\r\n", "..b\r\n", "c\n", ".\r\n"] {
            assert!(!content.push(line.as_bytes()), "{line:?} ended it");
        }
        assert!(content.push(b".\r\n"));
        assert_eq!(content.into_bytes(), b"a\r\n.b\r\nc\n.\r\n");
    }

    #[test]
    fn message_id_is_found_folded_and_in_any_case() {
        assert_eq!(
            message_id(b"From: a\r\nMESSAGE-ID:\r\n <x@y>\r\n\r\nMessage-ID: <z>"),
            "x@y"
        );
        assert_eq!(message_id(b"From: a\r\n\r\nMessage-ID: <z>"), "");
    }
}
