//! Messages of which nobody knows whether they arrived: shown, settled by hand, and told of when they grow.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::Deps;
use super::journal::trail::{self, End};
use crate::domain::gate::Reason;
use crate::domain::id::IdSource;
use crate::domain::zone::local_date;
use crate::store::audit::{self, Deed};
use crate::store::outcome::{self, Returned};
use crate::store::task::{self, NewTask};
use crate::store::{control, uncertain};

/// The mark up to which growth was told of.
const MARK: &str = "uncertain";
/// How many are looked up in the trail at once, the latest first.
const MOST: i64 = 10_000;
/// How the reply of a message ends whose answer was found in the trail, which keeps its code alone.
pub const FROM_TRAIL: &str = ", as the trail of its host says";
/// How long the task of a day may wait.
const PATIENCE: TimeDelta = TimeDelta::days(1);

/// One of them, as a list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The message; its Message-ID begins with it.
    pub message: String,
    /// The person, by external id.
    pub contact: String,
    /// The person's name.
    pub name: String,
    /// Cadence by name.
    pub cadence: String,
    /// Step by key.
    pub step: String,
    /// Channel by name.
    pub channel: String,
    /// Sender by name.
    pub sender: String,
    /// When it crossed, or else when it was found to be unknown.
    pub at: DateTime<Utc>,
    /// Seconds since.
    pub age_secs: i64,
    /// Tries so far.
    pub tries: i16,
    /// What was seen.
    pub seen: String,
}

/// Lists them, the latest first.
pub async fn list(conn: &mut PgConnection, limit: i64, now: DateTime<Utc>) -> Result<Vec<Item>> {
    let found = uncertain::list(conn, limit).await?;
    Ok(found
        .into_iter()
        .map(|one| Item {
            message: one.message_id.simple().to_string(),
            contact: one.contact.unwrap_or_default(),
            name: one.name,
            cadence: one.cadence.unwrap_or_default(),
            step: one.step_key.unwrap_or_default(),
            channel: one.channel,
            sender: one.sender,
            at: one.at,
            age_secs: (now - one.at).num_seconds().max(0),
            tries: one.tries,
            seen: one.reply.unwrap_or_default(),
        })
        .collect())
}

/// What an operator has found out about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// It arrived.
    Accepted,
    /// It did not, and is not sent again.
    Refused,
}

impl Finding {
    /// The outcome, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

/// What came of settling one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is settled.
    Done,
    /// No message is called so.
    Unknown,
    /// It is not uncertain; this is its outcome.
    Certain(String),
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "settled"),
            Self::Unknown => write!(f, "no message is called so"),
            Self::Certain(outcome) => write!(f, "it is {outcome} already"),
        }
    }
}

/// A message by its id, or by its Message-ID, with or without angle brackets.
pub fn parse_message(text: &str) -> Option<Uuid> {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    let id = text.split_once('@').map_or(text, |(id, _)| id);
    id.parse().ok()
}

/// Settles one, and writes down who did.
pub async fn settle(
    conn: &mut PgConnection,
    ids: &IdSource,
    message: Uuid,
    finding: Finding,
    reason: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Settled> {
    let mut tx = conn.begin().await?;
    let Some(before) = uncertain::outcome(&mut tx, message).await? else {
        return Ok(Settled::Unknown);
    };
    let why = if reason.is_empty() {
        format!("settled by {by}")
    } else {
        format!("settled by {by}: {reason}")
    };
    if uncertain::settle(&mut tx, &[message], finding.as_str(), &why, now).await? == 0 {
        return Ok(Settled::Certain(before));
    }
    let deed = Deed {
        id: ids.next(now),
        at: now,
        actor: by,
        verb: "uncertain settle",
        object: &message.to_string(),
        before: Some(json!({ "outcome": before })),
        after: Some(json!({ "outcome": finding.as_str(), "reason": reason })),
    };
    audit::record(&mut tx, deed).await?;
    tx.commit().await?;
    Ok(Settled::Done)
}

/// What this host itself saw of messages that a daemon left behind: a process that was killed after it had read an answer, and
/// before that was written to the database, has left it in the trail. Only those are looked up that were not looked up before.
/// Returns how many have their end now, or are to be tried again.
pub async fn consult_trail(deps: &Deps, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    let Some(folder) = deps.journal.folder() else {
        return Ok(0);
    };
    let found = uncertain::left_behind(conn, deps.journal.looked_since(), MOST).await?;
    let new = deps.journal.not_looked_up(&found);
    if new.is_empty() {
        return Ok(0);
    }
    let folder = folder.to_owned();
    let ends = tokio::task::spawn_blocking(move || trail::ends(&folder)).await??;
    let mut settled: BTreeMap<(Finding, String), Vec<Uuid>> = BTreeMap::new();
    let mut returned = Vec::new();
    for one in new {
        let Some(end) = ends.of(one.message_id) else {
            continue;
        };
        // What was accepted is so for good; any other word is about that attempt alone, and there may have been a later one.
        let finding = match end.word.as_str() {
            "accepted" => Finding::Accepted,
            _ if !end.is_of(one.crossing_at) => continue,
            "refused" => Finding::Refused,
            End::NOT_SENT => {
                returned.extend(one.crossing_at.map(|crossed| Returned {
                    message_id: one.message_id,
                    crossed,
                    at: end.until.unwrap_or(now).max(now),
                    reason: Reason::Deferred.as_str().to_owned(),
                    counts: end.until.is_some(),
                    // The trail does not keep it, so the cap of the number stays charged: too careful by one.
                    number: None,
                }));
                continue;
            }
            _ => continue,
        };
        let answer = end
            .answer
            .as_ref()
            .map_or(String::new(), |code| format!(" {code}"));
        let why = format!("answered{answer}{FROM_TRAIL}");
        settled.entry((finding, why)).or_default().push(one.message_id);
    }
    let mut certain = outcome::revive(conn, &returned, now).await?;
    for ((finding, why), ids) in settled {
        certain += uncertain::settle(conn, &ids, finding.as_str(), &why, now)
            .await?
            .unsigned_abs();
    }
    deps.journal.looked_up(&found);
    if certain > 0 {
        tracing::info!(
            messages = certain,
            "the trail of this host said what became of unknown messages"
        );
    }
    Ok(certain)
}

/// Tells of those that came since it was told last: in the log each time, and once a day as a task of nobody's, so that
/// somebody looks. Returns how many.
pub async fn watch(deps: &Deps, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<i64> {
    let told = control::mark(conn, MARK).await?;
    let new = uncertain::standing(conn, told).await?;
    let Some(latest) = new.latest else { return Ok(0) };
    let mut tx = conn.begin().await?;
    if !control::move_mark(&mut tx, MARK, told, latest).await? {
        // Another daemon tells of them.
        return Ok(0);
    }
    let day = local_date(now, deps.settings.company.timezone);
    let task = NewTask {
        id: deps.ids.next(now),
        kind: "alert".to_owned(),
        title: "Messages of which nobody knows whether they arrived".to_owned(),
        body: format!(
            "{} more since the last look. `kith uncertain list` shows them; ask the mail server, then `kith uncertain settle`.",
            new.n
        ),
        contact_id: None,
        lead_id: None,
        touch_id: None,
        owner_id: None,
        created_at: now,
        due_at: now + PATIENCE,
        dedup_key: Some(format!("uncertain:{day}")),
    };
    task::insert(&mut tx, &[task]).await?;
    tx.commit().await?;
    tracing::warn!(
        messages = new.n,
        "more messages of which nobody knows whether they arrived: `kith uncertain list`"
    );
    Ok(new.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_by_its_id_or_its_message_id() {
        let id = Uuid::from_u128(0x1234);
        for text in [
            id.to_string(),
            id.simple().to_string(),
            format!("<{}@example.com>", id.simple()),
        ] {
            assert_eq!(parse_message(&text), Some(id), "{text}");
        }
        assert_eq!(parse_message("ann@example.com"), None);
    }
}
