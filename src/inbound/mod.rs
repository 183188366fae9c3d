//! Ways in: provider payloads become `domain::event::Event`.

pub mod mail;
pub mod twilio;
