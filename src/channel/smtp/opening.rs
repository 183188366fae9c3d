//! From the TCP connect to a server that is ready for MAIL: greeting, EHLO, TLS, AUTH.
//!
//! Nothing that fails here is about a recipient, so it never refuses a message: it defers it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use secrecy::ExposeSecret;

use super::options::{SmtpOptions, TlsMode};
use super::reply::Reply;
use super::wire::{Wire, WireError};

/// A link that is ready for MAIL.
#[derive(Debug)]
pub(super) struct Connection {
    /// The wire.
    pub(super) wire: Wire,
    /// What the server offers.
    pub(super) offers: Offers,
    /// Messages carried so far.
    pub(super) carried: u32,
    /// It is encrypted.
    pub(super) secured: bool,
}

/// The service extensions that matter here (RFC 5321 section 2.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one word of the server's own list"
)]
pub(super) struct Offers {
    /// STARTTLS.
    pub(super) starttls: bool,
    /// PIPELINING.
    pub(super) pipelining: bool,
    /// 8BITMIME.
    pub(super) eight_bit: bool,
    /// SMTPUTF8.
    pub(super) smtputf8: bool,
    /// SIZE, with the largest mail in bytes; 0 states none.
    pub(super) size: Option<u64>,
    /// AUTH PLAIN.
    pub(super) plain: bool,
    /// AUTH LOGIN.
    pub(super) login: bool,
}

impl Offers {
    fn read(ehlo: &Reply) -> Self {
        let mut offers = Self::default();
        for line in ehlo.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next().unwrap_or_default() {
                "STARTTLS" => offers.starttls = true,
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.smtputf8 = true,
                "SIZE" => offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "AUTH" => {
                    for mechanism in words {
                        offers.plain |= mechanism == "PLAIN";
                        offers.login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpeningError {
    /// The link or a deadline.
    #[error("{stage}: {error}")]
    Wire {
        /// Where.
        stage: &'static str,
        /// What.
        error: WireError,
    },
    /// The server said no.
    #[error("{stage}: {reply}")]
    Refused {
        /// Where.
        stage: &'static str,
        /// Its reply.
        reply: String,
    },
    /// The server does not offer TLS and the account asks for it.
    #[error("the server does not offer STARTTLS, and this sender sends nothing without it")]
    NoTls,
    /// No common way to log in.
    #[error("the server offers neither AUTH PLAIN nor AUTH LOGIN")]
    NoMechanism,
    /// The password would be readable on the way.
    #[error("the password goes over checked TLS only")]
    PasswordInClear,
}

fn at(stage: &'static str) -> impl Fn(WireError) -> OpeningError {
    move |error| OpeningError::Wire { stage, error }
}

fn success(stage: &'static str, reply: Reply) -> Result<Reply, OpeningError> {
    if reply.is_success() {
        Ok(reply)
    } else {
        Err(OpeningError::Refused {
            stage,
            reply: reply.one_line(),
        })
    }
}

/// Opens a connection as the account wants it.
pub(super) async fn open(options: &SmtpOptions, tls: &Arc<ClientConfig>) -> Result<Connection, OpeningError> {
    let limits = &options.deadlines;
    let secure = |wire: Wire| async move {
        wire.secure(tls.clone(), &options.host, limits.connect)
            .await
            .map_err(at("TLS"))
    };
    let mut wire = Wire::connect(&options.host, options.port, limits.connect)
        .await
        .map_err(at("connect"))?;
    let mut secured = options.tls == TlsMode::Implicit;
    if secured {
        wire = secure(wire).await?;
    }
    success(
        "greeting",
        wire.reply(limits.hello).await.map_err(at("greeting"))?,
    )?;
    let mut offers = hello(&mut wire, options).await?;
    match options.tls {
        TlsMode::StartTls if !offers.starttls => return Err(OpeningError::NoTls),
        TlsMode::StartTls | TlsMode::Opportunistic if offers.starttls => {
            success(
                "STARTTLS",
                wire.ask("STARTTLS", limits.hello).await.map_err(at("STARTTLS"))?,
            )?;
            wire = secure(wire).await?;
            secured = true;
            // What was said in clear text does not count any more (RFC 3207 section 4.2).
            offers = hello(&mut wire, options).await?;
        }
        TlsMode::Opportunistic => note_clear_text(options),
        _ => {}
    }
    if options.auth.is_some() {
        authenticate(&mut wire, offers, options).await?;
    }
    Ok(Connection {
        wire,
        offers,
        carried: 0,
        secured,
    })
}

/// A server without STARTTLS is told of once by each process, and not with every mail.
fn note_clear_text(options: &SmtpOptions) {
    static TOLD: Mutex<BTreeSet<(String, u16)>> = Mutex::new(BTreeSet::new());
    let server = (options.host.clone(), options.port);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(server) {
        tracing::warn!(
            host = options.host,
            port = options.port,
            "the server offers no STARTTLS: mail goes to it in the clear, as tls = \"opportunistic\" allows"
        );
    }
}

/// EHLO, or HELO for a server that does not know EHLO.
async fn hello(wire: &mut Wire, options: &SmtpOptions) -> Result<Offers, OpeningError> {
    let limit = options.deadlines.hello;
    let ehlo = wire
        .ask(&format!("EHLO {}", options.hello_name), limit)
        .await
        .map_err(at("EHLO"))?;
    if !matches!(ehlo.code, 500 | 502) {
        return Ok(Offers::read(&success("EHLO", ehlo)?));
    }
    let helo = wire
        .ask(&format!("HELO {}", options.hello_name), limit)
        .await
        .map_err(at("HELO"))?;
    success("HELO", helo)?;
    Ok(Offers::default())
}

async fn authenticate(wire: &mut Wire, offers: Offers, options: &SmtpOptions) -> Result<(), OpeningError> {
    let Some((user, password)) = &options.auth else {
        return Ok(());
    };
    if !may_carry_password(options) {
        return Err(OpeningError::PasswordInClear);
    }
    let limit = options.deadlines.hello;
    let password = password.expose_secret();
    let reply = if offers.plain {
        let token = BASE64.encode(format!("\0{user}\0{password}"));
        wire.ask(&format!("AUTH PLAIN {token}"), limit)
            .await
            .map_err(at("AUTH"))?
    } else if offers.login {
        let mut reply = wire.ask("AUTH LOGIN", limit).await.map_err(at("AUTH"))?;
        for answer in [user.as_str(), password] {
            if reply.code != 334 {
                break;
            }
            reply = wire
                .ask(&BASE64.encode(answer), limit)
                .await
                .map_err(at("AUTH"))?;
        }
        reply
    } else {
        return Err(OpeningError::NoMechanism);
    };
    success("AUTH", reply).map(|_| ())
}

/// Checked TLS, or a server on this machine.
fn may_carry_password(options: &SmtpOptions) -> bool {
    let local =
        options.host == "localhost" || options.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local || matches!(options.tls, TlsMode::StartTls | TlsMode::Implicit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_in_any_case_and_in_the_old_auth_form() {
        let lines = [
            "host",
            "pipelining",
            "SIZE 1000",
            "AUTH=LOGIN",
            "AUTH PLAIN XOAUTH2",
            "8BITMIME",
        ];
        let offers = Offers::read(&Reply {
            code: 250,
            lines: lines.map(str::to_owned).to_vec(),
        });
        let expected = Offers {
            pipelining: true,
            size: Some(1000),
            plain: true,
            login: true,
            eight_bit: true,
            ..Offers::default()
        };
        assert_eq!(offers, expected);
    }

    #[test]
    fn a_password_goes_over_checked_tls_or_nowhere() {
        let mut options = SmtpOptions::new("mail.example", 25);
        options.tls = TlsMode::Opportunistic;
        assert!(!may_carry_password(&options));
        options.tls = TlsMode::Implicit;
        assert!(may_carry_password(&options));
        assert!(may_carry_password(&SmtpOptions {
            tls: TlsMode::None,
            ..SmtpOptions::new("127.0.0.1", 25)
        }));
    }
}
