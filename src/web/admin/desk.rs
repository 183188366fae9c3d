//! Who is at the page, and what stands over every page: mode, brake, time.

use axum::extract::{FromRequestParts, Request};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::role::Right;
use crate::domain::zone;
use crate::engine::access::{self, Visitor};
use crate::engine::explain::Tongue;
use crate::engine::status;
use crate::store::control::{self, Control};
use crate::web::error::HttpError;
use crate::web::language::{self, Language, cookie};
use crate::web::state::WebState;

/// The cookie of a session.
pub const SESSION_COOKIE: &str = "kith_session";

/// Somebody who is logged in, at one page.
pub struct Desk {
    /// Who.
    pub visitor: Visitor,
    /// The session's secret.
    pub secret: String,
    /// Business time.
    pub now: DateTime<Utc>,
    /// The company's zone, in which the page tells times.
    pub zone: Tz,
    language: Language,
    control: Control,
    mode: &'static str,
    company: String,
    path: String,
    said: Option<String>,
}

/// Why somebody does not come in.
pub enum Away {
    /// Not logged in.
    ToLogin,
    /// Something else.
    Error(HttpError),
}

impl IntoResponse for Away {
    fn into_response(self) -> Response {
        match self {
            Self::ToLogin => Redirect::to("/login").into_response(),
            Self::Error(error) => error.into_response(),
        }
    }
}

impl<E: Into<HttpError>> From<E> for Away {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl FromRequestParts<WebState> for Desk {
    type Rejection = Away;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Away> {
        let secret = cookie(parts, SESSION_COOKIE).unwrap_or_default();
        let mut conn = state.conn().await?;
        let Some(visitor) = access::visitor(&mut conn, &secret).await? else {
            return Err(if parts.method == Method::GET {
                Away::ToLogin
            } else {
                HttpError::Unauthorized("log in first").into()
            });
        };
        let control = control::read(&mut conn).await?;
        let query = parts.uri.query().unwrap_or_default();
        let said = url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "said")
            .map(|(_, word)| word.into_owned());
        Ok(Self {
            visitor,
            secret,
            now: state.now(),
            zone: state.deps.company_zone(),
            language: Language::of_parts(parts),
            control,
            mode: status::running(&mut conn, &state.deps.settings).await?.mode,
            company: state.deps.settings.company.name.clone(),
            path: parts.uri.path().to_owned(),
            said,
        })
    }
}

#[derive(Serialize)]
struct Page<'a, V> {
    head: Head<'a>,
    #[serde(flatten)]
    view: V,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "a page's view, not a state")]
struct Head<'a> {
    section: &'a str,
    path: &'a str,
    company: &'a str,
    mode: &'static str,
    brake: bool,
    brake_reason: Option<&'a str>,
    time: String,
    zone: &'static str,
    simulated: bool,
    moving: bool,
    who: &'a str,
    role: &'static str,
    may_operate: bool,
    may_act: bool,
    chinese: bool,
    said: Option<&'a str>,
}

impl Desk {
    /// A page with its view under the common head.
    pub fn show(
        &self,
        state: &WebState,
        page: &str,
        view: impl Serialize,
    ) -> Result<Html<String>, HttpError> {
        let role = self.visitor.role;
        let simulated = self.control.simulated_now;
        let head = Head {
            section: page,
            path: &self.path,
            company: &self.company,
            mode: self.mode,
            brake: self.control.brake,
            brake_reason: self.control.brake_reason.as_deref().filter(|why| !why.is_empty()),
            time: self.time(self.now),
            zone: self.zone.name(),
            simulated: simulated.is_some(),
            moving: simulated.is_some() && self.control.simulated_target > simulated,
            who: self.visitor.name.as_deref().unwrap_or_default(),
            role: role.as_str(),
            may_operate: role.may(Right::Operate),
            may_act: role.may(Right::OwnTasks),
            chinese: self.language != Language::English,
            said: self.said.as_deref(),
        };
        state.pages.show(page, self.language, &Page { head, view })
    }

    /// The language that the page tells stories in.
    pub fn tongue(&self) -> Tongue {
        match self.language {
            Language::English => Tongue::English,
            Language::Simplified | Language::Traditional => Tongue::Chinese,
        }
    }

    /// An instant as the page writes it.
    pub fn time(&self, at: DateTime<Utc>) -> String {
        zone::local(at, self.zone).format("%Y-%m-%d %H:%M").to_string()
    }

    /// When the simulated clock runs: its time.
    pub fn simulated(&self) -> Option<DateTime<Utc>> {
        self.control.simulated_now
    }

    /// Where the simulated clock is asked to go already.
    pub fn simulated_target(&self) -> Option<DateTime<Utc>> {
        self.control.simulated_target
    }

    /// Refuses those who have no such right.
    pub fn must(&self, right: Right) -> Result<(), HttpError> {
        if self.visitor.role.may(right) {
            return Ok(());
        }
        Err(HttpError::Forbidden(match right {
            Right::Look => "this is not for everybody",
            Right::OwnTasks => "only an operator, a lead or a rep may do this",
            Right::AllTasks => "this task is somebody else's",
            Right::Operate => "only an operator may do this",
        }))
    }
}

/// Keeps the language that `?lang=` asked for.
pub async fn keep_language(request: Request, next: Next) -> Response {
    let asked = Language::asked(request.uri().query());
    let mut response = next.run(request).await;
    if let Some(asked) = asked {
        let text = format!(
            "{}={}; Path=/; Max-Age=31536000; SameSite=Lax",
            language::COOKIE_NAME,
            asked.tag()
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}
