//! The recording SMTP server of a benchmark: takes every mail, keeps none, counts.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::config::{Mode, Settings, Tls, Transport};
use crate::sandbox::smtp::{Received, Sink, SmtpSandbox, SmtpSandboxOptions};

/// The server, and how many mails it has taken.
pub struct Postbox {
    server: SmtpSandbox,
    taken: watch::Sender<u64>,
}

struct Counter(watch::Sender<u64>);

impl Sink for Counter {
    fn take(&self, _: Received) -> BoxFuture<'_, ()> {
        self.0.send_modify(|n| *n += 1);
        futures::future::ready(()).boxed()
    }
}

impl Postbox {
    /// Opens it on a free port of the loopback.
    pub async fn open() -> Result<Self> {
        let (taken, _) = watch::channel(0);
        let server = SmtpSandbox::start(SmtpSandboxOptions {
            keep_bytes: false,
            sink: Some(Arc::new(Counter(taken.clone()))),
            ..SmtpSandboxOptions::default()
        })
        .await
        .context("starting the recording SMTP server")?;
        Ok(Self { server, taken })
    }

    /// The settings, with every mail sender handing over to this server for real.
    pub fn settings(&self, settings: &Settings, connections: u16) -> Settings {
        let mut settings = settings.clone();
        settings.delivery.mode = Mode::Live;
        for sender in &mut settings.senders {
            if let Transport::Email(email) = &mut sender.transport {
                email.smtp.host = self.server.addr.ip().to_string();
                email.smtp.port = self.server.addr.port();
                email.smtp.tls = Tls::None;
                email.smtp.username = None;
                email.smtp.max_connections = connections;
            }
        }
        settings
    }

    /// How many it has taken so far, and news of each more.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }
}
