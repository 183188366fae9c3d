//! Everything that `kith.toml` says.

use serde::Deserialize;

use super::company::Company;
use super::delivery::{Delivery, Mode};
use super::digest::Digest;
use super::pace::{Pace, WarmUp};
use super::problem::Problem;
use super::runtime::{Database, Events, Import, Keep, Lease, Listen, Log};
use super::sender::{Sender, SmsProvider};
use super::source::Source;
use crate::domain::cadence::ChannelKind;
use crate::domain::email::EmailAddress;
use crate::domain::gate_rules::GateRules;
use crate::domain::locale::LocaleTag;

/// Everything that `kith.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The company in whose name kith writes.
    pub company: Company,
    /// The database.
    pub database: Database,
    /// Where messages really go.
    pub delivery: Delivery,
    /// The two listeners.
    pub listen: Listen,
    /// Accounts that carry messages; the first of a channel is its default.
    pub senders: Vec<Sender>,
    /// How fast recipients' sides are written to.
    pub pace: Pace,
    /// What the gate asks. A document: `kith apply` puts it in force.
    pub gate: GateRules,
    /// The daily mail to the owners.
    pub digest: Digest,
    /// The log.
    pub log: Log,
    /// How a daemon shows that it is alive.
    pub lease: Lease,
    /// Imports.
    pub import: Import,
    /// Events that come in.
    pub events: Events,
    /// How long histories are kept.
    pub keep: Keep,
}

impl Settings {
    /// The sender of that name, or the first of the channel.
    pub fn sender(&self, channel: ChannelKind, name: Option<&str>) -> Option<&Sender> {
        self.senders
            .iter()
            .filter(|sender| sender.channel() == channel)
            .find(|sender| name.is_none_or(|name| sender.name == name))
    }

    /// The warm-ups of those senders whose `from_email` is of this domain; none when it is not new.
    pub fn warming_up<'a>(&'a self, domain: &'a str) -> impl Iterator<Item = &'a WarmUp> {
        let of_domain = |sender: &&Sender| {
            let from = sender.email().and_then(|email| email.from_email.rsplit_once('@'));
            from.is_some_and(|(_, of)| of.eq_ignore_ascii_case(domain))
        };
        self.senders
            .iter()
            .filter(of_domain)
            .filter_map(|sender| sender.pace.warm_up.as_ref())
    }

    /// What types alone cannot tell.
    pub(super) fn check(&self, source: &Source) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |path: &[&str], reason: String| problems.push(source.problem_at(path, reason));
        if self.company.name.trim().is_empty() {
            refuse(&["company", "name"], "the company needs a name".into());
        }
        if self.company.region.len() != 2 || !self.company.region.bytes().all(|b| b.is_ascii_uppercase()) {
            refuse(
                &["company", "region"],
                "a region is two capitals of ISO 3166, such as CN".into(),
            );
        }
        if self.company.currency.len() != 3 || !self.company.currency.bytes().all(|b| b.is_ascii_uppercase())
        {
            refuse(
                &["company", "currency"],
                "a currency is three capitals of ISO 4217, such as CNY".into(),
            );
        }
        if LocaleTag::parse(&self.company.default_locale).is_err() {
            refuse(
                &["company", "default_locale"],
                "not a language tag such as en or zh-Hans".into(),
            );
        }
        for (key, address) in [
            ("url", &self.company.url),
            ("pricing_url", &self.company.pricing_url),
            ("booking_url", &self.company.booking_url),
            ("case_url", &self.company.case_url),
        ] {
            if !is_web_address(address) {
                refuse(
                    &["company", key],
                    format!("{address:?} is not an http(s) address"),
                );
            }
        }
        if !is_web_address(&self.listen.public_url) {
            refuse(&["listen", "public_url"], "not an http(s) address".into());
        }
        if self.listen.public == self.listen.admin && self.listen.public.port() != 0 {
            refuse(
                &["listen", "admin"],
                "both listeners on one address: the admin pages would be public".into(),
            );
        }
        if self
            .database
            .url
            .as_ref()
            .is_some_and(super::runtime::DatabaseUrl::shows_password)
        {
            refuse(
                &["database", "url"],
                "a password must not stand in the file: use DATABASE_URL, { env = \"NAME\" } or { file = \"path\" }"
                    .into(),
            );
        }
        if self.database.max_connections < 4 {
            refuse(
                &["database", "max_connections"],
                "a daemon needs four connections at the least".into(),
            );
        }
        if self.lease.heartbeat.length() <= chrono::TimeDelta::zero() {
            refuse(&["lease", "heartbeat"], "must be longer than nothing".into());
        } else if self.lease.dead_after.length() < self.lease.heartbeat.length() * 3 {
            refuse(
                &["lease", "dead_after"],
                "must be at least three heartbeats, or a slow one counts as dead".into(),
            );
        }
        self.check_senders(&mut problems, source);
        self.check_pace(&mut problems, source);
        problems
    }

    fn check_pace(&self, problems: &mut Vec<Problem>, source: &Source) {
        let mut seen = std::collections::BTreeMap::new();
        for (name, provider) in &self.pace.providers {
            for domain in &provider.domains {
                if let Some(other) = seen.insert(domain.to_lowercase(), name) {
                    let reason = format!("{domain} belongs to `{other}` already");
                    problems.push(source.problem_at(&["pace", "providers", name, "domains"], reason));
                }
            }
        }
        if self.pace.breaker.open_for.length() <= chrono::TimeDelta::zero() {
            problems.push(source.problem_at(&["pace", "breaker", "open_for"], "must be longer than nothing"));
        }
    }

    fn check_senders(&self, problems: &mut Vec<Problem>, source: &Source) {
        let live = self.delivery.mode != Mode::Sandbox;
        for (position, sender) in self.senders.iter().enumerate() {
            let at = position.to_string();
            let mut refuse = |path: &[&str], reason: String| {
                let path: Vec<&str> = ["senders", at.as_str()]
                    .into_iter()
                    .chain(path.iter().copied())
                    .collect();
                problems.push(source.problem_at(&path, reason));
            };
            if self.senders[..position]
                .iter()
                .any(|other| other.name == sender.name)
            {
                refuse(&["name"], format!("two senders are called `{}`", sender.name));
            }
            if let Some(fallback) = &sender.fallback
                && (*fallback == sender.name || self.sender(sender.channel(), Some(fallback)).is_none())
            {
                refuse(
                    &["fallback"],
                    format!("`{fallback}` is no other sender of the same channel"),
                );
            }
            let fallback = sender.fallback.as_deref();
            if let Some(other) = fallback.and_then(|name| self.sender(sender.channel(), Some(name)))
                && let (Some(one), Some(other_one)) = (sender.sms(), other.sms())
            {
                let registered = one.registers() || other_one.registers();
                if registered && one.name() != other_one.name() {
                    refuse(
                        &["fallback"],
                        "a text that is registered with one provider cannot go out over another".into(),
                    );
                }
                if sender.limits != other.limits {
                    refuse(
                        &["fallback"],
                        format!(
                            "`{}` has other limits, and would carry what was judged by these",
                            other.name
                        ),
                    );
                }
            }
            if let Some(warm_up) = &sender.pace.warm_up
                && (warm_up.daily.is_empty() || warm_up.daily.contains(&0))
            {
                refuse(
                    &["pace", "warm_up"],
                    "one number of at least 1 for each day".into(),
                );
            }
            if let Some(address) = sender.sms().and_then(SmsProvider::api_url)
                && !is_web_address(address)
            {
                let provider = sender.sms().map_or("", SmsProvider::name);
                refuse(
                    &[provider, "api_url"],
                    format!("{address:?} is not an http(s) address"),
                );
            }
            if let Some(cap) = sender
                .limits
                .per_number
                .iter()
                .find(|cap| !(1..=RING).contains(&cap.n))
            {
                let reason = format!("a cap is 1 to {RING} messages, not {}", cap.n);
                refuse(&["limits", "per_number"], reason);
            }
            let Some(email) = sender.email() else { continue };
            if EmailAddress::parse(&email.from_email).is_err() {
                refuse(
                    &["from_email"],
                    format!("{:?} is not a mail address", email.from_email),
                );
            }
            if let Some(address) = &email.reply_to
                && EmailAddress::parse(address).is_err()
            {
                refuse(&["reply_to"], format!("{address:?} is not a mail address"));
            }
            if let Some(domain) = &email.return_path
                && !is_domain(domain)
            {
                refuse(&["return_path"], format!("{domain:?} is not a domain name"));
            }
            let from = email.from_email.rsplit_once('@').map_or("", |(_, domain)| domain);
            for (position, key) in email.dkim.iter().enumerate() {
                let position = position.to_string();
                for (field, name) in [("domain", &key.domain), ("selector", &key.selector)] {
                    let fits = if field == "domain" {
                        is_domain(name)
                    } else {
                        is_domain(&format!("{name}.a"))
                    };
                    if !fits {
                        refuse(
                            &["dkim", &position, field],
                            format!("{name:?} cannot stand in a domain name"),
                        );
                    }
                }
            }
            if !email.dkim.is_empty() && !email.dkim.iter().any(|key| covers(&key.domain, from)) {
                refuse(
                    &["dkim"],
                    format!("no key is for {from}, the domain of from_email: its mail would go out unsigned"),
                );
            }
            for (stage, limit) in email.smtp.deadlines.set() {
                if limit.length() < chrono::TimeDelta::seconds(1) {
                    refuse(
                        &["smtp", "deadlines", stage],
                        "must be a second at the least".into(),
                    );
                }
            }
            if live && email.smtp.host.is_empty() {
                let mode = self.delivery.mode.as_str();
                refuse(
                    &["smtp", "host"],
                    format!("delivery.mode is {mode}, but the sender has no server"),
                );
            }
            if email.smtp.username.is_some() != email.smtp.password.is_some() {
                refuse(&["smtp"], "username and password belong together".into());
            }
            if email.smtp.max_connections == 0 {
                refuse(
                    &["smtp", "max_connections"],
                    "nothing would be sent without a connection".into(),
                );
            }
        }
    }
}

/// Whether a domain is that one or above it.
fn covers(domain: &str, other: &str) -> bool {
    let (domain, other) = (domain.to_ascii_lowercase(), other.to_ascii_lowercase());
    other
        .strip_suffix(&domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_domain(text: &str) -> bool {
    EmailAddress::parse(&format!("a@{text}")).is_ok_and(|address| address.domain().eq_ignore_ascii_case(text))
}
/// More instants than this are not remembered of a number.
const RING: u32 = 64;

fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
