//! A text message that came in: stop, start and help are obeyed, everything else is a reply. And what the provider says
//! about one that went out.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::Deps;
use super::ingest::{self, Answer, Incoming};
use crate::domain::address_hash::AddressKey;
use crate::domain::event::{BounceClass, EventType};
use crate::domain::keyword::{Keyword, keyword};
use crate::domain::phone::PhoneNumber;
use crate::store::suppression::{self, NewSuppression};
use crate::store::{control, event, queue};

/// A text message that came in.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The provider's id of it.
    pub id: &'a str,
    /// Who wrote.
    pub from: &'a PhoneNumber,
    /// What he wrote.
    pub text: &'a str,
    /// What the provider itself took it for.
    pub keyword: Option<Keyword>,
}

/// What is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: the provider or a colleague answers.
    Nothing,
    /// Who we are and how to stop.
    Help,
}

/// Takes a text message in. When it returns, a stop is in force.
pub async fn take(deps: &Deps, text: &Text<'_>, now: DateTime<Utc>) -> Result<Reply> {
    let meant = text.keyword.or_else(|| keyword(text.text, text.from.region()));
    let (kind, people) = match meant {
        Some(Keyword::Help) => return Ok(Reply::Help),
        Some(Keyword::Stop) => (EventType::OptedOut, who_has(deps, text.from).await?),
        Some(Keyword::Start) => (EventType::OptedIn, who_has(deps, text.from).await?),
        None => (EventType::Replied, Vec::new()),
    };
    if kind == EventType::OptedOut && people.is_empty() {
        suppress_stranger(deps, text.from, now).await?;
    }
    let incoming = |name: String, id: String| Incoming {
        id,
        event_type: kind.as_str().to_owned(),
        at: Some(now),
        contact: Some(name),
        message: None,
        data: json!({ "channel": "sms", "text": text.text }),
        human: true,
    };
    // A number shared by several people stops for all of them; a reply from it waits until somebody says whose it is.
    let events = if people.is_empty() {
        vec![incoming(text.from.as_str().to_owned(), text.id.to_owned())]
    } else {
        people
            .iter()
            .map(|person| incoming(person.to_string(), format!("{}:{person}", text.id)))
            .collect()
    };
    for answer in ingest::accept(deps, text.provider, events, now).await? {
        if let Answer::Refused { reason } = answer {
            bail!("a text message was refused: {reason}");
        }
    }
    Ok(Reply::Nothing)
}

/// What the provider says about a text message that went out.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The provider's id of the message.
    pub id: &'a str,
    /// The message.
    pub message: Uuid,
    /// What became of it.
    pub fate: Fate,
    /// The provider's word or error code, for people.
    pub words: String,
}

/// What became of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider has it, which nobody may have known.
    Taken,
    /// It arrived.
    Delivered,
    /// It did not arrive.
    Bounced(BounceClass),
}

/// Takes a report in: a message of which nobody knew whether it was handed over is settled.
pub async fn report(deps: &Deps, report: &Report<'_>, now: DateTime<Utc>) -> Result<()> {
    let (kind, data) = match report.fate {
        Fate::Taken => {
            let mut conn = deps.pool.acquire().await?;
            event::settle_accepted(&mut conn, &[report.message], "the provider has it", now).await?;
            return Ok(());
        }
        Fate::Delivered => (EventType::Delivered, json!({ "channel": "sms" })),
        Fate::Bounced(class) => (
            EventType::Bounced,
            json!({ "channel": "sms", "class": class.as_str(), "text": report.words }),
        ),
    };
    let event = Incoming {
        id: format!("{}:{kind}", report.id),
        event_type: kind.as_str().to_owned(),
        at: Some(now),
        contact: None,
        message: Some(report.message),
        data,
        human: false,
    };
    ingest::accept(deps, report.provider, vec![event], now).await?;
    Ok(())
}

/// The message to a number that its provider answered with this id: for a provider whose reports do not give ours back.
pub async fn message_to(deps: &Deps, number: &PhoneNumber, id: &str) -> Result<Option<Uuid>> {
    let people = who_has(deps, number).await?;
    let mut conn = deps.pool.acquire().await?;
    Ok(event::message_answered(&mut conn, &people, id).await?)
}

async fn who_has(deps: &Deps, number: &PhoneNumber) -> Result<Vec<Uuid>> {
    let mut conn = deps.pool.acquire().await?;
    let found = event::contacts(&mut conn, &[number.as_str().to_owned()]).await?;
    let mut people: Vec<Uuid> = found.into_iter().map(|c| c.contact_id).collect();
    people.dedup();
    Ok(people)
}

/// A stop from a number that nobody known has (any more) holds for the number itself.
async fn suppress_stranger(deps: &Deps, number: &PhoneNumber, now: DateTime<Utc>) -> Result<()> {
    let mut conn = deps.pool.acquire().await?;
    let key = AddressKey::new(&control::read(&mut conn).await?.address_key);
    let hash = key.phone(number).as_bytes().to_vec();
    let row = NewSuppression {
        address_hash: hash.clone(),
        channel: "sms",
        purpose: "all",
        reason: "opted-out",
        event_id: None,
    };
    // Two transactions in this order, so that a crossing that began meanwhile sees the one or the other.
    suppression::insert(&mut conn, now, &[row]).await?;
    queue::revoke_addresses(&mut conn, &[hash], "sms", "opted-out", now).await?;
    Ok(())
}
