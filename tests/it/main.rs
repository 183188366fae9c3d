//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]
//! The integration tests: one binary over a real Postgres.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod apply;
mod apply_faults;
mod audience;
mod digest;
mod flow;
mod cadences;
mod harness;
mod house;
mod import;
mod postgres;
mod render;
mod sms;
mod smtp;
mod store;
mod templates;
