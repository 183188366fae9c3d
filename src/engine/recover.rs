//! Recover: what this host sent, or may have sent, and the database does not know; and writing it down there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::journal::Journal;
use super::journal::trail::{self, End, Line, Mark};
use crate::store::control::{self, Control};
use crate::store::recover::{self as table, Crossing};
use crate::store::uncertain;

/// Crossings that are asked about at once.
const CHUNK: usize = 5000;

/// A crossing that the database does not know.
#[derive(Debug, Clone)]
pub struct Forgotten {
    /// When it crossed.
    pub at: DateTime<Utc>,
    /// What crossed.
    pub mark: Mark,
    /// What this host saw of its end; `None` = nothing, so it may have arrived.
    pub ended: Option<String>,
}

/// How much of the trail is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The highest crossings of each process: enough to see whether the database is behind.
    End,
}

/// The crossings of the trail in a folder that the database does not know, for which nobody has answered yet: those of this
/// database and of those it was restored from. What surely nobody got is left out.
pub async fn forgotten(
    conn: &mut PgConnection,
    folder: &Path,
    control: &Control,
    extent: Extent,
) -> Result<Vec<Forgotten>> {
    let files = match extent {
        Extent::Whole => trail::files(folder)?,
        Extent::End => trail::last_files(folder)?,
    };
    let mut found = HashMap::new();
    let mut read = Vec::new();
    let mut crossings = 0;
    for path in files {
        for line in trail::lines(&path, extent == Extent::End)? {
            match line? {
                Line::Crossed { at, database, marks } if counts(control, at, database) => {
                    crossings += marks.len();
                    read.push(Line::Crossed { at, database, marks });
                }
                Line::Crossed { .. } | Line::Asking { .. } | Line::Going { .. } => {}
                ended @ Line::Ended { .. } => read.push(ended),
            }
            if crossings >= CHUNK {
                compare(conn, std::mem::take(&mut read), &mut found).await?;
                crossings = 0;
            }
        }
    }
    compare(conn, read, &mut found).await?;
    if !found.is_empty() {
        // A process that lives goes on writing: what it put off after the trail was read stood in the trail before the database
        // heard of it, so a second look finds it there, also when it has crossed once more since.
        let ends = trail::ends(folder)?;
        found.retain(|message, one| !ends.is_unsent(*message, one.at));
    }
    let mut all: Vec<Forgotten> = found
        .into_values()
        .filter(|one: &Forgotten| one.ended.as_deref() != Some(End::NOT_SENT))
        .collect();
    all.sort_by_key(|one| (one.at, one.mark.message));
    Ok(all)
}

fn counts(control: &Control, at: DateTime<Utc>, database: Uuid) -> bool {
    (database == control.database_id || control.former_ids.contains(&database))
        && control.settled_at.is_none_or(|settled| at > settled)
}

async fn compare(
    conn: &mut PgConnection,
    lines: Vec<Line>,
    found: &mut HashMap<Uuid, Forgotten>,
) -> Result<()> {
    let asked: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Crossed { at, marks, .. } => Some(marks.iter().map(|m| (m.message, m.touch, *at))),
            _ => None,
        })
        .flatten()
        .collect();
    let unknown: HashSet<Uuid> = if asked.is_empty() {
        HashSet::new()
    } else {
        table::unknown(conn, &asked).await?.into_iter().collect()
    };
    take_in(lines, &unknown, found);
    Ok(())
}

/// Of these lines, in their order, what the database does not know. It goes on living while a long trail is read: a message
/// whose later crossing it knows was not forgotten, whatever it knew when the earlier one was asked about.
fn take_in(lines: Vec<Line>, unknown: &HashSet<Uuid>, found: &mut HashMap<Uuid, Forgotten>) {
    for line in lines {
        match line {
            Line::Crossed { at, marks, .. } => {
                for mark in marks {
                    if unknown.contains(&mark.message) {
                        let ended = None;
                        found.insert(mark.message, Forgotten { at, mark, ended });
                    } else if found.get(&mark.message).is_some_and(|one| one.at <= at) {
                        found.remove(&mark.message);
                    }
                }
            }
            Line::Ended { ends } => {
                for end in ends {
                    if let Some(one) = found.get_mut(&end.message) {
                        one.ended = Some(end.word);
                    }
                }
            }
            Line::Asking { .. } | Line::Going { .. } => {}
        }
    }
}

/// A line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// When it crossed.
    pub at: DateTime<Utc>,
    /// The message; its Message-ID begins with it.
    pub message: String,
    /// The person (or owner) by external id, else by the id that the database had given.
    pub contact: String,
    /// The name, where the database knows it.
    pub name: Option<String>,
    /// Cadence by name.
    pub cadence: String,
    /// Step by key.
    pub step: String,
    /// Channel by name.
    pub channel: String,
    /// accepted, refused, uncertain; or that nothing was seen.
    pub seen: String,
    /// How the database stands to it.
    pub database: String,
}

/// All that is not known for sure.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// Whether the brake is on.
    pub brake: bool,
    /// Crossings of this host that the database does not know.
    pub forgotten: Vec<Item>,
    /// Messages that the database holds as uncertain.
    pub uncertain: Vec<Item>,
    /// How many outcomes of this host the database has refused.
    pub refused_outcomes: usize,
}

/// Lists them; of the uncertain ones the latest `limit`.
pub async fn list(conn: &mut PgConnection, folder: &Path, limit: i64) -> Result<Findings> {
    let control = control::read(conn).await?;
    let forgotten = forgotten(conn, folder, &control, Extent::Whole).await?;
    let mut items = Vec::with_capacity(forgotten.len());
    for chunk in forgotten.chunks(CHUNK) {
        let asked: Vec<_> = chunk
            .iter()
            .map(|one| {
                let mark = &one.mark;
                (mark.message, mark.contact, mark.enrollment, mark.step.clone())
            })
            .collect();
        let standing = table::standing(conn, &asked).await?;
        let by_message: HashMap<Uuid, _> = standing.into_iter().map(|s| (s.message_id, s)).collect();
        for one in chunk {
            let standing = by_message.get(&one.mark.message);
            items.push(Item {
                at: one.at,
                message: one.mark.message.simple().to_string(),
                contact: standing
                    .and_then(|s| s.contact.clone())
                    .unwrap_or_else(|| one.mark.contact.to_string()),
                name: standing.and_then(|s| s.name.clone()),
                cadence: one.mark.cadence.clone(),
                step: one.mark.step.clone(),
                channel: one.mark.channel.clone(),
                seen: one.ended.clone().unwrap_or_else(|| "nothing".to_owned()),
                database: standing.map_or("", |s| stands(s, &one.mark)).to_owned(),
            });
        }
    }
    let uncertain = uncertain::list(conn, limit).await?;
    Ok(Findings {
        brake: control.brake,
        forgotten: items,
        uncertain: uncertain
            .into_iter()
            .map(|one| Item {
                at: one.at,
                message: one.message_id.simple().to_string(),
                contact: one.contact.unwrap_or_default(),
                name: Some(one.name),
                cadence: one.cadence.unwrap_or_default(),
                step: one.step_key.unwrap_or_default(),
                channel: one.channel,
                seen: one.reply.unwrap_or_default(),
                database: "uncertain".to_owned(),
            })
            .collect(),
        refused_outcomes: Journal::set_aside_in(folder),
    })
}

fn stands(standing: &table::Standing, mark: &Mark) -> &'static str {
    match standing.touch_state.as_deref() {
        _ if !standing.contact_known => "person unknown",
        _ if mark.touch.is_nil() => "digest unknown",
        _ if !standing.enrollment_known => "enrollment unknown",
        Some("queued") => "would be sent",
        None => "would be planned",
        Some("skipped" | "cancelled") => "not to be sent",
        Some(_) => "another try is settled",
    }
}

/// Writes the forgotten ones into the database, as this host saw them or as uncertain, so that they are not sent again.
/// Returns how many; the rest (an unknown enrollment or person, a digest) stays listed until an operator lifts the brake.
pub async fn remember(conn: &mut PgConnection, folder: &Path) -> Result<usize> {
    let control = control::read(conn).await?;
    let crossings: Vec<Crossing> = forgotten(conn, folder, &control, Extent::Whole)
        .await?
        .into_iter()
        .filter(|one| !one.mark.touch.is_nil())
        .map(|one| Crossing {
            message_id: one.mark.message,
            touch_id: one.mark.touch,
            enrollment_id: one.mark.enrollment,
            step_key: one.mark.step,
            channel: one.mark.channel,
            class: one.mark.class,
            at: one.at,
            outcome: one.ended.unwrap_or_else(|| "uncertain".to_owned()),
        })
        .collect();
    let mut remembered = 0;
    let mut tx = sqlx::Connection::begin(conn).await?;
    for chunk in crossings.chunks(CHUNK) {
        remembered += table::remember(&mut tx, chunk).await?.len();
    }
    tx.commit().await?;
    Ok(remembered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_later_crossing_is_known_was_not_forgotten() {
        let id = Uuid::from_u128(7);
        let crossed = || Line::Crossed {
            at: DateTime::UNIX_EPOCH,
            database: Uuid::nil(),
            marks: vec![Mark {
                message: id,
                touch: id,
                enrollment: id,
                contact: id,
                cadence: String::new(),
                step: String::new(),
                channel: String::new(),
                class: 3,
            }],
        };
        let ended = |word: &str| Line::Ended {
            ends: vec![End {
                word: word.to_owned(),
                ..End::not_sent(id, None)
            }],
        };
        let (unknown, known) = (HashSet::from([id]), HashSet::new());
        let mut found = HashMap::new();
        // It waited for its next try when the first part of the trail was asked about, and had it when the second was.
        take_in(vec![crossed(), ended("again")], &unknown, &mut found);
        assert_eq!(found[&id].ended.as_deref(), Some("again"));
        take_in(vec![crossed(), ended("accepted")], &known, &mut found);
        assert!(found.is_empty());
        take_in(vec![crossed(), ended("accepted")], &unknown, &mut found);
        assert_eq!(found[&id].ended.as_deref(), Some("accepted"));
    }
}
