//! Pure rules: no async, no I/O, no clock.

pub mod gate;
