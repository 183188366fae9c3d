//! Coming in and going out.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::desk::{Desk, SESSION_COOKIE};
use crate::engine::access;
use crate::store::user;
use crate::web::error::HttpError;
use crate::web::language::Language;
use crate::web::state::WebState;

#[derive(Serialize)]
struct View<'a> {
    company: &'a str,
    users: bool,
    wrong: Option<&'static str>,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Login {
    name: String,
    password: String,
}

async fn form(
    state: &WebState,
    language: Language,
    wrong: Option<&'static str>,
) -> Result<Response, HttpError> {
    let mut conn = state.conn().await?;
    let view = View {
        company: &state.deps.settings.company.name,
        users: user::any(&mut conn).await?,
        wrong,
    };
    let page = state.pages.show("login", language, &view)?;
    let status = if wrong.is_some() {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::OK
    };
    Ok((status, page).into_response())
}

/// The form.
pub async fn ask(State(state): State<WebState>, language: Language) -> Result<Response, HttpError> {
    form(&state, language, None).await
}

/// By name and password.
pub async fn enter(
    State(state): State<WebState>,
    language: Language,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Result<Response, HttpError> {
    let Ok(_turn) = state.passwords.acquire().await else {
        return Err(HttpError::Unavailable("the program is stopping"));
    };
    let secret = {
        let mut conn = state.conn().await?;
        access::log_in(&mut conn, &login.name, &login.password).await?
    };
    match secret {
        Some(secret) => Ok(enter_with(&secret, &headers)),
        None => form(&state, language, Some("password")).await,
    }
}

/// By a link that is good once. HEAD does not use it up.
pub async fn by_link(
    State(state): State<WebState>,
    method: Method,
    language: Language,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<Response, HttpError> {
    if method != Method::GET {
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    let secret = {
        let mut conn = state.conn().await?;
        access::use_link(&mut conn, &token).await?
    };
    match secret {
        Some(secret) => Ok(enter_with(&secret, &headers)),
        None => form(&state, language, Some("link")).await,
    }
}

/// Ends the session.
pub async fn leave(State(state): State<WebState>, desk: Desk) -> Result<Response, HttpError> {
    let mut conn = state.conn().await?;
    access::log_out(&mut conn, &desk.secret).await?;
    let gone = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    Ok(([(SET_COOKIE, gone)], Redirect::to("/login")).into_response())
}

fn enter_with(secret: &str, headers: &HeaderMap) -> Response {
    let over_tls = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let cookie = format!(
        "{SESSION_COOKIE}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}",
        access::SESSION.num_seconds(),
        if over_tls { "; Secure" } else { "" },
    );
    ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}
