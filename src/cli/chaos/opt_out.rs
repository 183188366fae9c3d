//! People who opt out while everything breaks: by the public listener of whichever daemon answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::ground::NOTE;
use crate::clock::Clock;
use crate::domain::token::{Purpose, TokenKey};
use crate::sandbox::smtp::SmtpSandbox;
use crate::store::chaos;

/// How long an opt-out may be tried; what was not answered by then is not judged.
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// What held when an opt-out was answered.
#[derive(Debug, Clone)]
pub struct OptOut {
    /// Who.
    pub address: String,
    /// When the answer was there.
    pub at: DateTime<Utc>,
    /// The last number in the mail server's order of dots by then.
    pub dots: u64,
    /// Messages to him that had crossed by then.
    pub crossed: Vec<Uuid>,
}

/// Opts somebody out as soon as his letter is planned. `None` = nobody answered in time.
pub async fn opt_out(
    pool: &PgPool,
    key: &TokenKey,
    doors: &[SocketAddr],
    server: &SmtpSandbox,
    address: String,
) -> Result<Option<OptOut>> {
    let deadline = Instant::now() + PATIENCE;
    let client = reqwest::Client::builder().timeout(REQUEST).no_proxy().build()?;
    let mut message = None;
    let mut turn = 0;
    while Instant::now() < deadline {
        if let Some(message) = message {
            let token = key.sign(Purpose::Unsubscribe, message, 0);
            let url = format!("http://{}/u/{token}", doors[turn % doors.len()]);
            turn += 1;
            let answer = client.post(url).body("List-Unsubscribe=One-Click").send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                let (at, dots) = (Clock::System.now(), server.sequence());
                // The answer counts from here on; what had crossed by then may still arrive. The database may be looked at later:
                // it knows what was committed by then, as this machine's clock is also the server's.
                while Instant::now() < deadline {
                    if let Ok(crossed) = crossed(pool, &address, at).await {
                        return Ok(Some(OptOut {
                            address,
                            at,
                            dots,
                            crossed,
                        }));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                return Ok(None);
            }
        } else {
            // The database may be away.
            message = message_of(pool, &address).await.unwrap_or(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

async fn message_of(pool: &PgPool, address: &str) -> Result<Option<Uuid>> {
    let mut conn = pool.acquire().await?;
    Ok(chaos::message_of(&mut conn, address, NOTE).await?)
}

async fn crossed(pool: &PgPool, address: &str, by: DateTime<Utc>) -> Result<Vec<Uuid>> {
    let mut conn = pool.acquire().await?;
    Ok(chaos::crossed(&mut conn, address, by).await?)
}
