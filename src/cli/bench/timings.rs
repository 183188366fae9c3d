//! The engine's own timings, as `/metrics` would show them.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Reads what the engine records in this process.
pub struct Timings(PrometheusHandle);

impl Timings {
    /// Starts recording; `None` when this process records already.
    pub fn start() -> Option<Self> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        Some(Self(handle))
    }

    /// Gives up samples that nobody asked for; to be called now and then.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// A quantile of a timing over the last minute, in milliseconds; 0 when there is none.
    pub fn quantile_ms(&self, name: &str, quantile: &str) -> f64 {
        let text = self.0.render();
        let start = format!("{name}{{quantile=\"{quantile}\"}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&start))
            .and_then(|value| value.parse::<f64>().ok())
            .map_or(0.0, |seconds| seconds * 1000.0)
    }
}
