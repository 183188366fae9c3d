//! Explain: one person's story. How the person stands, what happened and why, and what comes next.

mod chinese;
mod english;
mod head;

use std::fmt;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::head::{Head, LeadHead};
use crate::config::Company;
use crate::domain::assess::Assessment;
use crate::domain::grading::GradingRules;
use crate::domain::zone::local;
use crate::store::lead;
use crate::store::story::{self, Coming, Fact, LeadRow};

/// The longest quotation, in characters.
const QUOTED: usize = 160;

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
    /// In plain words; times in it are local.
    pub text: String,
}

/// The language of a story. Its head, where printed, is in English.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tongue {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Tongue {
    fn teller(self) -> &'static dyn Teller {
        match self {
            Self::English => &english::English,
            Self::Chinese => &chinese::Chinese,
        }
    }
}

/// What a language says of what is stored. Names, texts and codes of other systems stay as they are.
trait Teller: Sync {
    /// The beginning.
    fn recorded(&self, external_ids: &str) -> String;
    /// What happened, as one or more sentences.
    fn fact(&self, at: DateTime<Utc>, fact: &Fact, zone: Tz) -> String;
    /// What is due, as a sentence.
    fn coming(&self, one: &Coming, zone: Tz) -> String;
    /// Why a lead has its grade, and what the next one lacks.
    fn reason(&self, found: &Assessment) -> String;
    /// How a lead ended.
    fn ended(&self, lead: &LeadRow) -> Option<String>;
}

/// Tells the story of a person. Six statements, however long it is. An error when nobody has that id.
pub async fn story(
    conn: &mut PgConnection,
    contact: Uuid,
    tongue: Tongue,
    now: DateTime<Utc>,
) -> Result<Story> {
    let teller = tongue.teller();
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
    told.extend(made_at(contact).map(|at| Told {
        at,
        kind: "recorded",
        text: teller.recorded(&standing.external_ids),
    }));
    told.extend(history.iter().map(|(at, fact)| Told {
        at: *at,
        kind: fact.kind(),
        text: teller.fact(*at, fact, zone),
    }));
    told.sort_by_key(|t| t.at);
    let next = coming.iter().map(|one| Told {
        at: one.due_at.unwrap_or(one.next_at),
        kind: "next",
        text: teller.coming(one, zone),
    });
    let next = next.collect();
    Ok(Story {
        head: Head::of(standing, leads, evidence, &rules.grading, teller, now),
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

/// Ids bear the time they were made.
fn made_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

/// The occurrence that an entry key names. One that is the day of entry, or names nothing but the lead or event, tells
/// nobody anything.
fn occurrence(key: &str, at: DateTime<Utc>) -> Option<&str> {
    let told = key == "once" || Uuid::try_parse(key).is_ok() || key == at.date_naive().to_string();
    (!told).then_some(key)
}

/// A quotation with a space before it; nothing for nothing.
fn quoted(text: Option<&str>) -> String {
    text.filter(|text| !text.trim().is_empty())
        .map_or(String::new(), |text| format!(" \u{201c}{}\u{201d}", short(text)))
}

/// One line, not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= QUOTED {
        return line;
    }
    line.chars().take(QUOTED).chain(['\u{2026}']).collect()
}

/// A local time to the minute.
fn minute(at: DateTime<Utc>, zone: Tz) -> String {
    local(at, zone).format("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_one_short_line() {
        assert_eq!(short("a\n b\tc"), "a b c");
        assert_eq!(short(&"x".repeat(500)).chars().count(), QUOTED + 1);
    }
}
