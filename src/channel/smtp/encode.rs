//! The content of a mail as it goes over the wire.

/// Line ends become CRLF, bare CR and bare LF included, and a dot that starts a line is doubled (RFC 5321 section
/// 4.5.2). The result ends with CRLF, so that the final dot stands on its own line.
///
/// The normalising comes first: a dot after a bare LF would otherwise go out single, and a server that takes a bare LF
/// for a line end would see the end of the mail there.
pub(super) fn encode(mail: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(mail.len() + mail.len() / 64 + 2);
    let mut rest = mail;
    while let Some((line, after)) = next_line(rest) {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
        rest = after;
    }
    wire
}

/// The first line without its end, which is CRLF or a bare CR or LF, and what follows; `None` at the end.
pub(super) fn next_line(mail: &[u8]) -> Option<(&[u8], &[u8])> {
    if mail.is_empty() {
        return None;
    }
    let end = memchr::memchr2(b'\r', b'\n', mail).unwrap_or(mail.len());
    let (line, after) = mail.split_at(end);
    let after = after
        .strip_prefix(b"\r\n")
        .or_else(|| after.get(1..))
        .unwrap_or_default();
    Some((line, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn line_ends_are_normalised_before_dots_are_stuffed() {
        for (mail, wire) in [
            ("", ""),
            ("a", "a\r\n"),
            (".", "..\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n"),
            ("a\r.\rb\r\n", "a\r\n..\r\nb\r\n"),
            ("a\n\r\n.b", "a\r\n\r\n..b\r\n"),
            ("a\r\r\n.", "a\r\n\r\n..\r\n"),
            ("a.b\r\n", "a.b\r\n"),
        ] {
            assert_eq!(
                String::from_utf8(encode(mail.as_bytes())).unwrap(),
                wire,
                "{mail:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_mail_can_contain_the_final_dot(mail in "[.\r\na]{0,40}") {
            let mut wire = b"\r\n".to_vec();
            wire.extend(encode(mail.as_bytes()));
            prop_assert!(!wire.windows(5).any(|w| w == b"\r\n.\r\n"));
            let text = String::from_utf8(wire).unwrap();
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        }
    }
}
