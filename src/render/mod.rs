//! Templates to messages. Plain inputs, no I/O but the one loader, no clock: the same inputs give the same bytes.
//!
//! A [`TemplateSet`] is what an operator wrote, read from a directory or from a database. [`Registry::compile`] checks
//! every rule of the language and compiles it, or says where it is wrong. [`render`] makes one message of it for one
//! person, and [`build_email`] makes the bytes of a mail. `docs/templates.md` is the reference for authors.

mod compile;
pub mod context;
pub mod data;
pub mod digest;
pub mod document;
mod format;
pub mod limits;
pub mod links;
mod lint;
pub mod message;
pub mod mime;
mod mould;
pub mod plaintext;
pub mod preview;
pub mod registered;
pub mod registry;
mod scan;
mod scope;
pub mod source;
mod timer;
mod walk;

pub use context::RenderContext;
pub use links::{LinkMaker, Untracked};
pub use message::{RenderError, Rendered, RenderedEmail, RenderedSms, RenderedTask, Wanted, render};
pub use mime::{Envelope, MimeError, build_email};
pub use registry::Registry;
pub use source::{Parts, Shared, TemplateSet, TemplateSource};
