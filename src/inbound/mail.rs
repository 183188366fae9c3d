//! A mail as the recipient sees it, read from its bytes within limits.

use std::borrow::Cow;

use mail_parser::{MessageParser, MimeHeaders};
use thiserror::Error;

/// Bigger mails are not read.
const MOST_BYTES: usize = 4 << 20;
/// Deeper nesting makes the parser recurse without an end; no mail of ours has any.
const MOST_PARTS: usize = 200;

/// A mail that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Over the limit of bytes or parts.
    #[error("the mail is too large or has too many parts")]
    TooLarge,
    /// Not a mail.
    #[error("these bytes are no mail")]
    NoMail,
}

/// A mail as the recipient sees it.
#[derive(Debug, Clone, Default)]
pub struct ReadMail {
    /// Subject.
    pub subject: String,
    /// Name and address of the sender.
    pub from: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// Names of attachments.
    pub attachments: Vec<String>,
    /// Headers in their order, unfolded.
    pub headers: Vec<(String, String)>,
}

/// Reads a mail.
pub fn read(raw: &[u8]) -> Result<ReadMail, Unreadable> {
    // Every nested part announces itself with one of these, so they bound the depth before anything is parsed.
    let parts = count(raw, b"message/rfc822") + count(raw, b"multipart/");
    if raw.len() > MOST_BYTES || parts > MOST_PARTS {
        return Err(Unreadable::TooLarge);
    }
    let mail = MessageParser::default().parse(raw).ok_or(Unreadable::NoMail)?;
    let from = mail
        .from()
        .and_then(|from| from.first())
        .map(|from| match (from.name(), from.address()) {
            (Some(name), Some(address)) => format!("{name} <{address}>"),
            (name, address) => name.or(address).unwrap_or_default().to_owned(),
        });
    let own = |kinds: &[mail_parser::MessagePartId], html: bool| {
        kinds.iter().any(|id| {
            mail.part(*id)
                .is_some_and(|part| part.is_text_html() == html && part.is_text())
        })
    };
    Ok(ReadMail {
        subject: mail.subject().unwrap_or_default().to_owned(),
        from: from.unwrap_or_default(),
        html: own(&mail.html_body, true)
            .then(|| mail.body_html(0).map(Cow::into_owned))
            .flatten(),
        text: own(&mail.text_body, false)
            .then(|| mail.body_text(0).map(Cow::into_owned))
            .flatten(),
        attachments: mail
            .attachments()
            .filter_map(|part| part.attachment_name().map(ToOwned::to_owned))
            .collect(),
        headers: mail
            .headers_raw()
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    value.split_whitespace().collect::<Vec<_>>().join(" "),
                )
            })
            .collect(),
    })
}

fn count(raw: &[u8], word: &[u8]) -> usize {
    raw.windows(word.len())
        .filter(|window| window.eq_ignore_ascii_case(word))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r\nSubject: =?utf-8?b?5L2g5aW9?=\r\n\
        List-Unsubscribe: <https://example.com/u/1>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Gr=C3=BC=C3=9Fe\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n--b--\r\n";

    #[test]
    fn both_parts_and_the_headers_are_read() {
        let mail = read(MAIL.as_bytes()).unwrap();
        assert_eq!(
            (mail.subject.as_str(), mail.from.as_str()),
            ("你好", "Jörg <j@example.com>")
        );
        assert_eq!(mail.text.as_deref().map(str::trim_end), Some("Grüße"));
        assert_eq!(mail.html.as_deref().map(str::trim_end), Some("<p>Hi</p>"));
        assert!(
            mail.headers
                .iter()
                .any(|(name, value)| name == "List-Unsubscribe" && value == "<https://example.com/u/1>")
        );
    }

    #[test]
    fn a_mail_of_text_alone_has_no_html() {
        let mail = read(b"Subject: x\r\n\r\nplain\r\n").unwrap();
        assert_eq!(
            (mail.html, mail.text.as_deref().map(str::trim_end)),
            (None, Some("plain"))
        );
    }

    #[test]
    fn deep_nesting_is_refused_unparsed() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
        assert_eq!(read(deep.as_bytes()).unwrap_err(), Unreadable::TooLarge);
        let big = vec![b'a'; MOST_BYTES + 1];
        assert_eq!(read(&big).unwrap_err(), Unreadable::TooLarge);
    }
}
