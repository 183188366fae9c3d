//! The SMTP wire against the recording server.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod cuts;
mod delivery;
mod refusals;
mod secure;
mod signing;
mod silence;
mod stages;
mod stalled;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::channel::{BuiltEmail, BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::domain::gate::Clearance;
use kith::sandbox::smtp::{Record, SmtpSandbox, SmtpSandboxOptions};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// A server and a channel with the one sender `main`.
struct Rig {
    server: SmtpSandbox,
    channel: Arc<SmtpChannel>,
    options: SmtpOptions,
}

impl Rig {
    async fn ordinary() -> Self {
        Self::with(SmtpSandboxOptions::default(), |_| {}).await
    }

    async fn with(sandbox: SmtpSandboxOptions, change: impl FnOnce(&mut SmtpOptions)) -> Self {
        let server = SmtpSandbox::start(sandbox).await.unwrap();
        let mut options = SmtpOptions::new("127.0.0.1", server.addr.port());
        options.tls = TlsMode::None;
        change(&mut options);
        let channel = Arc::new(channel_of(&options));
        Self {
            server,
            channel,
            options,
        }
    }

    /// Forgets all kept connections.
    fn reconnect(&mut self) {
        self.channel = Arc::new(channel_of(&self.options));
    }

    async fn send(&self, id: &str) -> SendOutcome {
        self.send_when(id, &Go::default()).await
    }

    async fn send_when(&self, id: &str, crossing: &dyn Crossing) -> SendOutcome {
        send(&self.channel, &mail(id), crossing).await
    }

    /// The records so far, once no transaction is open.
    async fn log(&self) -> Vec<Record> {
        within(self.server.quiet()).await;
        self.server.log()
    }
}

fn channel_of(options: &SmtpOptions) -> SmtpChannel {
    SmtpChannel::new([("main".to_owned(), options.clone())]).unwrap()
}

async fn send(channel: &SmtpChannel, mail: &BuiltEmail, crossing: &dyn Crossing) -> SendOutcome {
    let message = BuiltMessage::Email(mail.clone());
    within(channel.send(Clearance::by_operator(), &message, crossing)).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took too long")
}

fn mail(id: &str) -> BuiltEmail {
    BuiltEmail {
        sender: "main".to_owned(),
        mail_from: "bounce@shop.example".to_owned(),
        rcpt_to: format!("{id}@customer.example"),
        message_id: format!("{id}@shop.example"),
        bytes: format!("Message-ID: <{id}@shop.example>\r\nSubject: Hi\r\n\r\n.hello\r\n").into_bytes(),
    }
}

/// Lets every attempt cross and counts how often it was asked.
#[derive(Default)]
struct Go(AtomicU32);

impl Go {
    fn asked(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Crossing for Go {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        self.0.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(Crossed::Go).boxed()
    }
}

/// Lets nobody cross.
struct Stop;

impl Crossing for Stop {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        futures::future::ready(Crossed::Stop).boxed()
    }
}

/// Never answers.
struct Silence;

impl Crossing for Silence {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        futures::future::pending().boxed()
    }
}

fn is_deferred(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::Deferred { .. })
}

fn is_accepted(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::Accepted { .. })
}

fn is_uncertain(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::Uncertain { .. })
}
