//! Addresses as keyed hashes: what a suppression remembers when the address itself is erased.

use std::fmt;

use ring::hmac;

use super::email::EmailAddress;
use super::phone::PhoneNumber;

/// The first sixteen bytes of HMAC-SHA256 over an address in its comparison form. Without the key nobody can try
/// addresses against it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressHash([u8; 16]);

impl AddressHash {
    /// The bytes, as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressHash(…)")
    }
}

/// The key of one database's address hashes. It must not change: suppressions are found by it.
#[derive(Clone)]
pub struct AddressKey(hmac::Key);

impl AddressKey {
    /// A key from its secret bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The hash of an email address, without regard to case.
    #[must_use]
    pub fn email(&self, address: &EmailAddress) -> AddressHash {
        self.hash(address.norm().as_bytes())
    }

    /// The hash of a phone number.
    #[must_use]
    pub fn phone(&self, number: &PhoneNumber) -> AddressHash {
        self.hash(number.as_str().as_bytes())
    }

    fn hash(&self, text: &[u8]) -> AddressHash {
        let tag = hmac::sign(&self.0, text);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag.as_ref()[..16]);
        AddressHash(bytes)
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_one_hash_and_another_key_another_hash() {
        let email = |text| EmailAddress::parse(text).unwrap();
        let key = AddressKey::new(b"one");
        assert_eq!(
            key.email(&email("Ann@Example.com")),
            key.email(&email("ann@example.COM"))
        );
        assert_ne!(
            key.email(&email("ann@example.com")),
            key.email(&email("bob@example.com"))
        );
        assert_ne!(
            key.email(&email("ann@example.com")),
            AddressKey::new(b"two").email(&email("ann@example.com"))
        );
        let phone = |text| PhoneNumber::parse(text, Some("CN")).unwrap();
        assert_eq!(
            key.phone(&phone("138 0013 8000")),
            key.phone(&phone("+8613800138000"))
        );
    }
}
