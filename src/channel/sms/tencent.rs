//! Tencent Cloud's SMS service, `SendSms` of 2021-01-11. It takes no idempotency key.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::aliyun::host_of;
use super::generic::sensitive;
use super::meaning::Meaning;
use super::{Answer, Now};
use crate::channel::{BuiltSms, RefusalClass, SendOutcome};
use crate::domain::registered::Blanks;
use crate::domain::signing::{Tc3Scope, tencent_tc3, tencent_tc3_authorization};

const ACTION: &str = "SendSms";
const VERSION: &str = "2021-01-11";
const JSON: &str = "application/json; charset=utf-8";

/// An account at Tencent Cloud.
#[derive(Debug, Clone)]
pub struct TencentOptions {
    /// `https://sms.tencentcloudapi.com`, or a server in its shape.
    pub base_url: String,
    /// Id of the key.
    pub secret_id: String,
    /// The key.
    pub secret_key: SecretString,
    /// `SmsSdkAppId`.
    pub app_id: String,
    /// The signature of a text that names none.
    pub sign_name: String,
    /// Where the request is handled, `ap-guangzhou`.
    pub region: String,
}

#[derive(Debug)]
pub(super) struct Tencent {
    options: TencentOptions,
    url: Url,
    host: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    response: Response,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    #[serde(default)]
    send_status_set: Vec<Status>,
    error: Option<Status>,
}

/// What is said of one number, or of the whole request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    serial_no: String,
    code: String,
    #[serde(default)]
    message: String,
}

impl Tencent {
    pub(super) fn new(options: TencentOptions) -> Result<Self, String> {
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
        let Blanks::Listed(values) = &text.variables else {
            return Err("Tencent's variables have places: write them as a list in sms.toml".to_owned());
        };
        let body = json!({
            "PhoneNumberSet": [sms.to],
            "SmsSdkAppId": self.options.app_id,
            "SignName": text.sign_name.as_deref().unwrap_or(&self.options.sign_name),
            "TemplateId": text.template,
            "TemplateParamSet": values,
            "SessionContext": sms.message_id,
        })
        .to_string();
        let date = now.format("%Y-%m-%d").to_string();
        let scope = Tc3Scope {
            service: "sms",
            timestamp: now.timestamp(),
            date: &date,
        };
        let signed_headers = [
            ("content-type", JSON),
            ("host", &self.host),
            ("x-tc-action", ACTION),
        ];
        let secret = self.options.secret_key.expose_secret();
        let signed = tencent_tc3(secret, scope, &signed_headers, body.as_bytes());
        let login = tencent_tc3_authorization(&self.options.secret_id, scope, &signed_headers, &signed);
        let mut request = Request::new(Method::POST, self.url.clone());
        request.url_mut().set_path("/");
        let headers = request.headers_mut();
        let timestamp = now.timestamp().to_string();
        for (name, value) in [
            ("x-tc-action", ACTION),
            ("x-tc-version", VERSION),
            ("x-tc-timestamp", &timestamp),
            ("x-tc-region", &self.options.region),
        ] {
            let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(AUTHORIZATION, sensitive(&login)?);
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    /// An error is told by the code in the body; the status is 200 either way.
    pub(super) fn judge(sender: &str, answer: &Answer, now: &Now) -> SendOutcome {
        let text = answer.body.as_deref().unwrap_or_default();
        let status = serde_json::from_str::<Body>(text).ok().and_then(|body| {
            body.response
                .error
                .or(body.response.send_status_set.into_iter().next())
        });
        let Some(status) = status else {
            let meaning = match answer.status {
                200..300 => Meaning::Unknown,
                status => Meaning::of_status(status),
            };
            return meaning.outcome(sender, answer, text, now);
        };
        let words = match status.code.as_str() {
            // The serial number is what a report of delivery names.
            "Ok" => format!("{} Ok", status.serial_no),
            code => format!("{code}: {}", status.message),
        };
        meaning(&status.code).outcome(sender, answer, &words, now)
    }
}

/// What a code says about the message.
fn meaning(code: &str) -> Meaning {
    use RefusalClass::{AddressBad, Other, PolicyBlocked};
    let (group, detail) = code.split_once('.').unwrap_or((code, ""));
    match (group, detail) {
        ("Ok", _) => Meaning::Taken,
        ("InvalidParameterValue", "IncorrectPhoneNumber")
        | ("UnsupportedOperation", "ContainsNotSupportPhone") => Meaning::Refused(AddressBad),
        ("FailedOperation", "PhoneNumberInBlacklist" | "ContainSensitiveWord") => {
            Meaning::Refused(PolicyBlocked)
        }
        ("LimitExceeded", "PhoneNumberThirtySecondLimit" | "DeliveryFrequencyLimit") => {
            Meaning::TooFast(TimeDelta::minutes(1))
        }
        ("LimitExceeded", "PhoneNumberOneHourLimit") | ("FailedOperation", "MarketingSendTimeConstraint") => {
            Meaning::TooFast(TimeDelta::hours(1))
        }
        ("LimitExceeded", "PhoneNumberDailyLimit" | "PhoneNumberSameContentDailyLimit") => {
            Meaning::TooFast(TimeDelta::days(1))
        }
        ("RequestLimitExceeded", _) => Meaning::TooFast(TimeDelta::minutes(1)),
        // The account's own limits, its money, its rights, its key, a text or signature that is not approved.
        ("LimitExceeded" | "AuthFailure" | "UnauthorizedOperation", _)
        | (
            "FailedOperation",
            "InsufficientBalanceInSmsPackage"
            | "SignatureIncorrectOrUnapproved"
            | "TemplateIncorrectOrUnapproved"
            | "TemplateUnapprovedOrNotExist"
            | "ProhibitSubAccountUse",
        )
        | ("InvalidParameterValue", "SdkAppIdNotExist") => Meaning::SenderProblem,
        // Between them and the carrier: it may have gone out.
        ("InternalError", "Timeout" | "SendAndRecvFail" | "RequestTimeException") => Meaning::Unknown,
        ("InternalError", _) => Meaning::NotNow,
        _ => Meaning::Refused(Other),
    }
}
