//! Compose: from cleared touches to messages that are ready for their channels.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::super::Deps;
use super::super::clear::Cleared;
use super::draft::{Author, Draft, Pair};
use crate::channel::{BuiltMessage, Channel};
use crate::domain::gate::{Charge, Clearance};
use crate::domain::zone::local_date;
use crate::store::body::{self, Body};
use crate::store::facts::{self, PersonRow};
use crate::store::outcome::MessageRow;
use crate::store::queue::ClaimedTouch;
use crate::store::task::NewTask;

/// So few drafts are written at once; more are divided among threads of their own.
const FEW: usize = 16;

/// A message that is ready, with everything its attempt needs.
pub struct Letter {
    /// The touch.
    pub touch: ClaimedTouch,
    /// Proof of the gate.
    pub clearance: Clearance,
    /// Caps to be charged.
    pub charges: Vec<Charge>,
    /// The way out.
    pub channel: Arc<dyn Channel>,
    /// What is handed over.
    pub message: BuiltMessage,
    /// Its history row, without the end.
    pub row: MessageRow,
    /// The task it makes when it is accepted.
    pub task: Option<NewTask>,
}

/// What a batch came to.
#[derive(Default)]
pub struct Composed {
    /// Ready.
    pub letters: Vec<Letter>,
    /// Could not be built, with the reason.
    pub broken: Vec<(Cleared, String)>,
}

/// Builds the messages of a batch: one statement for the people, one for links that are new.
pub async fn compose(deps: &Arc<Deps>, cleared: Vec<Cleared>, now: DateTime<Utc>) -> Result<Composed> {
    if cleared.is_empty() {
        return Ok(Composed::default());
    }
    let author = Arc::new(Author {
        deps: deps.clone(),
        rules: deps.rules(),
        people: people(deps, &cleared, now).await?,
        now,
    });
    let mut kept = kept(deps, &cleared).await?;
    let asked = cleared
        .into_iter()
        .map(|cleared| {
            let earlier = kept.remove(&cleared.touch.message_id);
            (cleared, earlier)
        })
        .collect();
    let mut drafted = draft_all(&author, asked).await?;
    // Links met for the first time get their numbers in one statement; only then are their messages written out again. That is
    // one batch after a start or another template, so it is done here.
    if deps.links.number_new(&deps.pool).await? {
        for (cleared, draft) in &mut drafted {
            if draft.as_ref().is_ok_and(|draft| draft.unnumbered)
                && let Ok(again) = author.draft(cleared, None)
            {
                *draft = Ok(again);
            }
        }
    }
    let mut composed = Composed::default();
    for (cleared, draft) in drafted {
        match draft {
            Ok(draft) => composed.letters.push(letter(deps, cleared, draft, now)),
            Err(why) => composed.broken.push((cleared, why)),
        }
    }
    Ok(composed)
}

fn letter(deps: &Deps, cleared: Cleared, draft: Draft, now: DateTime<Utc>) -> Letter {
    Letter {
        touch: cleared.touch,
        clearance: cleared.clearance,
        charges: cleared.charges,
        channel: draft.channel,
        message: draft.message,
        row: draft.row,
        // Numbered here, in the order of the batch, whichever thread wrote it.
        task: draft.task.map(|task| NewTask {
            id: deps.ids.next(now),
            ..task
        }),
    }
}

type Drafted = (Cleared, Result<Draft, String>);

/// The drafts in the order of the batch. Rendering some hundreds of mails takes milliseconds, for which nobody else would be
/// heard on this thread.
async fn draft_all(author: &Arc<Author>, asked: Vec<(Cleared, Option<Body>)>) -> Result<Vec<Drafted>> {
    fn write(author: &Author, part: Vec<(Cleared, Option<Body>)>) -> Vec<Drafted> {
        let each = part.into_iter().map(|(cleared, earlier)| {
            let draft = author.draft(&cleared, earlier);
            (cleared, draft)
        });
        each.collect()
    }
    if asked.len() <= FEW {
        return Ok(write(author, asked));
    }
    let threads = available_parallelism().map_or(1, NonZero::get);
    let (mut drafted, mut parts) = (Vec::with_capacity(asked.len()), Vec::new());
    let part_len = asked.len().div_ceil(threads).max(FEW);
    let mut asked = asked.into_iter();
    while asked.len() > 0 {
        let (author, part) = (author.clone(), asked.by_ref().take(part_len).collect());
        parts.push(spawn_blocking(move || write(&author, part)));
    }
    for part in parts {
        match part.await {
            Ok(part) => drafted.extend(part),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(drafted)
}

async fn people(deps: &Deps, cleared: &[Cleared], now: DateTime<Utc>) -> Result<HashMap<Pair, PersonRow>> {
    let mut pairs: Vec<Pair> = cleared
        .iter()
        .map(|c| (c.touch.contact_id, c.touch.lead_id))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let contacts: Vec<Uuid> = pairs.iter().map(|p| p.0).collect();
    let leads: Vec<Option<Uuid>> = pairs.iter().map(|p| p.1).collect();
    let today = local_date(now, deps.company_zone());
    let mut conn = deps.pool.acquire().await?;
    let rows = facts::persons(&mut conn, &contacts, &leads, today).await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.contact_id, row.lead_id), row))
        .collect())
}

/// What earlier attempts of these touches handed over: few have one, so most batches do not ask.
async fn kept(deps: &Deps, cleared: &[Cleared]) -> Result<HashMap<Uuid, Body>> {
    let tried: Vec<Uuid> = cleared
        .iter()
        .filter(|cleared| cleared.touch.tries > 0)
        .map(|cleared| cleared.touch.message_id)
        .collect();
    if tried.is_empty() {
        return Ok(HashMap::new());
    }
    let mut conn = deps.pool.acquire().await?;
    let bodies = body::of(&mut conn, &tried).await?;
    Ok(bodies
        .into_iter()
        .map(|body| (body.letter.row.id, body))
        .collect())
}
