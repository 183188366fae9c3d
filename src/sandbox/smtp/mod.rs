//! A recording SMTP server: takes mail, sends nothing, logs every transaction and fails on request.

mod behaviour;
mod content;
mod login;
mod record;
mod session;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::Link;
pub use behaviour::{Action, Behaviour, CutAt, Moment, Ordinary, Stage};
use record::Log;
pub use record::Record;
use session::Session;

/// A message the server took over.
#[derive(Debug, Clone)]
pub struct Received {
    /// Envelope sender.
    pub mail_from: String,
    /// Envelope recipients.
    pub rcpt: Vec<String>,
    /// Message-ID without angle brackets, empty if there is none.
    pub message_id: String,
    /// The content after dot-unstuffing.
    pub bytes: Arc<[u8]>,
    /// Place in the order of all dots of this server.
    pub dot_received_at: u64,
}

/// Gets each message before its acceptance is answered.
pub trait Sink: Send + Sync {
    /// Keeps the message.
    fn take(&self, mail: Received) -> BoxFuture<'_, ()>;
}

/// The server's certificate chain and key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// Certificate chain, the server's own first.
    pub certificate_pem: String,
    /// PKCS#8 private key.
    pub key_pem: String,
    /// TLS from the first byte instead of STARTTLS.
    pub implicit: bool,
}

/// How a recording server is set up. The default offers PIPELINING, 8BITMIME and SMTPUTF8 on a free port.
pub struct SmtpSandboxOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Offer PIPELINING.
    pub pipelining: bool,
    /// Offer TLS.
    pub tls: Option<TlsIdentity>,
    /// Offer AUTH PLAIN and LOGIN and ask for this user and password before MAIL.
    pub auth: Option<(String, String)>,
    /// Largest content in bytes, offered as SIZE.
    pub max_size: usize,
    /// Keep the contents in the log.
    pub keep_bytes: bool,
    /// Append each record to this file as a JSON line.
    pub log_file: Option<PathBuf>,
    /// Who gets the messages.
    pub sink: Option<Arc<dyn Sink>>,
    /// What goes wrong.
    pub behaviour: Arc<dyn Behaviour>,
}

impl Default for SmtpSandboxOptions {
    fn default() -> Self {
        Self {
            port: 0,
            pipelining: true,
            tls: None,
            auth: None,
            max_size: 32 * 1024 * 1024,
            keep_bytes: true,
            log_file: None,
            sink: None,
            behaviour: Arc::new(Ordinary),
        }
    }
}

/// A running recording server; stops when dropped.
pub struct SmtpSandbox {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// What the sessions of one server share.
struct Shared {
    log: Log,
    behaviour: RwLock<Arc<dyn Behaviour>>,
    pipelining: bool,
    tls: Option<(TlsAcceptor, bool)>,
    auth: Option<(String, String)>,
    max_size: usize,
    keep_bytes: bool,
    sink: Option<Arc<dyn Sink>>,
    connections: AtomicU64,
    activity: watch::Sender<Activity>,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    links: usize,
    transactions: usize,
}

impl Shared {
    fn behaviour(&self) -> Arc<dyn Behaviour> {
        self.behaviour
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl SmtpSandbox {
    /// Binds 127.0.0.1 and starts to listen. Fails when the port is taken or the certificate is unusable.
    pub async fn start(options: SmtpSandboxOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let tls = options
            .tls
            .as_ref()
            .map(|identity| Ok::<_, io::Error>((acceptor(identity)?, identity.implicit)));
        let shared = Arc::new(Shared {
            log: Log::open(options.log_file.as_deref())?,
            behaviour: RwLock::new(options.behaviour),
            pipelining: options.pipelining,
            tls: tls.transpose()?,
            auth: options.auth,
            max_size: options.max_size,
            keep_bytes: options.keep_bytes,
            sink: options.sink,
            connections: AtomicU64::new(0),
            activity: watch::Sender::default(),
            stop: CancellationToken::new(),
        });
        let sandbox = Self {
            addr: listener.local_addr()?,
            shared: shared.clone(),
            tasks: TaskTracker::new(),
        };
        let tasks = sandbox.tasks.clone();
        sandbox.tasks.spawn(async move {
            while let Some(Ok((tcp, _))) = shared.stop.run_until_cancelled(listener.accept()).await {
                let number = shared.connections.fetch_add(1, Ordering::AcqRel) + 1;
                shared.activity.send_modify(|now| now.links += 1);
                let shared = shared.clone();
                tasks.spawn(async move {
                    let stop = shared.stop.clone();
                    // Its error is a link that broke, which the log has recorded.
                    let _ = stop.run_until_cancelled(serve(shared.clone(), tcp, number)).await;
                    shared.activity.send_modify(|now| now.links -= 1);
                });
            }
        });
        Ok(sandbox)
    }

    /// The transactions that are over, in the order in which they ended.
    #[must_use]
    pub fn log(&self) -> Vec<Record> {
        self.shared.log.all()
    }

    /// The last number in the order of dots: a later dot has a higher one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.shared.log.last()
    }

    /// How many connections were opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Changes the script; stages that are being answered keep the old one.
    pub fn behave(&self, behaviour: impl Behaviour + 'static) {
        *self
            .shared
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// Resolves when no transaction is open, so that the log is complete.
    pub async fn quiet(&self) {
        let _ = self
            .shared
            .activity
            .subscribe()
            .wait_for(|now| now.transactions == 0)
            .await;
    }

    /// Resolves when no connection is open.
    pub async fn disconnected(&self) {
        let _ = self
            .shared
            .activity
            .subscribe()
            .wait_for(|now| now.links == 0)
            .await;
    }

    /// Drops all links and stops listening.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SmtpSandbox {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream, number: u64) -> io::Result<()> {
    let link = Link::new(tcp, shared.behaviour().cut(number))?;
    let fate = link.fate();
    match &shared.tls {
        Some((acceptor, true)) => {
            let stream = acceptor.accept(link).await?;
            Session::new(shared, number, fate, Box::new(stream), true)
                .run()
                .await
        }
        _ => {
            Session::new(shared, number, fate, Box::new(link), false)
                .run()
                .await
        }
    }
}

fn acceptor(identity: &TlsIdentity) -> io::Result<TlsAcceptor> {
    let unusable =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|error| unusable(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| unusable(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
