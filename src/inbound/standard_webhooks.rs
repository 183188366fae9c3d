//! Standard Webhooks (standardwebhooks.com): whether a hook was signed by who knows the secret, and just now.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;

/// How far the sender's clock may be from ours, either way.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The headers that prove a hook. Some senders write `svix-` where others write `webhook-`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proof<'a> {
    /// `webhook-id`: one for each hook, the same in each repetition.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: one or several, `v1,BASE64`, with blanks between.
    pub signature: &'a str,
}

impl<'a> Proof<'a> {
    /// Picks the three headers; `None` where one is missing or empty.
    pub fn of(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let pick = |name: &str| {
            header(&format!("webhook-{name}"))
                .or_else(|| header(&format!("svix-{name}")))
                .filter(|value| !value.is_empty())
        };
        Some(Self {
            id: pick("id")?,
            timestamp: pick("timestamp")?,
            signature: pick("signature")?,
        })
    }

    /// Whether one of the signatures is right for this body and the timestamp is near `now`. The secret is base64, with
    /// `whsec_` before it or not.
    #[must_use]
    pub fn holds(&self, secret: &str, body: &[u8], now: DateTime<Utc>) -> bool {
        let secret = secret.strip_prefix("whsec_").unwrap_or(secret);
        let (Ok(key), Ok(seconds)) = (BASE64.decode(secret), self.timestamp.parse::<i64>()) else {
            return false;
        };
        let near = DateTime::from_timestamp(seconds, 0).is_some_and(|at| (now - at).abs() <= TOLERANCE);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let mut signed = format!("{}.{}.", self.id, self.timestamp).into_bytes();
        signed.extend_from_slice(body);
        let right = |text: &str| {
            text.strip_prefix("v1,")
                .and_then(|text| BASE64.decode(text).ok())
                .is_some_and(|signature| hmac::verify(&key, &signed, &signature).is_ok())
        };
        near && self.signature.split(' ').any(right)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::corpora;

    #[derive(serde::Deserialize)]
    struct Vector {
        case: String,
        now: i64,
        secret: String,
        headers: BTreeMap<String, String>,
        body: String,
        valid: bool,
    }

    #[test]
    fn agrees_with_the_published_vectors() {
        let Some(text) = corpora::read("webhooks/signing/standard_webhooks.json") else {
            return;
        };
        let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
        assert!(vectors.iter().any(|v| v.valid) && vectors.iter().any(|v| !v.valid));
        for v in vectors {
            let now = DateTime::from_timestamp(v.now, 0).unwrap();
            let proof = Proof::of(|name| v.headers.get(name).map(String::as_str));
            let holds = |body: &str| proof.is_some_and(|proof| proof.holds(&v.secret, body.as_bytes(), now));
            assert_eq!(holds(&v.body), v.valid, "{}", v.case);
            assert!(!holds("another body"), "{}", v.case);
        }
    }
}
