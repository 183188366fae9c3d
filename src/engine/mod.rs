//! One use case per file, each a `run_once(&deps, now)` or a verb.

pub mod apply;
pub mod rules;
