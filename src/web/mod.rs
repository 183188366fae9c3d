//! stub
use std::net::SocketAddr; use std::sync::Arc; use anyhow::Result; use axum::Router; use chrono::TimeDelta; use sqlx::PgPool; use tokio::net::TcpListener; use tokio_util::sync::CancellationToken; use crate::engine::Deps; use metrics_exporter_prometheus::PrometheusHandle;
#[derive(Clone)] pub struct WebState;
impl WebState { pub fn new(_: Arc<Deps>, _: Option<PrometheusHandle>) -> Self { Self } }
pub fn public_router(_: WebState) -> Router { Router::new() }
pub fn admin_router(_: WebState) -> Router { Router::new() }
pub async fn check_bind(_: &PgPool, _: SocketAddr) -> Result<()> { Ok(()) }
pub async fn serve(_: TcpListener, _: Router, stop: CancellationToken) -> Result<()> { stop.cancelled().await; Ok(()) }
pub async fn login_link(_: &Deps, _: &str, _: TimeDelta) -> Result<String> { Ok("/".into()) }
