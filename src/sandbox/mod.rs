//! The sandbox: a recording SMTP server and a recording SMS gateway, on loopback only.
//!
//! They are the judge of the sender: they log what each transaction got as an answer and whether the answer was
//! delivered, and they fail on request at any stage or byte. [`checker`] compares their log with the database's word.

pub mod checker;
pub mod gate;
pub mod link;
pub mod sms;
mod sms_providers;
pub mod smtp;
