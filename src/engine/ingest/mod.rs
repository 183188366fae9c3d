//! Ingest: what came in is kept once, and everything it changes follows from it.

mod effects;

use std::collections::HashMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::import::form::{self, Form, Taken};
use super::import::{ImportDeps, Kind, Refusal};
use super::{Deps, Summary};
use crate::domain::address_hash::AddressKey;
use crate::domain::birthday::BirthdayRules;
use crate::domain::event::{Event, EventType};
use crate::domain::span::Span;
use crate::store::event::{self, MessageRef, NewEvent};
use crate::store::queue::ClaimedTouch;
use crate::store::{control, staging};

/// How many events one call may bring.
pub const MOST: usize = 1000;

/// An event as it comes in, with what its sender calls things.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// The sender's id of it: the same one is taken in once.
    pub id: String,
    /// One of the event words.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened; when it came in, where absent.
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
    /// External id, mail address or phone of the person.
    #[serde(default)]
    pub contact: Option<String>,
    /// Message id.
    #[serde(default)]
    pub message: Option<Uuid>,
    /// The rest: intent, text, tag, class, amount..
    #[serde(default)]
    pub data: Value,
    /// False when a machine did it.
    #[serde(default = "yes")]
    pub human: bool,
}

fn yes() -> bool {
    true
}

/// What became of an incoming event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Answer {
    /// Kept, and its effects are written.
    Accepted,
    /// Was here before.
    Duplicate,
    /// Kept aside: it names a message or person that is not known (yet).
    Parked,
    /// Cannot be taken.
    Refused {
        /// Why.
        reason: String,
    },
}

/// An incoming event that is good and whose people are known.
#[derive(Debug, Clone)]
struct Known {
    event: Event,
    account_id: Uuid,
    contact_id: Uuid,
    message: Option<MessageRef>,
}

/// Takes a batch in. The answers stand in the order of the events.
///
/// The keys, the events and their effects commit together, so an event is either taken in whole or may be sent again.
pub async fn accept(
    deps: &Deps,
    source: &str,
    incoming: Vec<Incoming>,
    now: DateTime<Utc>,
) -> Result<Vec<Answer>> {
    let mut answers: Vec<Answer> = vec![Answer::Accepted; incoming.len()];
    let mut good: Vec<(usize, Incoming, EventType, Uuid)> = Vec::new();
    let mut forms = Vec::new();
    let ahead = deps.settings.events.ahead;
    for (at, one) in incoming.into_iter().enumerate() {
        let id = deps.ids.next(now);
        match check(&one, ahead, now).and_then(|kind| Ok((kind, form_of(&one, kind, id, now)?))) {
            Ok((kind, form)) => {
                forms.extend(form);
                good.push((at, one, kind, id));
            }
            Err(reason) => answers[at] = Answer::Refused { reason },
        }
    }
    let mut tx = deps.pool.begin().await?;
    if !forms.is_empty() {
        // Before the keys, so that two requests wait for each other in one order.
        staging::prepare_transaction(&mut tx, source, Kind::Contacts.as_str()).await?;
    }
    let people = resolve(&mut tx, &good).await?;
    let keys: Vec<(Vec<u8>, Uuid)> = good
        .iter()
        .map(|(_, one, _, id)| (key_of(&one.id), *id))
        .collect();
    let new = event::claim_keys(&mut tx, source, &keys, now).await?;
    forms.retain(|form| new.contains(&form.event_id()));
    let taken = if forms.is_empty() {
        HashMap::new()
    } else {
        let import = import_deps(deps, &mut tx).await?;
        form::take(&mut tx, &import, source, forms, now).await?
    };
    let mut released = Vec::new();
    let mut known = Vec::new();
    for (at, one, kind, id) in good {
        if !new.contains(&id) {
            answers[at] = Answer::Duplicate;
            continue;
        }
        let found = match taken.get(&id) {
            Some(Taken::Known {
                contact_id,
                account_id,
            }) => people.formed(&one, *contact_id, *account_id),
            Some(Taken::Several) => Found::Nobody(event::SEVERAL),
            Some(Taken::Refused(refusal)) => {
                let reason = in_data(refusal);
                answers[at] = Answer::Refused { reason };
                released.push(key_of(&one.id));
                continue;
            }
            None => people.of(&one),
        };
        match found {
            Found::One {
                contact_id,
                account_id,
                message,
            } => known.push(Known {
                event: Event {
                    id,
                    event_type: kind,
                    occurred_at: one.at.unwrap_or(now),
                    received_at: now,
                    contact_id: Some(contact_id),
                    lead_id: message.as_ref().and_then(|m| m.lead_id),
                    message_id: one.message,
                    human: one.human,
                    source: source.to_owned(),
                    data: if one.data.is_null() { json!({}) } else { one.data },
                },
                account_id,
                contact_id,
                message,
            }),
            Found::Nobody(reason) => {
                let payload = serde_json::to_value(&one)?;
                event::park(&mut tx, id, now, source, one.message, &payload, reason).await?;
                answers[at] = Answer::Parked;
            }
        }
    }
    event::release_keys(&mut tx, source, &released).await?;
    // By time, then id: the order every fold uses.
    known.sort_by_key(|k| (k.event.occurred_at, k.event.id));
    let rows: Vec<NewEvent> = known.iter().map(row_of).collect();
    event::insert(&mut tx, &rows).await?;
    let revoked = effects::apply(deps, &mut tx, &known, now).await?;
    tx.commit().await?;
    // The second transaction of an opt-out, before the answer.
    effects::revoke(deps, &revoked, now).await?;
    for kind in known.iter().map(|k| k.event.event_type) {
        metrics::counter!("kith_events_total", "type" => kind.as_str()).increment(1);
    }
    Ok(answers)
}

/// Takes parked events in whose message or person is known by now. Each leaves the park only after it was taken in: a crash
/// in between makes it come again, as a duplicate.
pub async fn unpark(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let parked = {
        let mut conn = deps.pool.acquire().await?;
        event::known_by_now(&mut conn, MOST as i64).await?
    };
    let mut by_source: HashMap<String, (Vec<Uuid>, Vec<Incoming>)> = HashMap::new();
    for (id, source, payload) in parked {
        let mut one: Incoming = serde_json::from_value(payload)?;
        // Its own key is taken already; this one says that it came back from the park.
        one.id = format!("parked:{id}");
        let (ids, events) = by_source.entry(source).or_default();
        ids.push(id);
        events.push(one);
    }
    let mut done = 0;
    for (source, (ids, events)) in by_source {
        // What has to be parked again is parked under a new id.
        accept(deps, &source, events, now).await?;
        let mut conn = deps.pool.acquire().await?;
        event::forget_parked(&mut conn, &ids).await?;
        done += ids.len() as u64;
    }
    Ok(Summary { done, more: false })
}

/// How many parked events are given up in one go.
const GIVE_UP: i64 = 1000;

/// Gives parked events up that have waited for longer than `events.parked_for`.
pub async fn give_up_parked(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let before = now - deps.settings.events.parked_for.length();
    let mut conn = deps.pool.acquire().await?;
    let done = event::forget_parked_before(&mut conn, before, GIVE_UP).await?;
    if done > 0 {
        tracing::warn!(
            events = done,
            "parked events were given up: nobody known was meant"
        );
    }
    Ok(Summary { done, more: false })
}

/// A refusal met while sending, as the event it is.
pub async fn bounced(
    deps: &Deps,
    touch: &ClaimedTouch,
    class: &str,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let one = Incoming {
        id: format!("smtp:{}:{}", touch.message_id, touch.tries),
        event_type: EventType::Bounced.as_str().to_owned(),
        at: Some(now),
        contact: None,
        message: Some(touch.message_id),
        data: json!({ "class": class, "text": why }),
        human: false,
    };
    accept(deps, "kith", vec![one], now).await?;
    Ok(())
}

/// What a form says about its person, where it does.
fn form_of(one: &Incoming, kind: EventType, id: Uuid, now: DateTime<Utc>) -> Result<Option<Form>, String> {
    if kind != EventType::Form {
        return Ok(None);
    }
    let at = one.at.unwrap_or(now);
    let form = Form::read(id, at, one.contact.as_deref(), &one.data).map_err(|refusal| in_data(&refusal))?;
    if form.is_none() && one.contact.is_none() && one.message.is_none() {
        return Err(NAMES_NOBODY.to_owned());
    }
    Ok(form)
}

fn in_data(refusal: &Refusal) -> String {
    if refusal.field.is_empty() {
        refusal.reason.clone()
    } else {
        format!("data.{}: {}", refusal.field, refusal.reason)
    }
}

async fn import_deps(deps: &Deps, conn: &mut sqlx::PgConnection) -> Result<ImportDeps> {
    let company = &deps.settings.company;
    Ok(ImportDeps {
        pool: deps.pool.clone(),
        ids: deps.ids.clone(),
        zone: company.timezone,
        region: company.region.clone(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(&control::read(conn).await?.address_key),
    })
}

const NAMES_NOBODY: &str = "contact: an event names a contact or a message";

fn check(one: &Incoming, ahead: Span, now: DateTime<Utc>) -> Result<EventType, String> {
    if one.id.is_empty() || one.id.len() > 200 {
        return Err("id: between 1 and 200 characters".to_owned());
    }
    let kind: EventType = one.event_type.parse().map_err(|e| format!("type: {e}"))?;
    // A form may name its person by its own fields.
    if one.contact.is_none() && one.message.is_none() && kind != EventType::Form {
        return Err(NAMES_NOBODY.to_owned());
    }
    if !(one.data.is_null() || one.data.is_object()) {
        return Err("data: an object".to_owned());
    }
    if one.at.is_some_and(|at| at > now + ahead.length()) {
        return Err(format!("at: lies more than {ahead} in the future"));
    }
    if kind == EventType::Purchase && effects::amount_of(&one.data).is_none() {
        return Err("data.amount: a purchase states its amount".to_owned());
    }
    Ok(kind)
}

fn key_of(id: &str) -> Vec<u8> {
    digest(&SHA256, id.as_bytes()).as_ref()[..16].to_vec()
}

/// What the names of a batch stand for.
struct People {
    messages: HashMap<Uuid, MessageRef>,
    contacts: HashMap<String, Vec<(Uuid, Uuid)>>,
}

enum Found {
    One {
        contact_id: Uuid,
        account_id: Uuid,
        message: Option<MessageRef>,
    },
    Nobody(&'static str),
}

async fn resolve(
    conn: &mut sqlx::PgConnection,
    good: &[(usize, Incoming, EventType, Uuid)],
) -> Result<People> {
    let ids: Vec<Uuid> = good.iter().filter_map(|g| g.1.message).collect();
    let mut names: Vec<String> = good
        .iter()
        .filter_map(|g| g.1.contact.as_deref())
        .map(spelled)
        .collect();
    names.sort();
    names.dedup();
    let messages = event::messages(conn, &ids)
        .await?
        .into_iter()
        .map(|m| (m.message_id, m))
        .collect();
    let mut contacts: HashMap<String, Vec<(Uuid, Uuid)>> = HashMap::new();
    for found in event::contacts(conn, &names).await? {
        let list = contacts.entry(found.asked).or_default();
        if !list.iter().any(|(id, _)| *id == found.contact_id) {
            list.push((found.contact_id, found.account_id));
        }
    }
    Ok(People { messages, contacts })
}

/// Mail addresses are compared in lower case.
fn spelled(name: &str) -> String {
    if name.contains('@') {
        name.trim().to_lowercase()
    } else {
        name.trim().to_owned()
    }
}

impl People {
    /// The person of a form, whoever else it names; the message counts as what it answers.
    fn formed(&self, one: &Incoming, contact_id: Uuid, account_id: Uuid) -> Found {
        Found::One {
            contact_id,
            account_id,
            message: one.message.and_then(|id| self.messages.get(&id).cloned()),
        }
    }

    fn of(&self, one: &Incoming) -> Found {
        let message = match one.message {
            Some(id) => match self.messages.get(&id) {
                Some(message) => Some(message.clone()),
                None => return Found::Nobody("unknown message"),
            },
            None => None,
        };
        if let Some(name) = &one.contact {
            return match self.contacts.get(&spelled(name)).map(Vec::as_slice) {
                Some([(contact_id, account_id)]) => Found::One {
                    contact_id: *contact_id,
                    account_id: *account_id,
                    message,
                },
                Some([_, _, ..]) => Found::Nobody(event::SEVERAL),
                _ => Found::Nobody("unknown contact"),
            };
        }
        match message {
            Some(m) => Found::One {
                contact_id: m.contact_id,
                account_id: m.account_id,
                message: Some(m),
            },
            None => Found::Nobody("unknown contact"),
        }
    }
}

fn row_of(known: &Known) -> NewEvent {
    let event = &known.event;
    NewEvent {
        id: event.id,
        occurred_at: event.occurred_at,
        received_at: event.received_at,
        r#type: event.event_type.as_str().to_owned(),
        contact_id: Some(known.contact_id),
        account_id: Some(known.account_id),
        lead_id: event.lead_id,
        message_id: event.message_id,
        touch_id: known.message.as_ref().and_then(|m| m.touch_id),
        human: event.human,
        source: event.source.clone(),
        data: event.data.clone(),
    }
}
