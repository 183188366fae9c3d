//! Requests in the shape of the providers that the gateway can play besides Twilio, read and answered.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::sms::ReceivedSms;
use crate::domain::registered::{Blanks, RegisteredText};

/// What a provider says when it takes a message over, by the place of the request.
pub(super) type Answer = fn(u64) -> (StatusCode, Value);

/// Reads a request to Aliyun or Tencent Cloud; both are called at `/`. `query` and `body` are as they came.
pub(super) fn mainland(headers: &HeaderMap, query: &str, body: &str) -> Option<(ReceivedSms, Answer)> {
    if headers.contains_key("x-tc-action") {
        return Some((tencent(body)?, |at| {
            let status = json!({ "SerialNo": format!("2027:{at}"), "Code": "Ok", "Message": "send success", "Fee": 1 });
            (
                StatusCode::OK,
                json!({ "Response": { "SendStatusSet": [status], "RequestId": "r" } }),
            )
        }));
    }
    let params = if headers.contains_key("x-acs-action") {
        query
    } else {
        body
    };
    Some((aliyun(&form(params))?, |at| {
        (
            StatusCode::OK,
            json!({ "Code": "OK", "Message": "OK", "BizId": format!("{at}^0"), "RequestId": "r" }),
        )
    }))
}

fn form(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn aliyun(params: &BTreeMap<String, String>) -> Option<ReceivedSms> {
    let field = |name: &str| params.get(name).cloned();
    Some(ReceivedSms {
        to: field("PhoneNumbers")?,
        from: field("SignName")?,
        message_id: field("OutId")?,
        registered: Some(RegisteredText {
            template: field("TemplateCode")?,
            sign_name: field("SignName"),
            variables: Blanks::Named(serde_json::from_str(params.get("TemplateParam")?).ok()?),
        }),
        ..ReceivedSms::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TencentBody {
    phone_number_set: Vec<String>,
    sign_name: String,
    template_id: String,
    template_param_set: Vec<String>,
    session_context: String,
}

fn tencent(body: &str) -> Option<ReceivedSms> {
    let body: TencentBody = serde_json::from_str(body).ok()?;
    Some(ReceivedSms {
        to: body.phone_number_set.into_iter().next()?,
        from: body.sign_name.clone(),
        message_id: body.session_context,
        registered: Some(RegisteredText {
            template: body.template_id,
            sign_name: Some(body.sign_name),
            variables: Blanks::Listed(body.template_param_set),
        }),
        ..ReceivedSms::default()
    })
}

/// Reads a request to Vonage.
pub(super) fn vonage(body: &str) -> Option<(ReceivedSms, Answer)> {
    let params = form(body);
    let field = |name: &str| params.get(name).cloned();
    let sms = ReceivedSms {
        to: field("to")?,
        from: field("from")?,
        text: field("text")?,
        message_id: field("client-ref")?,
        status_callback: field("callback").unwrap_or_default(),
        registered: None,
    };
    Some((sms, |at| {
        let part = json!({ "status": "0", "message-id": format!("{at:016X}"), "remaining-balance": "9.99" });
        (
            StatusCode::OK,
            json!({ "message-count": "1", "messages": [part] }),
        )
    }))
}
