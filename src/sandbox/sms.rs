//! A recording SMS gateway.
