//! Twilio's Messages API. It takes no idempotency key.

use chrono::TimeDelta;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::generic::sensitive;
use super::meaning::Meaning;
use super::{Answer, Now};
use crate::channel::line::one_line;
use crate::channel::{BuiltSms, RefusalClass, SendOutcome};

/// An account at Twilio.
#[derive(Debug, Clone)]
pub struct TwilioOptions {
    /// `https://api.twilio.com`, or a server in its shape.
    pub base_url: String,
    /// Account SID; also the user of an auth token.
    pub account_sid: String,
    /// Auth token.
    pub auth_token: SecretString,
    /// Whom the recipient sees.
    pub from: TwilioSender,
    /// Where Twilio reports delivery: an address to which the message's id is put, behind a slash.
    pub status_callback: Option<String>,
}

/// Whom the recipient sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number in E.164, a short code or an alphanumeric sender.
    Number(String),
    /// A messaging service, which picks the number.
    Service(String),
}

#[derive(Debug)]
pub(super) struct Twilio {
    options: TwilioOptions,
    url: Url,
}

#[derive(Debug, Deserialize)]
struct Message {
    sid: String,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Error {
    code: u32,
    message: String,
}

/// Twilio's error codes that are answered to a request for a message (its error dictionary).
fn meaning(code: u32) -> Option<Meaning> {
    use RefusalClass::{AddressBad, Other, PolicyBlocked};
    Some(match code {
        // Invalid, unreachable by text, a landline, no number at all.
        21211 | 21214 | 21217 | 21604 | 21614 => Meaning::Refused(AddressBad),
        // Opted out at Twilio, region not permitted, unverified on a trial account, blocked.
        21610 | 21408 | 21608 | 21612 => Meaning::Refused(PolicyBlocked),
        // No body, body too long.
        21602 | 21605 | 21617 => Meaning::Refused(Other),
        // Too fast, queue full.
        20429 | 14107 | 21611 => Meaning::TooFast(TimeDelta::minutes(1)),
        // Login, suspended account, daily limit, our own number or service wrong.
        20003 | 20005 | 63038 | 21212 | 21603 | 21606 | 21659 | 21660 | 21701..=21712 => {
            Meaning::SenderProblem
        }
        _ => return None,
    })
}

impl Twilio {
    /// Fails on a base URL that is none.
    pub(super) fn new(options: TwilioOptions) -> Result<Self, String> {
        let address = format!(
            "{}/2010-04-01/Accounts/{}/Messages.json",
            options.base_url.trim_end_matches('/'),
            options.account_sid
        );
        let url = Url::parse(&address).map_err(|error| format!("base_url: {error}"))?;
        Ok(Self { options, url })
    }

    pub(super) fn request(&self, sms: &BuiltSms) -> Result<Request, String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", &sms.to).append_pair("Body", &sms.text);
        match &self.options.from {
            TwilioSender::Number(number) => form.append_pair("From", number),
            TwilioSender::Service(sid) => form.append_pair("MessagingServiceSid", sid),
        };
        if let Some(callback) = &self.options.status_callback {
            form.append_pair("StatusCallback", &format!("{callback}/{}", sms.message_id));
        }
        let login = format!(
            "{}:{}",
            self.options.account_sid,
            self.options.auth_token.expose_secret()
        );
        let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, login);
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, sensitive(&format!("Basic {login}"))?);
        headers.insert("content-type", sensitive("application/x-www-form-urlencoded")?);
        *request.body_mut() = Some(form.finish().into());
        Ok(request)
    }

    pub(super) fn judge(sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        let body = answer.body.as_deref().unwrap_or_default();
        if matches!(answer.status, 200..300) {
            // The status alone says that it was taken; the body names it for the reports to come.
            let reply = match serde_json::from_str::<Message>(body) {
                Ok(message) => format!(
                    "{} {} {}",
                    answer.status,
                    message.sid,
                    message.status.unwrap_or_default()
                ),
                Err(_) => answer.line(),
            };
            return SendOutcome::Accepted {
                reply: one_line(&reply),
            };
        }
        let error = serde_json::from_str::<Error>(body).ok();
        let words = error.as_ref().map_or_else(
            || body.to_owned(),
            |error| format!("{}: {}", error.code, error.message),
        );
        let meaning = match error.as_ref().map(|error| meaning(error.code)) {
            Some(Some(meaning)) => meaning,
            // Twilio's own words for "failed"; anything else may come from something between it and us.
            Some(None) if answer.status >= 500 => Meaning::NotNow,
            _ => Meaning::of_status(answer.status),
        };
        meaning.outcome(sender, answer, &words, now)
    }
}
