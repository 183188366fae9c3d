//! What Twilio sends to a webhook: text messages that came in, and the fate of those that went out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac};
use url::Url;

use crate::domain::event::BounceClass;

/// A text message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwilioSms {
    /// `MessageSid`, the idempotency key of the hook.
    pub sid: String,
    /// Who wrote, as Twilio gives it (E.164 or a short code).
    pub from: String,
    /// Which of our numbers it went to.
    pub to: String,
    /// The text, empty for a picture alone.
    pub text: String,
    /// What Twilio itself made of a keyword and has already acted on.
    pub keyword: Option<TwilioKeyword>,
}

/// `OptOutType`, set where Twilio handles keywords for the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwilioKeyword {
    /// STOP and its kin: Twilio sends nothing more to this person.
    Stop,
    /// START and its kin.
    Start,
    /// HELP and its kin.
    Help,
}

/// The fate of a message that went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwilioStatus {
    /// `MessageSid`, as it was answered when the message was handed over.
    pub sid: String,
    /// `MessageStatus`: queued, sent, delivered, undelivered, failed and others.
    pub status: String,
    /// `ErrorCode`, for undelivered and failed.
    pub error_code: Option<u32>,
}

/// What a status says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwilioFate {
    /// Twilio or the carrier has it; more is to come, or not.
    Taken,
    /// It arrived.
    Delivered,
    /// It did not arrive.
    Bounced(BounceClass),
}

/// A form without a field it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the form has no {0}")]
pub struct MissingField(pub &'static str);

fn field<'a>(params: &'a [(String, String)], name: &'static str) -> Option<&'a str> {
    params
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn required(params: &[(String, String)], name: &'static str) -> Result<String, MissingField> {
    field(params, name)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .ok_or(MissingField(name))
}

impl TwilioSms {
    /// Reads the form of an incoming message. Check its signature first.
    pub fn from_form(params: &[(String, String)]) -> Result<Self, MissingField> {
        let keyword = match field(params, "OptOutType") {
            Some("STOP") => Some(TwilioKeyword::Stop),
            Some("START") => Some(TwilioKeyword::Start),
            Some("HELP") => Some(TwilioKeyword::Help),
            _ => None,
        };
        Ok(Self {
            sid: required(params, "MessageSid")?,
            from: required(params, "From")?,
            to: required(params, "To")?,
            text: field(params, "Body").unwrap_or_default().to_owned(),
            keyword,
        })
    }
}

impl TwilioStatus {
    /// Reads the form of a status callback. Check its signature first.
    pub fn from_form(params: &[(String, String)]) -> Result<Self, MissingField> {
        Ok(Self {
            sid: required(params, "MessageSid")?,
            status: required(params, "MessageStatus")?,
            error_code: field(params, "ErrorCode").and_then(|code| code.parse().ok()),
        })
    }

    /// What it says about the message; `None` for a status that is not known.
    #[must_use]
    pub fn fate(&self) -> Option<TwilioFate> {
        match self.status.as_str() {
            "accepted" | "scheduled" | "queued" | "sending" | "sent" => Some(TwilioFate::Taken),
            "delivered" | "read" => Some(TwilioFate::Delivered),
            "undelivered" | "failed" => Some(TwilioFate::Bounced(self.class())),
            _ => None,
        }
    }

    /// The class by Twilio's error dictionary. Only what surely is the number's own fault is hard.
    fn class(&self) -> BounceClass {
        match self.error_code {
            // Invalid, no number of a mobile, unknown or no longer in service, a landline.
            Some(21211 | 21214 | 21217 | 21614 | 30005 | 30006) => BounceClass::Hard,
            // Queue full, handset off, a segment or the carrier's answer missing.
            Some(30001 | 30003 | 30009 | 30017 | 30022 | 30410) => BounceClass::Soft,
            // Account, content, registration, permission.
            Some(30002 | 30004 | 30007 | 30010 | 30032 | 30034 | 21408 | 21610 | 21612) => {
                BounceClass::Blocked
            }
            _ => BounceClass::Unknown,
        }
    }
}

/// Whether `X-Twilio-Signature` belongs to this form: HMAC-SHA1 under the auth token over the address as Twilio called
/// it and the parameters sorted by name (Twilio's "Validating requests"). `url` is the public address with its query.
/// Twilio signs with or without the default port depending on the caller, so both are tried.
#[must_use]
pub fn verify_twilio_signature(token: &str, url: &str, params: &[(String, String)], signature: &str) -> bool {
    let Ok(signature) = BASE64.decode(signature) else {
        return false;
    };
    // A parameter given twice with the same value counts once.
    let mut sorted: Vec<_> = params
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    sorted.sort_unstable();
    sorted.dedup();
    let params: String = sorted.into_iter().flat_map(|(key, value)| [key, value]).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let signed = |url: &String| hmac::verify(&key, format!("{url}{params}").as_bytes(), &signature).is_ok();
    spellings(url).iter().any(signed)
}

/// Whether the signature belongs to a JSON request: the address then carries the body's SHA-256 in `bodySHA256`.
#[must_use]
pub fn verify_twilio_json_signature(token: &str, url: &str, body: &[u8], signature: &str) -> bool {
    let Ok(parsed) = Url::parse(url) else { return false };
    let Some((_, stated)) = parsed.query_pairs().find(|(key, _)| key == "bodySHA256") else {
        return false;
    };
    let actual = digest::digest(&digest::SHA256, body);
    let hex: Vec<_> = actual.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    stated.eq_ignore_ascii_case(&hex.concat()) && verify_twilio_signature(token, url, &[], signature)
}

/// The address as it came, without a port, and with the port stated. Only the port is touched: everything else is
/// signed byte by byte.
fn spellings(url: &str) -> Vec<String> {
    let mut spellings = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else {
        return spellings;
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            spellings.push(format!("{scheme}://{host}{tail}"));
        }
        _ => {
            let port = if scheme == "http" { 80 } else { 443 };
            spellings.push(format!("{scheme}://{authority}:{port}{tail}"));
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn an_incoming_message_is_read() {
        let params = [
            ("MessageSid", "SM1"),
            ("From", "+14155550100"),
            ("To", "+14155550199"),
            ("Body", "Stop"),
        ];
        let mut params = form(&params);
        let sms = TwilioSms::from_form(&params).unwrap();
        assert_eq!(
            (sms.from.as_str(), sms.text.as_str(), sms.keyword),
            ("+14155550100", "Stop", None)
        );
        params.extend(form(&[("OptOutType", "STOP")]));
        assert_eq!(
            TwilioSms::from_form(&params).unwrap().keyword,
            Some(TwilioKeyword::Stop)
        );
        assert_eq!(
            TwilioSms::from_form(&params[1..]),
            Err(MissingField("MessageSid"))
        );
    }

    #[test]
    fn a_status_is_read() {
        let params = form(&[
            ("MessageSid", "SM1"),
            ("MessageStatus", "undelivered"),
            ("ErrorCode", "30003"),
        ]);
        let status = TwilioStatus::from_form(&params).unwrap();
        assert_eq!(
            (status.status.as_str(), status.error_code),
            ("undelivered", Some(30003))
        );
        assert_eq!(status.fate(), Some(TwilioFate::Bounced(BounceClass::Soft)));
        for (word, fate) in [
            ("sent", Some(TwilioFate::Taken)),
            ("delivered", Some(TwilioFate::Delivered)),
            ("failed", Some(TwilioFate::Bounced(BounceClass::Soft))),
            ("received", None),
        ] {
            let status = TwilioStatus {
                status: word.to_owned(),
                ..status.clone()
            };
            assert_eq!(status.fate(), fate, "{word}");
        }
    }

    #[test]
    fn the_port_alone_is_respelled() {
        assert_eq!(
            spellings("https://a.example?x=1:2"),
            ["https://a.example?x=1:2", "https://a.example:443?x=1:2"]
        );
        assert_eq!(spellings("http://[::1]:8080/x")[1], "http://[::1]/x");
    }
}
