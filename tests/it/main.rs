//! The integration tests: one binary over a real Postgres.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod apply;
mod apply_faults;
mod audience;
mod cadences;
mod harness;
mod house;
mod postgres;
mod render;
mod store;
mod templates;
