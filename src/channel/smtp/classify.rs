//! What a refusal means, by the stage at which it came; the rule itself is [`crate::domain::reply`].

use super::reply::Reply;
use crate::channel::RefusalClass;
use crate::domain::reply::{About, ReplyClass, classify};

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

/// The class of a 5xx reply.
pub(super) fn class_of(stage: Stage, reply: &Reply) -> RefusalClass {
    match classified(stage, reply) {
        ReplyClass::AddressBad => RefusalClass::AddressBad,
        ReplyClass::MailboxFull => RefusalClass::MailboxFull,
        ReplyClass::PolicyBlocked => RefusalClass::PolicyBlocked,
        ReplyClass::RateLimited => RefusalClass::RateLimited,
        ReplyClass::Temporary | ReplyClass::Other => RefusalClass::Other,
    }
}

fn classified(stage: Stage, reply: &Reply) -> ReplyClass {
    let about = match stage {
        Stage::Mail => About::Sender,
        Stage::Rcpt => About::Recipient,
        Stage::Data | Stage::Content | Stage::Dot => About::Mail,
    };
    classify(about, reply.code, &reply.lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::corpora;
    use ReplyClass::{AddressBad, MailboxFull, Other, PolicyBlocked, RateLimited, Temporary};
    use Stage::{Dot, Mail, Rcpt};

    /// Replies in the shapes in which servers send them, with invented names.
    const REPLIES: &[(Stage, u16, &str, ReplyClass)] = &[
        // Google
        (
            Rcpt,
            550,
            "5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos or unnecessary spaces. - gsmtp",
            AddressBad,
        ),
        (
            Rcpt,
            552,
            "5.2.2 The recipient's inbox is out of storage space and inactive. - gsmtp",
            MailboxFull,
        ),
        (
            Rcpt,
            452,
            "4.2.2 The recipient's inbox is out of storage space. - gsmtp",
            MailboxFull,
        ),
        (
            Rcpt,
            550,
            "5.2.1 The email account that you tried to reach is disabled. - gsmtp",
            AddressBad,
        ),
        (
            Rcpt,
            450,
            "4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. - gsmtp",
            RateLimited,
        ),
        (
            Dot,
            421,
            "4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail has been temporarily rate limited. - gsmtp",
            RateLimited,
        ),
        (
            Dot,
            550,
            "5.7.26 Unauthenticated email from shop.example is not accepted due to domain's DMARC policy. - gsmtp",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam this message has been blocked. - gsmtp",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "5.7.25 The IP address sending this message does not have a PTR record setup, or the forward DNS entry does not match. - gsmtp",
            PolicyBlocked,
        ),
        (
            Dot,
            421,
            "4.7.0 Temporary System Problem. Try again later. - gsmtp",
            Temporary,
        ),
        (
            Dot,
            451,
            "4.3.0 Mail server temporarily rejected message. - gsmtp",
            Temporary,
        ),
        (
            Mail,
            550,
            "5.4.5 Daily user sending limit exceeded. - gsmtp",
            RateLimited,
        ),
        // Microsoft
        (
            Rcpt,
            550,
            "5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
            AddressBad,
        ),
        (
            Mail,
            550,
            "5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
            PolicyBlocked,
        ),
        (
            Mail,
            451,
            "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
            RateLimited,
        ),
        (
            Mail,
            421,
            "RP-001 Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again. We have limits for how many messages can be sent per hour and per day.",
            RateLimited,
        ),
        (
            Rcpt,
            550,
            "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            AddressBad,
        ),
        (
            Rcpt,
            550,
            "5.4.1 Recipient address rejected: Access denied. AS(201806281)",
            AddressBad,
        ),
        (
            Dot,
            554,
            "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException",
            MailboxFull,
        ),
        (
            Rcpt,
            550,
            "5.7.511 Access denied, banned sender[192.0.2.1].",
            PolicyBlocked,
        ),
        (
            Rcpt,
            550,
            "5.7.606 Access denied, banned sending IP [192.0.2.1].",
            PolicyBlocked,
        ),
        (
            Rcpt,
            451,
            "4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS780090)",
            Temporary,
        ),
        (Rcpt, 452, "4.3.1 Insufficient system resources", Temporary),
        (
            Rcpt,
            550,
            "5.7.64 TenantAttribution; Relay Access Denied",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "5.7.509 Access denied, sending domain shop.example does not pass DMARC verification and has a DMARC policy of reject.",
            PolicyBlocked,
        ),
        (
            Rcpt,
            451,
            "4.7.1 Greylisted, please try again in 300 seconds",
            Temporary,
        ),
        // Yahoo, AOL
        (
            Rcpt,
            554,
            "delivery error: dd This user doesn't have a yahoo.example account (ann@yahoo.example) [0]",
            AddressBad,
        ),
        (
            Rcpt,
            552,
            "1 Requested mail action aborted, mailbox not found",
            AddressBad,
        ),
        (
            Mail,
            421,
            "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1",
            RateLimited,
        ),
        (
            Mail,
            553,
            "5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
            PolicyBlocked,
        ),
        (
            Dot,
            554,
            "5.7.9 Message not accepted for policy reasons. See https://postmaster.example/error-codes",
            PolicyBlocked,
        ),
        (Rcpt, 452, "4.2.2 Over quota", MailboxFull),
        (Mail, 451, "[TS01] Message temporarily deferred - [70]", Temporary),
        // QQ, 163
        (
            Rcpt,
            550,
            "Mailbox not found. http://service.mail.example/cgi-bin/help?subtype=1&&id=20022&&no=1000728",
            AddressBad,
        ),
        (Rcpt, 550, "User not found: ann@mail.example", AddressBad),
        (
            Rcpt,
            550,
            "Mailbox space not enough or space limit. http://service.mail.example/",
            MailboxFull,
        ),
        (
            Mail,
            550,
            "Ip frequency limited [Mn0xVb 192.0.2.1]. http://service.mail.example/",
            RateLimited,
        ),
        (
            Mail,
            550,
            "Connection frequency limited. http://service.mail.example/",
            RateLimited,
        ),
        (
            Dot,
            550,
            "Mail content denied. http://service.mail.example/",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "Suspected bounce attacks. http://service.mail.example/",
            PolicyBlocked,
        ),
        (Dot, 550, "SPF check failed", PolicyBlocked),
        (
            Dot,
            554,
            "DT:SPM 163 smtp1,please see http://mail.example/help/help_spam_16.htm?ip=192.0.2.1",
            PolicyBlocked,
        ),
        (
            Mail,
            421,
            "MI:CEL 163 smtp2, too many connections from your ip",
            RateLimited,
        ),
        // Postfix
        (
            Rcpt,
            550,
            "5.1.1 <a@b.example>: Recipient address rejected: User unknown in virtual mailbox table",
            AddressBad,
        ),
        (
            Rcpt,
            450,
            "4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example/help/b.example.html",
            Temporary,
        ),
        (
            Rcpt,
            554,
            "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            PolicyBlocked,
        ),
        (Mail, 452, "4.3.1 Insufficient system storage", Temporary),
        (
            Rcpt,
            554,
            "5.7.1 <a@b.example>: Relay access denied",
            PolicyBlocked,
        ),
        (
            Rcpt,
            450,
            "4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]",
            Temporary,
        ),
        (
            Rcpt,
            450,
            "4.1.1 <a@b.example>: Recipient address rejected: unverified address: user unknown",
            Temporary,
        ),
        (Dot, 552, "5.3.4 Message size exceeds fixed limit", Other),
        // Exim
        (Rcpt, 550, "Unrouteable address", AddressBad),
        (Rcpt, 451, "Temporary local problem - please try later", Temporary),
        (Rcpt, 550, "Sender verify failed", PolicyBlocked),
        (
            Rcpt,
            451,
            "192.0.2.1 is not yet authorized to deliver mail from <x@y.example> to <a@b.example>. Please try later.",
            Temporary,
        ),
        (Rcpt, 550, "No Such User Here", AddressBad),
        // Proofpoint, Mimecast, Barracuda
        (
            Mail,
            554,
            "5.7.0 Blocked - see https://ipcheck.example/?ip=192.0.2.1",
            PolicyBlocked,
        ),
        (
            Mail,
            421,
            "4.7.0 too many connections from your IP address",
            RateLimited,
        ),
        (
            Rcpt,
            550,
            "Invalid Recipient - https://community.example/docs/DOC-1369#550",
            AddressBad,
        ),
        (
            Dot,
            550,
            "Rejected by header based Anti-Spoofing policy: hello@shop.example - https://community.example/",
            PolicyBlocked,
        ),
        (
            Dot,
            554,
            "Email rejected due to security policies - https://community.example/docs/DOC-1369#554",
            PolicyBlocked,
        ),
        (
            Rcpt,
            451,
            "Internal resources are temporarily unavailable - https://community.example/docs/DOC-1369#451",
            Temporary,
        ),
        (
            Mail,
            554,
            "Service unavailable; Client host [mail.shop.example] blocked using Barracuda Reputation; http://www.example/reputation/?r=1",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "permanent failure for one or more recipients (a@b.example:blocked)",
            PolicyBlocked,
        ),
        // Others
        (
            Rcpt,
            550,
            "Requested action not taken: mailbox unavailable Reject due to policy restrictions. For explanation visit http://postmaster.example/",
            PolicyBlocked,
        ),
        (
            Dot,
            550,
            "5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.example/",
            PolicyBlocked,
        ),
        (Rcpt, 552, "5.2.2 <a@b.example>: user is over quota", MailboxFull),
        (
            Dot,
            454,
            "Throttling failure: Maximum sending rate exceeded.",
            RateLimited,
        ),
        (
            Dot,
            554,
            "Message rejected: Email address is not verified.",
            PolicyBlocked,
        ),
        (
            Mail,
            554,
            "IP=192.0.2.1 - A problem occurred. Contact your postmaster/admin for RBL details.",
            PolicyBlocked,
        ),
        (
            Rcpt,
            451,
            "4.7.1 Greylisting in action, please come back in 00:04:59",
            Temporary,
        ),
        (Rcpt, 550, "", AddressBad),
        (Rcpt, 552, "", MailboxFull),
        (Rcpt, 550, "5.7.1 no such user here", AddressBad),
        (Rcpt, 550, "Too many recipients, slow down", RateLimited),
        (Mail, 550, "5.1.8 sender does not exist", Other),
        (Mail, 553, "sorry, this sender is on our blacklist", PolicyBlocked),
        (Dot, 550, "message does not exist in this form", Other),
        (Dot, 550, "5.1.1 user gone", AddressBad),
        (Dot, 554, "transaction failed", Other),
        (Rcpt, 421, "4.3.2 closing", Temporary),
    ];

    fn reply(code: u16, text: &str) -> Reply {
        Reply {
            code,
            lines: vec![text.to_owned()],
        }
    }

    #[test]
    fn replies_have_a_class() {
        assert!(REPLIES.len() >= 60);
        for (stage, code, text, class) in REPLIES {
            assert_eq!(
                classified(*stage, &reply(*code, text)),
                *class,
                "{stage:?} {code} {text}"
            );
        }
    }

    #[test]
    fn a_status_of_another_class_than_the_code_does_not_count() {
        assert_eq!(classified(Rcpt, &reply(450, "5.2.2 later")), Temporary);
        assert_eq!(classified(Rcpt, &reply(550, "4.2.2 gone")), AddressBad);
    }

    /// The bounces of other programs' corpora, where a whole reply of a server can be told in them: what is the same words
    /// for us must be the same class for them.
    #[test]
    fn real_bounces_of_a_full_mailbox_or_an_unknown_user_are_called_so() {
        let Some(table) = corpora::read("bounces/sisimai/expected.tsv") else {
            return;
        };
        let (mut judged, mut right) = (0, 0);
        for cells in corpora::rows(&table) {
            let (wanted, stage) = match cells[4] {
                "userunknown" => (AddressBad, Rcpt),
                "mailboxfull" => (MailboxFull, Rcpt),
                "blocked" | "policyviolation" | "authfailure" => (PolicyBlocked, Dot),
                _ => continue,
            };
            let mail = corpora::read(&format!("bounces/sisimai/mail/{}", cells[0]))
                .unwrap_or_default()
                .replace("\r\n", "\n")
                .replace("\n ", " ")
                .replace("\n\t", " ");
            let said = mail
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with("diagnostic-code: smtp"))
                .and_then(|line| line.split_once(';'))
                .map(|(_, said)| said.trim());
            let Some((code, text)) =
                said.and_then(|said| Some((said.get(..3)?.parse::<u16>().ok()?, said.get(4..)?)))
            else {
                continue;
            };
            if !(500..600).contains(&code) || cells[3] != code.to_string() {
                continue;
            }
            judged += 1;
            let found = classified(stage, &reply(code, text));
            if found == wanted {
                right += 1;
            } else {
                eprintln!("{}: {wanted:?} but {found:?}: {code} {text}", cells[0]);
            }
        }
        eprintln!("{right} of {judged} bounces have the class that the corpus gives them");
        assert!(judged >= 30 && right * 10 >= judged * 9, "{right} of {judged}");
    }
}
