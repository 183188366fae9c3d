//! Tasks: the list and what is done with one.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{Html, Redirect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::desk::Desk;
use crate::domain::role::Right;
use crate::engine::tasks::{self, Acted};
use crate::store::{owner, task};
use crate::web::error::HttpError;
use crate::web::state::WebState;
use crate::web::task_form::TaskForm;

/// Tasks on one page.
const MOST: i64 = 100;

/// Which tasks: of one owner, of all (an empty name), or, where nobody is named, one's own.
#[derive(Deserialize)]
pub struct Which {
    owner: Option<String>,
}

#[derive(Serialize)]
struct View {
    owners: Vec<Owner>,
    tasks: Vec<Task>,
    more: bool,
}

#[derive(Serialize)]
struct Owner {
    id: String,
    name: String,
    chosen: bool,
}

#[derive(Serialize)]
struct Task {
    action: String,
    kind: String,
    title: String,
    body: String,
    due: String,
    overdue: bool,
    person: Option<String>,
    person_id: Option<Uuid>,
    owner: Option<String>,
}

/// The list, of one owner or of all.
pub async fn page(
    State(state): State<WebState>,
    desk: Desk,
    Query(which): Query<Which>,
) -> Result<Html<String>, HttpError> {
    let mut conn = state.conn().await?;
    let named = which
        .owner
        .or_else(|| desk.visitor.owner.clone())
        .unwrap_or_default();
    let asked = Some(named.trim()).filter(|owner| !owner.is_empty());
    let rows = task::open(&mut conn, asked, desk.now, MOST + 1).await?;
    let owners = owner::all(&mut conn).await?;
    let more = rows.len() > MOST as usize;
    let view = View {
        owners: owners
            .into_iter()
            .map(|o| Owner {
                chosen: asked == Some(o.external_id.as_str()),
                id: o.external_id,
                name: o.name,
            })
            .collect(),
        tasks: rows
            .into_iter()
            .take(MOST as usize)
            .map(|row| Task {
                due: desk.time(row.due_at),
                overdue: row.due_at < desk.now,
                action: format!("/tasks/{}", row.id),
                kind: row.kind,
                title: row.title,
                body: row.body,
                person: row.contact_name,
                person_id: row.contact_id,
                owner: row.owner_name,
            })
            .collect(),
        more,
    };
    desk.show(&state, "tasks", view)
}

/// Acts on one.
pub async fn act(
    State(state): State<WebState>,
    desk: Desk,
    Path(id): Path<Uuid>,
    Form(form): Form<TaskForm>,
) -> Result<Redirect, HttpError> {
    desk.must(Right::OwnTasks)?;
    let act = form.read(desk.now, desk.zone)?;
    let mut tx = state.deps.pool.begin().await?;
    if !task::is_for(&mut tx, id, desk.visitor.owner.as_deref()).await? {
        desk.must(Right::AllTasks)?;
    }
    let acted = tasks::act(&mut tx, &id.to_string(), &act, &desk.visitor.actor(), desk.now).await?;
    tx.commit().await?;
    let said = match acted {
        Acted::Done(_) => "task_done",
        Acted::Closed => "task_closed",
        Acted::NoSuchOwner => "task_nobody",
        Acted::Unknown => return Err(HttpError::NotFound),
    };
    Ok(Redirect::to(&format!("/tasks?said={said}")))
}
