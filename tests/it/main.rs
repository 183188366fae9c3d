//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod audience;
mod flow;
mod harness;
mod house;
mod import;
mod postgres;
mod render;
mod sms;
mod smtp;
mod store;
mod templates;
