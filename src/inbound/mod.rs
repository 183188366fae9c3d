//! Ways in: provider payloads become `domain::event::Event`.

pub mod aliyun;
pub mod mail;
pub mod notice;
pub mod standard_webhooks;
pub mod tencent;
pub mod twilio;
pub mod vonage;
