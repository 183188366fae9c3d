//! What Tencent Cloud pushes: reports as a JSON array, a text that came in as an object. A report names the message by
//! its serial number only.

use serde::Deserialize;

use super::notice::{IncomingText, Notice, Receipt, ReceiptFate, Unreadable, class_of};
use crate::domain::phone::PhoneNumber;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Push {
    Reports(Vec<Report>),
    Text(Text),
}

#[derive(Debug, Deserialize)]
struct Report {
    nationcode: String,
    mobile: String,
    #[serde(rename = "report_status")]
    status: String,
    #[serde(default)]
    errmsg: String,
    #[serde(default)]
    description: String,
    sid: String,
}

#[derive(Debug, Deserialize)]
struct Text {
    nationcode: String,
    mobile: String,
    #[serde(rename = "text")]
    words: String,
    time: i64,
}

fn number(nation: &str, mobile: &str) -> Option<PhoneNumber> {
    PhoneNumber::parse(&format!("+{nation}{mobile}"), None).ok()
}

/// Reads one push.
pub fn notices(body: &[u8]) -> Result<Vec<Notice>, Unreadable> {
    Ok(match serde_json::from_slice(body)? {
        Push::Reports(reports) => reports.into_iter().map(receipt).collect(),
        Push::Text(text) => number(&text.nationcode, &text.mobile)
            .map(|from| {
                Notice::Text(IncomingText {
                    id: format!("{}:{}", text.time, from.as_str()),
                    from,
                    text: text.words,
                })
            })
            .into_iter()
            .collect(),
    })
}

fn receipt(report: Report) -> Notice {
    let fate = match report.status.as_str() {
        "SUCCESS" => ReceiptFate::Delivered,
        _ => ReceiptFate::Bounced(class_of(&format!("{} {}", report.errmsg, report.description))),
    };
    Notice::Receipt(Receipt {
        number: number(&report.nationcode, &report.mobile),
        id: report.sid,
        message: None,
        fate,
        words: report.errmsg,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::BounceClass;

    #[test]
    fn reports_and_texts_are_told_apart() {
        let reports = r#"[{"user_receive_time":"2027-03-01 08:03:04","nationcode":"86","mobile":"13800138000",
            "report_status":"FAIL","errmsg":"MK:0012","description":"手机关机","sid":"2019:1"}]"#;
        let notices = notices(reports.as_bytes()).unwrap();
        let Notice::Receipt(receipt) = &notices[0] else {
            panic!("no receipt")
        };
        assert_eq!(receipt.number.as_ref().unwrap().as_str(), "+8613800138000");
        assert_eq!(
            (receipt.id.as_str(), receipt.fate),
            ("2019:1", ReceiptFate::Bounced(BounceClass::Soft))
        );
        let text = br#"{"extend":"","mobile":"13800138000","nationcode":"86","sign":"x","text":"T","time":1457336869}"#;
        assert!(matches!(&super::notices(text).unwrap()[..], [Notice::Text(text)] if text.text == "T"));
        assert!(super::notices(b"[{}]").is_err());
    }
}
