//! The integration tests: one binary over a real Postgres.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod harness;
mod house;
mod import;
mod postgres;
mod store;
