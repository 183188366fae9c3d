//! Errors as a page for those who read pages.

use axum::extract::{Request, State};
use axum::http::header::ACCEPT;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::Shown;
use super::language::Language;
use super::state::WebState;

/// Where the admin listener has its style.
pub const ADMIN_STYLE: &str = "/style.css";
/// Where the public listener has it.
pub const PUBLIC_STYLE: &str = "/public.css";

#[derive(Serialize)]
struct View<'a> {
    style: &'a str,
    status: u16,
    code: &'a str,
    detail: Option<&'a str>,
}

/// Puts a page in the place of the JSON where the caller takes HTML.
pub async fn show(
    State((state, style)): State<(WebState, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let wants_page = parts
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| list.contains("text/html"));
    let language = Language::of_parts(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    let Some(shown) = response.extensions().get::<Shown>().filter(|_| wants_page) else {
        return response;
    };
    let view = View {
        style,
        status: response.status().as_u16(),
        code: shown.code,
        detail: (shown.code == "bad_request").then_some(shown.message.as_str()),
    };
    match state.pages.show("error", language, &view) {
        Ok(page) => (response.status(), page).into_response(),
        Err(_) => response,
    }
}
