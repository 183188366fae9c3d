//! Explain: one person's story. How the person stands, what happened and why, and what comes next.

mod head;
mod vocabulary;
mod words;

use std::fmt;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::head::{Head, LeadHead};
use crate::config::Company;
use crate::domain::grading::GradingRules;
use crate::domain::zone::local;
use crate::store::{lead, story};

/// One person's story.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// How the person stands.
    pub head: Head,
    /// What happened, the oldest first.
    pub told: Vec<Told>,
    /// What is due, the soonest first.
    pub next: Vec<Told>,
    /// Zone of the local times: the person's, else the company's.
    pub zone: Tz,
    /// The instant it was told.
    pub now: DateTime<Utc>,
}

/// One sentence of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// When.
    pub at: DateTime<Utc>,
    /// What kind of thing: entered, left, decided, message, event, graded, purchase, task and so on.
    pub kind: &'static str,
    /// In plain English; times in it are local.
    pub text: String,
}

/// Tells the story of a person. Six statements, however long it is. An error when nobody has that id.
pub async fn story(conn: &mut PgConnection, contact: Uuid, now: DateTime<Utc>) -> Result<Story> {
    let rules = InForce::read(conn).await?;
    let standing = story::standing(conn, contact)
        .await?
        .context("nobody has that id")?;
    let leads = story::leads(conn, &standing.leads).await?;
    let evidence = lead::evidence(conn, &standing.leads).await?;
    let history = story::history(conn, contact, standing.account_id, &standing.leads).await?;
    let coming = story::coming(conn, contact).await?;
    let zone = standing
        .timezone
        .as_deref()
        .and_then(|name| name.parse().ok())
        .unwrap_or(rules.zone);
    let mut told = Vec::with_capacity(history.len() + 1);
    told.extend(words::recorded(contact, &standing.external_ids));
    told.extend(history.iter().map(|(at, fact)| words::told(*at, fact, zone)));
    told.sort_by_key(|t| t.at);
    let next = coming.iter().map(|one| words::coming(one, zone)).collect();
    Ok(Story {
        head: Head::of(standing, leads, evidence, &rules.grading, now),
        told,
        next,
        zone,
        now,
    })
}

/// The rules that a story is told by; the shipped ones before anything was applied.
struct InForce {
    grading: GradingRules,
    zone: Tz,
}

impl InForce {
    async fn read(conn: &mut PgConnection) -> Result<Self> {
        let (mut grading, mut zone) = (None, Tz::UTC);
        for (kind, body) in story::rules(conn).await? {
            if kind == "grading" {
                grading = Some(serde_json::from_value(body).context("the rules of grading in force")?);
            } else {
                let company: Company = serde_json::from_value(body).context("the company in force")?;
                zone = company.timezone;
            }
        }
        let grading = match grading {
            Some(grading) => grading,
            None => GradingRules::shipped()?,
        };
        Ok(Self { grading, zone })
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.head)?;
        writeln!(f, "What happened (times in {})", self.zone)?;
        if self.told.is_empty() {
            writeln!(f, "  nothing yet")?;
        }
        for one in &self.told {
            writeln!(f, "  {}  {}", minute(one.at, self.zone), one.text)?;
        }
        writeln!(f, "\nWhat comes next")?;
        if self.next.is_empty() {
            writeln!(f, "  nothing is planned")?;
        }
        for one in &self.next {
            writeln!(f, "  {}  {}", minute(one.at, self.zone), one.text)?;
        }
        Ok(())
    }
}

/// A local time to the minute.
fn minute(at: DateTime<Utc>, zone: Tz) -> String {
    local(at, zone).format("%Y-%m-%d %H:%M").to_string()
}
