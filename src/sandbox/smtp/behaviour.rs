//! What the recording SMTP server does at each stage: the ordinary thing, or a chosen fault.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::gate::Gate;
use crate::sandbox::link::Cut;

/// The stages of an SMTP connection, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The link is open, the greeting is due.
    Connect,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH, before its last answer.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before 354.
    Data,
    /// 354 is out, the content is about to be read. The ordinary server says nothing here.
    Content,
    /// The final dot was read.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Where the server stands when it asks for an [`Action`].
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The stage whose answer is due.
    pub stage: Stage,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// Number of the transaction within the connection, from 1; 0 before the first MAIL.
    pub transaction: u64,
    /// Envelope sender, empty before MAIL.
    pub mail_from: &'a str,
    /// Recipients so far, the one asked about last.
    pub rcpt: &'a [String],
    /// Message-ID without angle brackets; known from [`Stage::Dot`] on.
    pub message_id: &'a str,
}

/// What to do at a moment.
#[derive(Debug, Clone)]
pub enum Action {
    /// The ordinary answer.
    Go,
    /// This line instead (CRLF is added). A class other than the ordinary one refuses; 421 closes the link after it.
    Reply(String),
    /// The ordinary answer, byte by byte with this pause.
    Drip(Duration),
    /// Wait at the gate, then do the other.
    Hold(Gate, Box<Action>),
    /// Take the message over (at the dot), then do the other whatever it says.
    StoreThen(Box<Action>),
    /// Reset the link without an answer.
    Drop,
}

impl Action {
    /// Answers with `line`.
    #[must_use]
    pub fn reply(line: &str) -> Self {
        Self::Reply(line.to_owned())
    }

    /// Waits at `gate`, then answers as usual.
    #[must_use]
    pub fn hold(gate: &Gate) -> Self {
        Self::Hold(gate.clone(), Box::new(Self::Go))
    }

    /// Takes the message over and resets the link without a word: the unknown window.
    #[must_use]
    pub fn store_and_drop() -> Self {
        Self::StoreThen(Box::new(Self::Drop))
    }
}

/// The script of a recording server. A closure from [`Moment`] to [`Action`] is one.
pub trait Behaviour: Send + Sync {
    /// What to do now.
    fn at(&self, moment: &Moment<'_>) -> Action;

    /// Where to cut connection number `connection` (from 1).
    fn cut(&self, _connection: u64) -> Cut {
        Cut::default()
    }
}

impl<F: Fn(&Moment<'_>) -> Action + Send + Sync> Behaviour for F {
    fn at(&self, moment: &Moment<'_>) -> Action {
        self(moment)
    }
}

/// A server without faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ordinary;

impl Behaviour for Ordinary {
    fn at(&self, _moment: &Moment<'_>) -> Action {
        Action::Go
    }
}

/// Cuts every connection at the same byte and is ordinary else.
#[derive(Debug, Clone, Copy)]
pub struct CutAt(pub Cut);

impl Behaviour for CutAt {
    fn at(&self, _moment: &Moment<'_>) -> Action {
        Action::Go
    }

    fn cut(&self, _connection: u64) -> Cut {
        self.0
    }
}
