//! Pace: which letters of a batch go now, through whom, and when the others shall come again.
//!
//! It stands between compose and the attempts. What one daemon sees for itself (what is under way, which sender fails) it
//! decides in memory; rates and daily numbers are shared, so their grants come out of the database, two statements for all
//! keys of a batch, in no transaction. A grant that is not used in its short life is lost; at the crossing such an attempt
//! needs another, and does not cross without it.

mod floor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use metrics::{counter, gauge};

use self::floor::{Floor, Planned, Use};
use super::Deps;
use super::dispatch::compose::Letter;
use crate::channel::{BuiltMessage, SendOutcome};
use crate::config::Settings;
use crate::config::sender::Sender;
use crate::domain::cadence::{ChannelKind, Class};
use crate::domain::chance::draw;
use crate::domain::gate::Reason;
use crate::domain::pace::{self, Answer, Key, Limit, Quota, Request};
use crate::domain::zone::{day_start, local_date};
use crate::store::decision::{self, NewDecision};
use crate::store::grant;
use crate::store::queue::{self, ClaimedTouch, Held};
use crate::store::sender_state::{self, Paused};

/// Connections of a sender that names no number.
const CONNECTIONS: u16 = 16;
/// Nobody comes again sooner.
const SOONEST: TimeDelta = TimeDelta::milliseconds(50);
/// Times are spread by this part of the wait,
const SPREAD_PART: i32 = 20;
/// but by no more than this.
const LONGEST_SPREAD: TimeDelta = TimeDelta::minutes(15);
/// Whoever waits for a sender that is left alone comes back within this time after it may be tried.
const RETURN: TimeDelta = TimeDelta::minutes(1);

/// The pace of one daemon.
pub struct Pace {
    deps: Arc<Deps>,
    floor: Arc<Mutex<Floor>>,
    turn: u64,
}

/// The right of one letter to be tried. What it holds of the floor is given back when the last copy is dropped.
#[derive(Clone)]
pub struct Pass(Arc<Place>);

struct Place {
    floor: Arc<Mutex<Floor>>,
    sender: String,
    side: Option<String>,
    trial: bool,
    keys: Vec<Key>,
    class: Class,
    until: Mutex<Option<DateTime<Utc>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.floor).ends(&self.sender, self.side.as_deref(), self.trial);
    }
}

impl Pass {
    /// Whether its grant is past its life.
    pub fn is_late(&self, now: DateTime<Utc>) -> bool {
        lock(&self.0.until).is_some_and(|until| now > until)
    }

    /// Whether the sender has failed too often since this was given. Whoever has to find out whether it works again goes on.
    pub fn is_called_off(&self) -> bool {
        !self.0.trial && lock(&self.0.floor).leaves_alone(&self.0.sender)
    }

    /// Tells the floor how the attempt ended. Some = that was one failure too many, and the sender is left alone until then.
    pub fn ended(
        &self,
        settings: &Settings,
        outcome: &SendOutcome,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let (sender, rules) = (self.0.sender.as_str(), settings.pace.breaker.rules());
        let until = lock(&self.0.floor).hears(sender, outcome, &rules, now)?;
        counter!("kith_sender_breaks_total", "sender" => sender.to_owned()).increment(1);
        tracing::error!(sender, %until, "the sender failed several times in a row and is left alone");
        Some(until)
    }
}

/// What does not go now.
struct Later {
    touch: ClaimedTouch,
    until: DateTime<Utc>,
    reason: Reason,
}

impl Pace {
    /// With an empty floor.
    pub fn new(deps: Arc<Deps>) -> Self {
        Self {
            deps,
            floor: Arc::default(),
            turn: 0,
        }
    }

    /// How many attempts wait for servers that have not answered lately: they take no place from the others.
    pub fn unanswered(&self, now: DateTime<Utc>) -> usize {
        lock(&self.floor).unanswered(now)
    }

    /// Sends those back whose sender has no place for them anyway, before anything is done for them: however much waits for a
    /// server that stands still, it costs the others next to nothing. Those with another sender to fall back on are left to
    /// [`Self::admit`].
    pub async fn turn_away(
        &mut self,
        claimed: Vec<ClaimedTouch>,
        now: DateTime<Utc>,
    ) -> Result<Vec<ClaimedTouch>> {
        let (mut stay, mut later, mut planned) =
            (Vec::with_capacity(claimed.len()), Vec::new(), Planned::default());
        for touch in self.in_order(claimed, |touch| touch) {
            match self.place_for(&touch, &mut planned, now) {
                Ok(()) => stay.push(touch),
                Err((reason, until)) => later.push(Later { touch, until, reason }),
            }
        }
        self.put_back(later, now).await?;
        Ok(stay)
    }

    fn place_for(
        &self,
        touch: &ClaimedTouch,
        planned: &mut Planned,
        now: DateTime<Utc>,
    ) -> Result<(), (Reason, DateTime<Utc>)> {
        let settings = &self.deps.settings;
        let kind = touch
            .channel
            .parse()
            .ok()
            .filter(|kind| *kind != ChannelKind::Task);
        let Some((name, _)) = kind.and_then(|kind| self.deps.channels.pick(kind, touch.sender.as_deref()))
        else {
            return Ok(());
        };
        let sender = kind.and_then(|kind| settings.sender(kind, Some(&name)));
        // What has expired is the gate's to end.
        if sender.is_some_and(|sender| sender.fallback.is_some()) || touch.expires_at <= now {
            return Ok(());
        }
        match lock(&self.floor).may_plan(planned, &name, connections(sender), now) {
            Use::Yes(_) => {
                planned.add(&name);
                Ok(())
            }
            Use::Busy(until) => Err((Reason::Pace, until)),
            Use::Down(until) => Err((Reason::SenderDown, until)),
        }
    }

    /// Divides a batch into what goes now and what waits; the latter is back in the queue when this returns.
    pub async fn admit(
        &mut self,
        letters: Vec<Letter>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Letter, Option<Pass>)>> {
        let (mut go, mut later, mut asking) = (Vec::new(), Vec::new(), Vec::new());
        let paused = self.paused(now).await?;
        for mut letter in self.in_order(letters, |letter| &letter.touch) {
            if matches!(letter.message, BuiltMessage::Task) {
                go.push((letter, None));
                continue;
            }
            match self.seat(&mut letter, &paused, now) {
                Ok(pass) if pass.0.keys.is_empty() => go.push((letter, Some(pass))),
                Ok(pass) => asking.push((letter, pass)),
                Err((reason, until)) => later.push(Later {
                    touch: letter.touch,
                    until,
                    reason,
                }),
            }
        }
        if !asking.is_empty() {
            let passes: Vec<(&Pass, bool)> = asking
                .iter()
                .map(|(letter, pass)| (pass, letter.touch.held.as_deref() == Some(Reason::Pace.as_str())))
                .collect();
            let answers = take(&self.deps, &passes, now).await?;
            for ((letter, pass), answer) in asking.into_iter().zip(answers) {
                match answer {
                    Answer::Go(until) => {
                        *lock(&pass.0.until) = until;
                        go.push((letter, Some(pass)));
                    }
                    Answer::Wait(until) => later.push(Later {
                        touch: letter.touch,
                        until,
                        reason: Reason::Pace,
                    }),
                }
            }
        }
        self.turn = self.turn.wrapping_add(go.len() as u64);
        self.put_back(later, now).await?;
        for (sender, under_way, broken) in lock(&self.floor).seats(now) {
            gauge!("kith_sender_under_way", "sender" => sender.to_owned()).set(under_way as f64);
            gauge!("kith_sender_broken", "sender" => sender.to_owned()).set(broken);
        }
        Ok(go)
    }

    fn in_order<T>(&self, batch: Vec<T>, touch: impl Fn(&T) -> &ClaimedTouch) -> Vec<T> {
        let asking: Vec<(Class, bool)> = batch
            .iter()
            .map(&touch)
            .map(|touch| {
                let waited = touch.held.as_deref().is_some_and(Reason::is_past_the_gate);
                (Class::from_number(touch.class), waited)
            })
            .collect();
        let mut batch: Vec<Option<T>> = batch.into_iter().map(Some).collect();
        // Only places that were given count: see the end of `admit`.
        pace::order(&asking, &mut self.turn.clone())
            .into_iter()
            .filter_map(|at| batch[at].take())
            .collect()
    }

    /// The senders that are paused. The gate has asked for the touch's own; a fallback must not carry for it either.
    async fn paused(&self, now: DateTime<Utc>) -> Result<BTreeMap<String, Paused>> {
        if self
            .deps
            .settings
            .senders
            .iter()
            .all(|sender| sender.fallback.is_none())
        {
            return Ok(BTreeMap::new());
        }
        let mut conn = self.deps.pool.acquire().await?;
        Ok(sender_state::paused(&mut conn, now).await?)
    }

    /// A place for the letter with the first sender that works, or why not and until when.
    fn seat(
        &self,
        letter: &mut Letter,
        paused: &BTreeMap<String, Paused>,
        now: DateTime<Utc>,
    ) -> Result<Pass, (Reason, DateTime<Utc>)> {
        let settings = &self.deps.settings;
        let Ok(kind) = letter.touch.channel.parse::<ChannelKind>() else {
            return Err((Reason::NoSender, now + TimeDelta::hours(1)));
        };
        let side = side_of(settings, kind, &letter.row.address);
        let mut floor = lock(&self.floor);
        if let Some((side, most)) = &side
            && *most > 0
            && floor.to_side(side) >= *most
        {
            return Err((Reason::Pace, now + TimeDelta::seconds(1)));
        }
        let (mut name, mut down) = (letter.row.sender.clone(), None);
        let mut tried = Vec::new();
        loop {
            let sender = settings.sender(kind, Some(&name));
            let open = match paused.get(&name) {
                Some(paused) => Use::Down(paused.pause.until),
                None => floor.may_use(&name, connections(sender), now),
            };
            match open {
                Use::Yes(trial) => {
                    if name != letter.row.sender && !carry_by(&self.deps, letter, kind, &name) {
                        return Err((Reason::NoSender, now + TimeDelta::hours(1)));
                    }
                    let side_name = side.as_ref().map(|(side, _)| side.clone());
                    floor.begins(&name, side_name.as_deref(), trial, now);
                    let held = Place {
                        floor: self.floor.clone(),
                        keys: keys_of(settings, kind, &name, letter),
                        sender: name,
                        side: side_name,
                        trial,
                        class: Class::from_number(letter.touch.class),
                        until: Mutex::new(None),
                    };
                    return Ok(Pass(Arc::new(held)));
                }
                Use::Busy(until) => return Err((Reason::Pace, until)),
                Use::Down(until) => {
                    down = Some(down.map_or(until, |earlier: DateTime<Utc>| earlier.min(until)));
                }
            }
            tried.push(name);
            match sender
                .and_then(|sender| sender.fallback.clone())
                .filter(|next| !tried.contains(next))
            {
                Some(next) => name = next,
                None => return Err((Reason::SenderDown, down.unwrap_or(now))),
            }
        }
    }

    /// Back to the queue, with a decision where the reason is a new one.
    async fn put_back(&self, later: Vec<Later>, now: DateTime<Utc>) -> Result<()> {
        let Some(owner) = later.first().map(|one| one.touch.owner()) else {
            return Ok(());
        };
        let (mut held, mut decisions) = (Vec::new(), Vec::new());
        for Later { touch, until, reason } in later {
            let until = scattered(touch.id(), reason, until, now).min(touch.expires_at.max(now + SOONEST));
            if touch.held.as_deref() != Some(reason.as_str()) {
                decisions.push(NewDecision {
                    id: self.deps.ids.next(now),
                    touch_id: touch.id(),
                    contact_id: touch.contact_id,
                    verdict: "hold",
                    reason: reason.as_str().to_owned(),
                    until: Some(until),
                });
            }
            held.push(Held {
                touch_id: touch.id(),
                until,
                reason: reason.as_str().to_owned(),
            });
        }
        counter!("kith_pace_waits_total").increment(held.len() as u64);
        let mut tx = self.deps.pool.begin().await?;
        queue::hold(&mut tx, owner, &held).await?;
        decision::append(&mut tx, now, &decisions).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// New grants for attempts whose first came to the end of its life before they could cross. Who gets none does not cross.
pub async fn renew(deps: &Deps, passes: &[&Pass], now: DateTime<Utc>) -> Result<()> {
    let late: Vec<(&Pass, bool)> = passes
        .iter()
        .filter(|pass| pass.is_late(now))
        .map(|pass| (*pass, true))
        .collect();
    if late.is_empty() {
        return Ok(());
    }
    let answers = take(deps, &late, now).await?;
    for ((pass, _), answer) in late.into_iter().zip(answers) {
        if let Answer::Go(until) = answer {
            *lock(&pass.0.until) = until;
        }
    }
    Ok(())
}

/// Asks for grants; who asks under a key that another daemon wrote meanwhile gets none this time.
async fn take(deps: &Deps, passes: &[(&Pass, bool)], now: DateTime<Utc>) -> Result<Vec<Answer>> {
    let mut keys: Vec<Key> = passes.iter().flat_map(|(pass, _)| pass.0.keys.clone()).collect();
    keys.sort();
    keys.dedup();
    let limits = limits_of(deps, &keys, now);
    let mut conn = deps.pool.acquire().await?;
    let read = grant::read(&mut conn, &keys).await?;
    let mut meters: BTreeMap<Key, pace::Meter> = read
        .iter()
        .map(|(key, (_, meter))| (key.clone(), meter.clone()))
        .collect();
    let requests: Vec<Request<'_>> = passes
        .iter()
        .map(|(pass, waited)| Request {
            keys: &pass.0.keys,
            class: pass.0.class,
            waited: *waited,
        })
        .collect();
    let mut answers = pace::admit(&limits, &mut meters, &requests, now);
    let changed: BTreeMap<Key, grant::Read> = meters
        .into_iter()
        .filter_map(|(key, meter)| {
            let (version, before) = read.get(&key)?;
            (*before != meter).then_some((key, (*version, meter)))
        })
        .collect();
    let written = grant::write(&mut conn, &changed).await?;
    for (answer, (pass, _)) in answers.iter_mut().zip(passes) {
        let lost = |key: &Key| changed.contains_key(key) && !written.contains(key);
        if matches!(answer, Answer::Go(_)) && pass.0.keys.iter().any(lost) {
            *answer = Answer::Wait(now + SOONEST);
        }
    }
    for ((kind, key), (_, meter)) in &changed {
        let used = f64::from(meter.used);
        match *kind {
            "sender" => gauge!("kith_sender_granted_today", "sender" => key.clone()).set(used),
            "from" => gauge!("kith_warm_up_granted_today", "domain" => key.clone()).set(used),
            _ => {}
        }
    }
    Ok(answers)
}

/// The limits of these keys at this moment.
fn limits_of(deps: &Deps, keys: &[Key], now: DateTime<Utc>) -> BTreeMap<Key, Limit> {
    let (settings, zone) = (&deps.settings, deps.company_zone());
    let day = local_date(now, zone);
    let today = |n| Quota {
        day,
        ends: day_start(day + Days::new(1), zone),
        n,
    };
    let limit = |(kind, key): &Key| match *kind {
        "sender" => settings
            .senders
            .iter()
            .find(|sender| sender.name == *key)
            .map(|sender| Limit {
                rate: sender.pace.rate,
                today: per_day(sender, day).map(today),
            }),
        "from" => Some(Limit {
            rate: None,
            today: settings
                .warming_up(key)
                .filter_map(|it| it.on(day))
                .min()
                .map(today),
        }),
        "provider" => settings.pace.providers.get(key).map(|provider| Limit {
            rate: provider.rate,
            today: None,
        }),
        _ => Some(Limit {
            rate: settings.pace.domain_rate,
            today: None,
        }),
    };
    keys.iter()
        .filter_map(|key| limit(key).map(|limit| (key.clone(), limit)))
        .collect()
}

/// How many of a sender on a day. The domain of a mail's From is warmed up, whichever sender carries it; what has no domain
/// is warmed up by itself.
fn per_day(sender: &Sender, day: NaiveDate) -> Option<u32> {
    let warm_up = sender.pace.warm_up.as_ref().filter(|_| sender.email().is_none());
    let warming = warm_up.and_then(|warm_up| warm_up.on(day));
    sender.pace.per_day.into_iter().chain(warming).min()
}

/// How many connections a sender has.
fn connections(sender: Option<&Sender>) -> usize {
    let email = sender.and_then(Sender::email);
    usize::from(email.map_or(CONNECTIONS, |email| email.smtp.max_connections))
}

/// The limits that bear on a message: none where nothing is set.
fn keys_of(settings: &Settings, kind: ChannelKind, sender: &str, letter: &Letter) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(limited) = settings.sender(kind, Some(sender))
        && (limited.pace.rate.is_some()
            || limited.pace.per_day.is_some()
            || (limited.pace.warm_up.is_some() && limited.email().is_none()))
    {
        keys.push(("sender", sender.to_owned()));
    }
    // A Message-ID is of the domain of From.
    if let BuiltMessage::Email(mail) = &letter.message
        && let Some(from) = domain_of(kind, &mail.message_id)
        && settings.warming_up(&from).next().is_some()
    {
        keys.push(("from", from));
    }
    let Some(domain) = domain_of(kind, &letter.row.address) else {
        return keys;
    };
    match settings.pace.provider(&domain) {
        Some((name, provider)) if provider.rate.is_some() => keys.push(("provider", name.to_owned())),
        None if settings.pace.domain_rate.is_some() => keys.push(("domain", domain)),
        _ => {}
    }
    keys
}

/// The provider or domain of a recipient, and how many attempts may be under way to it (0 = any number).
fn side_of(settings: &Settings, kind: ChannelKind, address: &str) -> Option<(String, u32)> {
    let domain = domain_of(kind, address)?;
    let usual = settings.pace.concurrency;
    Some(match settings.pace.provider(&domain) {
        Some((name, provider)) => (format!("provider {name}"), provider.concurrency.unwrap_or(usual)),
        None => (domain, usual),
    })
}

fn domain_of(kind: ChannelKind, address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@').filter(|_| kind == ChannelKind::Email)?;
    Some(domain.to_lowercase())
}

/// Lets another sender's account carry the message as it is: the same bytes, the same addresses.
fn carry_by(deps: &Deps, letter: &mut Letter, kind: ChannelKind, carrier: &str) -> bool {
    let Some((name, channel)) = deps.channels.pick(kind, Some(carrier)) else {
        return false;
    };
    match &mut letter.message {
        BuiltMessage::Email(mail) => mail.sender.clone_from(&name),
        BuiltMessage::Sms(text) => text.sender.clone_from(&name),
        BuiltMessage::Task => return false,
    }
    (letter.row.sender, letter.channel) = (name, channel);
    true
}

/// A moment of one's own near `until`, so that a crowd does not come back together.
fn scattered(touch: uuid::Uuid, reason: Reason, until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let until = until.max(now + SOONEST);
    let width = if reason == Reason::SenderDown {
        RETURN
    } else {
        ((until - now) / SPREAD_PART).min(LONGEST_SPREAD)
    };
    let part = draw(0, &["pace", &touch.to_string()]);
    until + TimeDelta::milliseconds((width.num_milliseconds() as f64 * part) as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
