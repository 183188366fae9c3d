//! Figures with their units, and where one is set, the target.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cli::output::{self, Format, Table};

/// What a benchmark found.
#[derive(Debug, Serialize)]
pub struct Sheet {
    bench: &'static str,
    contacts: i64,
    figures: Vec<Figure>,
    #[serde(flatten)]
    values: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Less than this.
    Under(f64),
    /// More than this.
    Over(f64),
    /// Exactly this.
    Exactly(f64),
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Self::Under(bound) => value < bound,
            Self::Over(bound) => value > bound,
            Self::Exactly(bound) => (value - bound).abs() < f64::EPSILON,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Under(bound) => format!("under {}", number(bound)),
            Self::Over(bound) => format!("over {}", number(bound)),
            Self::Exactly(bound) => number(bound),
        }
    }
}

impl Sheet {
    /// An empty sheet of a benchmark over so many contacts.
    pub fn new(bench: &'static str, contacts: i64) -> Self {
        Self {
            bench,
            contacts,
            figures: Vec::new(),
            values: BTreeMap::new(),
        }
    }

    /// Notes a figure.
    pub fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            target: None,
            met: None,
        });
    }

    /// Notes a figure that has a target.
    pub fn hold_to(&mut self, name: impl Into<String>, value: f64, unit: &'static str, target: Target) {
        let met = Some(target.met(value));
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            target: Some(target),
            met,
        });
    }

    /// Puts a figure under a name of its own into the JSON object, for programs.
    pub fn value(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.values.insert(name, value.into());
    }

    /// As a table, or as one JSON object.
    pub fn text(&self, json: bool) -> Result<String> {
        let title = format!("{}: {} contacts", self.bench, output::grouped(self.contacts));
        let mut table = Table::new(title, &["what", "#figure", "unit", "target", "met"]);
        for figure in &self.figures {
            table.rows.push(vec![
                figure.name.clone(),
                number(figure.value),
                figure.unit.to_owned(),
                figure.target.map(Target::words).unwrap_or_default(),
                figure
                    .met
                    .map(|met| if met { "yes" } else { "NO" }.to_owned())
                    .unwrap_or_default(),
            ]);
        }
        output::text(if json { Format::Json } else { Format::Table }, &[table], self)
    }
}

/// Three significant digits below a hundred, whole above.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        output::grouped(value.round() as i64)
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The time below which a share of the times lie, in milliseconds; 0 of none.
pub fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .map_or(0.0, |t| t.as_secs_f64() * 1000.0)
}

/// The value in the middle; of an even number the lower one; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((percentile(&times, 0.5) - 50.0).abs() < 1e-9);
        assert!((percentile(&times, 0.99) - 99.0).abs() < 1e-9);
        assert!((percentile(&times[..1], 0.99) - 100.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5).abs() < 1e-9);
        assert!((median(&[3.0, 1.0, 2.0, 9.0]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_target_is_met_or_not() {
        let mut sheet = Sheet::new("tick", 1000);
        sheet.hold_to("a round", 9.5, "ms", Target::Under(10.0));
        sheet.hold_to("rows", 1.0, "rows", Target::Exactly(0.0));
        let text = sheet.text(true).unwrap();
        assert!(
            text.contains("\"met\": true") && text.contains("\"met\": false"),
            "{text}"
        );
        let table = sheet.text(false).unwrap();
        assert!(
            table.contains("9.50") && table.contains("under 10") && table.contains("NO"),
            "{table}"
        );
    }
}
