//! Any SMS provider with an HTTP API, described by templates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use handlebars::{Handlebars, handlebars_helper};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::meaning::Meaning;
use super::{Answer, Now};
use crate::channel::{BuiltSms, RefusalClass, SendOutcome};

/// How a provider wants its request. URL, header values and body are templates over `to`, `from`, `text` and
/// `message_id`, with the helpers `json` (a JSON string with its quotes), `url` (percent-encoded) and `base64`.
#[derive(Debug, Clone)]
pub struct GenericSmsOptions {
    /// Usually POST.
    pub method: String,
    /// Template of the address.
    pub url: String,
    /// Names, and templates of the values; values are treated as secrets.
    pub headers: Vec<(String, SecretString)>,
    /// Template of the body, may hold secrets.
    pub body: SecretString,
    /// Whom the recipient sees.
    pub from: String,
    /// What the body of a 2xx must contain to mean acceptance, for a provider that answers 200 to everything.
    pub accepted_if: Option<String>,
    /// Whether the request carries `message_id` as an idempotency key that the provider heeds: then an unknown outcome
    /// may be tried again.
    pub idempotent: bool,
}

#[derive(Debug)]
pub(super) struct Generic {
    method: Method,
    headers: Vec<HeaderName>,
    from: String,
    accepted_if: Option<String>,
    idempotent: bool,
    templates: Handlebars<'static>,
}

handlebars_helper!(as_json: |value: Value| value.to_string());
handlebars_helper!(as_url: |value: str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>());
handlebars_helper!(as_base64: |value: str| BASE64.encode(value));

/// A header value that is not shown in debug output.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| "a header value has a control character".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Recipient and text for the trial: with everything that needs escaping.
fn trial() -> BuiltSms {
    BuiltSms {
        sender: String::new(),
        to: "+15005550006".to_owned(),
        text: "a \"quote\", a \\,\na line & 50 % <ü>".to_owned(),
        message_id: "trial".to_owned(),
        registered: None,
    }
}

impl Generic {
    /// Compiles the templates and renders a trial. The error names the part at fault.
    pub(super) fn new(options: GenericSmsOptions) -> Result<Self, String> {
        let mut templates = Handlebars::new();
        templates.set_strict_mode(true);
        templates.register_escape_fn(handlebars::no_escape);
        templates.register_helper("json", Box::new(as_json));
        templates.register_helper("url", Box::new(as_url));
        templates.register_helper("base64", Box::new(as_base64));
        let mut register = |name: &str, text: &str| {
            templates
                .register_template_string(name, text)
                .map_err(|error| format!("{name}: {error}"))
        };
        register("url", &options.url)?;
        register("body", options.body.expose_secret())?;
        let mut headers = Vec::new();
        for (name, value) in &options.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| format!("header {name:?} is no header name"))?;
            register(name.as_str(), value.expose_secret())?;
            headers.push(name);
        }
        let generic = Self {
            method: options
                .method
                .parse()
                .map_err(|_| format!("method {:?} is none", options.method))?,
            headers,
            from: options.from,
            accepted_if: options.accepted_if,
            idempotent: options.idempotent,
            templates,
        };
        generic.try_out()?;
        Ok(generic)
    }

    /// A template whose fault shows only when rendered, or that breaks its JSON on a quote, is found here and not at the
    /// first message.
    fn try_out(&self) -> Result<(), String> {
        let request = self.request(&trial())?;
        let json = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let body = request
            .body()
            .and_then(reqwest::Body::as_bytes)
            .unwrap_or_default();
        if json && serde_json::from_slice::<Value>(body).is_err() {
            return Err(
                "body: not JSON once rendered; write {{json text}}, which brings its own quotes".to_owned(),
            );
        }
        Ok(())
    }

    fn render(&self, part: &str, data: &Value) -> Result<String, String> {
        self.templates
            .render(part, data)
            .map_err(|error| format!("{part}: {}", error.reason()))
    }

    pub(super) fn request(&self, sms: &BuiltSms) -> Result<Request, String> {
        let data = json!({ "to": sms.to, "from": self.from, "text": sms.text, "message_id": sms.message_id });
        let url = Url::parse(&self.render("url", &data)?).map_err(|error| format!("url: {error}"))?;
        let mut request = Request::new(self.method.clone(), url);
        for name in &self.headers {
            let value =
                sensitive(&self.render(name.as_str(), &data)?).map_err(|why| format!("{name}: {why}"))?;
            request.headers_mut().append(name, value);
        }
        *request.body_mut() = Some(self.render("body", &data)?.into());
        Ok(request)
    }

    pub(super) fn judge(&self, sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        let meaning = match answer.status {
            200..300 => match (&self.accepted_if, &answer.body) {
                (Some(words), Some(body)) if !body.contains(words) => Meaning::Refused(class_of(answer)),
                (Some(_), None) => Meaning::Unknown,
                _ => Meaning::Taken,
            },
            // No money.
            402 => Meaning::SenderProblem,
            // The same key is under way already.
            409 if self.idempotent => Meaning::Unknown,
            503 if answer.until.is_some() => Meaning::NotNow,
            status => match Meaning::of_status(status) {
                Meaning::Refused(_) => Meaning::Refused(class_of(answer)),
                // With the same key it cannot become two.
                Meaning::Unknown if self.idempotent => Meaning::NotNow,
                meaning => meaning,
            },
        };
        meaning.outcome(sender, answer, answer.body.as_deref().unwrap_or_default(), now)
    }
}

fn class_of(answer: &Answer) -> RefusalClass {
    let text = answer.line().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "invalid number",
        "invalid phone",
        "invalid recipient",
        "invalid destination",
        "unknown subscriber",
        "landline",
    ]) {
        RefusalClass::AddressBad
    } else if says(&["rate limit", "too many", "throttl"]) {
        RefusalClass::RateLimited
    } else if says(&[
        "blocked",
        "blacklist",
        "opted out",
        "opt-out",
        "unsubscribed",
        "not permitted",
        "spam",
    ]) {
        RefusalClass::PolicyBlocked
    } else {
        RefusalClass::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::SENDER_PROBLEM;

    fn options() -> GenericSmsOptions {
        GenericSmsOptions {
            method: "POST".to_owned(),
            url: "https://sms.example/send?to={{url to}}".to_owned(),
            headers: vec![
                ("Content-Type".to_owned(), "application/json".into()),
                ("Authorization".to_owned(), "Bearer k3y".into()),
                ("Idempotency-Key".to_owned(), "{{message_id}}".into()),
            ],
            body: r#"{"from": {{json from}}, "text": {{json text}}}"#.into(),
            from: "Shop".to_owned(),
            accepted_if: None,
            idempotent: true,
        }
    }

    #[test]
    fn a_request_is_rendered_with_escapes() {
        let generic = Generic::new(options()).unwrap();
        let request = generic.request(&trial()).unwrap();
        assert_eq!(
            request.url().as_str(),
            "https://sms.example/send?to=%2B15005550006"
        );
        assert_eq!(request.headers()["idempotency-key"], "trial");
        assert!(!format!("{request:?}").contains("k3y"));
        let body: Value = serde_json::from_slice(request.body().unwrap().as_bytes().unwrap()).unwrap();
        assert_eq!(body, json!({ "from": "Shop", "text": trial().text }));
    }

    #[test]
    fn faulty_templates_are_found_before_the_first_message() {
        type Spoil = fn(&mut GenericSmsOptions);
        let cases: [(Spoil, &str); 6] = [
            (|o| o.body = "{{json texxt}}".into(), "body"),
            (|o| o.body = "{{{shout text}}}".into(), "body"),
            (|o| o.body = r#"{"text": "{{text}}"}"#.into(), "not JSON"),
            (|o| o.body = "{{#if text}}".into(), "body"),
            (|o| o.url = "sms.example".to_owned(), "url"),
            (
                |o| o.headers.push(("X-Text".to_owned(), "{{text}}".into())),
                "x-text",
            ),
        ];
        for (spoil, part) in cases {
            let mut options = options();
            spoil(&mut options);
            let why = Generic::new(options).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn answers_have_outcomes() {
        let mut options = options();
        options.accepted_if = Some("\"ok\"".to_owned());
        let heeding = Generic::new(options.clone()).unwrap();
        options.idempotent = false;
        let plain = Generic::new(options).unwrap();
        let judge = |generic: &Generic, status, body: Option<&str>| {
            let answer = Answer {
                status,
                until: None,
                body: body.map(str::to_owned),
            };
            let now: Now = std::sync::Arc::new(|| chrono::DateTime::UNIX_EPOCH);
            let outcome = generic.judge("text", &answer, &now);
            match outcome {
                SendOutcome::Accepted { .. } => "accepted",
                SendOutcome::Deferred { why, .. } if why.starts_with(SENDER_PROBLEM) => "sender problem",
                SendOutcome::Deferred { .. } => "deferred",
                SendOutcome::Refused {
                    class: RefusalClass::AddressBad,
                    ..
                } => "bad address",
                SendOutcome::Refused { .. } => "refused",
                _ => "uncertain",
            }
        };
        for (status, body, without_key, with_key) in [
            (200, Some("{\"ok\":1}"), "accepted", "accepted"),
            (200, Some("{\"error\":1}"), "refused", "refused"),
            (200, None, "uncertain", "uncertain"),
            (302, Some(""), "sender problem", "sender problem"),
            (303, Some(""), "uncertain", "deferred"),
            (401, Some(""), "sender problem", "sender problem"),
            (402, Some("no credit"), "sender problem", "sender problem"),
            (404, Some("no such page"), "sender problem", "sender problem"),
            (409, Some(""), "refused", "uncertain"),
            (422, Some("Invalid number"), "bad address", "bad address"),
            (429, Some(""), "deferred", "deferred"),
            (500, Some(""), "uncertain", "deferred"),
        ] {
            assert_eq!(judge(&plain, status, body), without_key, "{status} {body:?}");
            assert_eq!(judge(&heeding, status, body), with_key, "{status} {body:?}");
        }
    }
}
