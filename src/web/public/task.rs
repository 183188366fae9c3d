//! The buttons of the digest mail: whoever holds the link may deal with that one task until the link ends. Looking
//! changes nothing.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::token::Purpose;
use crate::engine::tasks::{self, Acted};
use crate::store::owner;
use crate::store::task::{self, TaskRow};
use crate::web::error::HttpError;
use crate::web::language::Language;
use crate::web::state::WebState;
use crate::web::task_form::TaskForm;

#[derive(Serialize)]
struct View {
    company: String,
    title: String,
    body: String,
    person: Option<String>,
    due: String,
    open: bool,
    owners: Vec<Owner>,
    chosen: Option<Chosen>,
    said: Option<&'static str>,
}

/// What a button of the mail asks for; the page puts it first, to be pressed once more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    #[serde(rename = "do")]
    what: String,
    outcome: String,
    until: String,
}

#[derive(Serialize)]
struct Chosen {
    what: &'static str,
    outcome: &'static str,
    until: &'static str,
    word: &'static str,
}

impl Asked {
    /// Only what the mail offers: nobody else's words get onto the page.
    fn chosen(&self) -> Option<Chosen> {
        let (what, outcome, until, word) =
            match (self.what.as_str(), self.outcome.as_str(), self.until.as_str()) {
                ("done", "", _) => ("done", "", "", "done"),
                ("done", "interested", _) => ("done", "interested", "", "interested"),
                ("done", "not-now", _) => ("done", "not-now", "", "not-now"),
                ("done", "no-answer", _) => ("done", "no-answer", "", "no-answer"),
                ("snooze", _, "1") => ("snooze", "", "1", "day"),
                ("snooze", _, "7") => ("snooze", "", "7", "week"),
                _ => return None,
            };
        Some(Chosen {
            what,
            outcome,
            until,
            word,
        })
    }
}

#[derive(Serialize)]
struct Owner {
    id: String,
    name: String,
}

fn task_of(state: &WebState, token: &str) -> Result<Uuid, HttpError> {
    let (task, expires) = state
        .deps
        .links
        .key()
        .verify(Purpose::Task, token)
        .ok_or(HttpError::NotFound)?;
    let expires = i64::try_from(expires)
        .ok()
        .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    if expires.is_none_or(|at| at <= state.now()) {
        return Err(HttpError::Expired);
    }
    Ok(task)
}

async fn page(
    state: &WebState,
    task_id: Uuid,
    language: Language,
    chosen: Option<Chosen>,
    said: Option<&'static str>,
) -> Result<Html<String>, HttpError> {
    let mut conn = state.conn().await?;
    let row: TaskRow = task::find(&mut conn, &task_id.to_string())
        .await?
        .ok_or(HttpError::NotFound)?;
    let owners = owner::all(&mut conn).await?;
    let view = View {
        company: state.deps.settings.company.name.clone(),
        title: row.title,
        body: row.body,
        person: row.contact_name,
        due: crate::domain::zone::local(row.due_at, state.deps.company_zone())
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        open: matches!(row.state.as_str(), "open" | "snoozed"),
        owners: owners
            .into_iter()
            .map(|o| Owner {
                id: o.external_id,
                name: o.name,
            })
            .collect(),
        chosen,
        said,
    };
    state.pages.show("task", language, &view)
}

/// Shows the task and its buttons.
pub async fn ask(
    State(state): State<WebState>,
    Path(token): Path<String>,
    Query(asked): Query<Asked>,
    language: Language,
) -> Result<Html<String>, HttpError> {
    let task_id = task_of(&state, &token)?;
    page(&state, task_id, language, asked.chosen(), None).await
}

/// Acts.
pub async fn act(
    State(state): State<WebState>,
    Path(token): Path<String>,
    language: Language,
    Form(form): Form<TaskForm>,
) -> Result<Html<String>, HttpError> {
    let task_id = task_of(&state, &token)?;
    let now = state.now();
    let act = form.read(now, state.deps.company_zone())?;
    let mut tx = state.deps.pool.begin().await?;
    let acted = tasks::act(&mut tx, &task_id.to_string(), &act, "digest link", now).await?;
    tx.commit().await?;
    let said = match acted {
        Acted::Done(_) => "task_done",
        Acted::Closed => "task_closed",
        Acted::NoSuchOwner => "task_nobody",
        Acted::Unknown => return Err(HttpError::NotFound),
    };
    page(&state, task_id, language, None, Some(said)).await
}
