//! Whom a change touches, and which attributes a template asks for that nobody has.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Checked, How};
use crate::config::Problem;
use crate::domain::cadence::Cadence;
use crate::domain::condition::{All, Condition, Constant, FactTest};
use crate::domain::document::DocumentKind;
use crate::domain::fact;
use crate::render::{RenderContext, RenderError, Untracked, Wanted, render};
use crate::store::audience;
use crate::store::document::{self, Census};

/// Counts made once for a whole diff.
pub(super) struct People {
    live: HashMap<String, u64>,
    by_region: HashMap<String, u64>,
    census: Census,
}

impl People {
    pub(super) async fn count(connection: &mut PgConnection) -> anyhow::Result<Self> {
        Ok(Self {
            live: document::live_by_cadence(connection).await?,
            by_region: document::contacts_by_region(connection).await?,
            census: document::census(connection).await?,
        })
    }

    /// Whom a change of a document touches.
    pub(super) async fn touched(
        &self,
        connection: &mut PgConnection,
        checked: &Checked,
        kind: DocumentKind,
        name: &str,
        how: How,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<(u64, &'static str)>> {
        let all_live = || self.live.values().sum();
        Ok(match kind {
            DocumentKind::Cadence => {
                let mut touches = vec![(self.live.get(name).copied().unwrap_or(0), "live enrollments")];
                if let (How::Added, Some(cadence)) = (how, checked.cadences.get(name)) {
                    touches.push((
                        may_enter(connection, checked, cadence, now).await?,
                        "may enter now",
                    ));
                }
                touches
            }
            DocumentKind::Template => {
                let uses = checked
                    .cadences
                    .values()
                    .filter(|c| c.steps.iter().any(|step| step.template == name));
                vec![(
                    uses.filter_map(|cadence| self.live.get(&cadence.name)).sum(),
                    "live enrollments",
                )]
            }
            DocumentKind::Calendar => {
                let gate = &checked.settings.gate;
                let home = checked.settings.company.region.as_str();
                let regions = self.by_region.iter().filter(|(region, _)| {
                    gate.calendar(if region.is_empty() { home } else { region }) == Some(name)
                });
                vec![(regions.map(|(_, contacts)| contacts).sum(), "contacts")]
            }
            DocumentKind::Gate | DocumentKind::Company => vec![(all_live(), "live enrollments")],
            DocumentKind::Grading => vec![(self.census.open_leads, "open leads")],
            DocumentKind::Retention => vec![(self.census.customers, "customers")],
        })
    }
}

async fn may_enter(
    connection: &mut PgConnection,
    checked: &Checked,
    cadence: &Cadence,
    now: DateTime<Utc>,
) -> anyhow::Result<u64> {
    let mut conditions: Vec<Condition> = cadence.entry.audience.iter().cloned().collect();
    if !cadence.entry.on_grade.is_empty() {
        let grades = cadence
            .entry
            .on_grade
            .iter()
            .map(|grade| Constant::Text(grade.as_str().to_owned()));
        conditions.push(Condition::Fact(FactTest {
            fact: "lead.grade".to_owned(),
            is_in: Some(grades.collect()),
            ..FactTest::default()
        }));
    }
    let condition = Condition::All(All { all: conditions });
    let zone = checked.settings.company.timezone;
    Ok(audience::count(connection, &condition, cadence.subject, now, zone).await?)
}

/// Templates that cannot be rendered for anybody, because they need an attribute that no contact has. Told only when
/// there are contacts: before the first import nobody has any.
pub(super) async fn attributes_nobody_has(
    connection: &mut PgConnection,
    checked: &Checked,
) -> anyhow::Result<Vec<Problem>> {
    let registry = &checked.registry;
    let mut wanted: Vec<String> = registry
        .names()
        .flat_map(|template| registry.variables(template))
        .filter_map(|variable| attribute(&variable).map(str::to_owned))
        .collect();
    wanted.sort();
    wanted.dedup();
    if wanted.is_empty() || document::census(connection).await?.contacts == 0 {
        return Ok(Vec::new());
    }
    let known = document::known_attributes(connection, &wanted).await?;
    let mut context = RenderContext::sample();
    context.contact.attr = known
        .iter()
        .map(|name| (name.clone(), Value::from("1")))
        .collect();
    let mut problems = Vec::new();
    for template in registry.names() {
        for locale in registry.locales(template) {
            for channel in registry.channels(template, locale) {
                let wanted = Wanted {
                    template,
                    channel,
                    locale,
                    default_locale: locale,
                };
                problems.extend(missing(checked, wanted, &context));
            }
        }
    }
    problems.dedup();
    Ok(problems)
}

fn missing(checked: &Checked, wanted: Wanted<'_>, context: &RenderContext) -> Option<Problem> {
    match render(&checked.registry, wanted, context, &Untracked) {
        Err(RenderError::Missing {
            variable,
            file,
            line,
            column,
        }) if attribute(&variable).is_some_and(|name| !context.contact.attr.contains_key(name)) => {
            Some(Problem {
                file: format!("{}/{file}", checked.templates_root),
                line,
                column,
                field: String::new(),
                reason: format!(
                    "no contact has `{variable}`, so nobody could get this; give it a `default` or an `if`"
                ),
                suggestion: None,
            })
        }
        _ => None,
    }
}

/// The name of the attribute that a variable reaches into, if it is one.
fn attribute(variable: &str) -> Option<&str> {
    variable.strip_prefix(fact::ATTRIBUTE)?.split('.').next()
}
