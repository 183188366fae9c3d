//! The DKIM-Signature field (RFC 6376 section 3.5), relaxed for header and body.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::canon::{self, Field};
use super::key::DkimKey;

/// The fields that are signed where the mail has them. What a mail program shows or acts on is among them, the button
/// for unsubscribing too (RFC 8058 section 4 asks for its fields); what servers on the way may add is not.
const SIGNED: [&str; 17] = [
    "from",
    "reply-to",
    "sender",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "auto-submitted",
];

/// Longest line of the field.
const LINE: usize = 76;

/// The fields that sign `mail`, one for each key, each with its line ends.
///
/// There is no `t=`: a daemon whose clock runs ahead would sign in the future, and receivers refuse that.
pub(super) fn sign(mail: &[u8], keys: &[&DkimKey]) -> Result<String, String> {
    let (fields, body) = canon::split(mail);
    let body_hash = BASE64.encode(digest(&SHA256, &canon::body(body)));
    let (names, signed) = signed(&fields);
    let mut header = String::new();
    for key in keys {
        let start = format!(
            "v=1; a={}; c=relaxed/relaxed; d={}; s={};",
            key.algorithm(),
            key.domain,
            key.selector
        );
        // Relaxed, a fold is one space: what is signed can be written down without folding.
        let mut text = signed.clone();
        text.extend_from_slice(
            format!(
                "dkim-signature:{start} h={}; bh={body_hash}; b=",
                names.join(": ")
            )
            .as_bytes(),
        );
        header.push_str("DKIM-Signature: ");
        header.push_str(&start);
        header.push_str("\r\n\th=");
        fold_names(&mut header, &names);
        header.push_str(";\r\n\tbh=");
        header.push_str(&body_hash);
        header.push_str(";\r\n\tb=");
        // The fold comes inside the value: after `b=` some verifiers would keep it in what they hash.
        let value = key.sign(&text)?;
        let (first, rest) = value.split_at(value.len().min(LINE - 3));
        header.push_str(first);
        for line in rest.as_bytes().chunks(LINE - 1) {
            header.push_str("\r\n\t");
            header.extend(line.iter().map(|byte| char::from(*byte)));
        }
        header.push_str("\r\n");
    }
    Ok(header)
}

/// The names for `h=` and the text of their fields. Each name is there once more than the mail has it, so that a field
/// of that name added on the way breaks the signature. Of several the last comes first.
fn signed(fields: &[Field]) -> (Vec<&'static str>, Vec<u8>) {
    let (mut names, mut text) = (Vec::new(), Vec::new());
    for name in SIGNED {
        let mut found = false;
        for field in fields.iter().rev().filter(|field| field.name == name) {
            names.push(name);
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(&field.value);
            text.extend_from_slice(b"\r\n");
            found = true;
        }
        if found {
            names.push(name);
        }
    }
    (names, text)
}

/// The names with a colon between, folded after a colon; each fold or space is one space when relaxed.
fn fold_names(header: &mut String, names: &[&str]) {
    let mut width = 3;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            header.push(':');
            if width + name.len() + 2 > LINE {
                header.push_str("\r\n\t");
                width = 1;
            } else {
                header.push(' ');
                width += 2;
            }
        }
        header.push_str(name);
        width += name.len();
    }
}
