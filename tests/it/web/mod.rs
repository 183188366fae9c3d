//! The two listeners over real HTTP on a real database.

mod api;
mod console;
mod figures;
mod forms;
mod links;
mod looking;
mod receipts;
mod rights;
pub mod site;
mod texts;
