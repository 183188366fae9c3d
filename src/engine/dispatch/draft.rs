//! The draft of one message: what a person is told in one step, as bytes, with its history row. It only computes, so that
//! several threads can do it.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use uuid::Uuid;

use super::super::Deps;
use super::super::clear::Cleared;
use super::super::person;
use crate::channel::{BuiltEmail, BuiltMessage, BuiltSms, Channel};
use crate::domain::cadence::{ChannelKind, Class, From, Step};
use crate::domain::return_path;
use crate::domain::segments;
use crate::engine::registered;
use crate::engine::rules::Rules;
use crate::render::message::{Rendered, Wanted, render};
use crate::render::mime::{Envelope, build_email};
use crate::store::body::{Body, Letter as Kept};
use crate::store::facts::PersonRow;
use crate::store::outcome::MessageRow;
use crate::store::task::NewTask;

/// What has no certain end after this long has none that another attempt could give it.
const BODY_KEPT: TimeDelta = TimeDelta::days(30);

/// A person, and the lead that it is about.
pub type Pair = (Uuid, Option<Uuid>);

/// A message before its clearance is attached.
pub struct Draft {
    /// The way out.
    pub channel: Arc<dyn Channel>,
    /// What is handed over.
    pub message: BuiltMessage,
    /// Its history row, without the end.
    pub row: MessageRow,
    /// The task it makes when it is accepted, without its id.
    pub task: Option<NewTask>,
    /// A link in it has no number yet: it has to be written again.
    pub unnumbered: bool,
}

/// Writes the drafts of a batch.
pub struct Author {
    /// The engine's.
    pub deps: Arc<Deps>,
    /// The rules in force.
    pub rules: Arc<Rules>,
    /// The people of the batch.
    pub people: HashMap<Pair, PersonRow>,
    /// Business time.
    pub now: DateTime<Utc>,
}

impl Author {
    /// Writes one. What an earlier attempt handed over is written again, if it can be; else it is made anew. The error says
    /// why it cannot be.
    pub fn draft(&self, cleared: &Cleared, earlier: Option<Body>) -> Result<Draft, String> {
        let person = (cleared.touch.contact_id, cleared.touch.lead_id);
        match earlier.and_then(|body| same_again(&self.deps, cleared, body)) {
            Some(draft) => Ok(draft),
            None => draft(
                &self.deps,
                &self.rules,
                cleared,
                self.people.get(&person),
                self.now,
            ),
        }
    }
}

/// The message of an earlier attempt, byte for byte, whatever became of its template since. `None` when it cannot be the
/// same: the person has another address by now, the sender is gone, or the bytes are not those that were noted.
fn same_again(deps: &Deps, cleared: &Cleared, body: Body) -> Option<Draft> {
    let Kept {
        row,
        mail_from,
        message_id,
        registered,
    } = body.letter;
    let touch = &cleared.touch;
    let kind: ChannelKind = touch.channel.parse().ok()?;
    if cleared.address.as_ref() != Some(&row.address) || row.hash != hash_of(&body.bytes) {
        return None;
    }
    let (sender, channel) = deps.channels.pick(kind, Some(&row.sender))?;
    let message = match kind {
        ChannelKind::Email => BuiltMessage::Email(BuiltEmail {
            sender,
            mail_from,
            rcpt_to: row.address.clone(),
            message_id,
            bytes: body.bytes,
        }),
        ChannelKind::Sms => BuiltMessage::Sms(BuiltSms {
            sender,
            to: row.address.clone(),
            text: String::from_utf8(body.bytes).ok()?,
            message_id: row.id.to_string(),
            registered,
        }),
        ChannelKind::Task => return None,
    };
    let row = MessageRow {
        touch_id: touch.id(),
        daemon_id: touch.owner().id,
        epoch: touch.owner().epoch,
        ..row
    };
    Some(Draft {
        channel,
        message,
        row,
        task: None,
        unnumbered: false,
    })
}

/// What is kept of a message while its end is not certain. A task is no letter: its row is written with the outcome.
pub fn body_of(message: &BuiltMessage, row: &MessageRow, now: DateTime<Utc>) -> Option<Box<Body>> {
    let (bytes, mail_from, message_id, registered) = match message {
        BuiltMessage::Email(mail) => (
            mail.bytes.clone(),
            mail.mail_from.clone(),
            mail.message_id.clone(),
            None,
        ),
        BuiltMessage::Sms(sms) => (
            sms.text.clone().into_bytes(),
            String::new(),
            String::new(),
            sms.registered.clone(),
        ),
        BuiltMessage::Task => return None,
    };
    Some(Box::new(Body {
        bytes,
        letter: Kept {
            row: row.clone(),
            mail_from,
            message_id,
            registered,
        },
        keep_until: now + BODY_KEPT,
    }))
}

fn draft(
    deps: &Deps,
    rules: &Rules,
    cleared: &Cleared,
    person: Option<&PersonRow>,
    now: DateTime<Utc>,
) -> Result<Draft, String> {
    let touch = &cleared.touch;
    let person = person.ok_or("the contact is gone")?;
    let cadence = rules
        .cadence(touch.cadence_version_id)
        .ok_or("the cadence is gone")?;
    let step = cadence.step(&touch.step_key).ok_or("the step is gone")?;
    let kind: ChannelKind = touch.channel.parse()?;
    let (sender, channel) = deps
        .channels
        .pick(kind, touch.sender.as_deref())
        .ok_or_else(|| format!("no sender for {}", touch.channel))?;
    let version = rules
        .template_version(&step.template)
        .ok_or_else(|| format!("no template {}", step.template))?;
    let links = deps.links.of_message(touch.message_id, version);
    let way_out = Class::from_number(touch.class).offers_way_out();
    let context = person::context(deps, rules, person, &links, way_out, touch.dated_at);
    let default_locale = deps.settings.company.default_locale.clone();
    let locale = person.locale.clone().unwrap_or_else(|| default_locale.clone());
    let wanted = Wanted {
        template: &step.template,
        channel: kind,
        locale: &locale,
        default_locale: &default_locale,
    };
    let rendered = render(&rules.registry, wanted, &context, &links).map_err(|e| e.to_string())?;
    let mut row = MessageRow {
        touch_id: touch.id(),
        id: touch.message_id,
        daemon_id: touch.owner().id,
        epoch: touch.owner().epoch,
        template: step.template.clone(),
        template_version_id: Some(version),
        locale,
        sender: sender.clone(),
        address: String::new(),
        subject: None,
        segments: None,
        encoding: None,
        vars: context.record().map_err(|e| e.to_string())?,
        hash: String::new(),
        outcome: String::new(),
        reply: None,
        done_at: now,
        crossed_at: None,
    };
    let (message, task, hash) = match rendered {
        Rendered::Email(words) => {
            row.locale.clone_from(&words.locale);
            row.subject = Some(words.subject.clone());
            let built = email(
                deps,
                cleared,
                step,
                person,
                &words,
                &sender,
                context.links.unsubscribe,
            )?;
            row.address.clone_from(&built.rcpt_to);
            let hash = hash_of(&built.bytes);
            (BuiltMessage::Email(built), None, hash)
        }
        Rendered::Sms(words) => {
            let place = (step.template.as_str(), words.locale.as_str());
            let registered = registered::fill(&deps.settings, rules, &sender, place, &context, &links)?;
            row.locale = words.locale;
            let counted = segments::segments(&words.text);
            row.segments = i16::try_from(counted.count).ok();
            row.encoding = Some(counted.encoding.as_str().to_owned());
            let to = cleared.address.clone().ok_or("no phone number")?;
            row.address.clone_from(&to);
            let hash = hash_of(words.text.as_bytes());
            let message_id = touch.message_id.to_string();
            (
                BuiltMessage::Sms(BuiltSms {
                    sender,
                    to,
                    text: words.text,
                    message_id,
                    registered,
                }),
                None,
                hash,
            )
        }
        Rendered::Task(words) => {
            row.locale = words.locale;
            row.subject = Some(words.title.clone());
            row.address = person.owner_email.clone().unwrap_or_default();
            let hash = hash_of(words.body.as_bytes());
            let zone = deps.zone_of(person.timezone.as_deref());
            let due_at = step
                .deadline
                .after(now, zone, rules.holidays(person.region.as_deref()));
            let task = NewTask {
                id: Uuid::nil(), // given by compose, in the order of the batch
                kind: "touch".to_owned(),
                title: words.title,
                body: words.body,
                contact_id: Some(touch.contact_id),
                lead_id: touch.lead_id,
                touch_id: Some(touch.id()),
                owner_id: person.owner_id,
                created_at: now,
                due_at,
                dedup_key: None,
            };
            (BuiltMessage::Task, Some(task), hash)
        }
    };
    row.hash = hash;
    Ok(Draft {
        channel,
        message,
        row,
        task,
        unnumbered: links.unnumbered(),
    })
}

fn email(
    deps: &Deps,
    Cleared { touch, address, .. }: &Cleared,
    step: &Step,
    person: &PersonRow,
    words: &crate::render::message::RenderedEmail,
    sender: &str,
    unsubscribe: Option<String>,
) -> Result<BuiltEmail, String> {
    let to = address.clone().ok_or("no mail address")?;
    let account = deps
        .settings
        .sender(ChannelKind::Email, Some(sender))
        .and_then(|s| s.email())
        .ok_or_else(|| format!("sender {sender} is gone"))?;
    let own = person.owner_from.as_ref().filter(|_| step.from == From::Owner);
    let (from_address, from_name) = match own {
        Some(address) => (address.clone(), person.owner_name.clone()),
        None => (account.from_email.clone(), Some(account.from_name.clone())),
    };
    let reply_to = match step.from {
        From::Owner => person.owner_email.clone().filter(|reply| *reply != from_address),
        From::Brand => account.reply_to.clone(),
    };
    let domain = from_address
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain)
        .to_owned();
    let message_id = format!("{}@{domain}", touch.message_id.simple());
    let bytes = build_email(
        words,
        &Envelope {
            from_name,
            from_address: from_address.clone(),
            reply_to,
            to_name: Some(person.name.clone()),
            to_address: to.clone(),
            message_id: message_id.clone(),
            date: touch.dated_at,
            list_unsubscribe: unsubscribe,
            auto_submitted: true,
            headers: Vec::new(),
        },
    )
    .map_err(|e| e.to_string())?;
    Ok(BuiltEmail {
        sender: sender.to_owned(),
        mail_from: match &account.return_path {
            Some(domain) => return_path::write(deps.links.key(), touch.message_id, domain),
            None => account.from_email.clone(),
        },
        rcpt_to: to,
        message_id,
        bytes,
    })
}

fn hash_of(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}
