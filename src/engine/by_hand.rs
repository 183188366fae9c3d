//! What people do by hand: look at a template, send it to themselves, note a talk.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use uuid::Uuid;

use super::ingest::{self, Answer, Incoming};
use super::links::MessageLinks;
use super::{Deps, person, registered};
use crate::channel::{BuiltEmail, BuiltMessage, BuiltSms, Crossed, Crossing, SendOutcome};
use crate::config::Mode;
use crate::domain::address_hash::AddressKey;
use crate::domain::cadence::ChannelKind;
use crate::domain::email::EmailAddress;
use crate::domain::event::EventType;
use crate::domain::gate::Clearance;
use crate::domain::phone::PhoneNumber;
use crate::domain::zone::local_date;
use crate::render::context::RenderContext;
use crate::render::links::Untracked;
use crate::render::message::{Rendered, RenderedEmail, RenderedSms, Wanted, render};
use crate::render::mime::{Envelope, build_email};
use crate::render::preview::{Preview, preview as render_preview};
use crate::store::{contact, control, facts, lead, suppression};

/// What a template in force says to a person, in his language or another. Nothing is sent or stored.
pub async fn preview(
    deps: &Deps,
    template: &str,
    contact: Uuid,
    locale: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Preview> {
    let written = Written::of(deps, template, contact, locale, now).await?;
    let default_locale = &deps.settings.company.default_locale;
    Ok(render_preview(
        &deps.rules().registry,
        template,
        &written.locale,
        default_locale,
        &written.context,
    )?)
}

/// What became of a message sent by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Taken by the sender's server.
    Accepted {
        /// The sender by name.
        sender: String,
        /// What its server said.
        reply: String,
    },
    /// Not taken.
    Failed {
        /// The sender by name.
        sender: String,
        /// Why.
        why: String,
    },
    /// Not tried: mode, brake, a suppressed address, or one that is none.
    Refused(String),
}

/// Sends a template, written as for a person, to an address of the operator's own. Its links act on nobody: its message
/// is known to no table.
pub async fn send_test(
    deps: &Deps,
    template: &str,
    contact: Uuid,
    to: &str,
    locale: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Sent> {
    let to = match Recipient::parse(to, &deps.settings.company.region) {
        Ok(to) => to,
        Err(why) => return Ok(Sent::Refused(format!("--to: {why}"))),
    };
    if let Some(why) = forbidden(deps, &to).await? {
        return Ok(Sent::Refused(why));
    }
    let written = Written::of(deps, template, contact, locale, now).await?;
    let kind = to.channel();
    let Some((sender, channel)) = deps.channels.pick(kind, None) else {
        return Ok(Sent::Refused(format!(
            "no sender for {} is configured",
            kind.as_str()
        )));
    };
    let rendered = render(
        &deps.rules().registry,
        Wanted {
            template,
            channel: to.channel(),
            locale: &written.locale,
            default_locale: &deps.settings.company.default_locale,
        },
        &written.context,
        &Untracked,
    )?;
    let message = match rendered {
        Rendered::Email(words) => {
            BuiltMessage::Email(mail(deps, &words, &written, &sender, to.as_str(), now)?)
        }
        Rendered::Sms(RenderedSms { text, locale }) => BuiltMessage::Sms(BuiltSms {
            registered: registered::fill(
                &deps.settings,
                &deps.rules(),
                &sender,
                (template, &locale),
                &written.context,
                &Untracked,
            )
            .map_err(anyhow::Error::msg)?,
            sender: sender.clone(),
            to: to.as_str().to_owned(),
            text,
            message_id: written.message_id.to_string(),
        }),
        Rendered::Task(_) => bail!("a task goes to nobody's address"),
    };
    Ok(
        match channel
            .send(Clearance::by_operator(), &message, &Unrecorded)
            .await
        {
            SendOutcome::Accepted { reply } => Sent::Accepted { sender, reply },
            SendOutcome::Deferred { why, .. }
            | SendOutcome::Refused { why, .. }
            | SendOutcome::Uncertain { why } => Sent::Failed { sender, why },
            SendOutcome::NotBegun => Sent::Failed {
                sender,
                why: "no connection to its server was free".to_owned(),
            },
            SendOutcome::Withdrawn | SendOutcome::NotCrossed => Sent::Failed {
                sender,
                why: "not sent".to_owned(),
            },
        },
    )
}

/// A talk of a colleague with somebody.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// With whom.
    pub contact: Uuid,
    /// call, visit, chat or note
    pub how: EventType,
    /// What was said.
    pub text: Option<String>,
    /// What came of it.
    pub outcome: Option<String>,
    /// Leave the person to the owner until this day.
    pub leave_until: Option<NaiveDate>,
    /// Who notes it.
    pub by: String,
}

/// Notes a talk: an event, which puts the next touches off, and the owner's word to be left alone with the person.
pub async fn log(deps: &Deps, spoken: &Spoken, now: DateTime<Utc>) -> Result<()> {
    let mut data = json!({ "by": spoken.by });
    for (key, value) in [("text", &spoken.text), ("outcome", &spoken.outcome)] {
        if let Some(value) = value {
            data[key] = json!(value);
        }
    }
    let incoming = Incoming {
        id: deps.ids.next(now).to_string(),
        event_type: spoken.how.as_str().to_owned(),
        at: Some(now),
        contact: Some(spoken.contact.to_string()),
        message: None,
        data,
        human: true,
    };
    match ingest::accept(deps, "kith", vec![incoming], now)
        .await?
        .as_slice()
    {
        [Answer::Accepted] => {}
        other => bail!("the talk was not taken in: {other:?}"),
    }
    if let Some(until) = spoken.leave_until {
        let mut tx = deps.pool.begin().await?;
        contact::leave_until(&mut tx, spoken.contact, Some(until)).await?;
        let id = deps.ids.next(now);
        let object = format!("contact:{}", spoken.contact);
        let after = json!({ "leave_until": until });
        control::audit(&mut tx, id, now, &spoken.by, "leave-to-me", &object, Some(&after)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A person's variables, and the language to write in.
struct Written {
    context: RenderContext,
    locale: String,
    message_id: Uuid,
}

impl Written {
    async fn of(
        deps: &Deps,
        template: &str,
        contact: Uuid,
        locale: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let rules = deps.rules();
        let version = rules
            .template_version(template)
            .with_context(|| format!("no template {template} is in force"))?;
        let mut conn = deps.pool.acquire().await?;
        let lead = lead::open_of(&mut conn, &[contact])
            .await?
            .first()
            .map(|open| open.lead_id);
        let today = local_date(now, deps.company_zone());
        let person = facts::persons(&mut conn, &[contact], &[lead], today)
            .await?
            .pop()
            .context("the contact is gone")?;
        drop(conn);
        let message_id = deps.ids.next(now);
        let links: MessageLinks<'_> = deps.links.of_message(message_id, version);
        Ok(Self {
            context: person::context(deps, &rules, &person, &links, true, now),
            locale: locale
                .map(ToOwned::to_owned)
                .or(person.locale)
                .unwrap_or_else(|| deps.settings.company.default_locale.clone()),
            message_id,
        })
    }
}

/// An address of the operator's own.
enum Recipient {
    Email(EmailAddress),
    Sms(PhoneNumber),
}

impl Recipient {
    fn parse(text: &str, region: &str) -> Result<Self, String> {
        if text.contains('@') {
            EmailAddress::parse(text)
                .map(Self::Email)
                .map_err(|e| e.to_string())
        } else {
            PhoneNumber::parse(text, Some(region))
                .map(Self::Sms)
                .map_err(|e| e.to_string())
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Email(address) => address.as_str(),
            Self::Sms(number) => number.as_str(),
        }
    }

    fn channel(&self) -> ChannelKind {
        match self {
            Self::Email(_) => ChannelKind::Email,
            Self::Sms(_) => ChannelKind::Sms,
        }
    }
}

/// What speaks against a message by hand: mode, brake, and that the address must not be written to.
async fn forbidden(deps: &Deps, to: &Recipient) -> Result<Option<String>> {
    let delivery = &deps.settings.delivery;
    if delivery.mode == Mode::Rehearsal && !delivery.may_leave(to.as_str()) {
        return Ok(Some(format!(
            "delivery.mode is rehearsal, and {} is not on delivery.allow_list",
            to.as_str()
        )));
    }
    let mut conn = deps.pool.acquire().await?;
    let control = control::read(&mut conn).await?;
    if control.brake && delivery.mode != Mode::Sandbox {
        return Ok(Some("the brake is on: `kith brake off` first".to_owned()));
    }
    let key = AddressKey::new(&control.address_key);
    let hash = match to {
        Recipient::Email(address) => key.email(address),
        Recipient::Sms(number) => key.phone(number),
    };
    let reason = suppression::reason_of(&mut conn, hash.as_bytes(), to.channel().as_str()).await?;
    Ok(reason.map(|reason| format!("{} must not be written to: {reason}", to.as_str())))
}

fn mail(
    deps: &Deps,
    words: &RenderedEmail,
    written: &Written,
    sender: &str,
    to: &str,
    now: DateTime<Utc>,
) -> Result<BuiltEmail> {
    let account = deps
        .settings
        .sender(ChannelKind::Email, Some(sender))
        .and_then(|sender| sender.email())
        .with_context(|| format!("sender {sender} is gone"))?;
    let domain = account
        .from_email
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let message_id = format!("{}@{domain}", written.message_id.simple());
    let bytes = build_email(
        words,
        &Envelope {
            from_name: Some(account.from_name.clone()),
            from_address: account.from_email.clone(),
            reply_to: account.reply_to.clone(),
            to_name: None,
            to_address: to.to_owned(),
            message_id: message_id.clone(),
            date: now,
            list_unsubscribe: written.context.links.unsubscribe.clone(),
            auto_submitted: true,
            headers: Vec::new(),
        },
    )?;
    Ok(BuiltEmail {
        sender: sender.to_owned(),
        mail_from: account.from_email.clone(),
        rcpt_to: to.to_owned(),
        message_id,
        bytes,
    })
}

/// A test has no row of work: nothing to record, and nobody else who could send it.
struct Unrecorded;

impl Crossing for Unrecorded {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        async { Crossed::Go }.boxed()
    }
}
