//! The integration tests: one binary over a real Postgres.

mod harness;
mod house;
mod postgres;
mod store;
mod render;
mod templates;
