//! Vonage's SMS API. It takes no idempotency key.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::meaning::Meaning;
use super::{Answer, Now};
use crate::channel::{BuiltSms, RefusalClass, SendOutcome};
use crate::domain::segments::{self, Encoding};
use crate::domain::signing::{VonageHash, vonage};

/// An account at Vonage.
#[derive(Debug, Clone)]
pub struct VonageOptions {
    /// `https://rest.nexmo.com`, or a server in its shape.
    pub base_url: String,
    /// The account's key.
    pub api_key: String,
    /// What a request proves itself with.
    pub login: VonageLogin,
    /// Whom the recipient sees.
    pub from: String,
    /// Where delivery is reported, if anywhere; the message is named in the report.
    pub callback: Option<SecretString>,
}

/// What a request proves itself with.
#[derive(Debug, Clone)]
pub enum VonageLogin {
    /// The account's secret.
    Secret(SecretString),
    /// A signature.
    Signature(SecretString, VonageHash),
}

#[derive(Debug)]
pub(super) struct Vonage {
    options: VonageOptions,
    url: Url,
}

#[derive(Debug, Deserialize)]
struct Body {
    messages: Vec<Part>,
}

/// What is said of one part of a message.
#[derive(Debug, Deserialize)]
struct Part {
    status: String,
    #[serde(rename = "message-id", default)]
    id: String,
    #[serde(rename = "error-text", default)]
    error: String,
}

impl Vonage {
    pub(super) fn new(options: VonageOptions) -> Result<Self, String> {
        let address = format!("{}/sms/json", options.base_url.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|error| format!("api_url: {error}"))?;
        Ok(Self { options, url })
    }

    /// The request, signed for this moment where it is signed at all.
    pub(super) fn request(&self, sms: &BuiltSms, now: DateTime<Utc>) -> Request {
        let options = &self.options;
        let mut params = vec![
            ("api_key", options.api_key.as_str()),
            ("to", sms.to.trim_start_matches('+')),
            ("from", &options.from),
            ("text", &sms.text),
            ("client-ref", &sms.message_id),
        ];
        if segments::segments(&sms.text).encoding == Encoding::Ucs2 {
            params.push(("type", "unicode"));
        }
        if let Some(callback) = &options.callback {
            params.extend([("status-report-req", "1"), ("callback", callback.expose_secret())]);
        }
        let at = now.timestamp().to_string();
        let signature;
        match &options.login {
            VonageLogin::Secret(secret) => params.push(("api_secret", secret.expose_secret())),
            VonageLogin::Signature(secret, hash) => {
                params.push(("timestamp", &at));
                signature = vonage(secret.expose_secret(), *hash, &params);
                params.push(("sig", &signature));
            }
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        let mut request = Request::new(Method::POST, self.url.clone());
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        *request.body_mut() = Some(form.into());
        request
    }

    /// An error is told by the status in the body; that of HTTP is 200 either way, but for its own limits.
    pub(super) fn judge(sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        let text = answer.body.as_deref().unwrap_or_default();
        let parts = serde_json::from_str::<Body>(text).map_or_else(|_| Vec::new(), |body| body.messages);
        // A long text has a status for each part; what went out in part went out.
        let taken = parts.iter().find(|part| part.status == "0");
        let Some(part) = taken.or(parts.first()) else {
            let meaning = match answer.status {
                200..300 => Meaning::Unknown,
                status => Meaning::of_status(status),
            };
            return meaning.outcome(sender, answer, text, now);
        };
        let words = match part.status.as_str() {
            "0" => format!("{} 0", part.id),
            status => format!("{status}: {}", part.error),
        };
        meaning(&part.status).outcome(sender, answer, &words, now)
    }
}

/// What a status says about the message.
fn meaning(status: &str) -> Meaning {
    use RefusalClass::{AddressBad, Other, PolicyBlocked};
    match status {
        "0" => Meaning::Taken,
        "1" => Meaning::TooFast(TimeDelta::seconds(30)),
        // Their own trouble; too many links at once.
        "5" | "10" => Meaning::NotNow,
        // A number that is barred by the carrier, a destination that is not allowed.
        "7" | "29" => Meaning::Refused(PolicyBlocked),
        "33" => Meaning::Refused(AddressBad),
        // Wrong key, barred account, no money, no right to this API, wrong signature, wrong own number.
        "4" | "8" | "9" | "11" | "14" | "15" | "32" => Meaning::SenderProblem,
        _ => Meaning::Refused(Other),
    }
}
