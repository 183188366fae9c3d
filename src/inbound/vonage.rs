//! What Vonage sends to a webhook: a receipt of a message, or a text that came in, as a form or as JSON.

use std::collections::BTreeMap;

use super::notice::{IncomingText, Notice, Receipt, ReceiptFate, Unreadable, class_of};
use crate::domain::event::BounceClass;
use crate::domain::phone::PhoneNumber;
use crate::domain::signing::{self, VonageHash};

/// The parameters of a call. Numbers in JSON count as they are written.
pub fn params(json: bool, body: &[u8]) -> Result<BTreeMap<String, String>, Unreadable> {
    if !json {
        return Ok(url::form_urlencoded::parse(body).into_owned().collect());
    }
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_slice(body)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(fields
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}

/// Whether the parameters carry the account's signature.
#[must_use]
pub fn is_signed(secret: &str, hash: VonageHash, params: &BTreeMap<String, String>) -> bool {
    let Some(sig) = params.get("sig") else {
        return false;
    };
    let pairs: Vec<_> = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    signing::same(&sig.to_lowercase(), &signing::vonage(secret, hash, &pairs))
}

/// Reads one call; `None` for a state that is not known, or a text from no number.
pub fn notice(params: &BTreeMap<String, String>) -> Result<Option<Notice>, Unreadable> {
    let field = |name: &str| params.get(name).map(String::as_str);
    let required = |name: &str| field(name).ok_or_else(|| Unreadable(format!("there is no {name}")));
    let id = required("messageId")?.to_owned();
    let number = PhoneNumber::parse(&format!("+{}", required("msisdn")?.trim_start_matches('+')), None).ok();
    let Some(status) = field("status") else {
        let text = required("text")?.to_owned();
        return Ok(number.map(|from| Notice::Text(IncomingText { id, from, text })));
    };
    let code = field("err-code").unwrap_or_default();
    let fate = match status {
        "accepted" | "buffered" => ReceiptFate::Taken,
        "delivered" => ReceiptFate::Delivered,
        "expired" => ReceiptFate::Bounced(BounceClass::Soft),
        "failed" | "rejected" | "deleted" => ReceiptFate::Bounced(match code {
            // No such number; gone for good.
            "3" => BounceClass::Hard,
            // Absent for now; the carrier's trouble; the line was busy.
            "2" | "5" | "6" | "8" => BounceClass::Soft,
            // Barred, spam, not allowed there, no permission.
            "4" | "7" | "9" | "10" | "11" | "12" | "14" => BounceClass::Blocked,
            _ => class_of(status),
        }),
        _ => return Ok(None),
    };
    Ok(Some(Notice::Receipt(Receipt {
        id,
        message: field("client-ref").and_then(|id| id.parse().ok()),
        number,
        fate,
        words: format!("{status} {code}").trim_end().to_owned(),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_read_and_their_signature_checked() {
        let message = uuid::Uuid::from_u128(7);
        let body = format!(
            "msisdn=8613800138000&messageId=0A1&status=failed&err-code=3&client-ref={message}&timestamp=1"
        );
        let mut params = params(false, body.as_bytes()).unwrap();
        let Some(Notice::Receipt(receipt)) = notice(&params).unwrap() else {
            panic!("no receipt")
        };
        assert_eq!(
            (receipt.message, receipt.fate),
            (Some(message), ReceiptFate::Bounced(BounceClass::Hard))
        );
        assert!(!is_signed("s", VonageHash::Sha256, &params));
        let pairs: Vec<_> = params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let sig = signing::vonage("s", VonageHash::Sha256, &pairs);
        params.insert("sig".to_owned(), sig.to_uppercase());
        assert!(is_signed("s", VonageHash::Sha256, &params));
        assert!(!is_signed("other", VonageHash::Sha256, &params));
        params.insert("status".to_owned(), "delivered".to_owned());
        assert!(!is_signed("s", VonageHash::Sha256, &params));
    }

    #[test]
    fn a_text_has_no_status() {
        let json =
            br#"{"msisdn":"447400123456","to":"447700900000","messageId":"0A2","text":"stop","type":"text"}"#;
        let params = params(true, json).unwrap();
        assert!(matches!(notice(&params).unwrap(), Some(Notice::Text(text)) if text.text == "stop"));
        assert!(notice(&BTreeMap::new()).is_err());
    }
}
