//! What attempts came to, written down: a group at once, and each alone where the database refuses one of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::Deps;
use super::journal::Journal;
use super::journal::trail::End;
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::body::{self, Body};
use crate::store::digest;
use crate::store::outcome::{self, Again, MessageRow, Returned};
use crate::store::task::{self, NewTask};

/// Pauses after a group was not taken; then the journal keeps it.
const PAUSES_MS: [u64; 3] = [50, 200, 1000];

/// What an attempt came to. What may have reached somebody can wait in the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Accepted, refused or uncertain.
    Done {
        /// Its history row.
        row: Box<MessageRow>,
        /// The task it made.
        task: Option<Box<NewTask>>,
        /// Of an uncertain one: what was handed over, should it be tried once more.
        #[serde(skip)]
        body: Option<Box<Body>>,
    },
    /// A digest that had crossed.
    Digest(Box<digest::End>),
    /// To be made again, with the same bytes.
    #[serde(skip)]
    Again(Again, Uuid, Option<Box<Body>>),
    /// Crossed, but the dot never went out: to be made again, even if it was called uncertain meanwhile.
    #[serde(skip)]
    Withdrawn(Again, Uuid),
}

impl Ended {
    /// The message.
    pub fn message(&self) -> Uuid {
        match self {
            Self::Done { row, .. } => row.id,
            Self::Digest(end) => end.copy.message_id,
            Self::Again(_, message, _) | Self::Withdrawn(_, message) => *message,
        }
    }

    /// In a word; `again` = surely nobody has got it.
    pub fn word(&self) -> &str {
        match self {
            Self::Done { row, .. } => &row.outcome,
            Self::Digest(end) if end.state == "deferred" => "again",
            Self::Digest(end) => &end.state,
            Self::Again(..) | Self::Withdrawn(..) => "again",
        }
    }

    /// What the trail keeps of it: no more than a process that is killed now must have left.
    fn end(&self) -> End {
        let crossed = match self {
            Self::Done { row, .. } => row.crossed_at,
            Self::Again(again, ..) | Self::Withdrawn(again, _) => again.crossed,
            Self::Digest(_) => None,
        };
        let answer = match self {
            Self::Done { row, .. } => row.reply.as_deref().and_then(code),
            _ => None,
        };
        let until = match self {
            Self::Again(again, ..) if again.counts => Some(again.at),
            _ => None,
        };
        End {
            message: self.message(),
            word: self.word().to_owned(),
            crossed,
            answer: answer.map(str::to_owned),
            until,
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Digest(_))
    }
}

/// Notes in the trail what attempts came to: first of all, since what surely was not sent leaves no row in the database that
/// could say so, and what was answered is lost with this process as long as it is nowhere else.
pub fn note<'e>(deps: &Deps, ended: impl Iterator<Item = &'e Ended>) {
    let ended: Vec<&Ended> = ended.collect();
    let unknown = ended
        .iter()
        .filter(|one| matches!(one, Ended::Done { row, .. } if row.outcome == "uncertain"));
    metrics::counter!("kith_uncertain_total").increment(unknown.count() as u64);
    let ends = ended.into_iter().map(Ended::end).collect();
    if let Err(error) = deps.journal.ended(ends) {
        tracing::error!(%error, "the trail of the crossings could not be written");
    }
}

/// The code that an answer begins with, with the enhanced one after it: no words, which may name somebody.
fn code(answer: &str) -> Option<&str> {
    let is_code = |word: &str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_enhanced = |word: &str| {
        word.split('.').count() == 3 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let (first, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    let second = rest.split(' ').next().unwrap_or_default();
    match (is_code(first), is_enhanced(second)) {
        (true, true) => Some(&answer[..=first.len() + second.len()]),
        (true, false) => Some(first),
        _ => None,
    }
}

/// Writes new outcomes, which were noted, and those still owed. While the database is away the new ones go to the journal, and all are owed.
pub async fn settle(deps: &Deps, ended: Vec<Ended>, owed: &mut Vec<Ended>) {
    let new = ended.len();
    owed.extend(ended);
    for pause in PAUSES_MS {
        match write(&deps.pool, &deps.journal, owed, &deps.clock).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, outcomes = owed.len(), "outcomes could not be written"),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    // Written from the front, so the new ones are the last.
    let new = owed.len().saturating_sub(new);
    if let Err(error) = deps
        .journal
        .append(owed[new..].iter().filter(|one| one.is_kept()))
    {
        // Nothing is lost even so: the rows stay `crossing` and become uncertain when this daemon ends.
        tracing::error!(%error, "the journal could not be written");
    }
}

/// Writes what is owed: together, or each alone when the database refuses the data of one. That one is set aside, so that
/// it holds up nobody else. What is left in `owed` after an error was not written.
pub async fn write(
    pool: &PgPool,
    journal: &Journal,
    owed: &mut Vec<Ended>,
    clock: &Clock,
) -> Result<(), StoreError> {
    match together(pool, owed, clock).await {
        Ok(()) => owed.clear(),
        Err(error) if error.is_about_data() => {
            for position in 0..owed.len() {
                match together(pool, &owed[position..=position], clock).await {
                    Ok(()) => {}
                    Err(error) if error.is_about_data() => journal.set_aside(&owed[position], &error),
                    Err(error) => {
                        owed.drain(..position);
                        return Err(error);
                    }
                }
            }
            owed.clear();
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn together(pool: &PgPool, ended: &[Ended], clock: &Clock) -> Result<(), StoreError> {
    let (mut rows, mut tasks, mut again, mut crossed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut digests, mut bodies) = (Vec::new(), Vec::new());
    for one in ended {
        match one {
            Ended::Done { row, task, body, .. } => {
                rows.push(&**row);
                tasks.extend(task.as_deref().cloned());
                bodies.extend(body.as_deref());
            }
            Ended::Digest(end) => digests.push(end),
            Ended::Again(a, message, body) => {
                again.push(a.clone());
                bodies.extend(body.as_deref());
                crossed.extend(Returned::of(a, *message));
            }
            Ended::Withdrawn(a, message) => {
                again.push(a.clone());
                crossed.extend(Returned::of(a, *message));
            }
        }
    }
    let mut tx = pool.begin().await?;
    body::keep(&mut tx, &bodies).await?;
    outcome::finish(&mut tx, &rows).await?;
    task::insert(&mut tx, &tasks).await?;
    if outcome::again(&mut tx, &again).await? < again.len() as u64 {
        outcome::revive(&mut tx, &crossed, clock.now()).await?;
    }
    for end in digests {
        digest::end(&mut tx, end).await?;
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_its_code_is_noted() {
        for (answer, noted) in [
            ("250 2.0.0 taken <ann@example.com>", Some("250 2.0.0")),
            ("250 ok", Some("250")),
            ("250", Some("250")),
            ("550 5.1.1", Some("550 5.1.1")),
            ("given up, it was tried often enough: 452 4.2.2 full", None),
            ("ann@example.com", None),
            ("", None),
        ] {
            assert_eq!(code(answer), noted, "{answer}");
        }
    }
}
