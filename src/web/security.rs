//! Headers and checks that keep pages from being misused by other pages.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::error::HttpError;

/// Nothing but the page's own style, pictures and forms; no script at all.
const PAGE: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; \
                    frame-ancestors 'none'; base-uri 'none'";

/// A message as the recipient sees it: its own style and pictures that stand in it, links that open elsewhere, and
/// nothing fetched, so that looking at it is not an open.
const MESSAGE: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                       style-src 'unsafe-inline'; img-src data:; base-uri 'self'; frame-ancestors 'self'";

/// Marks a response as a message shown inside a page.
#[derive(Debug, Clone, Copy)]
pub struct ShowsMessage;

/// Puts the headers on every answer.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let message = response.extensions().get::<ShowsMessage>().is_some();
    let fields = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        fields.insert(name, HeaderValue::from_static(value));
    };
    set(CONTENT_SECURITY_POLICY, if message { MESSAGE } else { PAGE });
    set(X_FRAME_OPTIONS, if message { "SAMEORIGIN" } else { "DENY" });
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // With `no-referrer` a browser says `Origin: null` even to the page's own forms.
    set(
        REFERRER_POLICY,
        if message { "no-referrer" } else { "same-origin" },
    );
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    );
    if !fields.contains_key(CACHE_CONTROL) {
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Refuses what changes something unless it comes from a page of this listener.
pub async fn same_origin(request: Request, next: Next) -> Result<Response, HttpError> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_own(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(HttpError::Forbidden("this form was not sent from this page"))
}

/// Browsers put `Origin` on every POST; what sends neither it nor `Sec-Fetch-Site` is no browser with a session.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let own = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == text(HOST)
    };
    match text(ORIGIN) {
        Some("null") | None => headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "same-origin"),
        Some(origin) => own(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_origin_is_own() {
        for (fields, expected) in [
            (vec![("host", "k:1"), ("origin", "http://k:1")], true),
            (vec![("host", "k:1"), ("origin", "http://evil")], false),
            (vec![("host", "k:1"), ("origin", "http://k:1.evil")], false),
            (vec![("host", "k:1"), ("origin", "null")], false),
            (vec![("host", "k:1")], false),
            (vec![("host", "k:1"), ("sec-fetch-site", "same-origin")], true),
            (
                vec![
                    ("host", "k:1"),
                    ("origin", "null"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
            (vec![("origin", "http://k:1")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_own(&headers), expected, "{fields:?}");
        }
    }
}
