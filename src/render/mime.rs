//! The bytes of a mail. The same words and envelope give the same bytes, so that a retry is the same mail.

use chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use ring::digest::{SHA256, digest};

use super::message::RenderedEmail;

/// Bytes of one header line (RFC 5322 section 2.1.1), line end not counted.
const LINE_BYTES: usize = 998;

/// From whom, to whom, and what the headers say.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Display name of the sender.
    pub from_name: Option<String>,
    /// Address of the sender.
    pub from_address: String,
    /// Where answers go, when not to the sender.
    pub reply_to: Option<String>,
    /// Display name of the recipient.
    pub to_name: Option<String>,
    /// Address of the recipient.
    pub to_address: String,
    /// Message-ID without angle brackets.
    pub message_id: String,
    /// Date header: the first attempt's moment, the same in every attempt.
    pub date: DateTime<Utc>,
    /// Address for unsubscribing with one click (RFC 8058): takes a POST.
    pub list_unsubscribe: Option<String>,
    /// Whether this is sent by a program on its own (RFC 3834): asks responders to keep silent.
    pub auto_submitted: bool,
    /// Further headers, such as `Feedback-ID`.
    pub headers: Vec<(String, String)>,
}

/// Why a mail cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// An address that is none.
    #[error("{field}: not an email address")]
    Address {
        /// Which one.
        field: &'static str,
    },
    /// A header that may not be set, or not so.
    #[error("header {name}: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The parts do not make a mail.
    #[error("{0}")]
    Build(String),
}

/// Header and body with CRLF line ends, not dot-stuffed and not signed.
pub fn build_email(words: &RenderedEmail, envelope: &Envelope) -> Result<Vec<u8>, MimeError> {
    let from = mailbox("From", envelope.from_name.as_deref(), &envelope.from_address)?;
    let to = mailbox("To", envelope.to_name.as_deref(), &envelope.to_address)?;
    // Named here, though nobody asks for it: it would be read out of the written headers otherwise.
    let way = lettre::address::Envelope::new(Some(from.email.clone()), vec![to.email.clone()])
        .map_err(|error| MimeError::Build(error.to_string()))?;
    let mut builder = Message::builder()
        .envelope(way)
        .date(envelope.date.into())
        .from(from)
        .to(to)
        .subject(clean(&words.subject))
        .raw_header(one_line(
            "Message-ID",
            &format!("<{}>", message_id(&envelope.message_id)?),
        )?);
    if let Some(reply_to) = &envelope.reply_to {
        builder = builder.reply_to(mailbox("Reply-To", None, reply_to)?);
    }
    if let Some(address) = &envelope.list_unsubscribe {
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(refused("List-Unsubscribe", "not a web address"));
        }
        if address.contains(['<', '>', ',']) {
            return Err(refused("List-Unsubscribe", "a character that ends the address"));
        }
        builder = builder
            .raw_header(one_line("List-Unsubscribe", &format!("<{address}>"))?)
            .raw_header(one_line("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")?);
    }
    if envelope.auto_submitted {
        builder = builder.raw_header(one_line("Auto-Submitted", "auto-generated")?);
    }
    for (name, value) in &envelope.headers {
        builder = builder.raw_header(further(name, value)?);
    }
    let text = SinglePart::plain(crlf(&words.text));
    let message = match &words.html {
        Some(html) => builder.multipart(
            MultiPart::alternative()
                .boundary(boundary(&envelope.message_id))
                .singlepart(text)
                .singlepart(SinglePart::html(crlf(html))),
        ),
        None => builder.singlepart(text),
    };
    Ok(message
        .map_err(|error| MimeError::Build(error.to_string()))?
        .formatted())
}

/// A boundary that belongs to the message, not to the attempt.
fn boundary(message_id: &str) -> String {
    let hash = digest(&SHA256, message_id.as_bytes());
    let seed = hash
        .as_ref()
        .iter()
        .take(16)
        .fold(0_u128, |seed, byte| seed << 8 | u128::from(*byte));
    format!("=_{seed:032x}")
}

fn mailbox(field: &'static str, name: Option<&str>, address: &str) -> Result<Mailbox, MimeError> {
    let address: Address = address.parse().map_err(|_| MimeError::Address { field })?;
    let name = name.map(clean).filter(|name| !name.is_empty());
    Ok(Mailbox::new(name, address))
}

/// Text without anything that could end a header line.
fn clean(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn message_id(id: &str) -> Result<&str, MimeError> {
    let dotted = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    match id.split_once('@') {
        Some((left, right))
            if !left.is_empty()
                && !right.is_empty()
                && left.chars().all(dotted)
                && right.chars().all(dotted) =>
        {
            Ok(id)
        }
        _ => Err(refused("Message-ID", "not of the form left@right")),
    }
}

/// A header on exactly one line: some receivers do not read it otherwise (RFC 8058's in particular).
fn one_line(name: &'static str, value: &str) -> Result<HeaderValue, MimeError> {
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(name, "a character outside printable ASCII"));
    }
    if name.len() + 2 + value.len() > LINE_BYTES {
        return Err(refused(name, "too long for one line"));
    }
    let name = HeaderName::new_from_ascii_str(name);
    Ok(HeaderValue::dangerous_new_pre_encoded(
        name,
        value.to_owned(),
        value.to_owned(),
    ))
}

/// A header of the caller's own. Those that this module writes cannot be written again.
fn further(name: &str, value: &str) -> Result<HeaderValue, MimeError> {
    const OURS: [&str; 13] = [
        "auto-submitted",
        "bcc",
        "cc",
        "date",
        "from",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "message-id",
        "mime-version",
        "reply-to",
        "sender",
        "subject",
        "to",
    ];
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower.starts_with("content-") {
        return Err(refused(name, "is written by kith itself"));
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(refused(&clean(name), "not a header name"));
    }
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| refused(name, "not a header name"))?;
    Ok(HeaderValue::new(name, clean(value)))
}

fn refused(name: &str, reason: &'static str) -> MimeError {
    MimeError::Header {
        name: name.to_owned(),
        reason,
    }
}

/// Every line end as CRLF, bare ones too: what stands behind a bare one would not be dot-stuffed by all.
fn crlf(text: &str) -> String {
    if text.contains('\r') {
        let plain = text.replace("\r\n", "\n").replace('\r', "\n");
        return plain.replace('\n', "\r\n");
    }
    text.replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(html: bool) -> RenderedEmail {
        RenderedEmail {
            locale: "en".into(),
            subject: "Grüße aus 上海".into(),
            html: html.then(|| "<p>one\ntwo\r.three 好</p>".to_owned()),
            text: "one\ntwo\n".into(),
        }
    }

    fn envelope() -> Envelope {
        Envelope {
            from_name: Some("Sam Reed".into()),
            from_address: "sam@company.example".into(),
            reply_to: Some("desk@company.example".into()),
            to_name: Some("林 Ada".into()),
            to_address: "ada@lin.example".into(),
            message_id: "0199a7c2@company.example".into(),
            date: "2027-03-05T09:30:00Z".parse().unwrap(),
            list_unsubscribe: Some(format!("https://t.company.example/u/{}", "x".repeat(200))),
            auto_submitted: true,
            headers: vec![("Feedback-ID".into(), "b-to-a:company".into())],
        }
    }

    fn headers(mail: &[u8]) -> Vec<String> {
        let text = String::from_utf8(mail.to_vec()).unwrap();
        text.split("\r\n\r\n")
            .next()
            .unwrap()
            .split("\r\n")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_mail_says_who_when_and_how_to_leave() {
        let mail = build_email(&words(true), &envelope()).unwrap();
        let lines = headers(&mail);
        for wanted in [
            "Date: Fri, 05 Mar 2027 09:30:00 +0000",
            "From: \"Sam Reed\" <sam@company.example>",
            "Reply-To: desk@company.example",
            "Message-ID: <0199a7c2@company.example>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Auto-Submitted: auto-generated",
            "Feedback-ID: b-to-a:company",
            "MIME-Version: 1.0",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted} not in {lines:#?}"
            );
        }
        let unsubscribe: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("List-Unsubscribe:"))
            .collect();
        assert_eq!(unsubscribe.len(), 1);
        assert!(
            unsubscribe[0].ends_with(&format!("{}>", "x".repeat(200))),
            "{unsubscribe:?}"
        );
        let parsed = mail_parser::MessageParser::default().parse(&mail).unwrap();
        assert_eq!(parsed.subject(), Some("Grüße aus 上海"));
        assert_eq!(parsed.to().unwrap().first().unwrap().name(), Some("林 Ada"));
        assert_eq!(parsed.body_text(0).unwrap(), "one\r\ntwo\r\n");
        assert!(parsed.body_html(0).unwrap().contains(".three 好"));
    }

    #[test]
    fn the_same_message_has_the_same_bytes() {
        let mail = build_email(&words(true), &envelope()).unwrap();
        assert_eq!(mail, build_email(&words(true), &envelope()).unwrap());
        let other = Envelope {
            message_id: "other@company.example".into(),
            ..envelope()
        };
        let boundary = |mail: &[u8]| {
            headers(mail)
                .into_iter()
                .find(|line| line.contains("boundary="))
                .unwrap()
        };
        assert_ne!(
            boundary(&mail),
            boundary(&build_email(&words(true), &other).unwrap())
        );
    }

    #[test]
    fn there_are_no_bare_line_ends() {
        for html in [true, false] {
            let mail = build_email(&words(html), &envelope()).unwrap();
            let text = String::from_utf8(mail).unwrap();
            assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
        }
    }

    #[test]
    fn nothing_can_be_injected() {
        let bad = "x\r\nBcc: spy@evil.example\r\n\r\nbody";
        let hostile = Envelope {
            from_name: Some(bad.into()),
            to_name: Some(bad.into()),
            headers: vec![("Feedback-ID".into(), bad.into())],
            ..envelope()
        };
        let subject = RenderedEmail {
            subject: bad.into(),
            ..words(true)
        };
        let mail = build_email(&subject, &hostile).unwrap();
        let parsed = mail_parser::MessageParser::default().parse(&mail).unwrap();
        assert!(parsed.bcc().is_none());
        assert!(!headers(&mail).iter().any(|line| line.starts_with("Bcc")));

        let refused = |change: &dyn Fn(&mut Envelope)| {
            let mut envelope = envelope();
            change(&mut envelope);
            build_email(&words(true), &envelope).unwrap_err()
        };
        for address in [
            "",
            "x",
            "a@b\r\nBcc: x@y.example",
            "a b@c.example",
            "a@b.example, c@d.example",
        ] {
            let error = refused(&|envelope| envelope.to_address = address.into());
            assert_eq!(error, MimeError::Address { field: "To" }, "{address}");
        }
        assert_eq!(
            refused(&|envelope| envelope.reply_to = Some("a\n@b.example".into())),
            MimeError::Address { field: "Reply-To" }
        );
        for id in ["x", "x@", "x@y z", "x@y\r\nBcc: z", "<x@y>"] {
            assert!(
                matches!(
                    refused(&|envelope| envelope.message_id = id.into()),
                    MimeError::Header { .. }
                ),
                "{id}"
            );
        }
        for address in [
            "mailto:x@y.example",
            "https://a.example/\r\nBcc: x",
            "https://a.example/>",
            "https://é.example/",
        ] {
            let error = refused(&|envelope| envelope.list_unsubscribe = Some(address.into()));
            assert!(matches!(error, MimeError::Header { .. }), "{address}");
        }
        for name in ["Bcc", "subject", "Content-Type", "X-A: b\r\nBcc", "X A", ""] {
            let error = refused(&|envelope| envelope.headers = vec![(name.into(), "v".into())]);
            assert!(matches!(error, MimeError::Header { .. }), "{name}");
        }
    }
}
