//! The brake, and the clock of a demonstration.

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use chrono::TimeDelta;
use serde::Deserialize;

use super::desk::Desk;
use crate::domain::role::Right;
use crate::engine::brake::{self, Order};
use crate::store::control;
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// What the brake's form sends.
#[derive(Deserialize)]
pub struct Brake {
    on: bool,
    #[serde(default)]
    reason: String,
}

/// Puts the brake on or takes it off.
pub async fn brake(
    State(state): State<WebState>,
    desk: Desk,
    Form(form): Form<Brake>,
) -> Result<Redirect, HttpError> {
    desk.must(Right::Operate)?;
    let actor = desk.visitor.actor();
    let reason: String = form.reason.trim().chars().take(200).collect();
    let order = Order {
        on: form.on,
        reason: &reason,
        by: &actor,
        live: false,
    };
    brake::set(&state.deps.pool, &state.deps.ids, order, desk.now).await?;
    Ok(Redirect::to(if form.on {
        "/?said=brake_on"
    } else {
        "/?said=brake_off"
    }))
}

/// How far the clock goes.
#[derive(Deserialize)]
pub struct Advance {
    days: i64,
}

/// Asks the simulated clock to go on; the daemon that runs it does.
pub async fn advance(
    State(state): State<WebState>,
    desk: Desk,
    Form(form): Form<Advance>,
) -> Result<Redirect, HttpError> {
    desk.must(Right::Operate)?;
    let Some(simulated) = desk.simulated() else {
        return Err(HttpError::Forbidden("the clock is real here"));
    };
    if !(1..=90).contains(&form.days) {
        return Err(HttpError::BadRequest("days: between 1 and 90".to_owned()));
    }
    // Asked twice, it goes twice as far.
    let from = desk
        .simulated_target()
        .map_or(simulated, |target| target.max(simulated));
    let mut conn = state.conn().await?;
    control::ask_simulated(&mut conn, Some(from + TimeDelta::days(form.days))).await?;
    Ok(Redirect::to("/?said=advancing"))
}
