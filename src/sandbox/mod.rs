//! The sandbox: a recording SMTP server and a recording SMS gateway, on loopback only.
//!
//! They are the judge of the sender: they log what each transaction got as an answer and whether the answer was
//! delivered, and they fail on request at any stage or byte. [`checker`] compares their log with the database's word, and
//! [`proxy`] breaks the links on the way to them.

pub mod checker;
pub mod gate;
pub mod link;
pub mod proxy;
pub mod sms;
mod sms_providers;
pub mod smtp;
