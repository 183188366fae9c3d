//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod apply;
mod apply_faults;
mod audience;
mod browser;
mod cadences;
mod cli;
mod crossing;
mod digest;
mod flow;
mod harness;
mod house;
mod import;
mod postgres;
mod render;
mod rig;
mod sms;
mod smtp;
mod store;
mod templates;
mod web;
