//! Putting checked files in force: one transaction, all or nothing.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::people::{self, People};
use super::{Change, Checked, Diff, Document, How, diff};
use crate::config::Problem;
use crate::domain::document::DocumentKind;
use crate::domain::holiday::DayKind;
use crate::domain::id::IdSource;
use crate::store::audit::{self, Deed};
use crate::store::document::{self, Behind, InForce, NewVersion};
use crate::store::unhurried;

/// What an apply did.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// What changed.
    pub diff: Diff,
    /// Cadences whose live enrollments were moved on purpose.
    pub moved: Vec<Moved>,
}

/// What became of the live enrollments of one cadence.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The cadence.
    pub cadence: String,
    /// How many went to the newest version.
    pub enrollments: u64,
    /// Those whose step is no more: they stay on their version. At most [`MOST_LEFT`].
    pub left: Vec<Behind>,
}

/// At most so many enrollments that stay behind are named.
pub const MOST_LEFT: i64 = 100;

/// Sound files that the database refuses.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What is asked for does not fit what is stored.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unfit(Vec<Problem>),
    /// `--move` names no cadence.
    #[error("--move {0}: there is no such cadence")]
    NoSuchCadence(String),
}

/// What `apply` would change. A refusal is a [`Refused`] in the error.
pub async fn plan(
    connection: &mut PgConnection,
    checked: &Checked,
    now: DateTime<Utc>,
) -> anyhow::Result<Diff> {
    let problems = people::attributes_nobody_has(connection, checked).await?;
    if !problems.is_empty() {
        return Err(Refused::Unfit(problems).into());
    }
    let people = People::count(connection).await?;
    let standing = standing(connection).await?;
    let mut diff = Diff::default();
    let mut changes: BTreeMap<(DocumentKind, String), (How, Vec<String>)> = BTreeMap::new();
    for new in &checked.documents {
        let key = (new.kind, new.name.clone());
        match standing.get(&key) {
            None => {
                changes.insert(key, (How::Added, Vec::new()));
            }
            Some(old) if old.hash == new.hash => diff.same += 1,
            Some(old) => {
                let before = document::body(connection, old.version_id)
                    .await?
                    .unwrap_or(Value::Null);
                changes.insert(key, (How::Changed, diff::lines(&before, &new.body)));
            }
        }
    }
    for (kind, name) in retired(checked, &standing) {
        changes.insert((kind, name), (How::Retired, Vec::new()));
    }
    for ((kind, name), (how, lines)) in changes {
        let touches = people.touched(connection, checked, kind, &name, how, now).await?;
        diff.changes.push(Change {
            kind,
            name,
            how,
            touches,
            lines,
        });
    }
    Ok(diff)
}

/// Puts the files in force and moves the live enrollments of the cadences in `moves`. All or nothing; what is unchanged
/// gets no new version. A refusal is a [`Refused`] in the error.
pub async fn apply(
    connection: &mut PgConnection,
    checked: &Checked,
    moves: &[String],
    actor: &str,
    now: DateTime<Utc>,
    ids: &IdSource,
) -> anyhow::Result<Applied> {
    if let Some(name) = moves.iter().find(|name| !checked.cadences.contains_key(*name)) {
        return Err(Refused::NoSuchCadence(name.clone()).into());
    }
    let mut transaction = connection.begin().await?;
    unhurried(&mut transaction).await?;
    document::lock(&mut transaction).await?;
    let diff = plan(&mut transaction, checked, now).await?;
    let standing = standing(&mut transaction).await?;
    let new: Vec<(Uuid, &Document)> = checked
        .documents
        .iter()
        .filter(|new| {
            standing
                .get(&(new.kind, new.name.clone()))
                .is_none_or(|old| old.hash != new.hash)
        })
        .map(|new| (ids.next(now), new))
        .collect();
    if !diff.changes.is_empty() {
        let versions: Vec<NewVersion<'_>> = new
            .iter()
            .map(|(id, new)| NewVersion {
                id: *id,
                kind: new.kind,
                name: &new.name,
                hash: &new.hash,
                body: &new.body,
            })
            .collect();
        document::put_in_force(&mut transaction, &versions, actor, now).await?;
        document::retire(&mut transaction, &retired(checked, &standing)).await?;
        if diff
            .changes
            .iter()
            .any(|change| change.kind == DocumentKind::Calendar)
        {
            document::replace_holidays(&mut transaction, &holidays(checked)).await?;
        }
        let changed = diff
            .changes
            .iter()
            .map(|change| format!("{} {}", change.kind, change.name));
        let deed = Deed {
            id: ids.next(now),
            at: now,
            actor,
            verb: "apply",
            object: "rules",
            before: None,
            after: Some(json!({ "documents": changed.collect::<Vec<_>>() })),
        };
        audit::record(&mut transaction, deed).await?;
    }
    let mut followed = Vec::new();
    for cadence in moves {
        followed.push(move_live(&mut transaction, checked, cadence, actor, now, ids).await?);
    }
    transaction.commit().await?;
    Ok(Applied {
        diff,
        moved: followed,
    })
}

async fn move_live(
    connection: &mut PgConnection,
    checked: &Checked,
    cadence: &str,
    actor: &str,
    now: DateTime<Utc>,
    ids: &IdSource,
) -> anyhow::Result<Moved> {
    let key = (DocumentKind::Cadence, cadence.to_owned());
    let (Some(version), Some(structure)) = (
        standing(connection).await?.remove(&key),
        checked.cadences.get(cadence),
    ) else {
        return Err(Refused::NoSuchCadence(cadence.to_owned()).into());
    };
    let steps: Vec<String> = structure.steps.iter().map(|step| step.key.clone()).collect();
    let enrollments = document::move_enrollments(connection, cadence, version.version_id, &steps).await?;
    let left = document::behind(connection, cadence, version.version_id, MOST_LEFT).await?;
    let deed = Deed {
        id: ids.next(now),
        at: now,
        actor,
        verb: "move",
        object: cadence,
        before: None,
        after: Some(json!({ "version": version.version_id, "enrollments": enrollments })),
    };
    audit::record(connection, deed).await?;
    Ok(Moved {
        cadence: cadence.to_owned(),
        enrollments,
        left,
    })
}

type ByKey = HashMap<(DocumentKind, String), InForce>;

async fn standing(connection: &mut PgConnection) -> anyhow::Result<ByKey> {
    let rows = document::in_force(connection).await?;
    rows.into_iter()
        .map(|row| Ok(((row.kind.parse()?, row.name.clone()), row)))
        .collect()
}

fn retired(checked: &Checked, standing: &ByKey) -> Vec<(DocumentKind, String)> {
    let kept =
        |kind: DocumentKind, name: &str| checked.documents.iter().any(|d| d.kind == kind && d.name == name);
    let mut gone: Vec<_> = standing
        .keys()
        .filter(|(kind, name)| !kept(*kind, name))
        .cloned()
        .collect();
    gone.sort();
    gone
}

fn holidays(checked: &Checked) -> Vec<(String, chrono::NaiveDate, &'static str, String)> {
    let of = |(calendar, days): (&String, &crate::config::calendar::Calendar)| {
        let rows = days.dates().map(|(date, kind, name)| {
            let kind = match kind {
                DayKind::Holiday => "holiday",
                DayKind::MakeupWorkday => "makeup_workday",
            };
            (calendar.clone(), date, kind, name.to_owned())
        });
        rows.collect::<Vec<_>>()
    };
    checked.calendars.iter().flat_map(of).collect()
}
