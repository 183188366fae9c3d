//! The ways out, by the configuration: real ones, or all of them into the sandbox.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use sqlx::PgPool;

use super::inbox::Inbox;
use crate::channel::Channel;
use crate::channel::sms::{
    AliyunOptions, GenericSmsOptions, SmsChannel, SmsDeadlines, SmsOptions, TencentOptions, TwilioOptions,
    TwilioSender, VonageLogin, VonageOptions,
};
use crate::channel::smtp::dkim::DkimKey;
use crate::channel::smtp::{Deadlines, SmtpChannel, SmtpOptions, TlsMode};
use crate::channel::task::TaskChannel;
use crate::clock::Clock;
use crate::config::runtime::Listen;
use crate::config::sender::{EmailSender, HttpGateway, SmtpDeadlines, Twilio};
use crate::config::sms::{AliyunSigning, Vonage};
use crate::config::{Settings, SmsProvider, Tls, Transport};
use crate::domain::cadence::ChannelKind;
use crate::domain::span::Span;
use crate::engine::Channels;
use crate::sandbox::sms::{SmsSandbox, SmsSandboxOptions};
use crate::sandbox::smtp::{SmtpSandbox, SmtpSandboxOptions};

/// The sandbox of this process: a real SMTP server and a real SMS gateway that keep what they get.
pub struct Sandbox {
    /// The SMTP server.
    pub smtp: SmtpSandbox,
    /// The SMS gateway.
    pub sms: SmsSandbox,
}

impl Sandbox {
    /// Starts both on free ports of the loopback; what comes in is kept in the database.
    pub async fn start(pool: PgPool, clock: Clock) -> Result<Self> {
        let inbox = Arc::new(Inbox::new(pool, clock));
        let smtp = SmtpSandbox::start(SmtpSandboxOptions {
            keep_bytes: false,
            sink: Some(inbox.clone()),
            ..SmtpSandboxOptions::default()
        })
        .await
        .context("starting the sandbox's SMTP server")?;
        let sms = SmsSandbox::start(SmsSandboxOptions {
            sink: Some(inbox),
            ..SmsSandboxOptions::default()
        })
        .await
        .context("starting the sandbox's SMS gateway")?;
        Ok(Self { smtp, sms })
    }
}

/// One way out for each sender of the configuration, and the one for tasks.
pub fn channels(settings: &Settings, sandbox: Option<&Sandbox>, clock: &Clock) -> Result<Channels> {
    let (mut mail, mut text) = (Vec::new(), Vec::new());
    for sender in &settings.senders {
        match &sender.transport {
            Transport::Email(email) => {
                let options =
                    smtp_options(email, sandbox).with_context(|| format!("sender `{}`", sender.name))?;
                mail.push((sender.name.clone(), options));
            }
            Transport::Sms(provider) => text.push((
                sender.name.clone(),
                sms_options(provider, &settings.listen, sandbox)?,
            )),
        }
    }
    let clock = clock.clone();
    let names = |list: &[String], kind, channel: &Arc<dyn Channel>, into: &mut Channels| {
        for name in list {
            into.add(kind, name, channel.clone());
        }
    };
    let mut channels = Channels::default();
    let mail_names: Vec<String> = mail.iter().map(|(name, _)| name.clone()).collect();
    let text_names: Vec<String> = text.iter().map(|(name, _)| name.clone()).collect();
    let smtp: Arc<dyn Channel> = Arc::new(SmtpChannel::new(mail)?);
    let sms: Arc<dyn Channel> = Arc::new(SmsChannel::new(
        text,
        SmsDeadlines::default(),
        Arc::new(move || clock.now()),
    )?);
    names(&mail_names, ChannelKind::Email, &smtp, &mut channels);
    names(&text_names, ChannelKind::Sms, &sms, &mut channels);
    channels.add(ChannelKind::Task, "owner", Arc::new(TaskChannel));
    Ok(channels)
}

/// The options of a mail sender; with a sandbox, those of the sandbox in its name.
pub fn smtp_options(email: &EmailSender, sandbox: Option<&Sandbox>) -> Result<SmtpOptions> {
    let hello = email
        .from_email
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain)
        .to_owned();
    let mut options = match sandbox {
        Some(sandbox) => SmtpOptions {
            tls: TlsMode::None,
            ..SmtpOptions::new(&sandbox.smtp.addr.ip().to_string(), sandbox.smtp.addr.port())
        },
        None => SmtpOptions {
            tls: match email.smtp.tls {
                Tls::Starttls => TlsMode::StartTls,
                Tls::Implicit => TlsMode::Implicit,
                Tls::Opportunistic => TlsMode::Opportunistic,
                Tls::None => TlsMode::None,
            },
            auth: match (&email.smtp.username, &email.smtp.password) {
                (Some(user), Some(password)) => Some((user.clone(), password.fetch()?)),
                _ => None,
            },
            dkim: dkim_keys(email)?.into_iter().map(Arc::new).collect(),
            deadlines: deadlines(&email.smtp.deadlines),
            ..SmtpOptions::new(&email.smtp.host, email.smtp.port)
        },
    };
    options.hello_name = hello;
    options.max_connections = usize::from(email.smtp.max_connections);
    Ok(options)
}

/// The keys that sign a sender's mail. The error says which of them cannot be used, and why.
pub fn dkim_keys(email: &EmailSender) -> Result<Vec<DkimKey>> {
    use secrecy::ExposeSecret as _;
    let keys = email.dkim.iter().map(|dkim| {
        let place = || format!("the DKIM key {}._domainkey.{}", dkim.selector, dkim.domain);
        let pem = dkim.key.fetch_whole().with_context(place)?;
        DkimKey::from_pem(&dkim.domain, &dkim.selector, pem.expose_secret())
            .map_err(|why| anyhow!("{}: {why}", dkim.key))
            .with_context(place)
    });
    keys.collect()
}

fn deadlines(set: &SmtpDeadlines) -> Deadlines {
    let built_in = Deadlines::default();
    let or = |span: Option<Span>, otherwise| {
        span.and_then(|span| span.length().to_std().ok())
            .unwrap_or(otherwise)
    };
    Deadlines {
        free: or(set.free, built_in.free),
        connect: or(set.connect, built_in.connect),
        hello: or(set.hello, built_in.hello),
        envelope: or(set.envelope, built_in.envelope),
        data: or(set.data, built_in.data),
        block: or(set.block, built_in.block),
        crossing: built_in.crossing,
        dot: or(set.dot, built_in.dot),
    }
}

fn sms_options(provider: &SmsProvider, listen: &Listen, sandbox: Option<&Sandbox>) -> Result<SmsOptions> {
    if let Some(sandbox) = sandbox {
        return Ok(SmsOptions::Generic(GenericSmsOptions {
            method: "POST".to_owned(),
            url: format!("http://{}/sms", sandbox.sms.addr),
            headers: vec![("content-type".to_owned(), "application/json".to_owned().into())],
            body: r#"{"to":{{json to}},"from":{{json from}},"text":{{json text}},"message_id":{{json message_id}}}"#
                .to_owned()
                .into(),
            from: "kith".to_owned(),
            accepted_if: None,
            idempotent: true,
        }));
    }
    match provider {
        SmsProvider::Twilio(twilio) => Ok(SmsOptions::Twilio(twilio_options(twilio, listen)?)),
        SmsProvider::Aliyun(aliyun) => Ok(SmsOptions::Aliyun(AliyunOptions {
            base_url: aliyun.api_url.clone(),
            access_key_id: aliyun.access_key_id.clone(),
            access_key_secret: aliyun.access_key_secret.fetch()?,
            sign_name: aliyun.sign_name.clone(),
            rpc: aliyun.signing == AliyunSigning::Rpc,
        })),
        SmsProvider::Tencent(tencent) => Ok(SmsOptions::Tencent(TencentOptions {
            base_url: tencent.api_url.clone(),
            secret_id: tencent.secret_id.clone(),
            secret_key: tencent.secret_key.fetch()?,
            app_id: tencent.app_id.clone(),
            sign_name: tencent.sign_name.clone(),
            region: tencent.region.clone(),
        })),
        SmsProvider::Vonage(vonage) => Ok(SmsOptions::Vonage(vonage_options(vonage, listen)?)),
        SmsProvider::Generic(gateway) => Ok(SmsOptions::Generic(generic_options(gateway)?)),
    }
}

fn twilio_options(twilio: &Twilio, listen: &Listen) -> Result<TwilioOptions> {
    Ok(TwilioOptions {
        base_url: twilio.api_url.clone(),
        account_sid: twilio.account_sid.clone(),
        auth_token: twilio.auth_token.fetch()?,
        from: if twilio.from.starts_with("MG") {
            TwilioSender::Service(twilio.from.clone())
        } else {
            TwilioSender::Number(twilio.from.clone())
        },
        // Twilio refuses a message that asks for reports to an address it cannot reach.
        status_callback: listen
            .is_reachable()
            .then(|| format!("{}/sms/twilio/status", listen.public_url.trim_end_matches('/'))),
    })
}

fn vonage_options(vonage: &Vonage, listen: &Listen) -> Result<VonageOptions> {
    use secrecy::ExposeSecret as _;
    let login = match (&vonage.signature_secret, &vonage.api_secret) {
        (Some(secret), _) => VonageLogin::Signature(secret.fetch()?, vonage.signature_hash),
        (None, Some(secret)) => VonageLogin::Secret(secret.fetch()?),
        (None, None) => bail!("Vonage needs `api_secret` or `signature_secret`"),
    };
    // Where nobody can call, no report is asked for; an unsigned report without a token would be refused.
    let callback = match (&vonage.receipt_token, &vonage.signature_secret) {
        _ if !listen.is_reachable() => None,
        (Some(token), _) => Some(token.fetch()?.expose_secret().to_owned()),
        (None, Some(_)) => Some("signed".to_owned()),
        (None, None) => None,
    };
    let base = listen.public_url.trim_end_matches('/');
    Ok(VonageOptions {
        base_url: vonage.api_url.clone(),
        api_key: vonage.api_key.clone(),
        login,
        from: vonage.from.clone(),
        callback: callback.map(|token| format!("{base}/sms/vonage/{token}").into()),
    })
}

fn generic_options(gateway: &HttpGateway) -> Result<GenericSmsOptions> {
    use secrecy::ExposeSecret as _;
    let secret = gateway
        .secret
        .as_ref()
        .map(crate::config::secret::SecretRef::fetch)
        .transpose()?;
    // The secret is put in here, so that it never is a variable of a template that could be logged.
    let filled = |text: &str| -> Result<String> {
        match &secret {
            Some(secret) => Ok(text.replace("{{secret}}", secret.expose_secret())),
            None if text.contains("{{secret}}") => {
                bail!("a gateway's template uses {{{{secret}}}}, but none is set")
            }
            None => Ok(text.to_owned()),
        }
    };
    Ok(GenericSmsOptions {
        method: gateway.method.clone(),
        url: gateway.url.clone(),
        headers: gateway
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), filled(value)?.into())))
            .collect::<Result<_>>()?,
        body: filled(&gateway.body)?.into(),
        from: gateway.from.clone(),
        accepted_if: None,
        idempotent: gateway.idempotent,
    })
}
