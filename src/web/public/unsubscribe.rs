//! Ending messages to an address. Looking changes nothing; only POST acts, by the button or by the mail program's own
//! one-click request (RFC 8058).

use axum::extract::{Path, State};
use axum::response::Html;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::visit::take_in;
use crate::domain::event::EventType;
use crate::domain::token::Purpose;
use crate::store::recipient::{self, Recipient};
use crate::web::error::HttpError;
use crate::web::language::Language;
use crate::web::state::WebState;

#[derive(Serialize)]
struct View<'a> {
    company: &'a str,
    sms: bool,
    done: bool,
}

async fn recipient_of(state: &WebState, token: &str) -> Result<(Uuid, Recipient), HttpError> {
    let (message, _) = state
        .deps
        .links
        .key()
        .verify(Purpose::Unsubscribe, token)
        .ok_or(HttpError::NotFound)?;
    let mut conn = state.conn().await?;
    let recipient = recipient::of_message(&mut conn, message).await?;
    Ok((message, recipient.ok_or(HttpError::NotFound)?))
}

fn page(state: &WebState, recipient: &Recipient, done: bool) -> Result<Html<String>, HttpError> {
    let company = &state.deps.settings.company;
    let language = Language::of_recipient(recipient.locale.as_deref(), &company.default_locale);
    let view = View {
        company: &company.name,
        sms: recipient.channel == "sms",
        done,
    };
    state.pages.show("unsubscribe", language, &view)
}

/// Shows the button.
pub async fn ask(
    State(state): State<WebState>,
    Path(token): Path<String>,
) -> Result<Html<String>, HttpError> {
    let (_, recipient) = recipient_of(&state, &token).await?;
    page(&state, &recipient, recipient.stopped)
}

/// Acts. The answer means that the opt-out is in force. Somebody who opted in again may opt out again by an old mail,
/// so each request is an event of its own unless the address is stopped already.
pub async fn act(
    State(state): State<WebState>,
    Path(token): Path<String>,
) -> Result<Html<String>, HttpError> {
    let (message, recipient) = recipient_of(&state, &token).await?;
    if !recipient.stopped {
        let now = state.now();
        let id = format!("unsubscribe:{message}:{}", state.deps.ids.next(now));
        let data = json!({ "channel": recipient.channel });
        take_in(&state, id, EventType::OptedOut, message, data, true, now).await?;
    }
    page(&state, &recipient, true)
}
