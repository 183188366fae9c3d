//! Tasks: done, put off, handed over; one way for the command line, the page and the buttons in a digest mail.

use std::fmt;

use anyhow::Result;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use crate::store::{contact, grievance, task};

/// What is to be done with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It is done.
    Done {
        /// What came of it.
        outcome: String,
    },
    /// It is put off.
    Snooze {
        /// Until then it is not listed.
        until: DateTime<Utc>,
    },
    /// A colleague takes it.
    HandOver {
        /// External id or mail address of the colleague.
        to: String,
    },
    /// The person of the task hears from the owner alone.
    LeaveToMe {
        /// Until that day.
        until: NaiveDate,
    },
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { outcome } => write!(f, "done ({outcome})"),
            Self::Snooze { until } => write!(f, "put off until {}", until.format("%Y-%m-%d %H:%M UTC")),
            Self::HandOver { to } => write!(f, "handed over to {to}"),
            Self::LeaveToMe { until } => write!(f, "left to the owner until {until}"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// Done; the task's title.
    Done(String),
    /// No task is called so, or several are; or it is about nobody who could be left to the owner.
    Unknown,
    /// It is closed already.
    Closed,
    /// Nobody is called so.
    NoSuchOwner,
}

/// Acts on a task, named by its id or the beginning of it. Finishing a service task closes the complaint behind it.
/// The caller commits.
pub async fn act(
    conn: &mut PgConnection,
    id: &str,
    act: &Act,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Acted> {
    // An id has no other characters; `%` and `_` would mean something to the search.
    if id.len() < 4 || !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Ok(Acted::Unknown);
    }
    let Some(found) = task::find(conn, &id.to_lowercase()).await? else {
        return Ok(Acted::Unknown);
    };
    if !matches!(found.state.as_str(), "open" | "snoozed") {
        return Ok(Acted::Closed);
    }
    let acted = match act {
        Act::Done { outcome } => task::done(conn, found.id, outcome, by, now).await?,
        Act::Snooze { until } => task::snooze(conn, found.id, *until).await?,
        Act::HandOver { to } => {
            if !task::hand_over(conn, found.id, to).await? {
                return Ok(Acted::NoSuchOwner);
            }
            true
        }
        Act::LeaveToMe { until } => {
            let Some(person) = found.contact_id else {
                return Ok(Acted::Unknown);
            };
            contact::leave_until(conn, person, Some(*until)).await?;
            true
        }
    };
    if !acted {
        return Ok(Acted::Closed);
    }
    if matches!(act, Act::Done { .. }) && found.kind == "service" {
        grievance::close_of_task(conn, found.id, by, now).await?;
    }
    Ok(Acted::Done(found.title))
}
