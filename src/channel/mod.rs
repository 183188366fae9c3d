//! Ways out: email, SMS and tasks behind the one trait `Channel`.

mod line;
pub mod sms;
pub mod smtp;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use crate::domain::gate::Clearance;
use crate::domain::registered::RegisteredText;

pub mod task;

/// What is handed over. Built once per attempt, with the same bytes in every attempt of a touch.
#[derive(Debug, Clone)]
pub enum BuiltMessage {
    /// A whole mail.
    Email(BuiltEmail),
    /// A short message.
    Sms(BuiltSms),
    /// Work for the owner: its row is written with the outcome.
    Task,
}

/// A mail ready for the wire.
#[derive(Debug, Clone)]
pub struct BuiltEmail {
    /// Name of the sender (an SMTP account in the configuration) that carries it.
    pub sender: String,
    /// Envelope sender (Return-Path).
    pub mail_from: String,
    /// Envelope recipient.
    pub rcpt_to: String,
    /// Message-ID without angle brackets.
    pub message_id: String,
    /// Header and body with CRLF line ends, not dot-stuffed.
    pub bytes: Vec<u8>,
}

/// A text message ready for a provider.
#[derive(Debug, Clone)]
pub struct BuiltSms {
    /// Name of the sender (an SMS account in the configuration) that carries it.
    pub sender: String,
    /// Recipient in E.164.
    pub to: String,
    /// The text.
    pub text: String,
    /// kith's own message id; the idempotency key where a provider takes one.
    pub message_id: String,
    /// What the provider registered for this message, where it sends nothing else; the text is then for the record.
    pub registered: Option<RegisteredText>,
}

/// The answer of the crossing: may this attempt pass the point of no return?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossed {
    /// Recorded as crossing; send the dot (or the request) now.
    Go,
    /// Not recorded: hang up without the dot.
    Stop,
}

/// What an attempt asks of whoever makes it.
pub trait Crossing: Send + Sync {
    /// Records the crossing; resolves when the record is durable or refused. Asked once at most, just before the final dot of a
    /// mail or the request of an SMS.
    fn cross(&self) -> BoxFuture<'_, Crossed>;

    /// Whether the attempt is better not begun any more: asked when it has had to wait for a connection.
    fn is_called_off(&self) -> bool {
        false
    }
}

/// Why a recipient or message was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalClass {
    /// The address does not exist or takes no mail.
    AddressBad,
    /// The mailbox is full.
    MailboxFull,
    /// The receiving side's policy blocks this sender or content.
    PolicyBlocked,
    /// Too fast.
    RateLimited,
    /// Anything else said to be permanent.
    Other,
}

/// How the reason begins when an account is the cause (no money, no right, a wrong key) and any other message would fare the same.
pub const SENDER_PROBLEM: &str = "sender problem: ";

/// How one attempt ended. Every variant is an expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// A final 2xx was read.
    Accepted {
        /// The server's or provider's last reply, one line, at most 512 bytes.
        reply: String,
    },
    /// Not sent, or refused for now; try again.
    Deferred {
        /// When the other side asked to be tried again, if it said so.
        until: Option<DateTime<Utc>>,
        /// Reply or reason, one line.
        why: String,
    },
    /// Refused for good.
    Refused {
        /// The class of the refusal.
        class: RefusalClass,
        /// Reply or reason, one line.
        why: String,
    },
    /// No connection was free in time, or the attempt was called off while it waited for one: the other side was told nothing.
    NotBegun,
    /// Crossed, but the dot was never written: surely not sent.
    Withdrawn,
    /// The crossing was refused: not sent, and not ours any more.
    NotCrossed,
    /// The dot went out and no readable final reply came back.
    Uncertain {
        /// What was seen instead.
        why: String,
    },
}

/// A way out. `send` cannot be called without the proof that the gate was passed.
pub trait Channel: Send + Sync {
    /// Hands one message over, asking `crossing` at the point of no return. Never retries inside.
    fn send<'a>(
        &'a self,
        clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome>;
}
