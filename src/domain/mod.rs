//! Pure rules: no async, no I/O, no clock.

pub mod birthday;
pub mod chance;
pub mod email;
pub mod festival;
pub mod gate;
pub mod holiday;
pub mod id;
pub mod keyword;
pub mod locale;
pub mod lunar;
pub mod moment;
pub mod occurrence;
pub mod phone;
pub mod schedule;
pub mod segments;
pub mod span;
pub mod text;
pub mod weekdays;
pub mod window;
pub mod zone;

#[cfg(test)]
mod corpora;
