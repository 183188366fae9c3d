//! The two listeners over real HTTP on a real database.

mod api;
mod console;
mod figures;
mod links;
mod looking;
pub mod site;
mod texts;
