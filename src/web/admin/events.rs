//! `POST /v1/events`: what other programs tell.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;

use crate::engine::access;
use crate::engine::ingest::{self, Answer, Incoming};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// What became of each event, in their order.
#[derive(Serialize)]
pub struct Answers {
    answers: Vec<OneAnswer>,
}

#[derive(Serialize)]
struct OneAnswer {
    id: Option<String>,
    #[serde(flatten)]
    answer: Answer,
}

/// Takes one event or an array of them. A bad one is refused by itself; the others are taken.
pub async fn take(
    State(state): State<WebState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Answers>, HttpError> {
    let program = caller(&state, &headers).await?;
    let body = body.map_err(|_| HttpError::TooLarge("a request holds at most 2 MiB".to_owned()))?;
    let sent: Value =
        serde_json::from_slice(&body).map_err(|error| HttpError::BadRequest(format!("not JSON: {error}")))?;
    let events = match sent {
        Value::Array(events) => events,
        one @ Value::Object(_) => vec![one],
        _ => {
            return Err(HttpError::BadRequest(
                "one event or an array of events".to_owned(),
            ));
        }
    };
    let most = state.deps.settings.events.max_batch.min(ingest::MOST);
    if events.len() > most {
        return Err(HttpError::TooLarge(format!(
            "{} events; a request holds at most {most}",
            events.len()
        )));
    }
    let mut answers = Vec::with_capacity(events.len());
    let (mut good, mut places) = (Vec::new(), Vec::new());
    for (place, event) in events.into_iter().enumerate() {
        let id = event.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
        let answer = match serde_json::from_value::<Incoming>(event) {
            Ok(incoming) => {
                good.push(incoming);
                places.push(place);
                Answer::Accepted
            }
            Err(error) => Answer::Refused {
                reason: error.to_string(),
            },
        };
        answers.push(OneAnswer { id, answer });
    }
    let source = format!("api:{program}");
    let taken = ingest::accept(&state.deps, &source, good, state.now()).await?;
    for (place, answer) in places.into_iter().zip(taken) {
        answers[place].answer = answer;
    }
    Ok(Json(Answers { answers }))
}

/// The program whose token the request bears.
async fn caller(state: &WebState, headers: &HeaderMap) -> Result<String, HttpError> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token else {
        return Err(HttpError::Unauthorized("Authorization: Bearer TOKEN is missing"));
    };
    let mut conn = state.conn().await?;
    access::program(&mut conn, token)
        .await?
        .ok_or(HttpError::Unauthorized("unknown token"))
}
