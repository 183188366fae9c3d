//! For what watches the program: alive, ready, figures.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use tokio::sync::Mutex;

use super::error::HttpError;
use super::state::WebState;
use crate::engine::meters;
use crate::store;

/// The process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// The database can be reached and has the schema this program knows.
pub async fn ready(State(state): State<WebState>) -> Result<&'static str, HttpError> {
    match store::check_schema(&state.deps.pool).await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(HttpError::Unavailable("the database cannot be used"))
        }
    }
}

/// Gauges younger than this are not read again, however often they are asked for.
const FRESH: Duration = Duration::from_secs(5);
/// Reading them takes at most this part of the time, on a queue of any length.
const SHARE: u32 = 20;

/// When the gauges are read again, and what they have shown.
#[derive(Default)]
pub struct Gauges(Mutex<(Option<Instant>, BTreeSet<String>)>);

impl Gauges {
    /// Reads them, unless they are fresh; who asks meanwhile waits for the one reading.
    async fn refresh(&self, state: &WebState) {
        let mut shown = self.0.lock().await;
        let began = Instant::now();
        if shown.0.is_some_and(|until| began < until) {
            return;
        }
        let read = async {
            let mut conn = state.deps.pool.acquire().await?;
            meters::read(&mut conn, &state.deps.settings, state.now()).await
        };
        match read.await {
            Ok(reading) => reading.show(&mut shown.1),
            Err(error) => {
                tracing::warn!(%error, "the gauges could not be read");
                meters::unread();
            }
        }
        shown.0 = Some(Instant::now() + (began.elapsed() * SHARE).max(FRESH));
    }
}

/// Figures in the text format of Prometheus.
pub async fn metrics(State(state): State<WebState>) -> Result<Response, HttpError> {
    let handle = state.metrics.as_ref().ok_or(HttpError::NotFound)?;
    state.gauges.refresh(&state).await;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, handle.render()).into_response())
}
