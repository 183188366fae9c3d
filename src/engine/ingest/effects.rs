//! What events change: suppressions, permissions, evidence, enrollments, customers. Set-based, by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::Result;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Known;
use crate::domain::event::{BounceClass, Event, EventType, Intent};
use crate::domain::evidence::Evidence;
use crate::domain::grading::EventFacts;
use crate::engine::{Deps, enroll, stop};
use crate::store::audience::Member;
use crate::store::enrollment::{End, Live};
use crate::store::suppression::{NewConsent, NewSuppression, Reached};
use crate::store::task::NewTask;
use crate::store::{
    contact, enrollment, event, grievance, lead, purchase, queue, standing, suppression, task,
};

/// Addresses whose live work has to be taken away once their suppression is committed.
#[derive(Debug, Default)]
pub struct Revoked {
    email: Vec<Vec<u8>>,
    sms: Vec<Vec<u8>>,
}

impl Revoked {
    fn push(&mut self, channel: &str, hash: Vec<u8>) {
        if channel == "email" {
            &mut self.email
        } else {
            &mut self.sms
        }
        .push(hash);
    }
}

/// Writes everything a batch of events changes.
pub async fn apply(
    deps: &Deps,
    conn: &mut PgConnection,
    known: &[Known],
    now: DateTime<Utc>,
) -> Result<Revoked> {
    if known.is_empty() {
        return Ok(Revoked::default());
    }
    settle(conn, known, now).await?;
    let revoked = suppress(deps, conn, known, now).await?;
    humans(deps, conn, known, now).await?;
    purchases(deps, conn, known, now).await?;
    grievances(deps, conn, known, now).await?;
    evidence(deps, conn, known, now).await?;
    stops(deps, conn, known, now).await?;
    entries(deps, conn, known, now).await?;
    Ok(revoked)
}

/// The second transaction of an opt-out: the live rows of the addresses go.
pub async fn revoke(deps: &Deps, revoked: &Revoked, now: DateTime<Utc>) -> Result<()> {
    if revoked.email.is_empty() && revoked.sms.is_empty() {
        return Ok(());
    }
    let mut conn = deps.pool.acquire().await?;
    queue::revoke_addresses(&mut conn, &revoked.email, "email", "opted-out", now).await?;
    queue::revoke_addresses(&mut conn, &revoked.sms, "sms", "opted-out", now).await?;
    Ok(())
}

/// Signs of life settle messages of which nobody knew whether they arrived.
async fn settle(conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let alive: Vec<Uuid> = known
        .iter()
        .filter(|k| {
            matches!(
                k.event.event_type,
                EventType::Delivered
                    // What came back had been handed over.
                    | EventType::Bounced
                    | EventType::Opened
                    | EventType::Clicked
                    | EventType::Replied
                    | EventType::AutoReplied
                    | EventType::OptedOut
                    | EventType::SpamReport
            )
        })
        .filter_map(|k| k.event.message_id)
        .collect();
    event::settle_accepted(conn, &alive, "settled by what came back", now).await?;
    Ok(())
}

async fn suppress(
    deps: &Deps,
    conn: &mut PgConnection,
    known: &[Known],
    now: DateTime<Utc>,
) -> Result<Revoked> {
    let said: Vec<&Known> = known
        .iter()
        .filter(|k| {
            matches!(
                k.event.event_type,
                EventType::OptedOut | EventType::OptedIn | EventType::SpamReport | EventType::Bounced
            ) || k.event.intent() == Some(Intent::OptOut)
        })
        .collect();
    let mut revoked = Revoked::default();
    if said.is_empty() {
        return Ok(revoked);
    }
    let mut consents = Vec::new();
    for one in &said {
        let Some((granted, basis)) = meaning(&one.event).filter(|(_, basis)| *basis != "address-bad") else {
            continue;
        };
        consents.extend(channels_of(one).into_iter().map(|channel| NewConsent {
            id: deps.ids.next(now),
            contact_id: one.contact_id,
            at: one.event.occurred_at,
            channel,
            granted,
            basis,
            source: one.event.source.clone(),
        }));
    }
    suppression::consents(conn, &consents).await?;
    // The newest word of a person counts, whatever order the words came in.
    let people: Vec<Uuid> = said.iter().map(|k| k.contact_id).collect();
    let reached: BTreeMap<Uuid, Reached> = suppression::reached(conn, &people)
        .await?
        .into_iter()
        .map(|r| (r.id, r))
        .collect();
    let (mut rows, mut lifted) = (Vec::new(), Revoked::default());
    for one in said {
        let (Some(person), Some((_, reason))) = (reached.get(&one.contact_id), meaning(&one.event)) else {
            continue;
        };
        for channel in channels_of(one) {
            let (hash, consent) = match channel {
                "email" => (&person.email_hash, person.consent_email),
                _ => (&person.phone_hash, person.consent_sms),
            };
            let Some(hash) = hash.clone() else { continue };
            if consent == Some(true) && matches!(reason, "asked" | "opted-out") {
                lifted.push(channel, hash);
                continue;
            }
            if reason == "asked" {
                continue;
            }
            let event_id = Some(one.event.id);
            rows.push(NewSuppression {
                address_hash: hash.clone(),
                channel,
                purpose: "all",
                reason,
                event_id,
            });
            revoked.push(channel, hash);
        }
    }
    suppression::lift_opt_out(conn, &lifted.email, "email").await?;
    suppression::lift_opt_out(conn, &lifted.sms, "sms").await?;
    suppression::insert(conn, now, &rows).await?;
    Ok(revoked)
}

/// What an event says about an address: whether it may be written to, and the word for why. `None` = nothing.
fn meaning(event: &Event) -> Option<(bool, &'static str)> {
    match event.event_type {
        EventType::OptedIn => Some((true, "asked")),
        EventType::SpamReport => Some((false, "spam-report")),
        EventType::Bounced => {
            (event.bounce_class() == Some(BounceClass::Hard)).then_some((false, "address-bad"))
        }
        _ => Some((false, "opted-out")),
    }
}

/// The channels an opt-out or the like is about: as it says, else that of its message, else mail.
fn channels_of(one: &Known) -> Vec<&'static str> {
    let stated = one.event.data.get("channel").and_then(Value::as_str);
    match stated.or(one.message.as_ref().map(|m| m.channel.as_str())) {
        Some("all") => vec!["email", "sms"],
        Some("sms") => vec!["sms"],
        _ => vec!["email"],
    }
}

/// A colleague spoke with people: the next touches wait.
async fn humans(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let spoke: Vec<&Known> = known
        .iter()
        .filter(|k| k.event.event_type.is_human_contact())
        .collect();
    if spoke.is_empty() {
        return Ok(());
    }
    let contacts: Vec<Uuid> = spoke.iter().map(|k| k.contact_id).collect();
    let at: Vec<DateTime<Utc>> = spoke.iter().map(|k| k.event.occurred_at).collect();
    contact::spoken_with(conn, &contacts, &at).await?;
    let rules = deps.rules();
    let (mut ids, mut until) = (Vec::new(), Vec::new());
    for live in enrollment::live_of(conn, &contacts, &[]).await? {
        let Some(cadence) = rules.cadence(live.cadence_version_id) else {
            continue;
        };
        let last = spoke
            .iter()
            .filter(|k| k.contact_id == live.contact_id)
            .map(|k| k.event.occurred_at)
            .max();
        let deferred = last.map(|at| {
            cadence
                .exit
                .human_contact_defers
                .after(at, deps.company_zone(), None)
        });
        if let Some(at) = deferred.filter(|at| *at > now) {
            ids.push(live.id);
            until.push(at);
        }
    }
    enrollment::defer(conn, &ids, &until).await?;
    Ok(())
}

/// The amount a purchase event states, as number or text.
pub fn amount_of(data: &Value) -> Option<Decimal> {
    match data.get("amount")? {
        Value::String(text) => Decimal::from_str(text).ok(),
        Value::Number(number) => Decimal::from_str(&number.to_string()).ok(),
        _ => None,
    }
}

async fn purchases(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let bought: Vec<purchase::NewPurchase> = known
        .iter()
        .filter(|k| k.event.event_type == EventType::Purchase)
        .filter_map(|k| {
            let text = |key: &str| {
                k.event
                    .data
                    .get(key)
                    .and_then(Value::as_str)
                    .map(ToOwned::to_owned)
            };
            Some(purchase::NewPurchase {
                id: deps.ids.next(now),
                source: k.event.source.clone(),
                external_id: k.event.id.to_string(),
                account_id: k.account_id,
                contact_id: Some(k.contact_id),
                at: k.event.occurred_at,
                amount: amount_of(&k.event.data)?,
                currency: text("currency").unwrap_or_else(|| deps.settings.company.currency.clone()),
                product: text("product"),
            })
        })
        .collect();
    if bought.is_empty() {
        return Ok(());
    }
    purchase::insert(conn, &bought).await?;
    let accounts: Vec<Uuid> = bought.iter().map(|p| p.account_id).collect();
    let at: Vec<DateTime<Utc>> = bought.iter().map(|p| p.at).collect();
    standing::bought(conn, &accounts, &at).await?;
    Ok(())
}

/// A complaint opens a service task and holds marketing until it is closed.
async fn grievances(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let mut tasks = Vec::new();
    for one in known
        .iter()
        .filter(|k| k.event.intent() == Some(Intent::Grievance))
    {
        let text = one.event.data.get("text").and_then(Value::as_str);
        grievance::open(
            conn,
            deps.ids.next(now),
            one.account_id,
            one.contact_id,
            one.event.id,
            text,
            now,
        )
        .await?;
        tasks.push(NewTask {
            id: deps.ids.next(now),
            kind: "service".to_owned(),
            title: "A complaint: answer today".to_owned(),
            body: text.unwrap_or_default().to_owned(),
            contact_id: Some(one.contact_id),
            lead_id: one.event.lead_id,
            touch_id: None,
            owner_id: None,
            created_at: now,
            due_at: now + chrono::TimeDelta::days(1),
            dedup_key: Some(format!("grievance:{}", one.event.id)),
        });
    }
    task::insert(conn, &tasks).await?;
    Ok(())
}

/// What the events say about leads: about the one of the message, else about every open lead of the person.
async fn evidence(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let rules = deps.rules();
    let people: Vec<Uuid> = known.iter().map(|k| k.contact_id).collect();
    let open = lead::open_of(conn, &people).await?;
    let (mut rows, mut touched) = (Vec::new(), BTreeSet::new());
    for one in known {
        let kinds = rules.grading.evidence_for(&EventFacts::from(&one.event));
        if kinds.is_empty() {
            continue;
        }
        let pieces = Evidence::of_event(one.event.id, one.event.occurred_at, kinds);
        let about = open
            .iter()
            .filter(|l| l.contact_id == one.contact_id && one.event.lead_id.is_none_or(|id| id == l.lead_id));
        for lead in about {
            touched.insert(lead.lead_id);
            rows.extend(pieces.iter().map(|piece| (lead.lead_id, piece.clone())));
        }
    }
    lead::add_evidence(conn, &rows).await?;
    lead::look_again(conn, &touched.into_iter().collect::<Vec<_>>(), now).await?;
    Ok(())
}

/// Replies stop cadences for all contacts of the lead; opt-outs and spam reports stop the person's.
async fn stops(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let rules = deps.rules();
    let answered: Vec<&Known> = known
        .iter()
        .filter(|k| {
            k.event.human
                && matches!(
                    k.event.event_type,
                    EventType::Replied | EventType::OptedOut | EventType::SpamReport | EventType::Meeting
                )
        })
        .collect();
    if answered.is_empty() {
        return Ok(());
    }
    let contacts: Vec<Uuid> = answered.iter().map(|k| k.contact_id).collect();
    let leads: Vec<Uuid> = lead::open_of(conn, &contacts)
        .await?
        .into_iter()
        .map(|l| l.lead_id)
        .collect();
    let live = enrollment::live_of(conn, &contacts, &leads).await?;
    let ends: Vec<End> = live
        .iter()
        .filter_map(|live| {
            let own = answered.iter().find(|k| k.contact_id == live.contact_id);
            let reason = match own.map(|k| k.event.event_type) {
                Some(EventType::OptedOut) => Some("opted-out"),
                Some(EventType::SpamReport) => Some("spam-report"),
                _ => None,
            };
            let replied = answered
                .iter()
                .any(|k| matches!(k.event.event_type, EventType::Replied | EventType::Meeting));
            let stops = rules
                .cadence(live.cadence_version_id)
                .is_none_or(|c| c.exit.on_reply);
            let reason =
                reason.or((replied && stops && concerns(live, &answered, &leads)).then_some("replied"))?;
            Some(End {
                id: live.id,
                state: "stopped",
                reason: reason.to_owned(),
            })
        })
        .collect();
    stop::end(conn, &ends, now).await
}

/// A reply ends the person's own enrollments, and those of colleagues only for the lead they share.
fn concerns(live: &Live, answered: &[&Known], leads: &[Uuid]) -> bool {
    answered.iter().any(|k| k.contact_id == live.contact_id)
        || live.lead_id.is_some_and(|l| leads.contains(&l))
}

/// Cadences that start on an event.
async fn entries(deps: &Deps, conn: &mut PgConnection, known: &[Known], now: DateTime<Utc>) -> Result<()> {
    let mut by_kind: BTreeMap<EventType, Vec<(Member, Uuid)>> = BTreeMap::new();
    for one in known.iter().filter(|k| k.event.human) {
        let member = Member {
            contact_id: one.contact_id,
            lead_id: one.event.lead_id,
            account_id: one.account_id,
        };
        by_kind
            .entry(one.event.event_type)
            .or_default()
            .push((member, one.event.id));
    }
    for (kind, who) in by_kind {
        enroll::by_event(deps, conn, kind, &who, now).await?;
    }
    Ok(())
}
