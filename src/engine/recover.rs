//! Recover: what this host sent, or may have sent, and the database does not know; and writing it down there.

use std::collections::{BTreeMap, HashMap, HashSet};
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
    let mut found = Found::new();
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
        found.retain(|(message, at), one| {
            one.ended.as_deref() != Some(End::NOT_SENT) && !ends.is_unsent(*message, *at)
        });
    }
    // Of several attempts at one message the last counts that may have reached somebody.
    let last: HashMap<Uuid, Forgotten> = found
        .into_iter()
        .map(|((message, _), one)| (message, one))
        .collect();
    let mut all: Vec<Forgotten> = last.into_values().collect();
    all.sort_by_key(|one| (one.at, one.mark.message));
    Ok(all)
}

/// Crossings that the database does not know, by message and instant.
type Found = BTreeMap<(Uuid, DateTime<Utc>), Forgotten>;

fn counts(control: &Control, at: DateTime<Utc>, database: Uuid) -> bool {
    (database == control.database_id || control.former_ids.contains(&database))
        && control.settled_at.is_none_or(|settled| at > settled)
}

async fn compare(conn: &mut PgConnection, lines: Vec<Line>, found: &mut Found) -> Result<()> {
    let asked: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Crossed { at, marks, .. } => Some(marks.iter().map(|m| (m.message, m.touch, *at))),
            _ => None,
        })
        .flatten()
        .collect();
    let unknown: HashSet<(Uuid, DateTime<Utc>)> = if asked.is_empty() {
        HashSet::new()
    } else {
        table::unknown(conn, &asked).await?.into_iter().collect()
    };
    take_in(lines, &unknown, found);
    Ok(())
}

/// Of these lines, in their order, what the database does not know. It goes on living while a long trail is read: a message
/// whose later crossing it knows was not forgotten, whatever it knew when the earlier one was asked about.
fn take_in(lines: Vec<Line>, unknown: &HashSet<(Uuid, DateTime<Utc>)>, found: &mut Found) {
    let all_until = |message, at| (message, DateTime::<Utc>::MIN_UTC)..=(message, at);
    for line in lines {
        match line {
            Line::Crossed { at, marks, .. } => {
                for mark in marks {
                    let message = mark.message;
                    if unknown.contains(&(message, at)) {
                        let ended = None;
                        found.insert((message, at), Forgotten { at, mark, ended });
                        continue;
                    }
                    while let Some((&known, _)) = found.range(all_until(message, at)).next_back() {
                        found.remove(&known);
                    }
                }
            }
            Line::Ended { ends } => {
                for end in ends {
                    // An end without its crossing is that of the last.
                    let crossed = end.crossed.unwrap_or(DateTime::<Utc>::MAX_UTC);
                    let last = found.range_mut(all_until(end.message, crossed)).next_back();
                    if let Some((_, one)) =
                        last.filter(|((_, at), _)| end.crossed.is_none() || end.is_of(Some(*at)))
                    {
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

    fn crossed(message: Uuid, second: i64) -> Line {
        Line::Crossed {
            at: at(second),
            database: Uuid::nil(),
            marks: vec![Mark {
                message,
                touch: message,
                enrollment: message,
                contact: message,
                cadence: String::new(),
                step: String::new(),
                channel: String::new(),
                class: 3,
            }],
        }
    }

    fn ended(message: Uuid, word: &str, crossed: Option<i64>) -> Line {
        Line::Ended {
            ends: vec![End {
                word: word.to_owned(),
                ..End::not_sent(message, crossed.map(at))
            }],
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// The crossings that were found, with their ends.
    fn words(found: &Found) -> Vec<(i64, Option<&str>)> {
        let each = found
            .values()
            .map(|one| (one.at.timestamp(), one.ended.as_deref()));
        each.collect()
    }

    #[test]
    fn a_message_whose_later_crossing_is_known_was_not_forgotten() {
        let id = Uuid::from_u128(7);
        let mut found = Found::new();
        // It waited for its next try when the first part of the trail was asked about, and had it when the second was.
        let first = vec![crossed(id, 1), ended(id, "again", None)];
        take_in(first, &HashSet::from([(id, at(1))]), &mut found);
        assert_eq!(words(&found), [(1, Some("again"))]);
        let second = || vec![crossed(id, 2), ended(id, "accepted", Some(2))];
        take_in(second(), &HashSet::new(), &mut found);
        assert!(found.is_empty());
        take_in(second(), &HashSet::from([(id, at(2))]), &mut found);
        assert_eq!(words(&found), [(2, Some("accepted"))]);
    }

    #[test]
    fn an_end_is_of_its_own_crossing_alone() {
        let id = Uuid::from_u128(7);
        let mut found = Found::new();
        // Another attempt asked later, and did not cross.
        let lines = vec![
            crossed(id, 2),
            ended(id, "accepted", Some(2)),
            ended(id, "again", Some(3)),
            // Files are read by process, not by time.
            crossed(id, 1),
            ended(id, "again", Some(1)),
        ];
        take_in(lines, &HashSet::from([(id, at(1)), (id, at(2))]), &mut found);
        assert_eq!(words(&found), [(1, Some("again")), (2, Some("accepted"))]);
    }
}
