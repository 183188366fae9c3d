//! How the program itself runs: database, listeners, log, lease, import, events. Not stored; a restart takes them over.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use serde::Deserialize;

use super::secret::{SecretMissing, SecretRef};
use crate::domain::span::Span;

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Where the database is; absent means the embedded Postgres. `DATABASE_URL` overrides it.
    #[serde(default)]
    pub url: Option<DatabaseUrl>,
    /// Directory of the embedded Postgres; absent means the usual place for the user.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// Connections of one daemon at the most.
    pub max_connections: u32,
}

/// An address with no password in it, or a reference to one that may have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum DatabaseUrl {
    /// As written.
    Open(String),
    /// Kept elsewhere.
    Secret(SecretRef),
    /// Given by the environment: not shown.
    #[serde(skip)]
    FromEnvironment(HiddenUrl),
}

/// A database address that prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenUrl(pub(super) String);

impl std::fmt::Debug for HiddenUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "...")
    }
}

impl DatabaseUrl {
    /// The address to connect to.
    pub fn resolve(&self) -> Result<String, SecretMissing> {
        use secrecy::ExposeSecret;
        match self {
            Self::Open(url) | Self::FromEnvironment(HiddenUrl(url)) => Ok(url.clone()),
            Self::Secret(secret) => Ok(secret.fetch()?.expose_secret().to_owned()),
        }
    }

    /// Whether a password stands in the open.
    pub(super) fn shows_password(&self) -> bool {
        match self {
            Self::Open(url) => {
                url::Url::parse(url).is_ok_and(|url| url.password().is_some()) || url.contains("password=")
            }
            Self::Secret(_) | Self::FromEnvironment(_) => false,
        }
    }
}

/// The two listeners.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Links, unsubscribe, hooks of providers.
    pub public: SocketAddr,
    /// Page and API.
    pub admin: SocketAddr,
    /// How recipients reach the public listener.
    pub public_url: String,
}

impl Listen {
    /// Whether others than this machine can reach the public address.
    pub fn is_reachable(&self) -> bool {
        let Ok(url) = url::Url::parse(&self.public_url) else {
            return false;
        };
        match url.host() {
            Some(url::Host::Domain(name)) => name != "localhost",
            Some(url::Host::Ipv4(address)) => !address.is_loopback(),
            Some(url::Host::Ipv6(address)) => !address.is_loopback(),
            None => false,
        }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Text, JSON, or by whether a terminal is there.
    pub format: LogFormat,
    /// A filter such as `info` or `info,kith::engine=debug`. `KITH_LOG` overrides it.
    pub level: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// How a daemon shows that it is alive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// How often it says so.
    pub heartbeat: Span,
    /// Without a heartbeat for this long it counts as dead and its claims go back.
    pub dead_after: Span,
}

/// Imports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Name of the source when none is given.
    pub source: String,
}

/// Events that come in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Events in one request at the most.
    pub max_batch: usize,
    /// An event may lie this far in the future, for clocks that run ahead.
    pub ahead: Span,
    /// An event with an unknown message or contact waits this long for it.
    pub parked_for: Span,
}

/// How long the histories that only grow are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Messages.
    pub message: Kept,
    /// What the gate said.
    pub decision: Kept,
    /// What came in.
    pub event: Kept,
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Kept {
    /// For ever.
    Ever,
    /// For this long, and until the end of its month.
    For(Span),
}

impl TryFrom<String> for Kept {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "ever" {
            return Ok(Self::Ever);
        }
        match Span::parse(&text) {
            // Audiences and courtesies count what happened lately; they must not miss any of it.
            Ok(span) if span.length() < TimeDelta::days(SHORTEST_KEPT) => Err(format!(
                "{text} is too short: \"ever\", or at least {SHORTEST_KEPT}d"
            )),
            Ok(span) => Ok(Self::For(span)),
            Err(_) => Err(format!(
                "{text:?} is neither \"ever\" nor a duration such as 730d"
            )),
        }
    }
}

/// In days.
const SHORTEST_KEPT: i64 = 180;
