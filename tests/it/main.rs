//! The integration tests: one binary over a real Postgres.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod harness;
mod house;
mod import;
mod postgres;
mod render;
mod store;
mod templates;
//! What needs a network or a database.

mod sms;
mod smtp;
