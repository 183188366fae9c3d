//! DKIM (RFC 6376, and RFC 8463 for Ed25519): each mail is signed in the name of the domain of its From, by every key
//! that there is for it. It is signed for every attempt, and what is noted of a message is its unsigned bytes; so a
//! mail that is tried again after a change of keys is signed by the new ones.

mod canon;
mod key;
mod signature;
mod threads;

use std::sync::Arc;

pub use key::{DkimKey, Kind, new_pem};
use threads::SigningThreads;

/// What mails are signed with.
#[derive(Debug)]
pub(super) struct Signer {
    keys: Vec<Arc<DkimKey>>,
    threads: SigningThreads,
}

impl Signer {
    /// With these keys, each once; `None` without any.
    pub(super) fn new(keys: Vec<Arc<DkimKey>>) -> Result<Option<Self>, String> {
        let mut known: Vec<Arc<DkimKey>> = Vec::new();
        for key in keys {
            let same = |other: &Arc<DkimKey>| {
                other.record_name() == key.record_name() && other.public() == key.public()
            };
            if !known.iter().any(same) {
                known.push(key);
            }
        }
        if known.is_empty() {
            return Ok(None);
        }
        let threads = SigningThreads::start()?;
        Ok(Some(Self { keys: known, threads }))
    }

    /// The signatures to put before `mail`; none where there is no key for the domain of its From.
    pub(super) async fn sign(&self, mail: &[u8]) -> Result<String, String> {
        let domain = from_domain(mail).ok_or("the mail has no address in From")?;
        let keys = keys_for(&self.keys, &domain);
        if keys.is_empty() {
            return Ok(String::new());
        }
        self.threads.sign(mail, keys).await
    }
}

/// The keys of that domain, else those of the nearest domain above it.
fn keys_for(keys: &[Arc<DkimKey>], from: &str) -> Vec<Arc<DkimKey>> {
    let covers = |key: &DkimKey| {
        from.strip_suffix(&key.domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let nearest = keys
        .iter()
        .filter(|key| covers(key))
        .map(|key| key.domain.len())
        .max();
    keys.iter()
        .filter(|key| covers(key) && Some(key.domain.len()) == nearest)
        .cloned()
        .collect()
}

/// The domain of the address in From, in lower case.
fn from_domain(mail: &[u8]) -> Option<String> {
    let (fields, _) = canon::split(mail);
    let from = fields.iter().find(|field| field.name == "from")?;
    let from = String::from_utf8_lossy(&from.value);
    let address = match from.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next()?,
        None => &from,
    };
    let (_, domain) = address.trim().rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(domain: &str, selector: &str) -> Arc<DkimKey> {
        Arc::new(DkimKey::generate(domain, selector, Kind::Ed25519).unwrap())
    }

    #[test]
    fn the_nearest_domain_signs_with_all_its_keys() {
        let keys = [
            key("shop.example", "a"),
            key("Shop.example", "b"),
            key("news.shop.example", "c"),
        ];
        for (from, selectors) in [
            ("shop.example", &["a", "b"][..]),
            ("eu.shop.example", &["a", "b"]),
            ("news.shop.example", &["c"]),
            ("myshop.example", &[]),
            ("example", &[]),
        ] {
            let found: Vec<_> = keys_for(&keys, from)
                .iter()
                .map(|key| key.selector.clone())
                .collect();
            assert_eq!(found, selectors, "{from}");
        }
    }

    #[test]
    fn the_domain_is_that_of_the_address_in_from() {
        for (mail, domain) in [
            ("From: a@Shop.example\r\n\r\n", Some("shop.example")),
            (
                "To: x@y.example\r\nFROM:\r\n \"a@evil.example\" <b@shop.example>\r\n\r\nFrom: c@d.example",
                Some("shop.example"),
            ),
            ("Subject: none\r\n\r\nFrom: c@d.example", None),
            ("From: nobody\r\n\r\n", None),
        ] {
            assert_eq!(from_domain(mail.as_bytes()).as_deref(), domain, "{mail:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_named() {
        let secret = "c2VjcmV0c2VjcmV0";
        for (pem, why) in [
            (String::new(), "no private key"),
            (
                format!(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n-----END ENCRYPTED PRIVATE KEY-----\n"
                ),
                "encrypted",
            ),
            (
                format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
                "neither an Ed25519",
            ),
            (
                format!("-----BEGIN EC PRIVATE KEY-----\n{secret}\n-----END EC PRIVATE KEY-----\n"),
                "RSA and Ed25519",
            ),
            (
                format!("-----BEGIN PUBLIC KEY-----\n{secret}\n-----END PUBLIC KEY-----\n"),
                "no private key",
            ),
        ] {
            let error = DkimKey::from_pem("a.example", "s", &pem).unwrap_err();
            assert!(error.contains(why) && !error.contains(secret), "{error}");
        }
    }
}
