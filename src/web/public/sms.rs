//! Text messages that come in by Twilio's webhook, and its reports about those that went out.

use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::config::sender::SmsProvider;
use crate::domain::keyword::Keyword;
use crate::domain::phone::PhoneNumber;
use crate::engine::texting::{self, Fate, Reply, Report, Text};
use crate::inbound::twilio::{TwilioFate, TwilioKeyword, TwilioSms, TwilioStatus, verify_twilio_signature};
use crate::web::error::HttpError;
use crate::web::language::Language;
use crate::web::state::WebState;

/// Takes a text message in, if Twilio signed it for one of our accounts.
pub async fn twilio(
    State(state): State<WebState>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let form = signed_form(&state, &uri, &headers, &body)?;
    let sms = TwilioSms::from_form(&form).map_err(|missing| HttpError::BadRequest(missing.to_string()))?;
    // A short code or a name cannot be one of our people.
    let Ok(from) = PhoneNumber::parse(&sms.from, None) else {
        return Ok(twiml(None));
    };
    let text = Text {
        provider: "twilio",
        id: &sms.sid,
        from: &from,
        text: &sms.text,
        keyword: sms.keyword.map(|keyword| match keyword {
            TwilioKeyword::Stop => Keyword::Stop,
            TwilioKeyword::Start => Keyword::Start,
            TwilioKeyword::Help => Keyword::Help,
        }),
    };
    // Where Twilio itself answers keywords, a second answer would be noise.
    let answered = sms.keyword.is_some();
    let reply = texting::take(&state.deps, &text, state.now()).await?;
    Ok(match reply {
        Reply::Help if !answered => twiml(Some(&help(&state, &from))),
        Reply::Help | Reply::Nothing => twiml(None),
    })
}

/// Takes a report about a message that went out. The address names it, and the signature covers the address.
pub async fn twilio_status(
    State(state): State<WebState>,
    OriginalUri(uri): OriginalUri,
    Path(message): Path<Uuid>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, HttpError> {
    let form = signed_form(&state, &uri, &headers, &body)?;
    let status =
        TwilioStatus::from_form(&form).map_err(|missing| HttpError::BadRequest(missing.to_string()))?;
    let fate = match status.fate() {
        Some(TwilioFate::Taken) => Fate::Taken,
        Some(TwilioFate::Delivered) => Fate::Delivered,
        Some(TwilioFate::Bounced(class)) => Fate::Bounced(class),
        None => return Ok(StatusCode::NO_CONTENT),
    };
    let words = match status.error_code {
        Some(code) => format!("{} {code}", status.status),
        None => status.status,
    };
    let report = Report {
        provider: "twilio",
        id: &status.sid,
        message,
        fate,
        words,
    };
    texting::report(&state.deps, &report, state.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The form of a request that Twilio signed for one of our accounts.
fn signed_form(
    state: &WebState,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<(String, String)>, HttpError> {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let signature = headers
        .get("x-twilio-signature")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let called = uri.path_and_query().map_or("", |path| path.as_str());
    let url = format!("{}{called}", state.deps.links.base());
    if !is_signed(state, &url, &form, signature) {
        return Err(HttpError::Forbidden("the signature is not one of our provider's"));
    }
    Ok(form)
}

fn is_signed(state: &WebState, url: &str, form: &[(String, String)], signature: &str) -> bool {
    state.deps.settings.senders.iter().any(|sender| {
        let Some(SmsProvider::Twilio(account)) = sender.sms() else {
            return false;
        };
        match account.auth_token.fetch() {
            Ok(token) => verify_twilio_signature(token.expose_secret(), url, form, signature),
            Err(error) => {
                tracing::warn!(sender = sender.name, %error, "text messages cannot be checked");
                false
            }
        }
    })
}

fn help(state: &WebState, from: &PhoneNumber) -> String {
    let company = &state.deps.settings.company;
    let language = match from.region() {
        Some("CN" | "SG") => Language::Simplified,
        Some("TW" | "HK" | "MO") => Language::Traditional,
        _ => Language::English,
    };
    state.pages.text(
        "public.sms_help",
        language,
        &[("company", &company.name), ("url", &company.url)],
    )
}

/// Twilio's answer: one message, or none.
fn twiml(message: Option<&str>) -> Response {
    let inner = message.map_or_else(String::new, |text| {
        format!("<Message>{}</Message>", handlebars::html_escape(text))
    });
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{inner}</Response>");
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], body).into_response()
}
