//! Pure rules: no async, no I/O, no clock.

pub mod address_hash;
pub mod assess;
pub mod birthday;
pub mod cadence;
pub mod chance;
pub mod condition;
pub mod email;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod factor;
pub mod festival;
pub mod fold;
pub mod gate;
pub mod gate_rules;
pub mod grade;
pub mod grading;
pub mod holiday;
pub mod id;
pub mod keyword;
pub mod known;
pub mod locale;
pub mod lunar;
pub mod matrix;
pub mod moment;
pub mod occurrence;
pub mod phone;
mod pressure;
pub mod progress;
pub mod pyramid;
pub mod retention;
pub mod role;
pub mod schedule;
pub mod segments;
pub mod shard;
pub mod span;
pub mod text;
pub mod tier;
pub mod token;
pub mod visitor;
pub mod weekdays;
pub mod window;
pub mod zone;

#[cfg(test)]
pub(crate) mod corpora;
