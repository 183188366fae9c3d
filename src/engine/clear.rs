//! Clear: puts a claimed batch through the gate and writes down what it said.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Days, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Deps;
use crate::config::sms::SmsLimits;
use crate::domain::address_hash::AddressKey;
use crate::domain::cadence::{ChannelKind, Class};
use crate::domain::gate::{self, Carrier, Charge, Clearance, Facts, Reason, Verdict};
use crate::domain::gate_rules::Opening;
use crate::domain::phone::PhoneNumber;
use crate::domain::zone::{day_start, local_date};
use crate::engine::rules::Rules;
use crate::store::crossing;
use crate::store::decision::{self, NewDecision};
use crate::store::facts::{self, Colleague, GateRow};
use crate::store::queue::{self, ClaimedTouch, Held};
use crate::store::sender_state::{self, Paused};

/// A touch that passed the gate, with the proof and what it charges.
#[derive(Debug)]
pub struct Cleared {
    /// The touch.
    pub touch: ClaimedTouch,
    /// The proof.
    pub clearance: Clearance,
    /// Caps to be charged at the crossing.
    pub charges: Vec<Charge>,
    /// Where it goes. The queue has the hash of just this one, whatever becomes of the person meanwhile.
    pub address: Option<String>,
}

/// A key of a pace row.
type PaceKey = (String, String);

/// Judges the touches of one claim in a fixed order: class, priority of the cadence, decision makers first, due time. Holds, skips
/// and changed verdicts are written in one transaction; what is returned may go. Its commit waits for the disk, and with it the
/// claim before it, which did not.
pub async fn clear(deps: &Deps, claimed: Vec<ClaimedTouch>, now: DateTime<Utc>) -> Result<Vec<Cleared>> {
    let Some(owner) = claimed.first().map(ClaimedTouch::owner) else {
        return Ok(Vec::new());
    };
    let rules = deps.rules();
    let ids: Vec<Uuid> = claimed.iter().map(ClaimedTouch::id).collect();
    let mut tx = deps.pool.begin().await?;
    let known: HashMap<Uuid, GateRow> = facts::for_gate(&mut tx, &ids)
        .await?
        .into_iter()
        .map(|row| (row.touch_id, row))
        .collect();
    let control = crate::store::control::read(&mut tx).await?;
    let numbers = numbers(deps, &claimed, &known, &control.address_key);
    let mut desk = Desk::open(&mut tx, &claimed, &known, numbers, now).await?;
    desk.brake = control.brake;
    desk.paused = sender_state::paused(&mut tx, now).await?;

    let mut ordered = claimed;
    ordered.sort_by_cached_key(|touch| {
        let priority = rules
            .cadence(touch.cadence_version_id)
            .map_or(i16::MAX, |c| c.priority);
        let decides = known.get(&touch.id()).is_some_and(|row| row.decision_maker);
        (
            touch.class,
            priority,
            !decides,
            touch.due_at,
            touch.contact_id,
            touch.cadence.clone(),
            touch.step_key.clone(),
        )
    });
    let (mut cleared, mut held, mut skipped, mut decisions) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut moved: Vec<(Uuid, Option<&[u8]>)> = Vec::new();
    for touch in ordered {
        let verdict = match known.get(&touch.id()) {
            Some(row) => desk.judge(deps, &rules, &touch, row, now),
            // Gone from the queue since the claim: nothing to decide any more.
            None => continue,
        };
        let (word, reason, until) = match &verdict {
            Verdict::Clear(..) => ("clear", "clear", None),
            Verdict::Hold(reason, until) => ("hold", reason.as_str(), Some(*until)),
            Verdict::Skip(reason) => ("skip", reason.as_str(), None),
        };
        let held_for = touch.held.as_deref();
        let changed = match &verdict {
            Verdict::Hold(..) => held_for != Some(reason),
            Verdict::Clear(..) => !held_for.is_some_and(Reason::is_past_the_gate),
            Verdict::Skip(..) => true,
        };
        if changed {
            decisions.push(NewDecision {
                id: deps.ids.next(now),
                touch_id: touch.id(),
                contact_id: touch.contact_id,
                verdict: word,
                reason: reason.to_owned(),
                until,
            });
        }
        match verdict {
            Verdict::Clear(clearance, charges) => {
                let row = known.get(&touch.id());
                if let Some(row) = row.filter(|row| row.moved) {
                    moved.push((touch.id(), row.address_hash.as_deref()));
                }
                cleared.push(Cleared {
                    touch,
                    clearance,
                    charges,
                    address: row.and_then(|row| row.address.clone()),
                });
            }
            Verdict::Hold(reason, until) => {
                held.push(Held {
                    touch_id: touch.id(),
                    until,
                    reason: reason.as_str().to_owned(),
                });
            }
            Verdict::Skip(reason) => skipped.push((touch.id(), reason.as_str().to_owned())),
        }
    }
    queue::readdress(&mut tx, owner, &moved).await?;
    queue::hold(&mut tx, owner, &held).await?;
    queue::skip(&mut tx, owner, now, &skipped).await?;
    decision::append(&mut tx, now, &decisions).await?;
    tx.commit().await?;
    Ok(cleared)
}

/// What has been sent and granted so far, for one batch.
struct Desk {
    rings: HashMap<PaceKey, Vec<DateTime<Utc>>>,
    colleagues: BTreeMap<Uuid, Vec<Colleague>>,
    paused: BTreeMap<String, Paused>,
    /// Sender and number of touches whose sender limits how often it reaches one.
    numbers: HashMap<Uuid, String>,
    brake: bool,
}

impl Desk {
    async fn open(
        conn: &mut PgConnection,
        claimed: &[ClaimedTouch],
        known: &HashMap<Uuid, GateRow>,
        numbers: HashMap<Uuid, String>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut keys: Vec<PaceKey> = claimed
            .iter()
            .flat_map(|t| {
                [
                    ("contact".to_owned(), t.contact_id.to_string()),
                    ("account".to_owned(), t.account_id.to_string()),
                ]
            })
            .collect();
        keys.extend(numbers.values().map(|key| (gate::NUMBER.to_owned(), key.clone())));
        keys.sort();
        keys.dedup();
        let rings = crossing::rings(conn, &keys).await?;
        let mut shared: Vec<Uuid> = claimed
            .iter()
            .filter(|t| t.class == Class::Marketing.number() && is_shared(known.get(&t.id())))
            .map(|t| t.account_id)
            .collect();
        shared.sort();
        shared.dedup();
        let mut colleagues: BTreeMap<Uuid, Vec<Colleague>> = BTreeMap::new();
        if !shared.is_empty() {
            for colleague in facts::colleagues_due(conn, &shared, now + Days::new(1)).await? {
                colleagues
                    .entry(colleague.account_id)
                    .or_default()
                    .push(colleague);
            }
        }
        let rings = rings
            .into_iter()
            .map(|(kind, key, ring)| ((kind, key), ring))
            .collect();
        Ok(Self {
            rings,
            colleagues,
            paused: BTreeMap::new(),
            numbers,
            brake: false,
        })
    }

    fn judge(
        &mut self,
        deps: &Deps,
        rules: &Rules,
        touch: &ClaimedTouch,
        row: &GateRow,
        now: DateTime<Utc>,
    ) -> Verdict {
        let class = Class::from_number(touch.class);
        let channel = touch.channel.parse().unwrap_or(ChannelKind::Task);
        let zone = deps.zone_of(row.timezone.as_deref());
        let contact_key = ("contact".to_owned(), touch.contact_id.to_string());
        let account_key = ("account".to_owned(), touch.account_id.to_string());
        let day_ends = day_start(local_date(now, zone) + Days::new(1), zone);
        let facts = Facts {
            channel,
            class,
            zone,
            expires_at: touch.expires_at,
            contact: contact_key.1.clone(),
            account: is_shared(Some(row)).then(|| account_key.1.clone()),
            has_address: row.has_address,
            consent: row.consent,
            suppressed: row.suppressed.as_deref(),
            preferred_channel: row.preferred_channel.as_deref(),
            merged: row.merged,
            not_fit: row.not_fit.is_some(),
            lead_closed: row.lead_closed,
            enrolled: row.enrollment_state == "active",
            grievance: row.grievance,
            leave_until: row.leave_until,
            colleague_first: self.colleague_first(touch, row, day_ends),
            to_contact: self.rings.get(&contact_key).map_or(&[], Vec::as_slice),
            to_account: self.rings.get(&account_key).map_or(&[], Vec::as_slice),
            sender_paused: self.sender_paused(deps, channel, touch),
            brake: self.brake,
            not_on_list: deps.not_on_list(row.address.as_deref()),
            carrier: self.carrier(deps, touch, class),
        };
        let verdict = gate::judge(&facts, &rules.gate, rules.holidays(row.region.as_deref()), now);
        if let Verdict::Clear(_, charges) = &verdict {
            // Granted to this one, so the next of the batch sees it as sent.
            let mut keys: Vec<PaceKey> = charges
                .iter()
                .map(|c| (c.kind.to_owned(), c.key.clone()))
                .collect();
            keys.dedup();
            for key in keys {
                self.rings.entry(key).or_default().insert(0, now);
            }
        }
        verdict
    }

    /// Until when the sender of a touch is left alone. Mostly none is.
    fn sender_paused(
        &self,
        deps: &Deps,
        channel: ChannelKind,
        touch: &ClaimedTouch,
    ) -> Option<DateTime<Utc>> {
        if self.paused.is_empty() {
            return None;
        }
        let (sender, _) = deps.channels.pick(channel, touch.sender.as_deref())?;
        self.paused.get(&sender).map(|paused| paused.pause.until)
    }

    /// The limits of a text message's sender.
    fn carrier<'a>(&'a self, deps: &'a Deps, touch: &ClaimedTouch, class: Class) -> Option<Carrier<'a>> {
        let limits = limits(deps, touch)?;
        let key = self.numbers.get(&touch.id()).cloned().unwrap_or_default();
        let sent = self.rings.get(&(gate::NUMBER.to_owned(), key.clone()));
        Some(Carrier {
            window: limits.windows.get(&class).and_then(Opening::window),
            per_number: if key.is_empty() { &[] } else { &limits.per_number },
            key,
            sent: sent.map_or(&[], Vec::as_slice),
        })
    }

    /// Whether a decision maker of the same customer is due on the same local day, while this person is none.
    fn colleague_first(&self, touch: &ClaimedTouch, row: &GateRow, day_ends: DateTime<Utc>) -> bool {
        !row.decision_maker
            && self.colleagues.get(&touch.account_id).is_some_and(|due| {
                due.iter()
                    .any(|c| c.decision_maker && c.contact_id != touch.contact_id && c.due_at < day_ends)
            })
    }
}

/// The limits of the sender of a touch, if it is a text message and its sender has any.
fn limits<'a>(deps: &'a Deps, touch: &ClaimedTouch) -> Option<&'a SmsLimits> {
    if touch.channel != ChannelKind::Sms.as_str() {
        return None;
    }
    let sender = deps.settings.sender(ChannelKind::Sms, touch.sender.as_deref())?;
    (sender.limits != SmsLimits::default()).then_some(&sender.limits)
}

/// The key of sender and number for each touch whose sender limits how often it reaches one number. The number stands
/// there as its keyed hash, as everywhere outside the person.
fn numbers(
    deps: &Deps,
    claimed: &[ClaimedTouch],
    known: &HashMap<Uuid, GateRow>,
    address_key: &[u8],
) -> HashMap<Uuid, String> {
    let key = AddressKey::new(address_key);
    let of = |touch: &ClaimedTouch| {
        limits(deps, touch).filter(|limits| !limits.per_number.is_empty())?;
        let sender = deps.settings.sender(ChannelKind::Sms, touch.sender.as_deref())?;
        let number = PhoneNumber::parse(known.get(&touch.id())?.address.as_deref()?, None).ok()?;
        let hash = URL_SAFE_NO_PAD.encode(key.phone(&number).as_bytes());
        Some((touch.id(), format!("{}:{hash}", sender.name)))
    };
    claimed.iter().filter_map(of).collect()
}

fn is_shared(row: Option<&GateRow>) -> bool {
    row.is_some_and(|row| row.colleagues > 1)
}
