//! Everything that can be wrong with a request, with its status and a code that stays the same.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Everything that can be wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No such page, or a link that was never made.
    #[error("there is nothing here")]
    NotFound,
    /// A link that was good once.
    #[error("this link has ended")]
    Expired,
    /// Nobody is logged in, or the token is unknown.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// Known, and not allowed.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Cannot be understood; what is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// More than is taken at once.
    #[error("{0}")]
    TooLarge(String),
    /// Something that this part needs is not there now.
    #[error("{0}")]
    Unavailable(&'static str),
    /// Our fault. Told to the log, not to the caller.
    #[error("something went wrong here; it is in the log")]
    Internal(#[source] anyhow::Error),
}

/// What a page needs to show an error instead of JSON.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The stable code.
    pub code: &'static str,
    /// In English.
    pub message: String,
}

#[derive(Serialize)]
struct Body {
    error: Detail,
}

#[derive(Serialize)]
struct Detail {
    code: &'static str,
    message: String,
}

impl HttpError {
    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Expired => StatusCode::GONE,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::BadRequest(_) => "bad_request",
            Self::TooLarge(_) => "too_large",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(error = format!("{cause:#}"), "a request failed");
        }
        let shown = Shown {
            code: self.code(),
            message: self.to_string(),
        };
        let body = Body {
            error: Detail {
                code: shown.code,
                message: shown.message.clone(),
            },
        };
        let mut response = (self.status(), Json(body)).into_response();
        response.extensions_mut().insert(shown);
        response
    }
}

impl From<anyhow::Error> for HttpError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<crate::store::StoreError> for HttpError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<sqlx::Error> for HttpError {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(error.into())
    }
}
