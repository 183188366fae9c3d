//! The integration tests: one binary over a real Postgres.

mod apply;
mod apply_faults;
mod audience;
mod crossing;
mod flow;
mod cadences;
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
