//! How a sender reaches its SMTP server.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::dkim::DkimKey;

/// When TLS is used. Only `None` and `Opportunistic` may end in clear text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never.
    None,
    /// STARTTLS where offered; the certificate is not checked, so this stops listeners but not impostors.
    Opportunistic,
    /// STARTTLS with a checked certificate, or nothing is sent.
    #[default]
    StartTls,
    /// TLS from the first byte with a checked certificate (port 465).
    Implicit,
}

/// How long each stage may take. Defaults follow RFC 5321 section 4.5.3.2 from MAIL on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// Waiting for one of the sender's connections to be free.
    pub free: Duration,
    /// Name resolution and TCP connect, and the TLS handshake.
    pub connect: Duration,
    /// Greeting, EHLO, STARTTLS and AUTH, each.
    pub hello: Duration,
    /// MAIL, RCPT and RSET, each.
    pub envelope: Duration,
    /// DATA up to 354.
    pub data: Duration,
    /// Each 64 KiB of content.
    pub block: Duration,
    /// From asking for the crossing until the dot is out.
    pub crossing: Duration,
    /// From the dot until its reply.
    pub dot: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            free: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            hello: Duration::from_mins(1),
            envelope: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            crossing: Duration::from_secs(2),
            dot: Duration::from_mins(10),
        }
    }
}

/// One account at an SMTP server.
#[derive(Debug, Clone)]
pub struct SmtpOptions {
    /// Name or address of the server.
    pub host: String,
    /// 587 for submission, 465 for implicit TLS, 25 for relaying.
    pub port: u16,
    /// When TLS is used.
    pub tls: TlsMode,
    /// User and password. Sent over checked TLS only, or to this machine itself.
    pub auth: Option<(String, SecretString)>,
    /// What EHLO says: this machine's public name, or an address literal.
    pub hello_name: String,
    /// Certificates in PEM that are trusted beside the public ones, for a private server.
    pub extra_roots_pem: Option<String>,
    /// Keys that sign the mail of their domains; none where the server signs.
    pub dkim: Vec<Arc<DkimKey>>,
    /// Deadlines of the stages.
    pub deadlines: Deadlines,
    /// Most connections open at a time.
    pub max_connections: usize,
    /// Most messages on one connection.
    pub max_messages: u32,
    /// How long an idle connection is kept.
    pub idle_limit: Duration,
}

impl SmtpOptions {
    /// An account with defaults: checked STARTTLS, no login, 8 connections of 500 messages, kept 30 s when idle.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls: TlsMode::default(),
            auth: None,
            hello_name: "[127.0.0.1]".to_owned(),
            extra_roots_pem: None,
            dkim: Vec::new(),
            deadlines: Deadlines::default(),
            max_connections: 8,
            max_messages: 500,
            idle_limit: Duration::from_secs(30),
        }
    }
}
