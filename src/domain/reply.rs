//! What a mail server's no means: a bad address, a full mailbox, a policy, too fast, or "not now".
//!
//! By one rule for all of them: first the enhanced status code (RFC 3463) where it says enough, then words that mean one
//! thing only, then the code with the stage. Nothing here names a provider.

use chrono::TimeDelta;

/// What a no is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyClass {
    /// The address does not exist or takes no mail.
    AddressBad,
    /// The mailbox is full.
    MailboxFull,
    /// The receiving side's policy blocks this sender or content.
    PolicyBlocked,
    /// Too fast.
    RateLimited,
    /// Said to pass.
    Temporary,
    /// Said to be permanent, and about nothing of these.
    Other,
}

/// What was judged when the no came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The sender: greeting, EHLO, MAIL.
    Sender,
    /// The recipient: RCPT.
    Recipient,
    /// The mail: DATA, content, final dot.
    Mail,
}

/// Words, in the order in which they count: what can mean one thing only speaks first, so that "mailbox unavailable due
/// to policy restrictions" is a policy.
const WORDS: [(ReplyClass, &[&str]); 6] = [
    (
        ReplyClass::RateLimited,
        &[
            "rate limit",
            "ratelimit",
            "rate-limit",
            "unusual rate",
            "at a rate that",
            "sending rate",
            "too fast",
            "too quickly",
            "throttl",
            "sending limit",
            "frequency limit",
            "unexpected volume",
            "limits for how many",
            "too many connections",
            "too many messages",
            "too many recipients",
            "slow down",
        ],
    ),
    (
        ReplyClass::PolicyBlocked,
        &[
            "policy restriction",
            "policy reason",
            "due to policy",
            "block list",
            "blocklist",
            "blacklist",
            "denylist",
            "spamhaus",
            "spamcop",
            "barracuda",
            "reputation",
            "dmarc",
            "unsolicited",
            "anti-spoofing",
        ],
    ),
    (
        ReplyClass::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "over quota",
            "overquota",
            "quota exceeded",
            "out of storage",
            "exceeded storage",
            "insufficient storage",
            "space not enough",
            "storage limit",
        ],
    ),
    (
        ReplyClass::AddressBad,
        &[
            "user unknown",
            "unknown user",
            "unknown recipient",
            "unknown mailbox",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no mailbox",
            "mailbox not found",
            "does not exist",
            "doesn't exist",
            "not exist",
            "doesn't have a",
            "invalid recipient",
            "invalid mailbox",
            "not a valid recipient",
            "recipient not found",
            "user not found",
            "account disabled",
            "account is disabled",
            "mailbox disabled",
            "mailbox unavailable",
            "no longer available",
            "not our customer",
            "unrouteable address",
            "recipient address rejected: access denied",
        ],
    ),
    (ReplyClass::RateLimited, &["too many"]),
    (
        ReplyClass::PolicyBlocked,
        &[
            "spam",
            "blocked",
            "policy",
            "policies",
            "spf",
            "dkim",
            "not authorized",
            "not authorised",
            "not permitted",
            "not allowed",
            "not verified",
            "verify failed",
            "content denied",
            "prohibited",
            "relay",
            "virus",
            "banned",
            "suspected",
            "listed",
            "rbl",
        ],
    ),
];

/// The class of a 4xx or 5xx reply: its code and its text, all lines of it.
pub fn classify(about: About, code: u16, text: &str) -> ReplyClass {
    let text = text.to_ascii_lowercase();
    let status = enhanced(code, &text);
    let by_words = words(&text);
    if code / 100 == 4 {
        // What passes is never a bad address. Of a grey list nobody is blocked.
        return match (status, by_words) {
            _ if text.contains("greylist") || text.contains("graylist") => ReplyClass::Temporary,
            (Some((2, 2)), _) => ReplyClass::MailboxFull,
            (Some((3, _)), _) => ReplyClass::Temporary,
            (_, Some(found @ (ReplyClass::RateLimited | ReplyClass::MailboxFull))) => found,
            (Some((7, _)) | None, Some(ReplyClass::PolicyBlocked)) => ReplyClass::PolicyBlocked,
            _ => ReplyClass::Temporary,
        };
    }
    let by_status = match status {
        Some((1, 1 | 2 | 3 | 6 | 10) | (2, 1)) => Some(ReplyClass::AddressBad),
        Some((2, 2)) => Some(ReplyClass::MailboxFull),
        // 5.7.1 is used for everything; there the words know better.
        Some((7, 1)) => by_words.or(Some(ReplyClass::PolicyBlocked)),
        Some((7, _)) => Some(match by_words {
            Some(ReplyClass::RateLimited) => ReplyClass::RateLimited,
            _ => ReplyClass::PolicyBlocked,
        }),
        _ => None,
    };
    let class = by_status.or(by_words).unwrap_or(match (about, code) {
        (About::Recipient, 552) => ReplyClass::MailboxFull,
        (About::Recipient, 550 | 551 | 553) => ReplyClass::AddressBad,
        _ => ReplyClass::Other,
    });
    match (class, about) {
        (ReplyClass::AddressBad, About::Recipient) => class,
        // Some servers judge the recipient only after the content, and then say so by status.
        (ReplyClass::AddressBad, About::Mail) if by_status.is_some() => class,
        // Else the address was not what the server judged.
        (ReplyClass::AddressBad, _) => ReplyClass::Other,
        _ => class,
    }
}

/// The class of what put an attempt off, from its reason as it is noted: a reply's line, perhaps with the stage before it.
/// What is no reply is temporary.
pub fn class_of_reason(why: &str) -> ReplyClass {
    let mut words = why.splitn(3, ' ');
    let first = words.next().unwrap_or_default();
    let line = if first.ends_with(':') {
        words.next().unwrap_or_default()
    } else {
        first
    };
    // A login that was refused is the account's fault, and nobody blocks it.
    let code = line
        .parse()
        .ok()
        .filter(|code| (400..600).contains(code) && !matches!(code, 530 | 534 | 535 | 538));
    match (code, why.split_once(line)) {
        (Some(code), Some((_, text))) => classify(About::Sender, code, text),
        _ => ReplyClass::Temporary,
    }
}

/// When the other side asked to be tried again, where its words say so: "try again in 5 minutes", "come back in 00:04:59",
/// "greylisted for 300 seconds". A day at most.
pub fn asked_to_wait(text: &str) -> Option<TimeDelta> {
    let text = text.to_ascii_lowercase();
    if ![
        "again",
        "retry",
        "try ",
        "wait",
        "come back",
        "greylist",
        "graylist",
        "grey-list",
        "delay",
    ]
    .iter()
    .any(|word| text.contains(word))
    {
        return None;
    }
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
        .filter(|word| !word.is_empty())
        .collect();
    let asked = words.iter().enumerate().find_map(|(at, word)| {
        let after = at > 0 && ["in", "for", "after", "wait", "another"].contains(&words[at - 1]);
        if !after {
            return None;
        }
        let parts: Option<Vec<i64>> = word
            .split(':')
            .map(|part| part.parse().ok().filter(|n| *n < 100_000))
            .collect();
        match parts.as_deref() {
            Some([hours, minutes, seconds]) => Some(hours * 3600 + minutes * 60 + seconds),
            Some([minutes, seconds]) => Some(minutes * 60 + seconds),
            Some([number]) => Some(number * unit(words.get(at + 1)?)?),
            // "300s", "5min"
            _ => {
                let digits = word
                    .find(|c: char| !c.is_ascii_digit())
                    .filter(|at| (1..6).contains(at))?;
                let (number, name) = word.split_at(digits);
                Some(number.parse::<i64>().ok()? * unit(name)?)
            }
        }
    })?;
    (asked > 0).then(|| TimeDelta::seconds(asked).min(TimeDelta::days(1)))
}

/// Seconds of a unit of time by its name.
fn unit(name: &str) -> Option<i64> {
    match name {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600),
        _ => None,
    }
}

/// Subject and detail of the enhanced status code (RFC 3463), when its class agrees with the code.
fn enhanced(code: u16, text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split_whitespace().next()?.splitn(3, '.');
    let class: u16 = parts.next()?.parse().ok()?;
    let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (class == code / 100).then_some((subject, detail))
}

fn words(text: &str) -> Option<ReplyClass> {
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| text.contains(word)))
        .map(|(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wait_is_read_from_the_words() {
        for (text, seconds) in [
            ("4.7.1 Greylisted, please try again in 300 seconds", Some(300)),
            ("4.2.0 Greylisted for 5 minutes", Some(300)),
            (
                "4.7.1 Greylisting in action, please come back in 00:04:59",
                Some(299),
            ),
            ("4.7.1 try again after 1 hour", Some(3600)),
            ("Please wait 90s and retry", Some(90)),
            ("retry in 05:00", Some(300)),
            ("delayed for 15min", Some(900)),
            ("try again in 99999 hours", Some(86_400)),
            ("4.7.1 Try again later", None),
            ("4.3.2 closing in 5 seconds", None),
            ("try again from 10 addresses", None),
            ("try again in 0 seconds", None),
            ("try again in ten minutes", None),
        ] {
            assert_eq!(asked_to_wait(text), seconds.map(TimeDelta::seconds), "{text}");
        }
    }

    #[test]
    fn a_noted_reason_has_the_class_of_its_reply() {
        for (why, class) in [
            ("452 4.2.2 over quota", ReplyClass::MailboxFull),
            (
                "greeting: 421 4.7.0 too many connections",
                ReplyClass::RateLimited,
            ),
            ("421 4.7.1 blocked by reputation", ReplyClass::PolicyBlocked),
            ("451 4.7.1 Greylisted by policy", ReplyClass::Temporary),
            ("MAIL: the link was cut: too many", ReplyClass::Temporary),
            ("530 5.7.0 authentication required", ReplyClass::Temporary),
            (
                "greeting: 554 5.7.1 blocked using a list",
                ReplyClass::PolicyBlocked,
            ),
            ("greeting: 554 no service", ReplyClass::Other),
            ("AUTH: 535 5.7.8 bad credentials", ReplyClass::Temporary),
            ("", ReplyClass::Temporary),
        ] {
            assert_eq!(class_of_reason(why), class, "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_class(code in 400u16..600, text in "\\PC{0,120}") {
            let class = classify(About::Recipient, code, &text);
            prop_assert!(code >= 500 || class != ReplyClass::AddressBad);
            prop_assert!(code < 500 || class != ReplyClass::Temporary);
            let _ = class_of_reason(&text);
            prop_assert!(asked_to_wait(&text).is_none_or(|wait| wait <= TimeDelta::days(1)));
        }
    }
}
