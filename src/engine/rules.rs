//! The rules in force, as the daemon reads them from the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::config::Company;
use crate::config::calendar::{Calendar, Festival};
use crate::domain::cadence::Cadence;
use crate::domain::document::DocumentKind;
use crate::domain::gate_rules::GateRules;
use crate::domain::grading::GradingRules;
use crate::domain::holiday::HolidayCalendar;
use crate::domain::retention::RetentionRules;
use crate::render::{Registry, TemplateSet};
use crate::store::document;

/// The rules in force.
pub struct Rules {
    /// Changes whenever anything in force does; see [`document::rules_stamp`].
    pub stamp: String,
    /// `[company]`.
    pub company: Company,
    /// `[gate]`.
    pub gate: GateRules,
    /// How leads are graded.
    pub grading: GradingRules,
    /// What each tier is owed.
    pub retention: RetentionRules,
    /// The cadences in force, by name.
    pub cadences: BTreeMap<String, InForce>,
    /// Every version of every cadence: enrollments stay on the one they began with.
    pub cadence_versions: HashMap<Uuid, Arc<Cadence>>,
    /// The templates in force, compiled.
    pub registry: Registry,
    /// The version of each template in force, by name.
    pub template_versions: BTreeMap<String, Uuid>,
    /// Holidays and make-up workdays by calendar.
    pub calendars: BTreeMap<String, HolidayCalendar>,
    /// Festivals by calendar.
    pub festivals: BTreeMap<String, Vec<Festival>>,
}

/// A cadence that is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Its version.
    pub version_id: Uuid,
    /// What it says.
    pub cadence: Arc<Cadence>,
}

/// Nothing was ever applied.
#[derive(Debug, thiserror::Error)]
#[error("no rules are in force: run `kith apply`")]
pub struct NoRules;

impl Rules {
    /// Loads what is in force. Where nothing was ever applied the error is [`NoRules`].
    pub async fn load(connection: &mut PgConnection) -> anyhow::Result<Self> {
        // The stamp first: a change after it is seen as a new stamp later.
        let stamp = document::rules_stamp(connection).await?;
        let mut cadences = BTreeMap::new();
        let mut cadence_versions = HashMap::new();
        let mut templates = TemplateSet::default();
        let mut template_versions = BTreeMap::new();
        let (mut calendars, mut festivals) = (BTreeMap::new(), BTreeMap::new());
        let (mut company, mut gate, mut grading, mut retention) = (None, None, None, None);
        for version in document::versions(connection).await? {
            let document::Version {
                kind,
                name,
                version_id,
                in_force,
                body,
            } = version;
            match kind.parse()? {
                DocumentKind::Cadence => {
                    let read: anyhow::Result<Cadence> = read(&kind, &name, body);
                    // A retired version that this program cannot read any more pins nobody worth failing for.
                    let cadence = match read {
                        Ok(cadence) => Arc::new(cadence),
                        Err(error) if in_force => return Err(error),
                        Err(error) => {
                            tracing::warn!(cadence = name, %version_id, "an old version cannot be read: {error:#}");
                            continue;
                        }
                    };
                    if in_force {
                        cadences.insert(
                            name,
                            InForce {
                                version_id,
                                cadence: Arc::clone(&cadence),
                            },
                        );
                    }
                    cadence_versions.insert(version_id, cadence);
                }
                DocumentKind::Template => {
                    let whole: TemplateSet = read(&kind, &name, body)?;
                    templates.templates.extend(whole.templates);
                    templates.shared = whole.shared;
                    template_versions.insert(name, version_id);
                }
                DocumentKind::Calendar => {
                    let calendar: Calendar = read(&kind, &name, body)?;
                    let days = HolidayCalendar::from_rows(calendar.dates())?;
                    festivals.insert(name.clone(), calendar.festivals);
                    calendars.insert(name, days);
                }
                DocumentKind::Company => company = Some(read(&kind, &name, body)?),
                DocumentKind::Gate => gate = Some(read(&kind, &name, body)?),
                DocumentKind::Grading => grading = Some(read(&kind, &name, body)?),
                DocumentKind::Retention => retention = Some(read(&kind, &name, body)?),
            }
        }
        let registry = Registry::compile(&templates).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            anyhow!("the templates in force cannot be used, apply them again: {first}")
        })?;
        Ok(Self {
            stamp,
            company: company.ok_or(NoRules)?,
            gate: gate.ok_or(NoRules)?,
            grading: grading.ok_or(NoRules)?,
            retention: retention.ok_or(NoRules)?,
            cadences,
            cadence_versions,
            registry,
            template_versions,
            calendars,
            festivals,
        })
    }

    /// The holidays of a region (the company's where it is unknown); `None` where it has no calendar.
    pub fn holidays(&self, region: Option<&str>) -> Option<&HolidayCalendar> {
        self.calendars
            .get(self.gate.calendar(region.unwrap_or(&self.company.region))?)
    }

    /// The cadence version an enrollment is pinned to.
    pub fn cadence(&self, version_id: Uuid) -> Option<&Cadence> {
        self.cadence_versions.get(&version_id).map(Arc::as_ref)
    }

    /// The cadences in force, by name, with their versions.
    pub fn current(&self) -> impl Iterator<Item = (Uuid, &Cadence)> {
        self.cadences
            .values()
            .map(|in_force| (in_force.version_id, in_force.cadence.as_ref()))
    }

    /// The version of a template in force.
    pub fn template_version(&self, name: &str) -> Option<Uuid> {
        self.template_versions.get(name).copied()
    }
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, body: Value) -> anyhow::Result<T> {
    serde_json::from_value(body)
        .with_context(|| format!("the {kind} `{name}` in force cannot be read: apply it again"))
}
