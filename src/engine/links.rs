//! Links: every tracked address of a template version has a number; a message's link is a token over it.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::token::{Purpose, TokenKey};
use crate::render::links::LinkMaker;
use crate::store::link::{self, NewLink};

/// Numbers links and makes the addresses of messages.
#[derive(Debug)]
pub struct LinkDesk {
    key: TokenKey,
    /// Where the public listener is reached from outside, without a slash at the end.
    base: String,
    numbers: Mutex<HashMap<NewLink, i64>>,
    new: Mutex<HashSet<NewLink>>,
}

impl LinkDesk {
    /// With the database's token key and the public address.
    pub fn new(key: TokenKey, public_url: &str) -> Self {
        Self {
            key,
            base: public_url.trim_end_matches('/').to_owned(),
            numbers: Mutex::default(),
            new: Mutex::default(),
        }
    }

    /// The key that tokens are signed with.
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    /// The links of one message.
    pub fn of_message(&self, message_id: Uuid, template_version_id: Uuid) -> MessageLinks<'_> {
        MessageLinks {
            desk: self,
            message_id,
            template_version_id,
            unnumbered: Cell::new(false),
        }
    }

    /// The address of the buttons of a task, good until `expires_at`.
    pub fn task(&self, task_id: Uuid, expires_at: DateTime<Utc>) -> String {
        let expires = u64::try_from(expires_at.timestamp()).unwrap_or(0);
        format!(
            "{}/t/{}",
            self.base,
            self.key.sign(Purpose::Task, task_id, expires)
        )
    }

    /// Where the public listener is reached from outside, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Gives numbers to the links met since the last call; false = there were none.
    pub async fn number_new(&self, pool: &PgPool) -> Result<bool> {
        let new: Vec<NewLink> = std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
            .into_iter()
            .collect();
        if new.is_empty() {
            return Ok(false);
        }
        let mut conn = pool.acquire().await?;
        let numbered = link::number(&mut conn, &new).await?;
        self.numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(numbered);
        Ok(true)
    }
}

/// The links of one message.
pub struct MessageLinks<'a> {
    desk: &'a LinkDesk,
    message_id: Uuid,
    template_version_id: Uuid,
    unnumbered: Cell<bool>,
}

impl MessageLinks<'_> {
    /// The address that ends marketing to this recipient.
    pub fn unsubscribe(&self) -> String {
        format!(
            "{}/u/{}",
            self.desk.base,
            self.desk.key.sign(Purpose::Unsubscribe, self.message_id, 0)
        )
    }

    /// Whether a link had no number yet, so that the message has to be written again.
    pub fn unnumbered(&self) -> bool {
        self.unnumbered.get()
    }
}

impl LinkMaker for MessageLinks<'_> {
    fn track(&self, target: &str, tag: Option<&str>) -> String {
        let link = NewLink {
            template_version_id: self.template_version_id,
            target: target.to_owned(),
            tag: tag.map(ToOwned::to_owned),
        };
        let known = self
            .desk
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&link)
            .copied();
        let Some(number) = known else {
            self.unnumbered.set(true);
            self.desk
                .new
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(link);
            return target.to_owned();
        };
        let token = self
            .desk
            .key
            .sign(Purpose::Click, self.message_id, number.unsigned_abs());
        format!("{}/c/{token}", self.desk.base)
    }

    fn pixel(&self) -> Option<String> {
        let token = self.desk.key.sign(Purpose::Open, self.message_id, 0);
        Some(format!("{}/o/{token}.gif", self.desk.base))
    }
}
