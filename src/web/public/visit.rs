//! Who follows a link, from the request.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::event::EventType;
use crate::domain::visitor::Visit;
use crate::engine::ingest::{self, Answer, Incoming};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// Whether a person follows the link, not a machine that looks before him.
#[derive(Debug, Clone, Copy)]
pub struct ByPerson(pub bool);

impl<S: Sync> FromRequestParts<S> for ByPerson {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let visit = Visit {
            head: parts.method == Method::HEAD,
            purpose: ["sec-purpose", "purpose", "x-purpose", "x-moz"]
                .into_iter()
                .find_map(text),
            agent: text(header::USER_AGENT.as_str()),
        };
        Ok(Self(visit.is_human()))
    }
}

/// Takes in what a link says. When it returns, everything that follows from it is in force.
pub async fn take_in(
    state: &WebState,
    id: String,
    kind: EventType,
    message: Uuid,
    data: Value,
    human: bool,
    now: DateTime<Utc>,
) -> Result<(), HttpError> {
    let one = Incoming {
        id,
        event_type: kind.as_str().to_owned(),
        at: Some(now),
        contact: None,
        message: Some(message),
        data,
        human,
    };
    for answer in ingest::accept(&state.deps, "link", vec![one], now).await? {
        if let Answer::Refused { reason } = answer {
            return Err(anyhow::anyhow!("an event of a link was refused: {reason}").into());
        }
    }
    Ok(())
}
