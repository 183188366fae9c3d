//! The integration tests: one binary over a real Postgres.

mod audience;
mod harness;
mod house;
mod postgres;
mod render;
mod store;
mod templates;
