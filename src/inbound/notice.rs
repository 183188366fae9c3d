//! What the SMS providers push, in one form: a receipt of a message that went out, or a text that came in.

use uuid::Uuid;

use crate::domain::event::BounceClass;
use crate::domain::phone::PhoneNumber;

/// One thing a provider tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The fate of a message that went out.
    Receipt(Receipt),
    /// A text message that came in.
    Text(IncomingText),
}

/// The fate of a message that went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's id of the message.
    pub id: String,
    /// Our id of it, where the provider gives it back.
    pub message: Option<Uuid>,
    /// To whom it went, where the provider says so.
    pub number: Option<PhoneNumber>,
    /// What became of it.
    pub fate: ReceiptFate,
    /// The provider's word or code, for people.
    pub words: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFate {
    /// On its way; more is to come, or not.
    Taken,
    /// It arrived.
    Delivered,
    /// It did not arrive.
    Bounced(BounceClass),
}

/// A text message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingText {
    /// What makes it one of a kind, for those that are pushed twice.
    pub id: String,
    /// Who wrote.
    pub from: PhoneNumber,
    /// What he wrote.
    pub text: String,
}

/// What is pushed cannot be read: where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub(super) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// The class of a failure by its words, Chinese or English. Only what surely is the number's own fault is hard.
pub(super) fn class_of(words: &str) -> BounceClass {
    let words = words.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    if says(&[
        "空号",
        "号码不存在",
        "unknown subscriber",
        "invalid number",
        "illegal number",
    ]) {
        BounceClass::Hard
    } else if says(&[
        "黑名单",
        "退订",
        "敏感",
        "拦截",
        "屏蔽",
        "blacklist",
        "barred",
        "blocked",
        "spam",
    ]) {
        BounceClass::Blocked
    } else if says(&[
        "关机",
        "停机",
        "不在服务区",
        "超时",
        "限制",
        "expired",
        "absent",
        "limit",
    ]) {
        BounceClass::Soft
    } else {
        BounceClass::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_that_is_none_is_hard() {
        assert_eq!(class_of("空号"), BounceClass::Hard);
        assert_eq!(class_of("用户关机"), BounceClass::Soft);
        assert_eq!(class_of("MK:0008"), BounceClass::Unknown);
        assert_eq!(class_of("号码在黑名单库"), BounceClass::Blocked);
    }
}
