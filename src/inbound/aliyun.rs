//! What Aliyun pushes: `SmsReport` and `SmsUp`, each a JSON array.

use serde::Deserialize;

use super::notice::{IncomingText, Notice, Receipt, ReceiptFate, Unreadable, class_of};
use crate::domain::phone::PhoneNumber;

#[derive(Debug, Deserialize)]
struct Item {
    phone_number: String,
    // Of a report.
    success: Option<bool>,
    #[serde(default)]
    err_code: String,
    #[serde(default)]
    err_msg: String,
    #[serde(default)]
    biz_id: String,
    #[serde(default)]
    out_id: String,
    // Of a text that came in.
    content: Option<String>,
    #[serde(default)]
    send_time: String,
    sequence_id: Option<serde_json::Value>,
}

/// Reads one push. What is neither a report nor a text of a number is passed over.
pub fn notices(body: &[u8]) -> Result<Vec<Notice>, Unreadable> {
    let items: Vec<Item> = serde_json::from_slice(body)?;
    Ok(items.into_iter().filter_map(notice).collect())
}

fn notice(item: Item) -> Option<Notice> {
    let number = PhoneNumber::parse(&item.phone_number, Some("CN")).ok();
    if let Some(success) = item.success {
        let fate = if success {
            ReceiptFate::Delivered
        } else {
            ReceiptFate::Bounced(class_of(&format!("{} {}", item.err_code, item.err_msg)))
        };
        return Some(Notice::Receipt(Receipt {
            id: item.biz_id,
            message: item.out_id.parse().ok(),
            number,
            fate,
            words: item.err_code,
        }));
    }
    let (from, text) = (number?, item.content?);
    // An older push has no number of its own; the second it was written in is as good.
    let id = item.sequence_id.map_or_else(
        || format!("{}:{}", item.send_time, from.as_str()),
        |id| id.to_string(),
    );
    Some(Notice::Text(IncomingText { id, from, text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::BounceClass;

    #[test]
    fn reports_and_texts_are_told_apart() {
        let message = uuid::Uuid::from_u128(7);
        let body = format!(
            r#"[{{"phone_number":"13800138000","send_time":"2027-03-01 09:00:00","report_time":"2027-03-01 09:00:03",
                 "success":true,"err_code":"DELIVERED","err_msg":"用户接收成功","sms_size":"1","biz_id":"12^0","out_id":"{message}"}},
                {{"phone_number":"13800138000","success":false,"err_code":"MK:0001","err_msg":"空号","biz_id":"13^0"}},
                {{"phone_number":"13800138000","send_time":"2027-03-01 09:00:00","content":"TD","sign_name":"x","dest_code":"1"}}]"#
        );
        let notices = notices(body.as_bytes()).unwrap();
        let Notice::Receipt(first) = &notices[0] else {
            panic!("no receipt")
        };
        assert_eq!(
            (first.message, first.fate),
            (Some(message), ReceiptFate::Delivered)
        );
        let Notice::Receipt(second) = &notices[1] else {
            panic!("no receipt")
        };
        assert_eq!(
            (second.message, second.fate),
            (None, ReceiptFate::Bounced(BounceClass::Hard))
        );
        let Notice::Text(text) = &notices[2] else {
            panic!("no text")
        };
        assert_eq!((text.from.as_str(), text.text.as_str()), ("+8613800138000", "TD"));
        assert!(super::notices(b"{}").is_err());
    }
}
