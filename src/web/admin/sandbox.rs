//! The sandbox: every message as its recipient sees it.

use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::desk::Desk;
use crate::inbound::mail;
use crate::store::sandbox;
use crate::web::error::HttpError;
use crate::web::security::ShowsMessage;
use crate::web::state::WebState;

/// Messages on one page.
const MOST: i64 = 50;

/// Which messages.
#[derive(Deserialize)]
pub struct Which {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    to: String,
    before: Option<i64>,
}

#[derive(Serialize)]
struct ListView {
    channel: String,
    to: String,
    messages: Vec<Item>,
    older: Option<i64>,
}

#[derive(Serialize)]
struct Item {
    id: i64,
    at: String,
    channel: String,
    recipient: String,
    subject: String,
    cadence: Option<String>,
    person: Option<String>,
}

#[derive(Serialize)]
struct MessageView {
    id: i64,
    at: String,
    sms: bool,
    sender: String,
    recipient: String,
    subject: String,
    from: String,
    html: bool,
    text: Option<String>,
    headers: Vec<Header>,
    attachments: Vec<String>,
    unreadable: bool,
    cadence: Option<String>,
    step: Option<String>,
    template: Option<String>,
    person: Option<String>,
    person_id: Option<Uuid>,
    segments: Option<i16>,
    encoding: Option<String>,
}

#[derive(Serialize)]
struct Header {
    name: String,
    value: String,
}

/// The list, newest first.
pub async fn list(
    State(state): State<WebState>,
    desk: Desk,
    Query(which): Query<Which>,
) -> Result<Html<String>, HttpError> {
    let mut conn = state.conn().await?;
    let rows = sandbox::browse(
        &mut conn,
        given(&which.channel),
        given(&which.to),
        which.before,
        MOST,
    )
    .await?;
    let full = rows.len() == MOST as usize;
    let view = ListView {
        older: rows.last().filter(|_| full).map(|row| row.id),
        messages: rows
            .into_iter()
            .map(|row| Item {
                id: row.id,
                at: desk.time(row.at),
                channel: row.channel,
                recipient: row.recipient,
                subject: row.subject,
                cadence: row.cadence,
                person: row.contact_name,
            })
            .collect(),
        channel: which.channel,
        to: which.to,
    };
    desk.show(&state, "sandbox", view)
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// One message.
pub async fn message(
    State(state): State<WebState>,
    desk: Desk,
    Path(id): Path<i64>,
) -> Result<Html<String>, HttpError> {
    let found = {
        let mut conn = state.conn().await?;
        sandbox::open(&mut conn, id).await?.ok_or(HttpError::NotFound)?
    };
    let sms = found.channel == "sms";
    let read = if sms { None } else { Some(mail::read(&found.raw)) };
    let unreadable = matches!(read, Some(Err(_)));
    let mail = read.and_then(Result::ok).unwrap_or_default();
    let view = MessageView {
        id,
        at: desk.time(found.at),
        sms,
        sender: found.sender,
        recipient: found.recipient,
        subject: mail.subject,
        from: mail.from,
        html: mail.html.is_some(),
        text: if sms {
            Some(String::from_utf8_lossy(&found.raw).into_owned())
        } else {
            mail.text
        },
        headers: mail
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        attachments: mail.attachments,
        unreadable,
        cadence: found.cadence,
        step: found.step,
        template: found.template,
        person: found.contact_name,
        person_id: found.contact_id,
        segments: found.segments,
        encoding: found.encoding,
    };
    desk.show(&state, "message", view)
}

/// The HTML part, for the frame. Its links open beside the page.
pub async fn html(
    State(state): State<WebState>,
    _desk: Desk,
    Path(id): Path<i64>,
) -> Result<Response, HttpError> {
    let mut conn = state.conn().await?;
    let found = sandbox::open(&mut conn, id).await?.ok_or(HttpError::NotFound)?;
    let html = mail::read(&found.raw)
        .ok()
        .and_then(|mail| mail.html)
        .ok_or(HttpError::NotFound)?;
    let mut response = Html(format!("<base target=\"_blank\">{html}")).into_response();
    response.extensions_mut().insert(ShowsMessage);
    Ok(response)
}
