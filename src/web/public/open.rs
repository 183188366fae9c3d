//! The open pixel.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::visit::{ByPerson, take_in};
use crate::domain::event::EventType;
use crate::domain::token::Purpose;
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// One transparent pixel.
const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Answers the pixel and notes the open: a person's at most once a minute, a machine's once.
pub async fn pixel(
    State(state): State<WebState>,
    Path(name): Path<String>,
    ByPerson(human): ByPerson,
) -> Result<Response, HttpError> {
    let token = name.strip_suffix(".gif").ok_or(HttpError::NotFound)?;
    let (message, _) = state
        .deps
        .links
        .key()
        .verify(Purpose::Open, token)
        .ok_or(HttpError::NotFound)?;
    let now = state.now();
    let id = if human {
        format!("open:{message}:{}", now.timestamp() / 60)
    } else {
        format!("open:{message}:machine")
    };
    take_in(&state, id, EventType::Opened, message, json!({}), human, now).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/gif"),
        (header::CACHE_CONTROL, "no-store, max-age=0"),
    ];
    Ok((headers, GIF).into_response())
}
