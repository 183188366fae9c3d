//! The integration tests: one binary over a real Postgres, with the network and the browser where they are needed.
//! The integration tests: one binary over a real Postgres.

mod audience;
mod harness;
mod house;
mod import;
mod postgres;
//! One binary for all tests that need more than one module.

mod render;
mod sms;
mod smtp;
mod store;
mod templates;
