//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod apply;
mod apply_faults;
mod audience;
mod backup;
mod brake;
mod browser;
mod cadences;
mod cli;
mod crash;
mod crossing;
mod daemons;
mod digest;
mod docs;
mod flow;
mod forecast;
mod harness;
mod house;
mod import;
mod journal;
mod mainland;
mod path;
mod pooler;
mod postgres;
mod process;
mod render;
mod restore;
mod retries;
mod rig;
mod schema;
mod shards;
mod sms;
mod sms_providers;
mod smtp;
mod standby;
mod store;
mod templates;
mod two_daemons;
mod upkeep;
mod web;
