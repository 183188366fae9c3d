//! The log of this process: text on a terminal, JSON otherwise, to stderr.

use std::io::IsTerminal;

use anyhow::{Context, Result, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::Settings;
use crate::config::runtime::{Log, LogFormat};
use crate::engine::meters;

/// A filter of one run, over the configured one.
const FILTER: &str = "KITH_LOG";

/// Starts the log. A command that only asks or writes once says warnings; the daemon says what is configured.
pub fn start(log: &Log, daemon: bool) -> Result<()> {
    let filter = match std::env::var(FILTER) {
        Ok(filter) => EnvFilter::try_new(filter).context(FILTER)?,
        Err(_) if daemon => EnvFilter::try_new(&log.level).context("log.level")?,
        Err(_) => EnvFilter::new("warn"),
    };
    let text = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if text {
        lines.with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow!("the log does not start: {error}"))
}

/// Starts to count, for `/metrics`. Once in a process, before anything is counted.
pub fn metrics(settings: &Settings) -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .context("the metrics do not start")?;
    meters::begin(settings);
    Ok(handle)
}
