//! How providers sign requests, theirs and ours. Pure: the same inputs give the same bytes.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac};

/// The signature of a request with what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The request as it is signed; empty where a scheme has no such form.
    pub canonical_request: String,
    /// What the key goes over.
    pub string_to_sign: String,
    /// The signature, in hexadecimal or base64 as the scheme has it.
    pub signature: String,
}

/// Names and values, in any order.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// SHA-256 in small hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes())
}

/// Percent-encoding of RFC 3986: only letters, digits, `-`, `_`, `.` and `~` stay.
#[must_use]
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Parameters in the order and spelling in which they are signed, and may be sent.
#[must_use]
pub fn canonical_query(params: Pairs<'_>) -> String {
    let encoded: Vec<String> = sorted(params)
        .iter()
        .map(|(name, value)| format!("{}={}", percent(name), percent(value)))
        .collect();
    encoded.join("&")
}

fn sorted(pairs: Pairs<'_>) -> Vec<(&str, &str)> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs
}

/// Header lines and the list of their names; the names are given in small letters.
fn canonical_headers(headers: Pairs<'_>) -> (String, String) {
    let headers = sorted(headers);
    let mut lines = String::new();
    for (name, value) in &headers {
        let _ = writeln!(lines, "{name}:{}", value.trim());
    }
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    (lines, names.join(";"))
}

/// Aliyun's ACS3-HMAC-SHA256. `headers` are those that are signed, among them `host` and `x-acs-content-sha256`.
#[must_use]
pub fn aliyun_acs3(
    secret: &str,
    method: &str,
    path: &str,
    query: Pairs<'_>,
    headers: Pairs<'_>,
    body: &[u8],
) -> Signed {
    let (lines, names) = canonical_headers(headers);
    let query = canonical_query(query);
    let canonical_request = format!(
        "{method}\n{path}\n{query}\n{lines}\n{names}\n{}",
        sha256_hex(body)
    );
    let string_to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical_request.as_bytes()));
    let signature = hex(mac(hmac::HMAC_SHA256, secret.as_bytes(), &string_to_sign).as_ref());
    Signed {
        canonical_request,
        string_to_sign,
        signature,
    }
}

/// The header `Authorization` of ACS3.
#[must_use]
pub fn aliyun_acs3_authorization(access_key_id: &str, headers: Pairs<'_>, signed: &Signed) -> String {
    let (_, names) = canonical_headers(headers);
    let signature = &signed.signature;
    format!("ACS3-HMAC-SHA256 Credential={access_key_id},SignedHeaders={names},Signature={signature}")
}

/// Aliyun's older signature of RPC requests (version 1.0, HMAC-SHA1): over all parameters but `Signature` itself.
#[must_use]
pub fn aliyun_rpc_v1(secret: &str, method: &str, params: Pairs<'_>) -> Signed {
    let string_to_sign = format!("{method}&%2F&{}", percent(&canonical_query(params)));
    let key = format!("{secret}&");
    let tag = mac(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        key.as_bytes(),
        &string_to_sign,
    );
    Signed {
        canonical_request: String::new(),
        string_to_sign,
        signature: BASE64.encode(tag.as_ref()),
    }
}

/// Whom and when a Tencent Cloud request is signed for.
#[derive(Debug, Clone, Copy)]
pub struct Tc3Scope<'a> {
    /// The product, such as `sms`.
    pub service: &'a str,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// The same instant's date in UTC, `2027-03-01`.
    pub date: &'a str,
}

/// Tencent Cloud's TC3-HMAC-SHA256 of a POST without a query. `headers` are those that are signed; their values count in
/// small letters.
#[must_use]
pub fn tencent_tc3(secret: &str, scope: Tc3Scope<'_>, headers: Pairs<'_>, body: &[u8]) -> Signed {
    let (lines, names) = canonical_headers(headers);
    let lines = lines.to_lowercase();
    let canonical_request = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256_hex(body));
    let Tc3Scope {
        service,
        timestamp,
        date,
    } = scope;
    let string_to_sign = format!(
        "TC3-HMAC-SHA256\n{timestamp}\n{date}/{service}/tc3_request\n{}",
        sha256_hex(canonical_request.as_bytes())
    );
    let mut key = mac(hmac::HMAC_SHA256, format!("TC3{secret}").as_bytes(), date);
    for step in [service, "tc3_request"] {
        key = mac(hmac::HMAC_SHA256, key.as_ref(), step);
    }
    Signed {
        canonical_request,
        signature: hex(mac(hmac::HMAC_SHA256, key.as_ref(), &string_to_sign).as_ref()),
        string_to_sign,
    }
}

/// The header `Authorization` of TC3.
#[must_use]
pub fn tencent_tc3_authorization(
    secret_id: &str,
    scope: Tc3Scope<'_>,
    headers: Pairs<'_>,
    signed: &Signed,
) -> String {
    let (_, names) = canonical_headers(headers);
    let (date, service, signature) = (scope.date, scope.service, &signed.signature);
    format!(
        "TC3-HMAC-SHA256 Credential={secret_id}/{date}/{service}/tc3_request, SignedHeaders={names}, Signature={signature}"
    )
}

/// With which HMAC an account at Vonage signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VonageHash {
    /// HMAC-SHA256.
    #[default]
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// Vonage's signature over the parameters of a request or of a report, `sig` itself left out. In hexadecimal digits.
#[must_use]
pub fn vonage(secret: &str, hash: VonageHash, params: Pairs<'_>) -> String {
    let mut text = String::new();
    for (name, value) in sorted(params) {
        if name != "sig" {
            let _ = write!(text, "&{name}={}", value.replace(['&', '='], "_"));
        }
    }
    let algorithm = match hash {
        VonageHash::Sha256 => hmac::HMAC_SHA256,
        VonageHash::Sha512 => hmac::HMAC_SHA512,
    };
    hex(mac(algorithm, secret.as_bytes(), &text).as_ref())
}

/// Whether two secrets are the same; takes as long for the first wrong byte as for the last.
#[must_use]
pub fn same(given: &str, right: &str) -> bool {
    // A MAC of each is compared, so that neither length nor prefix shows in the time taken.
    let key = hmac::Key::new(hmac::HMAC_SHA256, right.as_bytes());
    hmac::verify(
        &key,
        given.as_bytes(),
        hmac::sign(&key, right.as_bytes()).as_ref(),
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::domain::corpora;

    fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
        map.iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    fn vectors<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
        let Some(text) = corpora::read(&format!("webhooks/signing/{name}.json")) else {
            return Vec::new();
        };
        let vectors: Vec<T> = serde_json::from_str(&text).unwrap();
        assert!(!vectors.is_empty());
        vectors
    }

    #[derive(Deserialize)]
    struct Acs3 {
        case: String,
        method: String,
        path: String,
        access_key_id: String,
        secret: String,
        headers: BTreeMap<String, String>,
        query: BTreeMap<String, String>,
        body: String,
        canonical_request: String,
        string_to_sign: String,
        authorization: String,
    }

    #[test]
    fn aliyun_acs3_agrees_with_the_published_examples() {
        for v in vectors::<Acs3>("aliyun_acs3") {
            let (query, headers) = (pairs(&v.query), pairs(&v.headers));
            let signed = aliyun_acs3(&v.secret, &v.method, &v.path, &query, &headers, v.body.as_bytes());
            assert_eq!(signed.canonical_request, v.canonical_request, "{}", v.case);
            assert_eq!(signed.string_to_sign, v.string_to_sign, "{}", v.case);
            let header = aliyun_acs3_authorization(&v.access_key_id, &headers, &signed);
            assert_eq!(header, v.authorization, "{}", v.case);
        }
    }

    #[derive(Deserialize)]
    struct Rpc {
        case: String,
        method: String,
        secret: String,
        query: BTreeMap<String, String>,
        string_to_sign: String,
        signature: String,
    }

    #[test]
    fn aliyun_rpc_agrees_with_the_published_examples() {
        for v in vectors::<Rpc>("aliyun_rpc_v1") {
            let signed = aliyun_rpc_v1(&v.secret, &v.method, &pairs(&v.query));
            assert_eq!(signed.string_to_sign, v.string_to_sign, "{}", v.case);
            assert_eq!(signed.signature, v.signature, "{}", v.case);
        }
    }

    #[derive(Deserialize)]
    struct Tc3 {
        case: String,
        secret: String,
        timestamp: i64,
        date: String,
        service: String,
        host: String,
        action: String,
        content_type: String,
        signed_headers: Vec<String>,
        body: String,
        canonical_request: String,
        string_to_sign: String,
        signature: String,
    }

    #[test]
    fn tencent_tc3_agrees_with_the_published_examples() {
        for v in vectors::<Tc3>("tencent_tc3") {
            let headers = [
                ("content-type", v.content_type.as_str()),
                ("host", &v.host),
                ("x-tc-action", &v.action),
            ];
            let scope = Tc3Scope {
                service: &v.service,
                timestamp: v.timestamp,
                date: &v.date,
            };
            let signed = tencent_tc3(&v.secret, scope, &headers, v.body.as_bytes());
            assert_eq!(signed.canonical_request, v.canonical_request, "{}", v.case);
            assert_eq!(signed.string_to_sign, v.string_to_sign, "{}", v.case);
            assert_eq!(signed.signature, v.signature, "{}", v.case);
            let header = tencent_tc3_authorization("id", scope, &headers, &signed);
            assert!(header.contains(&v.signed_headers.join(";")), "{header}");
        }
    }

    #[test]
    fn vonage_signs_sorted_parameters_with_their_separators_replaced() {
        let params = [
            ("to", "1"),
            ("text", "a=b&c"),
            ("sig", "left out"),
            ("api_key", "k"),
        ];
        let by_hand = mac(hmac::HMAC_SHA256, b"s", "&api_key=k&text=a_b_c&to=1");
        assert_eq!(vonage("s", VonageHash::Sha256, &params), hex(by_hand.as_ref()));
        assert_eq!(vonage("s", VonageHash::Sha512, &params).len(), 128);
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same("t0ken", "t0ken"));
        for other in ["", "t0ke", "t0ken ", "T0ken"] {
            assert!(!same(other, "t0ken"));
        }
    }
}
