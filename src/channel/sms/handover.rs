//! One request to a provider, with the crossing before it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Request};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Now, SmsDeadlines};
use crate::channel::line::one_line;
use crate::channel::{Crossed, Crossing, SendOutcome};

/// Most bytes of an answer that are read.
const LONGEST: usize = 64 * 1024;

/// Longest wait that a provider may ask for.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// The HTTP client of one account.
#[derive(Debug)]
pub(super) struct Line {
    client: Client,
    deadlines: SmsDeadlines,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// When the provider asked to be tried again.
    pub(super) until: Option<DateTime<Utc>>,
    /// The body, up to 64 KiB; none when it did not arrive whole.
    pub(super) body: Option<String>,
}

impl Answer {
    /// Status and body on one line.
    pub(super) fn line(&self) -> String {
        one_line(&format!(
            "{} {}",
            self.status,
            self.body.as_deref().unwrap_or_default()
        ))
    }
}

impl Line {
    /// A client that follows no redirect and repeats nothing by itself: each would be a second message.
    pub(super) fn new(deadlines: SmsDeadlines) -> Result<Self, String> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(deadlines.crossing / 2)
            .pool_idle_timeout(Duration::from_secs(20))
            .tcp_nodelay(true)
            .user_agent(concat!("kith/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, deadlines })
    }

    /// Asks for the crossing, sends the request, reads the answer. The error is an outcome that needs no judging.
    pub(super) async fn hand_over(
        &self,
        request: Request,
        crossing: &dyn Crossing,
        now: &Now,
    ) -> Result<Answer, SendOutcome> {
        let latest = Instant::now() + self.deadlines.crossing / 2;
        match timeout_at(latest, crossing.cross()).await {
            Ok(Crossed::Go) if Instant::now() < latest => {}
            Ok(Crossed::Stop) => return Err(SendOutcome::NotCrossed),
            Ok(Crossed::Go) | Err(_) => return Err(SendOutcome::Withdrawn),
        }
        let sent = timeout(self.deadlines.answer, self.client.execute(request)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            // No link, so no request: surely not sent.
            Ok(Err(error)) if error.is_connect() => {
                return Err(SendOutcome::Deferred {
                    until: None,
                    why: in_words(error),
                });
            }
            Ok(Err(error)) => return Err(SendOutcome::Uncertain { why: in_words(error) }),
            Err(_) => {
                let why = format!("no answer within {} s", self.deadlines.answer.as_secs_f32());
                return Err(SendOutcome::Uncertain { why });
            }
        };
        let status = response.status().as_u16();
        let until = retry_after(response.headers(), now);
        let body = timeout(self.deadlines.answer, read(response))
            .await
            .ok()
            .flatten();
        Ok(Answer { status, until, body })
    }
}

async fn read(mut response: reqwest::Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            body.truncate(LONGEST);
            break;
        }
    }
    Some(String::from_utf8_lossy(&body).into_owned())
}

/// Seconds or a date (RFC 9110 section 10.2.3), a day at most.
fn retry_after(headers: &HeaderMap, now: &Now) -> Option<DateTime<Utc>> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let now = now();
    let until = match value.parse::<u32>() {
        Ok(seconds) => now + TimeDelta::seconds(seconds.into()),
        Err(_) => DateTime::parse_from_rfc2822(value).ok()?.to_utc(),
    };
    Some(until.clamp(now, now + LONGEST_WAIT))
}

/// The error and its causes, without the address: that may carry a number or a key.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    one_line(&words)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeZone;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_a_day_at_most() {
        let now = Utc.with_ymd_and_hms(2027, 1, 1, 12, 0, 0).unwrap();
        let clock: Now = Arc::new(move || now);
        let until = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers, &clock)
        };
        assert_eq!(until("90"), Some(now + TimeDelta::seconds(90)));
        assert_eq!(
            until("Fri, 01 Jan 2027 12:05:00 GMT"),
            Some(now + TimeDelta::minutes(5))
        );
        assert_eq!(
            until("Fri, 01 Jan 2026 12:05:00 GMT"),
            None,
            "the weekday is wrong"
        );
        assert_eq!(until("Thu, 01 Jan 2026 12:05:00 GMT"), Some(now));
        assert_eq!(until("999999999"), Some(now + TimeDelta::days(1)));
        assert_eq!(until("soon"), None);
    }
}
