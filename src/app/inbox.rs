//! The sandbox's inbox: what it took in is kept in the database, for the page and the command line.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mail_parser::MessageParser;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clock::Clock;
use crate::sandbox::sms::{ReceivedSms, SmsSink};
use crate::sandbox::smtp::{Received, Sink};
use crate::store::StoreError;
use crate::store::sandbox::{self, NewSandboxMessage};

/// Keeps what the sandbox gets.
pub struct Inbox {
    pool: PgPool,
    clock: Clock,
}

impl Inbox {
    /// Into a database, dated by a clock.
    pub fn new(pool: PgPool, clock: Clock) -> Self {
        Self { pool, clock }
    }

    async fn keep(&self, message: NewSandboxMessage) {
        let kept: Result<(), StoreError> = async {
            let mut conn = self.pool.acquire().await?;
            sandbox::insert(&mut conn, &message).await
        }
        .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a message of the sandbox was not kept");
        }
    }
}

impl Sink for Inbox {
    fn take(&self, mail: Received) -> BoxFuture<'_, ()> {
        let subject = MessageParser::new()
            .parse_headers(&mail.bytes[..])
            .and_then(|m| m.subject().map(ToOwned::to_owned));
        self.keep(NewSandboxMessage {
            at: self.clock.now(),
            channel: "email",
            sender: mail.mail_from,
            recipient: mail.rcpt.into_iter().next().unwrap_or_default(),
            message_id: mail
                .message_id
                .split_once('@')
                .and_then(|(id, _)| Uuid::try_parse(id).ok()),
            subject,
            raw: mail.bytes.to_vec(),
        })
        .boxed()
    }
}

impl SmsSink for Inbox {
    fn take(&self, sms: ReceivedSms) -> BoxFuture<'_, ()> {
        self.keep(NewSandboxMessage {
            at: self.clock.now(),
            channel: "sms",
            sender: sms.from,
            recipient: sms.to,
            message_id: Uuid::try_parse(&sms.message_id).ok(),
            subject: None,
            raw: sms.text.into_bytes(),
        })
        .boxed()
    }
}
