//! A key that signs: RSA or Ed25519, from PEM.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};

use super::signature;

/// A private key and the name under which receivers find its public half.
pub struct DkimKey {
    /// The domain that answers for the mail (`d=`), in lower case.
    pub domain: String,
    /// The selector (`s=`).
    pub selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "DkimKey({} {} {})",
            self.algorithm(),
            self.domain,
            self.selector
        )
    }
}

/// What can be made for a try-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RSA of 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// The PEM text of a new key, in PKCS#8.
pub fn new_pem(kind: Kind) -> Result<String, String> {
    let failed = |_| "no key could be made".to_owned();
    let der = match kind {
        Kind::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            BASE64.encode(pair.as_der().map_err(failed)?.as_ref())
        }
        Kind::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            BASE64.encode(pair.to_pkcs8v1().map_err(failed)?.as_ref())
        }
    };
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"
    ))
}

impl DkimKey {
    /// From the text of a PEM file: PKCS#8 or PKCS#1 for RSA of 2048 bits or more, PKCS#8 for Ed25519. The error says
    /// what the text is instead; it never repeats any of it.
    pub fn from_pem(domain: &str, selector: &str, pem: &str) -> Result<Self, String> {
        if pem.contains("ENCRYPTED") {
            return Err("the key is encrypted, and nobody is there to type its password".to_owned());
        }
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
            PemError::NoItemsFound => "no private key in PEM form is in it".to_owned(),
            error => format!("not PEM: {error}"),
        })?;
        let rsa = |pair: Result<RsaKeyPair, _>| {
            pair.map(|pair| Pair::Rsa(Box::new(pair))).map_err(|error| {
                format!("neither an Ed25519 key nor an RSA key of 2048 to 8192 bits: {error}")
            })
        };
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()))?,
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(pair) => Pair::Ed25519(Box::new(pair)),
                    Err(_) => rsa(RsaKeyPair::from_pkcs8(der))?,
                }
            }
            _ => return Err("DKIM takes RSA and Ed25519 keys, and this is neither".to_owned()),
        };
        Ok(Self::of(domain, selector, pair))
    }

    /// A new key that nobody knows.
    pub fn generate(domain: &str, selector: &str, kind: Kind) -> Result<Self, String> {
        Self::from_pem(domain, selector, &new_pem(kind)?)
    }

    /// The field that signs a mail, with its line ends. It works for as long as the signature takes.
    pub fn sign_mail(&self, mail: &[u8]) -> Result<String, String> {
        signature::sign(mail, &[self])
    }

    fn of(domain: &str, selector: &str, pair: Pair) -> Self {
        Self {
            domain: domain.to_ascii_lowercase(),
            selector: selector.to_owned(),
            pair,
        }
    }

    /// `a=` of its signatures.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// Where receivers look for the public half.
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// `p=` of the record there, in Base64.
    pub fn public(&self) -> String {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().map_or_else(
                |_| BASE64.encode(pair.public_key()),
                |der| BASE64.encode(der.as_ref()),
            ),
            Pair::Ed25519(pair) => BASE64.encode(pair.public_key()),
        }
    }

    /// The whole TXT record to publish there.
    pub fn record(&self) -> String {
        let kind = match self.pair {
            Pair::Rsa(_) => "rsa",
            Pair::Ed25519(_) => "ed25519",
        };
        format!("v=DKIM1; k={kind}; p={}", self.public())
    }

    /// The signature of what was canonicalised, in Base64. Ed25519 signs the hash (RFC 8463 section 3).
    pub(super) fn sign(&self, text: &[u8]) -> Result<String, String> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
                    .map_err(|_| "the RSA key did not sign".to_owned())?;
                Ok(BASE64.encode(signature))
            }
            Pair::Ed25519(pair) => {
                let signature = pair
                    .try_sign(digest(&SHA256, text).as_ref())
                    .map_err(|_| "the Ed25519 key did not sign".to_owned())?;
                Ok(BASE64.encode(signature))
            }
        }
    }
}
