//! For what watches the program: alive, ready, figures.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::state::WebState;
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

/// Figures in the text format of Prometheus.
pub async fn metrics(State(state): State<WebState>) -> Result<Response, HttpError> {
    let handle = state.metrics.as_ref().ok_or(HttpError::NotFound)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, handle.render()).into_response())
}
