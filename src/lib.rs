//! kith keeps a company's people close: it reads lead grades and customer tiers from Postgres, runs cadences,
//! hands each touch over exactly as far as can be known, takes in what comes back and re-grades the lead.
//!
//! The house has floors; a module imports only from floors below its own (a test reads the `use` lines).
//!
//! | floor | modules |
//! |---|---|
//! | F6 | [`cli`] |
//! | F5 | [`app`] |
//! | F4 | [`web`], [`daemon`], [`forecast`], [`simulate`] |
//! | F3 | [`engine`] |
//! | F2 | [`store`], [`channel`], [`inbound`], [`render`], [`postgres`], [`sandbox`] |
//! | F1 | [`config`], [`clock`], [`sample`] |
//! | F0 | [`domain`] |

pub mod app;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod engine;
pub mod forecast;
pub mod inbound;
pub mod postgres;
pub mod render;
pub mod sample;
pub mod sandbox;
pub mod simulate;
pub mod store;
pub mod web;
