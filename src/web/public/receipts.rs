//! What Aliyun, Tencent Cloud and Vonage push: receipts of text messages, and texts that came in. The end of the address is a
//! secret that the operator gave the provider; Vonage may sign instead.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::config::SmsProvider;
use crate::config::secret::SecretRef;
use crate::domain::signing::same;
use crate::engine::texting::{self, Fate, Report, Text};
use crate::inbound::notice::{Notice, Receipt, ReceiptFate, Unreadable};
use crate::inbound::{aliyun, tencent, vonage};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// Takes a push of Aliyun's.
pub async fn aliyun(
    State(state): State<WebState>,
    Path(token): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, HttpError> {
    admit(&state, &token, |provider| match provider {
        SmsProvider::Aliyun(account) => account.receipt_token.as_ref(),
        _ => None,
    })?;
    take_all(&state, "aliyun", aliyun::notices(&body).map_err(unreadable)?).await?;
    Ok(Json(json!({ "code": 0, "msg": "OK" })))
}

/// Takes a push of Tencent Cloud's.
pub async fn tencent(
    State(state): State<WebState>,
    Path(token): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, HttpError> {
    admit(&state, &token, |provider| match provider {
        SmsProvider::Tencent(account) => account.receipt_token.as_ref(),
        _ => None,
    })?;
    take_all(&state, "tencent", tencent::notices(&body).map_err(unreadable)?).await?;
    Ok(Json(json!({ "result": 0, "errmsg": "OK" })))
}

/// Takes a call of Vonage's. Where the account signs, only a signature counts.
pub async fn vonage(
    State(state): State<WebState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, HttpError> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let params = vonage::params(json, &body).map_err(unreadable)?;
    let ours = state.deps.settings.senders.iter().any(|sender| {
        let Some(SmsProvider::Vonage(account)) = sender.sms() else {
            return false;
        };
        match (&account.signature_secret, &account.receipt_token) {
            (Some(secret), _) => fetched(&sender.name, secret)
                .is_some_and(|secret| vonage::is_signed(&secret, account.signature_hash, &params)),
            (None, Some(right)) => fetched(&sender.name, right).is_some_and(|right| same(&token, &right)),
            (None, None) => false,
        }
    });
    if !ours {
        return Err(HttpError::NotFound);
    }
    let notice = vonage::notice(&params).map_err(unreadable)?;
    take_all(&state, "vonage", notice.into_iter().collect()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A wrong end of the address is an address that there is not.
fn admit(
    state: &WebState,
    token: &str,
    right: impl Fn(&SmsProvider) -> Option<&SecretRef>,
) -> Result<(), HttpError> {
    let ours = state.deps.settings.senders.iter().any(|sender| {
        sender
            .sms()
            .and_then(&right)
            .and_then(|right| fetched(&sender.name, right))
            .is_some_and(|right| same(token, &right))
    });
    if ours { Ok(()) } else { Err(HttpError::NotFound) }
}

fn fetched(sender: &str, secret: &SecretRef) -> Option<String> {
    match secret.fetch() {
        Ok(secret) => Some(secret.expose_secret().to_owned()),
        Err(error) => {
            tracing::warn!(sender, %error, "what the SMS provider pushes cannot be checked");
            None
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn unreadable(error: Unreadable) -> HttpError {
    HttpError::BadRequest(error.to_string())
}

async fn take_all(state: &WebState, provider: &str, notices: Vec<Notice>) -> Result<(), HttpError> {
    for notice in notices {
        match notice {
            Notice::Text(text) => {
                let text = Text {
                    provider,
                    id: &text.id,
                    from: &text.from,
                    text: &text.text,
                    keyword: None,
                };
                texting::take(&state.deps, &text, state.now()).await?;
            }
            Notice::Receipt(receipt) => take_receipt(state, provider, receipt).await?,
        }
    }
    Ok(())
}

async fn take_receipt(state: &WebState, provider: &str, receipt: Receipt) -> Result<(), HttpError> {
    let Receipt {
        id,
        message,
        number,
        fate,
        words,
    } = receipt;
    let message = match (message, number) {
        (Some(message), _) => Some(message),
        (None, Some(number)) => texting::message_to(&state.deps, &number, &id).await?,
        (None, None) => None,
    };
    let Some(message) = message else {
        // Sent by another program over the same account.
        tracing::debug!(provider, "a receipt names no message of ours");
        return Ok(());
    };
    let report = Report {
        provider,
        id: &id,
        message,
        fate: match fate {
            ReceiptFate::Taken => Fate::Taken,
            ReceiptFate::Delivered => Fate::Delivered,
            ReceiptFate::Bounced(class) => Fate::Bounced(class),
        },
        words,
    };
    texting::report(&state.deps, &report, state.now()).await?;
    Ok(())
}
