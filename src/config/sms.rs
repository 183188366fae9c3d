//! SMS accounts beyond Twilio's, and what a sender of text messages is limited to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::SecretRef;
use crate::domain::cadence::Class;
use crate::domain::gate_rules::{Cap, Opening};
use crate::domain::signing::VonageHash;

/// An account at Aliyun's SMS service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aliyun {
    /// Id of the access key.
    pub access_key_id: String,
    /// The access key.
    pub access_key_secret: SecretRef,
    /// The signature that stands before a text, unless its `sms.toml` names one.
    pub sign_name: String,
    /// How requests are signed.
    #[serde(default)]
    pub signing: AliyunSigning,
    /// Base of the API.
    #[serde(default = "aliyun_api")]
    pub api_url: String,
    /// The secret end of the address at which delivery is reported; none takes no reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_token: Option<SecretRef>,
}

/// How requests to Aliyun are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AliyunSigning {
    /// ACS3-HMAC-SHA256.
    #[default]
    Acs3,
    /// The older signature of RPC requests, HMAC-SHA1.
    Rpc,
}

fn aliyun_api() -> String {
    "https://dysmsapi.aliyuncs.com".to_owned()
}

/// An account at Tencent Cloud's SMS service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tencent {
    /// Id of the key.
    pub secret_id: String,
    /// The key.
    pub secret_key: SecretRef,
    /// `SmsSdkAppId`.
    pub app_id: String,
    /// The signature that stands before a text, unless its `sms.toml` names one.
    pub sign_name: String,
    /// Where the request is handled.
    #[serde(default = "tencent_region")]
    pub region: String,
    /// Base of the API.
    #[serde(default = "tencent_api")]
    pub api_url: String,
    /// The secret end of the address at which delivery is reported; none takes no reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_token: Option<SecretRef>,
}

fn tencent_region() -> String {
    "ap-guangzhou".to_owned()
}

fn tencent_api() -> String {
    "https://sms.tencentcloudapi.com".to_owned()
}

/// An account at Vonage. It signs its requests when `signature_secret` is set, and sends `api_secret` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vonage {
    /// The account's key.
    pub api_key: String,
    /// The account's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_secret: Option<SecretRef>,
    /// The secret that requests and reports are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_secret: Option<SecretRef>,
    /// The hash of that signature.
    #[serde(default)]
    pub signature_hash: VonageHash,
    /// Sending number or name.
    pub from: String,
    /// Base of the API.
    #[serde(default = "vonage_api")]
    pub api_url: String,
    /// The secret end of the address at which delivery is reported, where reports are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_token: Option<SecretRef>,
}

fn vonage_api() -> String {
    "https://rest.nexmo.com".to_owned()
}

/// What the gate heeds for one sender of text messages, besides its rules for the channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsLimits {
    /// When local time at the recipient allows a class: `always`, or a window. A class without one has none, but see
    /// [`SmsLimits::mainland`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<Class, Opening>,
    /// How many messages one number gets over this sender, whoever has it and whatever they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_number: Vec<Cap>,
}

impl SmsLimits {
    /// These limits as mainland China adds to them: what is promotional only goes out from 8 to 22, unless a window is set.
    #[must_use]
    pub fn mainland(mut self) -> Self {
        for class in [Class::Care, Class::Marketing] {
            self.windows.entry(class).or_insert_with(promotional);
        }
        self
    }
}

fn promotional() -> Opening {
    Opening::parse("08:00-22:00").unwrap_or(Opening::Always)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mainland_hours_yield_to_set_ones() {
        let set = SmsLimits {
            windows: BTreeMap::from([(Class::Care, Opening::Always)]),
            per_number: Vec::new(),
        };
        let limits = set.mainland();
        assert_eq!(limits.windows[&Class::Care], Opening::Always);
        assert_eq!(
            limits.windows[&Class::Marketing].to_string(),
            Opening::parse("08:00-22:00").unwrap().to_string()
        );
        assert!(promotional().window().is_some());
        assert!(!limits.windows.contains_key(&Class::Transactional));
    }
}
