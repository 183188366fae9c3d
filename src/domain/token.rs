//! Tokens in links: a message, what is meant, and a MAC, so that nothing has to be stored for a link to be trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use uuid::Uuid;

/// What a token is good for. A token made for one purpose is worthless for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The open pixel.
    Open,
    /// A tracked link; carries the link's number.
    Click,
    /// Ending marketing to the address.
    Unsubscribe,
    /// A button in the owner's digest; carries the time it expires (Unix seconds).
    Task,
    /// The Return-Path of a message ([`return_path`](super::return_path)).
    Bounce,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Open => b'o',
            Self::Click => b'c',
            Self::Unsubscribe => b'u',
            Self::Task => b't',
            Self::Bounce => b'b',
        }
    }
}

/// Signs and checks tokens.
#[derive(Debug, Clone)]
pub struct TokenKey(hmac::Key);

/// Length of the MAC in bytes: 80 bits cannot be guessed over a network.
pub(super) const MAC: usize = 10;

impl TokenKey {
    /// From the database's key.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A token for an id and a number.
    pub fn sign(&self, purpose: Purpose, id: Uuid, number: u64) -> String {
        let mut bytes = Vec::with_capacity(16 + 8 + MAC);
        bytes.extend_from_slice(id.as_bytes());
        let number = number.to_be_bytes();
        let zeros = number.iter().take_while(|b| **b == 0).count();
        bytes.extend_from_slice(&number[zeros..]);
        let mac = self.short_mac(purpose, &bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The id and number of a token that this key made for this purpose.
    pub fn verify(&self, purpose: Purpose, token: &str) -> Option<(Uuid, u64)> {
        if token.len() > 64 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        if !(16 + MAC..=16 + 8 + MAC).contains(&bytes.len()) {
            return None;
        }
        let (body, mac) = bytes.split_at(bytes.len() - MAC);
        if !self.is_mac(purpose, body, mac) {
            return None;
        }
        let (id, digits) = body.split_at(16);
        let number = digits.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        Some((Uuid::from_slice(id).ok()?, number))
    }

    /// The MAC of some bytes, cut to its length.
    pub(super) fn short_mac(&self, purpose: Purpose, body: &[u8]) -> [u8; MAC] {
        let mut short = [0; MAC];
        short.copy_from_slice(&self.mac(purpose, body).as_ref()[..MAC]);
        short
    }

    /// Whether that is their MAC. No early end on the first wrong byte.
    pub(super) fn is_mac(&self, purpose: Purpose, body: &[u8], mac: &[u8]) -> bool {
        let right = self.short_mac(purpose, body);
        mac.len() == MAC && right.iter().zip(mac).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
    }

    fn mac(&self, purpose: Purpose, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[purpose.byte()]);
        context.update(body);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_purpose_and_key_only() {
        let key = TokenKey::new(b"one");
        let id = Uuid::from_u128(0x1234_5678);
        for number in [0, 1, 255, 256, u64::MAX] {
            let token = key.sign(Purpose::Click, id, number);
            assert_eq!(key.verify(Purpose::Click, &token), Some((id, number)));
            assert_eq!(key.verify(Purpose::Unsubscribe, &token), None);
            assert_eq!(TokenKey::new(b"two").verify(Purpose::Click, &token), None);
        }
    }

    #[test]
    fn a_changed_token_is_refused() {
        let key = TokenKey::new(b"one");
        let token = key.sign(Purpose::Click, Uuid::from_u128(7), 3);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            if changed != token {
                assert_eq!(key.verify(Purpose::Click, &changed), None, "position {at}");
            }
        }
        assert_eq!(key.verify(Purpose::Click, ""), None);
        assert_eq!(key.verify(Purpose::Click, &"A".repeat(4000)), None);
    }
}
