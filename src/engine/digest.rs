//! The digest: once a day each owner gets a mail with his open tasks, or his deputy while he is away.
//!
//! It is no touch: it goes to the company's own people, so the gate's hours, caps and permissions do not ask about it, and
//! no count of messages knows it. Brake, rehearsal, a closed address and the crossing hold for it all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use ring::digest::{SHA256, digest as sha256};
use uuid::Uuid;

use super::journal::trail::Mark;
use super::outcomes::{self, Ended};
use super::{Deps, Summary};
use crate::channel::{BuiltEmail, BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use crate::domain::address_hash::{AddressHash, AddressKey};
use crate::domain::cadence::{ChannelKind, Class};
use crate::domain::email::EmailAddress;
use crate::domain::gate::Clearance;
use crate::domain::zone::{local_date, to_instant};
use crate::render::digest::{Digest, Item, render};
use crate::render::mime::{Envelope, build_email};
use crate::store::control;
use crate::store::digest::{self as table, Copy, Due, End, Line, Moment};
use crate::store::queue::Incarnation;

/// Tasks that one mail lists; of the rest it says how many there are.
const MOST: i64 = 40;
/// How long the buttons are good.
const GOOD_FOR: TimeDelta = TimeDelta::days(7);
/// Mails under way at once.
const AT_ONCE: usize = 8;
/// How long one that could not be handed over waits.
const AGAIN: TimeDelta = TimeDelta::minutes(15);

/// Sends what is due. `done` counts the attempts.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    if !deps.settings.digest.enabled {
        return Ok(Summary::default());
    }
    let Some((sender, channel)) = deps.channels.pick(ChannelKind::Email, None) else {
        return Ok(Summary::default());
    };
    let mut conn = deps.pool.acquire().await?;
    let lost = table::inherit(&mut conn, now).await?;
    if lost > 0 {
        tracing::warn!(
            uncertain = lost,
            "digests of a dead daemon: nobody knows whether they arrived"
        );
        metrics::counter!("kith_digests_total", "outcome" => "uncertain").increment(lost);
    }
    let moments: Vec<Moment> = table::zones(&mut conn)
        .await?
        .into_iter()
        .map(|zone| moment(deps, zone, now, 0))
        .filter(|moment| moment.at <= now)
        .collect();
    let mut due = table::due(&mut conn, &moments, now).await?;
    due.retain(|one| !deps.not_on_list(Some(&one.reader_email)));
    if due.is_empty() {
        return Ok(Summary::default());
    }
    let control = control::read(&mut conn).await?;
    if control.brake {
        return Ok(Summary::default());
    }
    let mut lines: HashMap<Uuid, Vec<Line>> = HashMap::new();
    for line in table::lines(&mut conn, &due, now, MOST).await? {
        lines.entry(line.owner_id).or_default().push(line);
    }
    drop(conn);
    let key = AddressKey::new(&control.address_key);
    let mut attempts = Vec::new();
    for one in &due {
        // Done or handed over between the two statements.
        let Some(lines) = lines.remove(&one.owner_id) else {
            continue;
        };
        match letter(deps, one, &lines, &sender, &key, now) {
            Ok(letter) => attempts.push(hand_over(deps, &channel, letter, now)),
            Err(error) => {
                tracing::error!(%error, owner = %one.owner_id, "digest not built");
                let mut conn = deps.pool.acquire().await?;
                table::note(
                    &mut conn,
                    &copy_of(one, lines.len()),
                    "refused",
                    &format!("{error:#}"),
                    None,
                    now,
                )
                .await?;
            }
        }
    }
    let done = attempts.len() as u64;
    let ended: Vec<Result<()>> = stream::iter(attempts).buffer_unordered(AT_ONCE).collect().await;
    ended.into_iter().collect::<Result<()>>()?;
    Ok(Summary { done, more: false })
}

/// When the next digest is due somewhere.
pub async fn next_at(deps: &Deps, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    if !deps.settings.digest.enabled {
        return Ok(None);
    }
    let mut conn = deps.pool.acquire().await?;
    let again = table::next_again(&mut conn, now).await?;
    let zones = table::zones(&mut conn).await?;
    let daily = zones
        .into_iter()
        .flat_map(|zone| [0, 1].map(|days| moment(deps, zone.clone(), now, days).at))
        .filter(|at| *at > now);
    Ok(daily.chain(again).min())
}

/// The moment of the digest in a zone, today or `days` later.
fn moment(deps: &Deps, timezone: Option<String>, now: DateTime<Utc>, days: u64) -> Moment {
    let zone = deps.zone_of(timezone.as_deref());
    let day = local_date(now, zone) + Days::new(days);
    let at = to_instant(day.and_time(deps.settings.digest.at), zone);
    Moment { timezone, day, at }
}

/// A digest that is ready.
struct Letter {
    copy: Copy,
    email: BuiltEmail,
    address_hash: AddressHash,
}

fn copy_of(due: &Due, tasks: usize) -> Copy {
    Copy {
        owner_id: due.owner_id,
        day: due.day,
        message_id: message_id(due.owner_id, due.day),
        address: due.reader_email.clone(),
        tasks: i32::try_from(tasks).unwrap_or(i32::MAX),
    }
}

/// The id is made from what the mail is, so that every attempt of every daemon has the same.
fn message_id(owner: Uuid, day: NaiveDate) -> Uuid {
    let hash = sha256(&SHA256, format!("digest {owner} {day}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn letter(
    deps: &Deps,
    due: &Due,
    lines: &[Line],
    sender: &str,
    key: &AddressKey,
    now: DateTime<Utc>,
) -> Result<Letter> {
    let account = deps
        .settings
        .sender(ChannelKind::Email, Some(sender))
        .and_then(|sender| sender.email())
        .with_context(|| format!("sender {sender} is gone"))?;
    let address = EmailAddress::parse(&due.reader_email)?;
    let until = now + GOOD_FOR;
    let total = lines.first().map_or(0, |line| line.total);
    let words = render(
        &Digest {
            reader: due.reader_name.clone(),
            owner: due.owner_name.clone(),
            away: due.away,
            total,
            overdue: lines.first().map_or(0, |line| line.overdue),
            more: total - lines.len() as i64,
            until,
            tasks: lines.iter().map(|line| item(deps, line, until, now)).collect(),
        },
        &deps.settings.company.default_locale,
        deps.zone_of(due.reader_zone.as_deref()),
    )?;
    let copy = copy_of(due, lines.len());
    let domain = account
        .from_email
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let message_id = format!("{}@{domain}", copy.message_id.simple());
    let bytes = build_email(
        &words,
        &Envelope {
            from_name: Some(account.from_name.clone()),
            from_address: account.from_email.clone(),
            reply_to: account.reply_to.clone(),
            to_name: Some(due.reader_name.clone()),
            to_address: address.as_str().to_owned(),
            message_id: message_id.clone(),
            date: now,
            list_unsubscribe: None,
            auto_submitted: true,
            headers: Vec::new(),
        },
    )?;
    Ok(Letter {
        copy,
        email: BuiltEmail {
            sender: sender.to_owned(),
            mail_from: account.from_email.clone(),
            rcpt_to: address.as_str().to_owned(),
            message_id,
            bytes,
        },
        address_hash: key.email(&address),
    })
}

fn item(deps: &Deps, line: &Line, until: DateTime<Utc>, now: DateTime<Utc>) -> Item {
    Item {
        title: line.title.clone(),
        what: line.body.clone(),
        due_at: line.due_at,
        late: line.due_at < now,
        person: line.contact.clone(),
        account: line.account.clone(),
        page: deps.links.task(line.task_id, until),
    }
}

/// One attempt, to the written end.
async fn hand_over(
    deps: &Deps,
    channel: &Arc<dyn Channel>,
    letter: Letter,
    now: DateTime<Utc>,
) -> Result<()> {
    let Letter {
        copy,
        email,
        address_hash,
    } = letter;
    let ticket = Ticket {
        deps,
        copy: &copy.clone(),
        address_hash,
        crossed: Mutex::default(),
    };
    let outcome = channel
        .send(Clearance::for_colleague(), &BuiltMessage::Email(email), &ticket)
        .await;
    let (state, reply, again_at) = match outcome {
        SendOutcome::Accepted { reply } => ("accepted", reply, None),
        SendOutcome::Refused { why, .. } => ("refused", why, None),
        SendOutcome::Uncertain { why } => ("uncertain", why, None),
        SendOutcome::Deferred { until, why } => (
            "deferred",
            why,
            Some(until.unwrap_or(now + AGAIN).max(now + AGAIN)),
        ),
        SendOutcome::NotBegun => ("deferred", "no connection was free".to_owned(), Some(now + AGAIN)),
        SendOutcome::Withdrawn => ("deferred", "not sent".to_owned(), Some(now + AGAIN)),
        // Another daemon has it, the brake went on, or the address is closed: the next look finds out which.
        SendOutcome::NotCrossed => ("deferred", "not crossed".to_owned(), Some(now + AGAIN)),
    };
    metrics::counter!("kith_digests_total", "outcome" => state).increment(1);
    let reply = reply.replace('\0', "\u{fffd}");
    let crossed = lock(&ticket.crossed).take();
    if let Some(who) = crossed {
        let end = End {
            who,
            copy,
            state: state.to_owned(),
            reply,
            again_at,
            at: deps.clock.now(),
        };
        // What the database does not take now is in the journal, for the next start.
        let ended = vec![Ended::Digest(Box::new(end))];
        outcomes::note(deps, ended.iter());
        outcomes::settle(deps, ended, &mut Vec::new()).await;
    } else {
        let mut conn = deps.pool.acquire().await?;
        table::note(&mut conn, &copy, state, &reply, again_at, deps.clock.now()).await?;
    }
    Ok(())
}

/// The right of one attempt to cross: the row of owner and day, committed just before the dot.
struct Ticket<'a> {
    deps: &'a Deps,
    copy: &'a Copy,
    address_hash: AddressHash,
    /// In whose name it crossed.
    crossed: Mutex<Option<Incarnation>>,
}

impl Ticket<'_> {
    async fn record(&self) -> Result<bool> {
        let (who, now) = (self.deps.incarnation(), self.deps.clock.now());
        let passed = {
            let mut conn = self.deps.pool.acquire().await?;
            table::cross(&mut conn, who, self.copy, self.address_hash.as_bytes(), now).await?
        };
        if passed {
            *lock(&self.crossed) = Some(who);
            let mark = Mark {
                message: self.copy.message_id,
                touch: Uuid::nil(),
                enrollment: Uuid::nil(),
                contact: self.copy.owner_id,
                cadence: "digest".to_owned(),
                step: self.copy.day.to_string(),
                channel: ChannelKind::Email.as_str().to_owned(),
                class: Class::Alert.number(),
            };
            if let Err(error) = self.deps.journal.crossed(vec![mark], now).await {
                tracing::error!(%error, "the trail of the crossings could not be written");
            }
        }
        Ok(passed)
    }
}

impl Crossing for Ticket<'_> {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        Box::pin(async move {
            match self.record().await {
                Ok(true) => Crossed::Go,
                Ok(false) => Crossed::Stop,
                Err(error) => {
                    // What cannot be recorded must not be sent.
                    tracing::warn!(%error, "the crossing of a digest could not be recorded");
                    Crossed::Stop
                }
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
