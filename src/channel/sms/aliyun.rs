//! Aliyun's SMS service, `SendSms` of 2017-05-25. It takes no idempotency key.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::generic::sensitive;
use super::meaning::Meaning;
use super::{Answer, Now};
use crate::channel::{BuiltSms, RefusalClass, SendOutcome};
use crate::domain::registered::Blanks;
use crate::domain::signing::{
    aliyun_acs3, aliyun_acs3_authorization, aliyun_rpc_v1, canonical_query, sha256_hex,
};

const ACTION: &str = "SendSms";
const VERSION: &str = "2017-05-25";

/// An account at Aliyun.
#[derive(Debug, Clone)]
pub struct AliyunOptions {
    /// `https://dysmsapi.aliyuncs.com`, or a server in its shape.
    pub base_url: String,
    /// Id of the access key.
    pub access_key_id: String,
    /// The access key.
    pub access_key_secret: SecretString,
    /// The signature of a text that names none.
    pub sign_name: String,
    /// Whether the older signature of RPC requests is used instead of ACS3.
    pub rpc: bool,
}

#[derive(Debug)]
pub(super) struct Aliyun {
    options: AliyunOptions,
    url: Url,
    host: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    code: String,
    #[serde(default)]
    message: String,
    biz_id: Option<String>,
}

/// The host as it stands in the header, with a port that is not the scheme's own.
pub(super) fn host_of(url: &Url) -> Result<String, String> {
    let host = url.host_str().ok_or("api_url: no host")?;
    Ok(url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// A number as mainland providers know it: of their own country without its code, of others without the plus.
fn number(e164: &str) -> &str {
    e164.strip_prefix("+86")
        .unwrap_or_else(|| e164.trim_start_matches('+'))
}

impl Aliyun {
    pub(super) fn new(options: AliyunOptions) -> Result<Self, String> {
        let url = Url::parse(&options.base_url).map_err(|error| format!("api_url: {error}"))?;
        let host = host_of(&url)?;
        Ok(Self { options, url, host })
    }

    /// The request, signed for this moment.
    pub(super) fn request(&self, sms: &BuiltSms, now: DateTime<Utc>) -> Result<Request, String> {
        let text = sms
            .registered
            .as_ref()
            .ok_or("this provider sends registered texts only, and sms.toml names none for it")?;
        let Blanks::Named(values) = &text.variables else {
            if text.variables == Blanks::default() {
                return self.signed(sms, &text.template, text.sign_name.as_deref(), "{}", now);
            }
            return Err("Aliyun's variables have names: write them as a table in sms.toml".to_owned());
        };
        let values = json!(values).to_string();
        self.signed(sms, &text.template, text.sign_name.as_deref(), &values, now)
    }

    fn signed(
        &self,
        sms: &BuiltSms,
        template: &str,
        sign_name: Option<&str>,
        values: &str,
        now: DateTime<Utc>,
    ) -> Result<Request, String> {
        let mut params = vec![
            ("PhoneNumbers", number(&sms.to)),
            ("SignName", sign_name.unwrap_or(&self.options.sign_name)),
            ("TemplateCode", template),
            ("TemplateParam", values),
            ("OutId", &sms.message_id),
        ];
        let secret = self.options.access_key_secret.expose_secret();
        let at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        let nonce = Uuid::new_v4().simple().to_string();
        let mut request = Request::new(Method::POST, self.url.clone());
        if self.options.rpc {
            params.extend([
                ("AccessKeyId", self.options.access_key_id.as_str()),
                ("Action", ACTION),
                ("Version", VERSION),
                ("Format", "JSON"),
                ("SignatureMethod", "HMAC-SHA1"),
                ("SignatureVersion", "1.0"),
                ("SignatureNonce", &nonce),
                ("Timestamp", &at),
            ]);
            let signed = aliyun_rpc_v1(secret, "POST", &params);
            params.push(("Signature", &signed.signature));
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            *request.body_mut() = Some(canonical_query(&params).into());
            return Ok(request);
        }
        let nothing = sha256_hex(b"");
        let headers = [
            ("host", self.host.as_str()),
            ("x-acs-action", ACTION),
            ("x-acs-content-sha256", &nothing),
            ("x-acs-date", &at),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        let signed = aliyun_acs3(secret, "POST", "/", &params, &headers, b"");
        let login = aliyun_acs3_authorization(&self.options.access_key_id, &headers, &signed);
        request.url_mut().set_path("/");
        request.url_mut().set_query(Some(&canonical_query(&params)));
        for (name, value) in headers {
            // The client writes the host by itself, in the same form.
            if name != "host" {
                let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
                request.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        request.headers_mut().insert(AUTHORIZATION, sensitive(&login)?);
        Ok(request)
    }

    /// An error is told by the code in the body, whatever the status.
    pub(super) fn judge(sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        let body = answer.body.as_deref().unwrap_or_default();
        let Ok(body) = serde_json::from_str::<Body>(body) else {
            // A success of which the body is lost may still be an error that the body told.
            let meaning = match answer.status {
                200..300 => Meaning::Unknown,
                status => Meaning::of_status(status),
            };
            return meaning.outcome(sender, answer, body, now);
        };
        let words = match (&*body.code, body.biz_id) {
            ("OK", Some(id)) => format!("{id} OK"),
            (code, _) => format!("{code}: {}", body.message),
        };
        meaning(&body.code, &body.message, answer.status).outcome(sender, answer, &words, now)
    }
}

/// What a code says about the message.
fn meaning(code: &str, message: &str, status: u16) -> Meaning {
    use RefusalClass::{AddressBad, Other, PolicyBlocked};
    match code {
        "OK" => Meaning::Taken,
        "isv.MOBILE_NUMBER_ILLEGAL" | "isv.MOBILE_COUNT_OVER_LIMIT" => Meaning::Refused(AddressBad),
        "isv.BLACK_KEY_CONTROL_LIMIT"
        | "isv.SMS_CONTENT_ILLEGAL"
        | "isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE" => Meaning::Refused(PolicyBlocked),
        // The number has had enough for a minute, an hour or a day; only the words tell which.
        "isv.BUSINESS_LIMIT_CONTROL" | "isv.MOBILE_SEND_LIMIT" => {
            Meaning::TooFast(if message.contains('天') {
                TimeDelta::days(1)
            } else if message.contains("分钟") {
                TimeDelta::minutes(1)
            } else {
                TimeDelta::hours(1)
            })
        }
        "Throttling" | "Throttling.User" | "Throttling.Api" => Meaning::TooFast(TimeDelta::minutes(1)),
        // The account's own limits, its money, its rights, its key or its clock.
        "isv.DAY_LIMIT_CONTROL"
        | "isv.MONTH_LIMIT_CONTROL"
        | "isv.SMS_OVER_LIMIT"
        | "isv.AMOUNT_NOT_ENOUGH"
        | "isv.OUT_OF_SERVICE"
        | "isv.PRODUCT_UN_SUBSCRIPT"
        | "isv.PRODUCT_UNSUBSCRIBE"
        | "isv.ACCOUNT_NOT_EXISTS"
        | "isv.ACCOUNT_ABNORMAL"
        | "isv.DENY_IP_RANGE"
        | "isv.RAM_PERMISSION_DENY"
        | "isp.RAM_PERMISSION_DENY"
        | "isv.SMS_SIGNATURE_ILLEGAL"
        | "isv.SMS_SIGN_ILLEGAL"
        | "isv.SIGN_STATE_ILLEGAL"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "InvalidTimeStamp.Expired"
        | "SignatureNonceUsed" => Meaning::SenderProblem,
        // The provider says of its own trouble that the call is to be made again.
        "isp.SYSTEM_ERROR" | "isv.SYSTEM_ERROR" | "ServiceUnavailable" => Meaning::NotNow,
        _ if code.starts_with("InvalidAccessKeyId") || code.starts_with("Forbidden") => {
            Meaning::SenderProblem
        }
        _ if code.starts_with("isv.") => Meaning::Refused(Other),
        _ if status < 400 => Meaning::Refused(Other),
        _ => Meaning::of_status(status),
    }
}
