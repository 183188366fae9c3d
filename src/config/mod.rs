//! Configuration: a plain struct per concern. Compiled-in defaults, then the file, then the environment.

pub mod calendar;
pub mod company;
pub mod delivery;
pub mod digest;
pub mod load;
pub mod pace;
pub mod problem;
pub mod runtime;
pub mod secret;
pub mod sender;
pub mod settings;
pub mod shipped;
pub mod sms;
pub mod source;

pub use company::Company;
pub use delivery::{Delivery, Mode};
pub use digest::Digest;
pub use problem::{ConfigError, Problem};
pub use sender::{Sender, SmsProvider, Tls, Transport};
pub use settings::Settings;
