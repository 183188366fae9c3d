//! What every request works with.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::pool::PoolConnection;
use tokio::sync::Semaphore;

use super::error::HttpError;
use super::pages::Pages;
use super::probe::Gauges;
use crate::engine::Deps;

/// Passwords checked at once: each costs a core some ten milliseconds and 19 MiB, so more would be an attack.
const PASSWORDS_AT_ONCE: usize = 2;

/// What every request works with. Clones are the same.
#[derive(Clone)]
pub struct WebState {
    /// What the services work with.
    pub deps: Arc<Deps>,
    /// Where the figures of `/metrics` come from; without it there are none.
    pub metrics: Option<PrometheusHandle>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) pages: &'static Pages,
    pub(super) passwords: Arc<Semaphore>,
}

impl WebState {
    /// With what the services work with, and the handle of the figures.
    pub fn new(deps: Arc<Deps>, metrics: Option<PrometheusHandle>) -> Self {
        Self {
            deps,
            metrics,
            gauges: Arc::default(),
            pages: Pages::compiled(),
            passwords: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)),
        }
    }

    /// Business time.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.deps.clock.now()
    }

    /// A connection for one request.
    pub(super) async fn conn(&self) -> Result<PoolConnection<sqlx::Postgres>, HttpError> {
        Ok(self.deps.pool.acquire().await?)
    }
}
