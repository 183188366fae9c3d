//! Senders in trouble. One that a receiving side blocked is left alone for a while; of that, and of one that fails again and
//! again, the operator is told. The person is not suppressed: neither says anything about him.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::Deps;
use crate::domain::id::IdSource;
use crate::domain::sender_pause::after_block;
use crate::domain::zone::local_date;
use crate::store::sender_state::{self, Paused};
use crate::store::task::{self, NewTask};
use crate::store::{StoreError, control};

/// How soon somebody should look.
const DEADLINE: TimeDelta = TimeDelta::hours(4);

/// Takes in that a receiving side blocked a sender by policy: pauses it, and makes an alert task. Nothing while it is
/// paused already.
pub async fn blocked(deps: &Deps, sender: &str, why: &str, now: DateTime<Utc>) -> Result<()> {
    let mut tx = deps.pool.begin().await?;
    let last = sender_state::lock(&mut tx, sender).await?;
    let Some(pause) = after_block(last, now) else {
        return Ok(());
    };
    let paused = Paused {
        sender: sender.to_owned(),
        pause,
        reason: why.replace('\0', "\u{fffd}"),
    };
    if !sender_state::pause(&mut tx, &paused, last.is_none()).await? {
        return Ok(());
    }
    task::insert(&mut tx, &[Alert::of_block(&paused).task(deps, now)]).await?;
    tx.commit().await?;
    metrics::counter!("kith_sender_pauses_total", "sender" => paused.sender.clone()).increment(1);
    tracing::error!(sender, until = %pause.until, "a receiving side blocks this sender, which is paused");
    Ok(())
}

/// Takes in that a sender failed several times in a row, so that its breaker opened: an alert task, one a day.
pub async fn failing(deps: &Deps, sender: &str, why: &str, now: DateTime<Utc>) -> Result<()> {
    let told = Alert {
        title: format!("Sender {sender} fails"),
        body: format!(
            "Sender {sender} failed several times in a row, the last time so:\n\n{}\n\nUntil it works again it is tried \
             now and then, and its fallback carries its messages, where it has one. Look at its server or provider, at the \
             account and its key (kith doctor).",
            why.replace('\0', "\u{fffd}")
        ),
        key: format!("sender-failing {sender} {}", local_date(now, deps.company_zone())),
    };
    let mut conn = deps.pool.acquire().await?;
    task::insert(&mut conn, &[told.task(deps, now)]).await?;
    Ok(())
}

/// What somebody has to know.
struct Alert {
    title: String,
    body: String,
    key: String,
}

impl Alert {
    fn of_block(paused: &Paused) -> Self {
        let Paused {
            sender,
            pause,
            reason,
        } = paused;
        Self {
            title: format!("Sender {sender} is blocked"),
            body: format!(
                "A receiving side refused a message of sender {sender} by its policy and not because of the recipient:\n\n\
                 {reason}\n\nThe sender is paused until {} (UTC). Look at the reputation of its address and domain, and at \
                 SPF, DKIM and DMARC (kith doctor). `kith senders resume {sender}` ends the pause.",
                pause.until.format("%Y-%m-%d %H:%M")
            ),
            key: format!("sender-blocked {sender} {}", pause.at.to_rfc3339()),
        }
    }

    fn task(self, deps: &Deps, now: DateTime<Utc>) -> NewTask {
        NewTask {
            id: deps.ids.next(now),
            kind: "alert".to_owned(),
            title: self.title,
            body: self.body,
            contact_id: None,
            lead_id: None,
            touch_id: None,
            owner_id: None,
            created_at: now,
            due_at: now + DEADLINE,
            dedup_key: Some(self.key),
        }
    }
}

/// The senders that are paused at that moment.
pub async fn paused(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Paused>, StoreError> {
    let mut conn = pool.acquire().await?;
    Ok(sender_state::paused(&mut conn, now)
        .await?
        .into_values()
        .collect())
}

/// Ends a pause. False when there is none. Touches that wait for its end are looked at then, not before.
pub async fn resume(
    pool: &PgPool,
    ids: &IdSource,
    sender: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let mut tx = pool.begin().await?;
    let lifted = sender_state::lift(&mut tx, sender, now).await?;
    if lifted {
        control::audit(&mut tx, ids.next(now), now, by, "sender resume", sender, None).await?;
    }
    tx.commit().await?;
    Ok(lifted)
}
