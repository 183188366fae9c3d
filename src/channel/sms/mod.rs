//! Text messages through an SMS provider's HTTP API.

mod aliyun;
mod generic;
mod handover;
mod meaning;
mod tencent;
mod twilio;
mod vonage;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{BuiltMessage, BuiltSms, Channel, Crossing, RefusalClass, SENDER_PROBLEM, SendOutcome};
use crate::domain::gate::Clearance;
use aliyun::Aliyun;
pub use aliyun::AliyunOptions;
use generic::Generic;
pub use generic::GenericSmsOptions;
use handover::{Answer, Line};
use tencent::Tencent;
pub use tencent::TencentOptions;
use twilio::Twilio;
pub use twilio::{TwilioOptions, TwilioSender};
use vonage::Vonage;
pub use vonage::{VonageLogin, VonageOptions};

/// An account at an SMS provider.
#[derive(Debug, Clone)]
pub enum SmsOptions {
    /// Twilio, or an API in its shape.
    Twilio(TwilioOptions),
    /// Aliyun.
    Aliyun(AliyunOptions),
    /// Tencent Cloud.
    Tencent(TencentOptions),
    /// Vonage.
    Vonage(VonageOptions),
    /// Any HTTP API, by templates.
    Generic(GenericSmsOptions),
}

/// Deadlines of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmsDeadlines {
    /// From asking for the crossing until the link is open; half for each.
    pub crossing: Duration,
    /// From sending the request until its answer.
    pub answer: Duration,
}

impl Default for SmsDeadlines {
    fn default() -> Self {
        Self {
            crossing: Duration::from_secs(2),
            answer: Duration::from_mins(1),
        }
    }
}

/// A sender that cannot work as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("sender {sender}: {why}")]
pub struct SmsSetupError {
    /// Its name.
    pub sender: String,
    /// What is wrong.
    pub why: String,
}

/// Tells the business time; a provider's `Retry-After` counts from it.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The way out for text messages: picks the account by the message's sender.
pub struct SmsChannel {
    accounts: HashMap<String, Account>,
    now: Now,
}

struct Account {
    provider: Provider,
    line: Line,
}

/// The providers known.
enum Provider {
    Twilio(Twilio),
    Aliyun(Aliyun),
    Tencent(Tencent),
    Vonage(Vonage),
    Generic(Generic),
}

impl Provider {
    fn request(&self, sms: &BuiltSms, now: &Now) -> Result<reqwest::Request, String> {
        match self {
            Self::Twilio(twilio) => twilio.request(sms),
            Self::Aliyun(aliyun) => aliyun.request(sms, now()),
            Self::Tencent(tencent) => tencent.request(sms, now()),
            Self::Vonage(vonage) => Ok(vonage.request(sms, now())),
            Self::Generic(generic) => generic.request(sms),
        }
    }

    fn judge(&self, sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        match self {
            Self::Twilio(_) => Twilio::judge(sender, answer, now),
            Self::Aliyun(_) => Aliyun::judge(sender, answer, now),
            Self::Tencent(_) => Tencent::judge(sender, answer, now),
            Self::Vonage(_) => Vonage::judge(sender, answer, now),
            Self::Generic(generic) => generic.judge(sender, answer, now),
        }
    }
}

impl SmsChannel {
    /// One account per sender name. Fails on templates or addresses that cannot work; connects nowhere yet.
    pub fn new(
        senders: impl IntoIterator<Item = (String, SmsOptions)>,
        deadlines: SmsDeadlines,
        now: Now,
    ) -> Result<Self, SmsSetupError> {
        let mut accounts = HashMap::new();
        for (sender, options) in senders {
            let account = Account::new(options, deadlines).map_err(|why| SmsSetupError {
                sender: sender.clone(),
                why,
            })?;
            metrics::counter!("kith_sender_problems_total", "sender" => sender.clone()).increment(0);
            accounts.insert(sender, account);
        }
        Ok(Self { accounts, now })
    }

    async fn send_sms(&self, sms: &BuiltSms, crossing: &dyn Crossing) -> SendOutcome {
        match self.accounts.get(&sms.sender) {
            Some(account) => account.send(sms, crossing, &self.now).await,
            None => SendOutcome::Deferred {
                until: None,
                why: format!("no sender is called {}", sms.sender),
            },
        }
    }
}

impl Channel for SmsChannel {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        match message {
            BuiltMessage::Sms(sms) => self.send_sms(sms, crossing).boxed(),
            BuiltMessage::Email(_) | BuiltMessage::Task => {
                let why = "only a text message can go out by SMS".to_owned();
                futures::future::ready(SendOutcome::Refused {
                    class: RefusalClass::Other,
                    why,
                })
                .boxed()
            }
        }
    }
}

impl Account {
    fn new(options: SmsOptions, deadlines: SmsDeadlines) -> Result<Self, String> {
        let provider = match options {
            SmsOptions::Twilio(options) => Provider::Twilio(Twilio::new(options)?),
            SmsOptions::Aliyun(options) => Provider::Aliyun(Aliyun::new(options)?),
            SmsOptions::Tencent(options) => Provider::Tencent(Tencent::new(options)?),
            SmsOptions::Vonage(options) => Provider::Vonage(Vonage::new(options)?),
            SmsOptions::Generic(options) => Provider::Generic(Generic::new(options)?),
        };
        Ok(Self {
            provider,
            line: Line::new(deadlines)?,
        })
    }

    async fn send(&self, sms: &BuiltSms, crossing: &dyn Crossing, now: &Now) -> SendOutcome {
        let request = match self.provider.request(sms, now) {
            Ok(request) => request,
            // The text is registered with another provider, or a template of the gateway fails: no fault of the person's.
            Err(why) => {
                return SendOutcome::Deferred {
                    until: None,
                    why: format!("{SENDER_PROBLEM}{why}"),
                };
            }
        };
        match self.line.hand_over(request, crossing, now).await {
            Err(outcome) => outcome,
            Ok(answer) => self.provider.judge(&sms.sender, &answer, now),
        }
    }
}
