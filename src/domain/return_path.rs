//! The Return-Path of a message (VERP): `b-ID-MAC@bounces.example.com`. A bounce comes back to it, so it names its message
//! whatever the bouncing server writes, and the MAC tells it from a made-up one.
//!
//! It is written in hexadecimal, not in Base64 as tokens in links are: servers on the way may change the case of a local
//! part. At 55 characters it is under the 64 that a local part may have.

use std::fmt::Write as _;

use uuid::Uuid;

use super::token::{MAC, Purpose, TokenKey};

/// The Return-Path of a message at a domain.
pub fn write(key: &TokenKey, message: Uuid, domain: &str) -> String {
    let mut address = format!("b-{}-", message.simple());
    for byte in key.short_mac(Purpose::Bounce, message.as_bytes()) {
        let _ = write!(address, "{byte:02x}");
    }
    let _ = write!(address, "@{domain}");
    address
}

/// The message whose Return-Path an address is, at whatever domain and in whatever case; `None` where this key did not
/// write it.
pub fn read(key: &TokenKey, address: &str) -> Option<Uuid> {
    let (local, _) = address.trim().rsplit_once('@')?;
    let local = local.to_ascii_lowercase();
    let (id, mac) = local.strip_prefix("b-")?.split_once('-')?;
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex(id, 32) || !hex(mac, 2 * MAC) {
        return None;
    }
    let message = Uuid::try_parse(id).ok()?;
    let mac: Vec<u8> = (0..MAC)
        .map(|at| u8::from_str_radix(&mac[2 * at..2 * at + 2], 16).ok())
        .collect::<Option<_>>()?;
    key.is_mac(Purpose::Bounce, message.as_bytes(), &mac)
        .then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::email::EmailAddress;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_in_any_case(id: u128, key: [u8; 32], upper: bool) {
            let (key, id) = (TokenKey::new(&key), Uuid::from_u128(id));
            let address = write(&key, id, "bounces.shop.example");
            prop_assert!(EmailAddress::parse(&address).is_ok(), "{}", address);
            let back = if upper { address.to_uppercase() } else { address };
            prop_assert_eq!(read(&key, &back), Some(id));
        }

        #[test]
        fn a_changed_one_is_nobodys(id: u128, at in 0usize..55, to in "[!-~]") {
            let key = TokenKey::new(b"one");
            let address = write(&key, Uuid::from_u128(id), "b.example");
            let mut changed = address.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(!changed.eq_ignore_ascii_case(&address));
            prop_assert_eq!(read(&key, &changed), None);
            prop_assert_eq!(read(&TokenKey::new(b"two"), &address), None);
        }

        #[test]
        fn nothing_else_is_taken(text in "\\PC{0,80}") {
            prop_assert_eq!(read(&TokenKey::new(b"one"), &text), None);
            prop_assert_eq!(read(&TokenKey::new(b"one"), &format!("b-{text}@b.example")), None);
        }
    }

    #[test]
    fn a_link_of_the_same_message_is_no_return_path() {
        let (key, id) = (TokenKey::new(b"one"), Uuid::from_u128(7));
        assert_eq!(
            read(&key, &format!("{}@b.example", key.sign(Purpose::Open, id, 0))),
            None
        );
        assert_eq!(read(&key, "b-é-é@b.example"), None);
    }
}
