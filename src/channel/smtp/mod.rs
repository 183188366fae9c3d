//! Email by SMTP: each sender has its own server account and its own connections.

mod classify;
mod dialogue;
pub mod dkim;
mod encode;
mod opening;
mod options;
mod pool;
mod reply;
mod socket;
mod tls;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{BuiltEmail, BuiltMessage, Channel, Crossing, RefusalClass, SendOutcome};
use crate::domain::gate::Clearance;
use dialogue::{Ended, hand_over};
use dkim::Signer;
use opening::{Connection, OpeningError, open};
pub use options::{Deadlines, SmtpOptions, TlsMode};
use pool::Pool;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A sender that cannot work as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("sender {sender}: {why}")]
pub struct SmtpSetupError {
    /// Its name.
    pub sender: String,
    /// What is wrong.
    pub why: String,
}

/// The way out for mail: picks the account by the message's sender.
pub struct SmtpChannel {
    accounts: HashMap<String, Account>,
    /// Absent where no sender has keys.
    signer: Option<Signer>,
}

struct Account {
    options: SmtpOptions,
    tls: Arc<ClientConfig>,
    pool: Pool,
}

impl SmtpChannel {
    /// One account per sender name. Fails on unreadable extra roots; connects nowhere yet.
    pub fn new(senders: impl IntoIterator<Item = (String, SmtpOptions)>) -> Result<Self, SmtpSetupError> {
        let mut accounts = HashMap::new();
        // All keys together: a key belongs to its domain, whichever account carries the mail.
        let mut keys = Vec::new();
        for (sender, options) in senders {
            keys.extend(options.dkim.iter().cloned());
            let account = Account::new(options).map_err(|why| SmtpSetupError {
                sender: sender.clone(),
                why,
            })?;
            accounts.insert(sender, account);
        }
        let signer = Signer::new(keys).map_err(|why| SmtpSetupError {
            sender: "of any name".to_owned(),
            why,
        })?;
        Ok(Self { accounts, signer })
    }

    /// Says goodbye on all idle connections; connections in use are closed by their sends.
    pub async fn close_idle(&self) {
        let idle = self.accounts.values().flat_map(|account| account.pool.drain());
        futures::future::join_all(idle.map(goodbye)).await;
    }

    /// Opens a connection for `sender` up to the point where it could take mail, and closes it: for a check of the
    /// configuration. True when it was encrypted; the error is one line for the operator.
    pub async fn probe(&self, sender: &str) -> Result<bool, String> {
        let account = self
            .accounts
            .get(sender)
            .ok_or_else(|| format!("no sender is called {sender}"))?;
        let connection = open(&account.options, &account.tls)
            .await
            .map_err(|error| error.to_string())?;
        let secured = connection.secured;
        goodbye(connection).await;
        Ok(secured)
    }

    /// Made before the mail takes a connection, which others can use meanwhile.
    async fn signature(&self, mail: &BuiltEmail) -> Result<String, String> {
        match &self.signer {
            Some(signer) => signer.sign(&mail.bytes).await,
            None => Ok(String::new()),
        }
    }

    async fn send_mail(&self, mail: &BuiltEmail, crossing: &dyn Crossing) -> SendOutcome {
        match self.accounts.get(&mail.sender) {
            Some(account) => match self.signature(mail).await {
                Ok(signature) => account.send(mail, &signature, crossing).await,
                Err(why) => deferred(format!("DKIM: {why}")),
            },
            None => deferred(format!("no sender is called {}", mail.sender)),
        }
    }
}

impl Channel for SmtpChannel {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        match message {
            BuiltMessage::Email(mail) => self.send_mail(mail, crossing).boxed(),
            BuiltMessage::Sms(_) | BuiltMessage::Task => {
                let why = "only a mail can go out by SMTP".to_owned();
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
    fn new(options: SmtpOptions) -> Result<Self, String> {
        let tls = match options.tls {
            TlsMode::StartTls | TlsMode::Implicit => tls::checked(options.extra_roots_pem.as_deref()),
            TlsMode::None | TlsMode::Opportunistic => tls::unchecked(),
        };
        let pool = Pool::new(options.max_connections, options.max_messages, options.idle_limit);
        Ok(Self {
            tls: Arc::new(tls?),
            pool,
            options,
        })
    }

    async fn send(&self, mail: &BuiltEmail, signature: &str, crossing: &dyn Crossing) -> SendOutcome {
        // Held until the attempt is over.
        let _slot = match timeout(self.options.deadlines.free, self.pool.slot()).await {
            Ok(Some(slot)) if !crossing.is_called_off() => slot,
            _ => return SendOutcome::NotBegun,
        };
        if let Some(connection) = self.pool.take() {
            match self.carry(connection, mail, signature, crossing).await {
                Ok(outcome) => return outcome,
                // A kept connection may have been closed by the server meanwhile; that says nothing about the mail.
                Err(stale) => tracing::debug!(sender = mail.sender, stale, "a kept connection was dead"),
            }
        }
        let connection = match open(&self.options, &self.tls).await {
            Ok(connection) => connection,
            Err(error) => return not_connected(&error),
        };
        self.carry(connection, mail, signature, crossing)
            .await
            .unwrap_or_else(deferred)
    }

    /// Sends over `connection` and keeps it when it is clean. The error is a connection that was dead at MAIL.
    async fn carry(
        &self,
        mut connection: Connection,
        mail: &BuiltEmail,
        signature: &str,
        crossing: &dyn Crossing,
    ) -> Result<SendOutcome, String> {
        match hand_over(
            &mut connection,
            mail,
            signature,
            &self.options.deadlines,
            crossing,
        )
        .await
        {
            Ended::Clean(outcome) => {
                if let Some(worn) = self.pool.give_back(connection) {
                    tokio::spawn(goodbye(worn));
                }
                Ok(outcome)
            }
            Ended::Broken(outcome) => Ok(outcome),
            Ended::Stale(why) => Err(why),
        }
    }
}

fn deferred(why: impl Into<String>) -> SendOutcome {
    SendOutcome::Deferred {
        until: None,
        why: why.into(),
    }
}

fn not_connected(error: &OpeningError) -> SendOutcome {
    deferred(error.to_string())
}

async fn goodbye(mut connection: Connection) {
    // Nobody depends on the answer.
    let _ = connection.wire.ask("QUIT", GOODBYE).await;
}
