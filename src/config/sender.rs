//! Senders: accounts at SMTP servers and SMS providers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pace::SenderPace;
use super::secret::SecretRef;
use super::sms::{Aliyun, SmsLimits, Tencent, Vonage};
use crate::domain::cadence::ChannelKind;
use crate::domain::span::Span;

/// An account that carries messages, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SenderForm", into = "SenderForm")]
pub struct Sender {
    /// What steps and queue rows call it.
    pub name: String,
    /// What it carries, and how.
    pub transport: Transport,
    /// How fast.
    pub pace: SenderPace,
    /// The sender of the same channel whose account carries its messages while this one is left alone.
    pub fallback: Option<String>,
    /// What the gate heeds for this sender alone; none for mail.
    pub limits: SmsLimits,
}

/// What a sender carries, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Mail through an SMTP server.
    Email(EmailSender),
    /// Text messages through a provider.
    Sms(SmsProvider),
}

/// A mail sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailSender {
    /// Name in From.
    pub from_name: String,
    /// Address in From; its domain is the sender's domain.
    pub from_email: String,
    /// Where answers go; From where absent.
    pub reply_to: Option<String>,
    /// Domain of the Return-Path, each message then has its own; the address in From where absent.
    pub return_path: Option<String>,
    /// Keys that sign its mail.
    pub dkim: Vec<Dkim>,
    /// The server.
    pub smtp: Smtp,
}

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The domain that signs: that of From, or one above it.
    pub domain: String,
    /// Its public half is at `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// The private key in PEM.
    pub key: SecretRef,
}

/// How long each stage of a dialogue may take; what is absent is as built in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpDeadlines {
    /// Waiting for one of `max_connections` to be free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Span>,
    /// Name resolution and TCP connect, and the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// Greeting, EHLO, STARTTLS and AUTH, each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello: Option<Span>,
    /// MAIL, RCPT and RSET, each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Span>,
    /// DATA up to 354.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Span>,
    /// Each 64 KiB of content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Span>,
    /// From the final dot until its reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dot: Option<Span>,
}

impl SmtpDeadlines {
    /// What is set, with its key.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, Span)> {
        [
            ("free", self.free),
            ("connect", self.connect),
            ("hello", self.hello),
            ("envelope", self.envelope),
            ("data", self.data),
            ("block", self.block),
            ("dot", self.dot),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// An SMTP account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Host name or address; empty until set.
    pub host: String,
    /// 587 for STARTTLS, 465 for TLS from the start, 25 between servers.
    #[serde(default = "submission")]
    pub port: u16,
    /// How the line is encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// For AUTH; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Open at once at the most.
    #[serde(default = "eight")]
    pub max_connections: u16,
    /// Selector of the DKIM key that the server signs with; `kith doctor` looks it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim_selector: Option<String>,
    /// Deadlines of the stages.
    #[serde(default)]
    pub deadlines: SmtpDeadlines,
}

fn submission() -> u16 {
    587
}

fn eight() -> u16 {
    8
}

/// How an SMTP line is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// STARTTLS, or nothing is sent.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS where the server offers it, plain otherwise.
    Opportunistic,
    /// Plain; for servers on the same machine.
    None,
}

impl Tls {
    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Starttls => "encrypted by STARTTLS",
            Self::Implicit => "encrypted by TLS from the first byte",
            Self::Opportunistic => "encrypted where the server offers STARTTLS, else in the clear",
            Self::None => "in the clear, without TLS",
        }
    }
}

/// An SMS account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmsProvider {
    /// Twilio's API.
    Twilio(Twilio),
    /// Aliyun's SMS service.
    Aliyun(Aliyun),
    /// Tencent Cloud's SMS service.
    Tencent(Tencent),
    /// Vonage's SMS API.
    Vonage(Vonage),
    /// Any HTTP gateway.
    Generic(HttpGateway),
}

impl SmsProvider {
    /// Names under which an `sms.toml` may say what a mainland provider registered.
    pub const REGISTERING: [&str; 2] = ["aliyun", "tencent"];

    /// The key of its table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Twilio(_) => "twilio",
            Self::Aliyun(_) => "aliyun",
            Self::Tencent(_) => "tencent",
            Self::Vonage(_) => "vonage",
            Self::Generic(_) => "generic",
        }
    }

    /// Base of its API; a gateway's address is a template.
    pub fn api_url(&self) -> Option<&str> {
        match self {
            Self::Twilio(twilio) => Some(&twilio.api_url),
            Self::Aliyun(aliyun) => Some(&aliyun.api_url),
            Self::Tencent(tencent) => Some(&tencent.api_url),
            Self::Vonage(vonage) => Some(&vonage.api_url),
            Self::Generic(_) => None,
        }
    }

    /// Whether it sends registered texts only, by their id.
    pub fn registers(&self) -> bool {
        Self::REGISTERING.contains(&self.name())
    }
}

/// An account at Twilio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    /// Account SID.
    pub account_sid: String,
    /// Auth token; also checks the signature of what comes in.
    pub auth_token: SecretRef,
    /// Sending number in E.164, or the SID of a messaging service.
    pub from: String,
    /// Base of the API, for a regional edge or a test.
    #[serde(default = "twilio_api")]
    pub api_url: String,
}

fn twilio_api() -> String {
    "https://api.twilio.com".to_owned()
}

/// Any HTTP gateway: address, headers and body are templates over `to`, `text`, `from`, `message_id` and `secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpGateway {
    /// Where the request goes.
    pub url: String,
    /// HTTP method.
    #[serde(default = "post")]
    pub method: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body; empty sends none.
    #[serde(default)]
    pub body: String,
    /// Sending number or name, `{{from}}`.
    #[serde(default)]
    pub from: String,
    /// The gateway's key, `{{secret}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Whether the gateway refuses a second request with the same message id, so that an unknown may be tried again.
    #[serde(default)]
    pub idempotent: bool,
}

fn post() -> String {
    "POST".to_owned()
}

impl Sender {
    /// What it carries.
    pub fn channel(&self) -> ChannelKind {
        match self.transport {
            Transport::Email(_) => ChannelKind::Email,
            Transport::Sms(_) => ChannelKind::Sms,
        }
    }

    /// The mail sender, if it is one.
    pub fn email(&self) -> Option<&EmailSender> {
        match &self.transport {
            Transport::Email(email) => Some(email),
            Transport::Sms(_) => None,
        }
    }

    /// The SMS provider, if it is one.
    pub fn sms(&self) -> Option<&SmsProvider> {
        match &self.transport {
            Transport::Sms(sms) => Some(sms),
            Transport::Email(_) => None,
        }
    }
}

/// A sender as it is written: one table with the keys of its kind.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderForm {
    name: String,
    channel: ChannelKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    return_path: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dkim: Vec<Dkim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    smtp: Option<Smtp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    twilio: Option<Twilio>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aliyun: Option<Aliyun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tencent: Option<Tencent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vonage: Option<Vonage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generic: Option<HttpGateway>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pace: Option<SenderPace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    limits: Option<SmsLimits>,
}

impl SenderForm {
    /// The tables of SMS providers that are there.
    fn providers(&mut self) -> Vec<SmsProvider> {
        let found = [
            self.twilio.take().map(SmsProvider::Twilio),
            self.aliyun.take().map(SmsProvider::Aliyun),
            self.tencent.take().map(SmsProvider::Tencent),
            self.vonage.take().map(SmsProvider::Vonage),
            self.generic.take().map(SmsProvider::Generic),
        ];
        found.into_iter().flatten().collect()
    }
}

impl TryFrom<SenderForm> for Sender {
    type Error = String;

    fn try_from(mut form: SenderForm) -> Result<Self, String> {
        let mut providers = form.providers();
        let name = form.name;
        let mail_keys = form.from_name.is_some()
            || form.from_email.is_some()
            || form.reply_to.is_some()
            || form.return_path.is_some()
            || !form.dkim.is_empty();
        let mut limits = form.limits.unwrap_or_default();
        let transport = match (form.channel, form.smtp, providers.pop()) {
            (ChannelKind::Email, Some(smtp), None) if limits == SmsLimits::default() => {
                Transport::Email(EmailSender {
                    from_name: form.from_name.unwrap_or_default(),
                    from_email: form
                        .from_email
                        .ok_or_else(|| format!("mail sender `{name}` needs `from_email`"))?,
                    reply_to: form.reply_to.filter(|address| !address.is_empty()),
                    return_path: form.return_path.filter(|domain| !domain.is_empty()),
                    dkim: form.dkim,
                    smtp,
                })
            }
            (ChannelKind::Email, ..) => {
                return Err(format!(
                    "mail sender `{name}` needs a table `smtp`, no other transport and no `limits`"
                ));
            }
            (ChannelKind::Sms, ..) if mail_keys => {
                return Err(format!(
                    "text sender `{name}` takes no from_name, from_email, reply_to, return_path or dkim"
                ));
            }
            (ChannelKind::Sms, None, Some(provider)) if providers.is_empty() => {
                if let SmsProvider::Vonage(vonage) = &provider
                    && vonage.api_secret.is_some() == vonage.signature_secret.is_some()
                {
                    return Err(format!(
                        "text sender `{name}` needs either `api_secret` or `signature_secret`"
                    ));
                }
                if provider.registers() {
                    limits = limits.mainland();
                }
                Transport::Sms(provider)
            }
            (ChannelKind::Sms, ..) => {
                return Err(format!(
                    "text sender `{name}` needs one table, `twilio`, `aliyun`, `tencent`, `vonage` or `generic`"
                ));
            }
            (ChannelKind::Task, ..) => return Err(format!("sender `{name}`: a task needs no sender")),
        };
        Ok(Self {
            name,
            transport,
            pace: form.pace.unwrap_or_default(),
            fallback: form.fallback,
            limits,
        })
    }
}

impl From<Sender> for SenderForm {
    fn from(sender: Sender) -> Self {
        let channel = sender.channel();
        let blank = Self {
            name: sender.name,
            channel,
            from_name: None,
            from_email: None,
            reply_to: None,
            return_path: None,
            dkim: Vec::new(),
            smtp: None,
            twilio: None,
            aliyun: None,
            tencent: None,
            vonage: None,
            generic: None,
            pace: (sender.pace != SenderPace::default()).then_some(sender.pace),
            fallback: sender.fallback,
            limits: (sender.limits != SmsLimits::default()).then_some(sender.limits),
        };
        match sender.transport {
            Transport::Email(email) => Self {
                from_name: Some(email.from_name),
                from_email: Some(email.from_email),
                reply_to: email.reply_to,
                return_path: email.return_path,
                dkim: email.dkim,
                smtp: Some(email.smtp),
                ..blank
            },
            Transport::Sms(SmsProvider::Twilio(twilio)) => Self {
                twilio: Some(twilio),
                ..blank
            },
            Transport::Sms(SmsProvider::Aliyun(aliyun)) => Self {
                aliyun: Some(aliyun),
                ..blank
            },
            Transport::Sms(SmsProvider::Tencent(tencent)) => Self {
                tencent: Some(tencent),
                ..blank
            },
            Transport::Sms(SmsProvider::Vonage(vonage)) => Self {
                vonage: Some(vonage),
                ..blank
            },
            Transport::Sms(SmsProvider::Generic(generic)) => Self {
                generic: Some(generic),
                ..blank
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sender, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn each_kind_has_its_keys() {
        let mail = "name = \"m\"\nchannel = \"email\"\nfrom_email = \"a@b.example\"\n\
                    return_path = \"bounces.b.example\"\n\
                    dkim = [{ domain = \"b.example\", selector = \"s\", key = { file = \"k.pem\" } }]\n\
                    smtp = { host = \"h\", deadlines = { dot = \"20m\" } }";
        let sender = read(mail).unwrap();
        assert_eq!(sender.email().unwrap().smtp.port, 587);
        assert_eq!(read(&toml::to_string(&sender).unwrap()).unwrap(), sender);
        let text = "name = \"t\"\nchannel = \"sms\"\n\
                    twilio = { account_sid = \"AC1\", auth_token = { env = \"T\" }, from = \"+15550100\" }";
        let mainland = "name = \"t\"\nchannel = \"sms\"\nlimits = { per_number = [{ n = 2, per = \"1d\" }] }\n\
                        aliyun = { access_key_id = \"L\", access_key_secret = { env = \"T\" }, sign_name = \"x\" }";
        for text in [text, mainland] {
            let sender = read(text).unwrap();
            assert_eq!(sender.channel(), ChannelKind::Sms);
            assert_eq!(read(&toml::to_string(&sender).unwrap()).unwrap(), sender);
        }
        assert_eq!(read(mainland).unwrap().limits.windows.len(), 2);
    }

    #[test]
    fn the_keys_of_another_kind_are_refused() {
        for (text, reason) in [
            (
                "name = \"m\"\nchannel = \"email\"\nfrom_email = \"a@b.example\"",
                "needs a table `smtp`",
            ),
            (
                "name = \"m\"\nchannel = \"email\"\nsmtp = { host = \"h\" }",
                "needs `from_email`",
            ),
            (
                "name = \"m\"\nchannel = \"sms\"\nsmtp = { host = \"h\" }",
                "needs one table",
            ),
            (
                "name = \"m\"\nchannel = \"sms\"\nfrom_name = \"x\"\ngeneric = { url = \"u\" }",
                "takes no from_name",
            ),
            ("name = \"m\"\nchannel = \"task\"", "needs no sender"),
            (
                "name = \"m\"\nchannel = \"sms\"\nvonage = { api_key = \"k\", from = \"x\" }",
                "either `api_secret` or",
            ),
            (
                "name = \"m\"\nchannel = \"email\"\nfrom_email = \"a@b.example\"\nsmtp = { host = \"h\" }\n\
                 limits = { per_number = [{ n = 1, per = \"1d\" }] }",
                "no `limits`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
