//! The standing reports: customers by value, leads by grade, cadences and what came back.

mod cadences;
mod funnel;
mod pyramid;

pub use cadences::{Cadences, cadences};
pub use funnel::{Funnel, funnel};
pub use pyramid::{BaseHead, Movement, Mover, Pyramid, pyramid};
