//! Ways in: provider payloads become `domain::event::Event`.

pub mod twilio;
