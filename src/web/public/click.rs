//! Tracked links. The target comes from the database alone, so a link of ours leads nowhere we did not write.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::visit::{ByPerson, take_in};
use crate::domain::event::EventType;
use crate::domain::token::Purpose;
use crate::store::link;
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// Notes the click (a person's at most once a second, a machine's once for each link) and leads on.
pub async fn follow(
    State(state): State<WebState>,
    Path(token): Path<String>,
    ByPerson(human): ByPerson,
) -> Result<Response, HttpError> {
    let (message, number) = state
        .deps
        .links
        .key()
        .verify(Purpose::Click, &token)
        .ok_or(HttpError::NotFound)?;
    let number = i64::try_from(number).map_err(|_| HttpError::NotFound)?;
    let found = {
        let mut conn = state.conn().await?;
        link::target(&mut conn, number).await?
    };
    let (target, tag) = found.ok_or(HttpError::NotFound)?;
    let location = HeaderValue::from_str(&target).map_err(|_| HttpError::NotFound)?;
    let now = state.now();
    let id = if human {
        format!("click:{message}:{number}:{}", now.timestamp())
    } else {
        format!("click:{message}:{number}:machine")
    };
    let data = match tag {
        Some(tag) => json!({ "tag": tag, "link": number }),
        None => json!({ "link": number }),
    };
    take_in(&state, id, EventType::Clicked, message, data, human, now).await?;
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}
