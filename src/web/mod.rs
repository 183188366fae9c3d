//! Two HTTP listeners: the public one (links, unsubscribing, hooks of providers) and the admin one (page and API).

mod admin;
mod error;
mod error_page;
mod language;
mod pages;
mod probe;
mod public;
mod routes;
mod security;
mod state;
mod task_form;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use axum::{Router, middleware};
use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::error::HttpError;
use self::routes::Routes;
pub use self::state::WebState;
use crate::engine::{Deps, access};
use crate::store::user;

/// What recipients and providers reach.
pub fn public_router(state: WebState) -> Router {
    finish(public::routes(), state, error_page::PUBLIC_STYLE)
}

/// What colleagues and programs of the company reach; never to be shown to the world.
pub fn admin_router(state: WebState) -> Router {
    finish(admin::routes(), state, error_page::ADMIN_STYLE)
}

/// The paths that only the admin listener answers, as axum writes them.
pub fn admin_paths() -> Vec<&'static str> {
    let public = public_paths();
    let mut paths = admin::routes().paths().to_vec();
    paths.retain(|path| !public.contains(path));
    paths
}

/// The paths that the public listener answers.
pub fn public_paths() -> Vec<&'static str> {
    public::routes().paths().to_vec()
}

/// Errors as pages for people and as JSON for programs, and the headers on every answer.
fn finish(routes: Routes, state: WebState, style: &'static str) -> Router {
    let shown = middleware::from_fn_with_state((state.clone(), style), error_page::show);
    routes
        .into_router(state)
        .layer(shown)
        .layer(middleware::from_fn(security::headers))
}

/// Without users nobody can be told from anybody else, so the admin listener then stays on the machine itself.
pub fn may_bind(admin: SocketAddr, users_exist: bool) -> Result<(), String> {
    if users_exist || admin.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "the admin listener would be open on {admin} and nobody can log in yet: \
         add somebody with `kith user add NAME --role operator`, or listen on 127.0.0.1"
    ))
}

/// [`may_bind`] with the users of a database.
pub async fn check_bind(pool: &PgPool, admin: SocketAddr) -> Result<()> {
    let mut conn = pool.acquire().await?;
    let users_exist = user::any(&mut conn).await?;
    if let Err(why) = may_bind(admin, users_exist) {
        bail!(why);
    }
    Ok(())
}

/// The path of a page that logs in once, in a role (`operator`, `marketer`, `lead` or `rep`).
pub async fn login_link(deps: &Deps, role: &str, good_for: TimeDelta) -> Result<String> {
    let mut conn = deps.pool.acquire().await?;
    let secret = access::offer_link(&mut conn, role.parse()?, good_for).await?;
    Ok(format!("/login/link/{secret}"))
}

/// Serves until `stop`, then finishes the requests that have begun.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .context("serving HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_users_only_the_machine_itself_is_served() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(may_bind(at("127.0.0.1:8600"), false).is_ok());
        assert!(may_bind(at("[::1]:8600"), false).is_ok());
        assert!(
            may_bind(at("0.0.0.0:8600"), false)
                .unwrap_err()
                .contains("kith user add")
        );
        assert!(may_bind(at("0.0.0.0:8600"), true).is_ok());
    }

    #[test]
    fn the_listeners_share_nothing_but_the_probe() {
        let public = public_paths();
        let admin = admin::routes();
        let shared: Vec<_> = admin.paths().iter().filter(|p| public.contains(p)).collect();
        assert_eq!(shared, [&"/healthz"]);
    }
}
