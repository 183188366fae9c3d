//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.

#![allow(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod apply;
mod apply_faults;
mod audience;
mod backup;
mod brake;
mod browser;
mod cadences;
mod chaos;
mod cli;
mod clock_off;
mod crash;
mod crossing;
mod digest;
mod docs;
mod flow;
mod forecast;
mod harness;
mod house;
mod import;
mod journal;
mod outage;
mod path;
mod postgres;
mod process;
mod races;
mod render;
mod restore;
mod retries;
mod rig;
mod schema;
mod sms;
mod smtp;
mod store;
mod templates;
mod trail;
mod two_daemons;
mod uncertain;
mod upkeep;
mod web;
