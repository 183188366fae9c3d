//! What the world outside says: the senders' servers, the public URL, the records of the senders' domains.

use std::collections::BTreeSet;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use crate::app::ways;
use crate::channel::smtp::SmtpChannel;
use crate::channel::smtp::dkim::DkimKey;
use crate::config::sender::EmailSender;
use crate::config::{Settings, Tls};
use crate::domain::sender_domain::{self, Said};
use crate::engine::doctor::{Finding, Verdict};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks all of it. What does not matter while nothing leaves the machine has to be right before anything does.
pub async fn look(settings: &Settings, leaves: bool) -> Vec<Finding> {
    let bad = if leaves {
        Verdict::Wrong
    } else {
        Verdict::BeforeLive
    };
    let mut findings = Vec::new();
    let mut domains = BTreeSet::new();
    for sender in &settings.senders {
        if let Some(email) = sender.email() {
            findings.push(smtp(&sender.name, email, bad).await);
            if let Some((_, domain)) = email.from_email.rsplit_once('@') {
                let signs = !email.dkim.is_empty();
                domains.insert((domain.to_lowercase(), email.smtp.dkim_selector.clone(), signs));
            }
        }
    }
    findings.push(public_url(&settings.listen.public_url, bad).await);
    let resolver = resolver();
    for (domain, selector, signs) in &domains {
        findings.extend(records(resolver.as_ref(), domain, selector.as_deref(), *signs, bad).await);
    }
    for (key, sender) in own_keys(settings) {
        findings.push(own_key(resolver.as_ref(), &key, &sender, bad).await);
    }
    findings
}

/// The keys that kith signs with, each once. One that cannot be read is told of with its sender.
fn own_keys(settings: &Settings) -> Vec<(DkimKey, String)> {
    let mut keys: Vec<(DkimKey, String)> = Vec::new();
    for sender in &settings.senders {
        for key in sender
            .email()
            .and_then(|email| ways::dkim_keys(email).ok())
            .unwrap_or_default()
        {
            let same = |(known, _): &(DkimKey, String)| {
                known.record_name() == key.record_name() && known.public() == key.public()
            };
            if !keys.iter().any(same) {
                keys.push((key, sender.name.clone()));
            }
        }
    }
    keys
}

/// Whether the public half of a key is published.
async fn own_key(resolver: Option<&TokioResolver>, key: &DkimKey, sender: &str, bad: Verdict) -> Finding {
    let name = key.record_name();
    let area = format!("dkim of {} ({sender})", key.domain);
    let answer = match resolver {
        Some(resolver) => texts(resolver, &name).await,
        None => Err("this machine has no resolver".to_owned()),
    };
    let record = format!("{name} TXT \"{}\"", key.record());
    match answer {
        Err(why) => Finding::new(
            area,
            Verdict::Unknown,
            format!("could not ask: {why}; it must be {record}"),
        ),
        Ok(records) => match sender_domain::dkim_of(&records, &key.public()) {
            Said::Good(text) => Finding::new(area, Verdict::Fine, format!("{text} ({})", key.algorithm())),
            Said::Bad(text) => Finding::new(area, bad, format!("{text}: {record}")),
        },
    }
}

async fn smtp(name: &str, email: &EmailSender, bad: Verdict) -> Finding {
    let area = format!("sender {name}");
    let server = format!("{}:{}", email.smtp.host, email.smtp.port);
    if email.smtp.host.is_empty() {
        return Finding::new(area, bad, "no SMTP server is set (senders.smtp.host)");
    }
    let options = match ways::smtp_options(email, None) {
        Ok(options) => options,
        Err(error) => return Finding::new(area, bad, format!("{error:#}")),
    };
    let channel = match SmtpChannel::new([(name.to_owned(), options)]) {
        Ok(channel) => channel,
        Err(error) => return Finding::new(area, bad, error.to_string()),
    };
    match tokio::time::timeout(PATIENCE, channel.probe(name)).await {
        Ok(Ok(false)) if email.smtp.tls == Tls::Opportunistic => Finding::new(
            area,
            Verdict::Unknown,
            format!("{server} would take mail, but offers no STARTTLS: it goes there in the clear"),
        ),
        Ok(Ok(_)) => Finding::new(
            area,
            Verdict::Fine,
            format!("{server} would take mail ({})", email.smtp.tls.in_words()),
        ),
        Ok(Err(why)) => Finding::new(area, bad, format!("{server}: {why}")),
        Err(_) => Finding::new(
            area,
            bad,
            format!("{server}: no answer within {} s", PATIENCE.as_secs()),
        ),
    }
}

/// Any answer will do: it shows that a listener is reached. A daemon that is down is told elsewhere.
async fn public_url(url: &str, bad: Verdict) -> Finding {
    let area = "public url";
    let local = url::Url::parse(url).is_ok_and(|url| {
        matches!(url.host(), Some(url::Host::Domain("localhost")))
            || matches!(url.host(), Some(url::Host::Ipv4(ip)) if ip.is_loopback())
    });
    if local {
        return Finding::new(
            area,
            bad,
            format!("{url} is this machine only: links in mails would lead nowhere"),
        );
    }
    let client = match reqwest::Client::builder().timeout(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return Finding::new(area, Verdict::Unknown, format!("could not ask: {error}")),
    };
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_server_error() => {
            Finding::new(area, bad, format!("{url} answers {}", answer.status()))
        }
        Ok(answer) => Finding::new(area, Verdict::Fine, format!("{url} answers {}", answer.status())),
        Err(error) => Finding::new(
            area,
            bad,
            format!("{url} is not reached from here: {}", error.without_url()),
        ),
    }
}

fn resolver() -> Option<TokioResolver> {
    TokioResolver::builder_tokio().ok()?.build().ok()
}

async fn records(
    resolver: Option<&TokioResolver>,
    domain: &str,
    selector: Option<&str>,
    kith_signs: bool,
    bad: Verdict,
) -> Vec<Finding> {
    let mut questions = vec![
        (
            format!("spf of {domain}"),
            domain.to_owned(),
            sender_domain::spf as fn(&[String]) -> Said,
        ),
        (
            format!("dmarc of {domain}"),
            format!("_dmarc.{domain}"),
            sender_domain::dmarc,
        ),
    ];
    let mut findings = Vec::new();
    match selector {
        Some(selector) => questions.push((
            format!("dkim of {domain}"),
            format!("{selector}._domainkey.{domain}"),
            sender_domain::dkim,
        )),
        None if kith_signs => {}
        None => findings.push(Finding::new(
            format!("dkim of {domain}"),
            Verdict::Unknown,
            "not asked: kith signs with no key (senders.dkim), and senders.smtp.dkim_selector does not say which your \
             server signs with",
        )),
    }
    for (area, name, judge) in questions {
        let answer = match resolver {
            Some(resolver) => texts(resolver, &name).await,
            None => Err("this machine has no resolver".to_owned()),
        };
        findings.push(match answer {
            Err(why) => Finding::new(area, Verdict::Unknown, format!("could not ask: {why}")),
            Ok(records) => match judge(&records) {
                Said::Good(text) => Finding::new(area, Verdict::Fine, text),
                Said::Bad(text) => Finding::new(area, bad, text),
            },
        });
    }
    findings
}

/// The TXT records of a name, the parts of each joined. None there is an answer; no answer is an error.
async fn texts(resolver: &TokioResolver, name: &str) -> Result<Vec<String>, String> {
    // A final dot: the name as it stands, without the search list of this machine.
    match tokio::time::timeout(PATIENCE, resolver.txt_lookup(format!("{name}."))).await {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(Err(error)) if error.is_no_records_found() => Ok(Vec::new()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(found)) => Ok(found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(
                    txt.txt_data
                        .iter()
                        .map(|part| String::from_utf8_lossy(part))
                        .collect(),
                ),
                _ => None,
            })
            .collect()),
    }
}
