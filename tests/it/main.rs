//! What needs a network or a database.

mod sms;
mod smtp;
