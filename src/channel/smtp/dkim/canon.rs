//! Relaxed canonicalisation (RFC 6376 section 3.4), of a mail's bytes as they go over the wire: bare CR and LF count as
//! line ends, since [`encode`](super::super::encode) sends them as such.

use super::super::encode::next_line;

/// One field of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name, in lower case.
    pub(super) name: String,
    /// Its value, unfolded, white space relaxed.
    pub(super) value: Vec<u8>,
}

/// The fields of the header, in order, and the body.
pub(super) fn split(mail: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut rest = mail;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        match line.first() {
            None => break,
            Some(b' ' | b'\t') => {
                if let Some((_, value)) = fields.last_mut() {
                    value.extend_from_slice(line);
                }
            }
            Some(_) => {
                let colon = line.iter().position(|byte| *byte == b':');
                let (name, value) = line.split_at(colon.unwrap_or(line.len()));
                fields.push((name.to_owned(), value.get(1..).unwrap_or_default().to_owned()));
            }
        }
    }
    let fields = fields.into_iter().map(|(name, value)| Field {
        name: String::from_utf8_lossy(&name)
            .trim_end_matches([' ', '\t'])
            .to_ascii_lowercase(),
        value: relaxed(&value).trim_ascii_start().to_owned(),
    });
    (fields.collect(), rest)
}

/// The body as it is hashed. An empty one, or one of blank lines only, is nothing at all.
pub(super) fn body(body: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(body.len() + 2);
    let (mut rest, mut blank) = (body, 0);
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        let line = relaxed(line);
        if line.is_empty() {
            blank += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut blank) {
            canonical.extend_from_slice(b"\r\n");
        }
        canonical.extend_from_slice(&line);
        canonical.extend_from_slice(b"\r\n");
    }
    canonical
}

/// Runs of spaces and tabs become one space, and none is left at the end.
fn relaxed(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            b' ' | b'\t' if out.last() == Some(&b' ') => {}
            b'\t' => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_relaxed() {
        for (raw, canonical) in [
            ("", ""),
            ("\r\n\r\n", ""),
            (" \t\r\n", ""),
            // RFC 6376 section 3.4.5.
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("a", "a\r\n"),
            ("a\n\rb\r\n\n", "a\r\n\r\nb\r\n"),
            ("\r\na\r\n", "\r\na\r\n"),
            ("..\r\n", "..\r\n"),
        ] {
            assert_eq!(
                String::from_utf8(body(raw.as_bytes())).unwrap(),
                canonical,
                "{raw:?}"
            );
        }
    }

    #[test]
    fn headers_are_unfolded_and_relaxed() {
        let mail = b"A: X\r\nB : Y\t\r\n\tZ  \r\nEmpty:\r\n \r\n\r\nbody\r\n";
        let (fields, body) = split(mail);
        let fields: Vec<_> = fields
            .iter()
            .map(|f| (f.name.as_str(), String::from_utf8(f.value.clone()).unwrap()))
            .collect();
        assert_eq!(
            fields,
            [
                ("a", "X".to_owned()),
                ("b", "Y Z".to_owned()),
                ("empty", String::new())
            ]
        );
        assert_eq!(body, b"body\r\n");
    }
}
