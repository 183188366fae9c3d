//! The integration tests: one binary over a real Postgres.

mod apply;
mod apply_faults;
mod audience;
mod browser;
mod cadences;
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
mod web;
