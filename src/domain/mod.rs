//! Pure rules: no async, no I/O, no clock.

pub mod assess;
pub mod event;
pub mod evidence;
pub mod factor;
pub mod fold;
pub mod gate;
pub mod grade;
pub mod grading;
pub mod known;
pub mod matrix;
mod pressure;
pub mod pyramid;
pub mod retention;
pub mod tier;
