//! What a permanent refusal means: a bad address, a full mailbox, a policy, or something else.

use super::reply::Reply;
use crate::channel::RefusalClass;

/// The stages of a mail's dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Mail,
    Rcpt,
    Data,
    Content,
    Dot,
}

impl Stage {
    /// For the reason of an outcome.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "content",
            Self::Dot => "dot",
        }
    }
}

/// Wordings, in the order in which they count: who is full or blocked is known, so those speak before "rejected".
const WORDINGS: [(RefusalClass, &[&str]); 4] = [
    (
        RefusalClass::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded storage",
            "insufficient storage",
        ],
    ),
    (
        RefusalClass::AddressBad,
        &[
            "user unknown",
            "unknown user",
            "unknown recipient",
            "unknown mailbox",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no mailbox",
            "does not exist",
            "doesn't exist",
            "not exist",
            "invalid recipient",
            "invalid mailbox",
            "recipient not found",
            "user not found",
            "account disabled",
            "account is disabled",
            "mailbox disabled",
            "mailbox unavailable",
            "no longer available",
            "not our customer",
            "recipient address rejected: access denied",
        ],
    ),
    (
        RefusalClass::RateLimited,
        &[
            "too many",
            "rate limit",
            "ratelimit",
            "too fast",
            "throttl",
            "sending limit",
            "frequency limit",
        ],
    ),
    (
        RefusalClass::PolicyBlocked,
        &[
            "spam",
            "blocked",
            "block list",
            "blocklist",
            "blacklist",
            "denylist",
            "reputation",
            "policy",
            "dmarc",
            "spf",
            "dkim",
            "not authorized",
            "not authorised",
            "not permitted",
            "prohibited",
            "relay",
            "virus",
            "banned",
            "unsolicited",
            "listed",
        ],
    ),
];

/// The class of a 5xx reply. A refusal of MAIL or of the content is never called a bad address: the address was not
/// what the server judged.
pub(super) fn class_of(stage: Stage, reply: &Reply) -> RefusalClass {
    let class = by_status(reply)
        .or_else(|| by_wording(reply))
        .unwrap_or(match (stage, reply.code) {
            (Stage::Rcpt, 552) => RefusalClass::MailboxFull,
            (Stage::Rcpt, 550 | 551 | 553) => RefusalClass::AddressBad,
            _ => RefusalClass::Other,
        });
    match (class, stage) {
        (RefusalClass::AddressBad, Stage::Rcpt) => class,
        // Some servers judge the recipient only after the content, and then say so by status.
        (RefusalClass::AddressBad, Stage::Data | Stage::Content | Stage::Dot)
            if by_status(reply).is_some() =>
        {
            class
        }
        (RefusalClass::AddressBad, _) => RefusalClass::Other,
        _ => class,
    }
}

/// By the enhanced status code (RFC 3463), where that is clear. 5.1.0, 5.2.0, 5.7.1 and the like are used for
/// everything; there the wording knows better.
fn by_status(reply: &Reply) -> Option<RefusalClass> {
    match reply.enhanced()? {
        (1, 1 | 2 | 3 | 6 | 10) | (2, 1) => Some(RefusalClass::AddressBad),
        (2, 2) => Some(RefusalClass::MailboxFull),
        (7, 1) => by_wording(reply).or(Some(RefusalClass::PolicyBlocked)),
        (7, _) => Some(RefusalClass::PolicyBlocked),
        _ => None,
    }
}

fn by_wording(reply: &Reply) -> Option<RefusalClass> {
    let text = reply.lines.join(" ").to_ascii_lowercase();
    WORDINGS
        .iter()
        .find(|(_, words)| words.iter().any(|word| text.contains(word)))
        .map(|(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_class() {
        use RefusalClass::{AddressBad, MailboxFull, Other, PolicyBlocked, RateLimited};
        use Stage::{Dot, Mail, Rcpt};
        for (stage, code, text, class) in [
            (
                Rcpt,
                550,
                "5.1.1 <a@b.example>: Recipient address rejected: User unknown",
                AddressBad,
            ),
            (
                Rcpt,
                550,
                "5.4.1 Recipient address rejected: Access denied. AS(201806281)",
                AddressBad,
            ),
            (Rcpt, 550, "", AddressBad),
            (Rcpt, 550, "5.7.1 no such user here", AddressBad),
            (Rcpt, 552, "5.2.2 The email account is over quota", MailboxFull),
            (
                Rcpt,
                550,
                "5.2.1 The user you are trying to contact is receiving mail too quickly",
                AddressBad,
            ),
            (
                Rcpt,
                554,
                "5.7.1 Service unavailable; client host blocked using a list",
                PolicyBlocked,
            ),
            (Rcpt, 550, "Too many recipients, slow down", RateLimited),
            (Mail, 550, "5.1.8 sender does not exist", Other),
            (Mail, 553, "sorry, this sender is on our blacklist", PolicyBlocked),
            (Dot, 554, "5.7.26 unauthenticated mail", PolicyBlocked),
            (Dot, 550, "message does not exist in this form", Other),
            (Dot, 550, "5.1.1 user gone", AddressBad),
            (Dot, 554, "transaction failed", Other),
        ] {
            let reply = Reply {
                code,
                lines: vec![text.to_owned()],
            };
            assert_eq!(class_of(stage, &reply), class, "{stage:?} {code} {text}");
        }
    }
}
