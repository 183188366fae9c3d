//! What colleagues and programs of the company reach.

mod desk;
mod events;
mod leads;
mod login;
mod operate;
mod people;
mod pyramid;
mod sandbox;
mod tasks;
mod today;

use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::routing::{get, post};

use super::routes::Routes;
use super::state::WebState;
use super::{error_page, probe, security};

/// A thousand events of two kilobytes each.
const MOST_EVENT_BYTES: usize = 2 << 20;
/// Forms are small.
const MOST_FORM_BYTES: usize = 64 << 10;

/// The admin routes.
pub fn routes() -> Routes {
    let pages = Routes::new()
        .at("/", get(today::page))
        .at("/leads", get(leads::page))
        .at("/pyramid", get(pyramid::page))
        .at("/tasks", get(tasks::page))
        .at("/tasks/{id}", post(tasks::act))
        .at("/people", get(people::search))
        .at("/people/{id}", get(people::person))
        .at("/sandbox", get(sandbox::list))
        .at("/sandbox/{id}", get(sandbox::message))
        .at("/sandbox/{id}/html", get(sandbox::html))
        .at("/brake", post(operate::brake))
        .at("/demo/advance", post(operate::advance))
        .at("/login", get(login::ask).post(login::enter))
        .at("/login/link/{token}", get(login::by_link))
        .at("/logout", post(login::leave))
        .wrap(|router| {
            router
                .layer(middleware::from_fn(security::same_origin))
                .layer(middleware::from_fn(desk::keep_language))
                .layer(DefaultBodyLimit::max(MOST_FORM_BYTES))
        });
    let programs = Routes::new()
        .at("/v1/events", post(events::take))
        .wrap(|router| router.layer(DefaultBodyLimit::max(MOST_EVENT_BYTES)));
    let rest = Routes::new()
        .at(
            error_page::ADMIN_STYLE,
            get(async |State(state): State<WebState>| state.pages.style()),
        )
        .at("/healthz", get(probe::alive))
        .at("/readyz", get(probe::ready))
        .at("/metrics", get(probe::metrics));
    pages.and(programs).and(rest)
}
