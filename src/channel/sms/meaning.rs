//! What a provider's answer means for the message, whatever the provider calls it.

use chrono::TimeDelta;

use super::{Answer, Now};
use crate::channel::line::one_line;
use crate::channel::{RefusalClass, SENDER_PROBLEM, SendOutcome};

/// How long a sender rests that its provider serves no more: long enough that somebody can pay or put a key right.
const UNTIL_SOMEBODY_ACTS: TimeDelta = TimeDelta::hours(1);

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The provider has it.
    Taken,
    /// The recipient or the text is the cause.
    Refused(RefusalClass),
    /// Too fast, or a limit of this number's; not before this much time, unless the provider says when.
    TooFast(TimeDelta),
    /// The provider has trouble of its own, and says that it did not take the message.
    NotNow,
    /// The account is: no money, no right, a wrong key. Any other message would fare the same.
    SenderProblem,
    /// It may have been taken.
    Unknown,
}

impl Meaning {
    /// The outcome. A sender's own problem is said aloud, since nobody but an operator can end it.
    pub(super) fn outcome(self, sender: &str, answer: &Answer, words: &str, now: &Now) -> SendOutcome {
        let why = one_line(&format!("{} {words}", answer.status));
        let later = |span: TimeDelta| answer.until.unwrap_or_else(|| now() + span);
        match self {
            Self::Taken => SendOutcome::Accepted { reply: why },
            Self::Refused(class) => SendOutcome::Refused { class, why },
            Self::TooFast(span) => SendOutcome::Deferred {
                until: Some(later(span)),
                why,
            },
            Self::NotNow => SendOutcome::Deferred {
                until: answer.until,
                why,
            },
            Self::SenderProblem => {
                tracing::error!(
                    sender,
                    why,
                    "the SMS provider does not serve this sender; somebody must act"
                );
                metrics::counter!("kith_sender_problems_total", "sender" => sender.to_owned()).increment(1);
                SendOutcome::Deferred {
                    until: Some(later(UNTIL_SOMEBODY_ACTS)),
                    why: one_line(&format!("{SENDER_PROBLEM}{why}")),
                }
            }
            Self::Unknown => SendOutcome::Uncertain { why },
        }
    }

    /// What an HTTP status says where the body says nothing that is known.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            // A wrong key, or a wrong address of the API: it has moved, or was never there.
            301 | 302 | 307 | 308 | 401 | 403..=405 | 407 => Self::SenderProblem,
            429 => Self::TooFast(TimeDelta::minutes(1)),
            // It was taken, and the answer is elsewhere: no redirection is followed.
            303 => Self::Unknown,
            300..400 | 408 | 425 => Self::NotNow,
            400..500 => Self::Refused(RefusalClass::Other),
            _ => Self::Unknown,
        }
    }
}
