//! A TCP proxy on loopback that breaks connections on purpose: by reset, by silence or by delay, from a chosen byte on.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected to the proxy.
    ToServer,
    /// Back to him.
    ToClient,
}

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both sides see a reset.
    Reset,
    /// Bytes are taken and dropped, and nobody hears of it; both sides see a reset after the time, or never.
    Blackhole(Option<Duration>),
    /// Bytes wait for so long, once.
    Delay(Duration),
}

/// A harm that begins as soon as so many bytes have gone one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which bytes are counted, and in silence dropped.
    pub way: Way,
    /// How many are let through before it.
    pub at: u64,
    /// What happens then.
    pub harm: Harm,
}

/// Which connections break, and how. A closure from the number of a connection, from 1, is one.
pub trait Plan: Send + Sync {
    /// What happens to this connection; `None` = nothing.
    fn fault(&self, connection: u64) -> Option<Fault>;
}

impl<F: Fn(u64) -> Option<Fault> + Send + Sync> Plan for F {
    fn fault(&self, connection: u64) -> Option<Fault> {
        self(connection)
    }
}

/// Overhears every connection, from where whoever connected stands.
pub trait Ear: Send + Sync {
    /// He sent this, whether it is passed on or not.
    fn said(&self, connection: u64, bytes: &[u8]);
    /// This was passed on to him.
    fn heard(&self, connection: u64, bytes: &[u8]);
    /// He is gone, or the link is; `unread` = he left without having read all that was passed on to him.
    fn left(&self, connection: u64, unread: bool);
}

/// A running proxy; ends with this value.
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    target: SocketAddr,
    plan: RwLock<Arc<dyn Plan>>,
    ear: RwLock<Option<Arc<dyn Ear>>>,
    connections: AtomicU64,
    open: watch::Sender<usize>,
    /// Bytes of all connections are dropped while it is on.
    silent: watch::Sender<bool>,
    /// New connections are reset at once while it is on.
    refusing: AtomicBool,
    /// Counts the resets of everything.
    resets: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Proxy {
    /// Listens on a free port of the loopback and passes everything on to `target`.
    pub async fn start(target: SocketAddr, plan: impl Plan + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            target,
            plan: RwLock::new(Arc::new(plan)),
            ear: RwLock::default(),
            connections: AtomicU64::new(0),
            open: watch::Sender::new(0),
            silent: watch::Sender::new(false),
            refusing: AtomicBool::new(false),
            resets: watch::Sender::new(0),
            stop: CancellationToken::new(),
        });
        let proxy = Self {
            addr: listener.local_addr()?,
            shared: shared.clone(),
            tasks: TaskTracker::new(),
        };
        let tasks = proxy.tasks.clone();
        proxy.tasks.spawn(async move {
            while let Some(Ok((client, _))) = shared.stop.run_until_cancelled(listener.accept()).await {
                let shared = shared.clone();
                shared.open.send_modify(|open| *open += 1);
                tasks.spawn(async move {
                    let stop = shared.stop.clone();
                    // Its error is a link that broke, which both sides have seen.
                    let _ = stop.run_until_cancelled(pass(&shared, client)).await;
                    shared.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Ok(proxy)
    }

    /// Changes the plan for connections that come from now on.
    pub fn plan(&self, plan: impl Plan + 'static) {
        *self.shared.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// Somebody who overhears connections that come from now on.
    pub fn overhear(&self, ear: impl Ear + 'static) {
        *self.shared.ear.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ear));
    }

    /// Resets every connection that is open now.
    pub fn reset_all(&self) {
        self.shared.resets.send_modify(|n| *n += 1);
    }

    /// Drops all bytes of all connections, old and new, or passes them on again. What was dropped does not come back.
    pub fn silence(&self, on: bool) {
        self.shared.silent.send_replace(on);
    }

    /// Resets every connection that comes, at once, or passes them on again.
    pub fn refuse(&self, on: bool) {
        self.shared.refusing.store(on, Ordering::Release);
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Resolves when no connection is open.
    pub async fn disconnected(&self) {
        let _ = self.shared.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Drops all connections and stops listening.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// One connection, until both ways have ended or it is reset.
async fn pass(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    if shared.refusing.load(Ordering::Acquire) {
        return client.set_zero_linger();
    }
    let number = shared.connections.fetch_add(1, Ordering::AcqRel) + 1;
    let plan = shared.plan.read().unwrap_or_else(PoisonError::into_inner).clone();
    let ear = shared.ear.read().unwrap_or_else(PoisonError::into_inner).clone();
    let fault = plan.fault(number);
    let mut resets = shared.resets.subscribe();
    let mut server = TcpStream::connect(shared.target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let on = |way| fault.filter(|fault| fault.way == way);
        let there = Carrier {
            shared,
            said: &|bytes| ear.iter().for_each(|ear| ear.said(number, bytes)),
            passed: &|_| {},
        };
        let back = Carrier {
            shared,
            said: &|_| {},
            passed: &|bytes| ear.iter().for_each(|ear| ear.heard(number, bytes)),
        };
        let there = async {
            let ended = there
                .carry(&mut from_client, &mut to_server, on(Way::ToServer))
                .await;
            if let Some(ear) = &ear {
                // Who closes a link with something unread resets it.
                ear.left(number, ended.is_err());
            }
            ended
        };
        let back = back.carry(&mut from_server, &mut to_client, on(Way::ToClient));
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(drop),
            _ = resets.changed() => Err(reset()),
        }
    };
    if ended.is_err() {
        // A reset on both sides, not an orderly end.
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    if let Some(ear) = &ear {
        // What had come and was not read any more was sent all the same. The runtime may not have heard of it yet.
        let mut client = client.into_std()?;
        let mut rest = [0; 4096];
        while let Ok(got @ 1..) = client.read(&mut rest) {
            ear.said(number, &rest[..got]);
        }
        ear.left(number, false);
    }
    ended
}

/// Carries one way.
struct Carrier<'a> {
    shared: &'a Shared,
    /// Gets what was sent.
    said: &'a (dyn Fn(&[u8]) + Send + Sync),
    /// Gets what was passed on.
    passed: &'a (dyn Fn(&[u8]) + Send + Sync),
}

impl Carrier<'_> {
    /// Until its sender ends it, which ends the other side too, also in silence.
    async fn carry(
        &self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        mut fault: Option<Fault>,
    ) -> io::Result<()> {
        let mut carried = 0_u64;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            // At its byte, not only when the next one comes.
            if let Some(due) = fault.filter(|fault| carried >= fault.at) {
                fault = None;
                match due.harm {
                    Harm::Reset => return Err(reset()),
                    Harm::Delay(pause) => tokio::time::sleep(pause).await,
                    Harm::Blackhole(None) => self.swallow(from, &mut buffer).await?,
                    Harm::Blackhole(Some(time)) => {
                        return match tokio::time::timeout(time, self.swallow(from, &mut buffer)).await {
                            Ok(ended) => ended,
                            Err(_) => Err(reset()),
                        };
                    }
                }
            }
            let room = fault.map_or(buffer.len(), |fault| {
                usize::try_from(fault.at - carried)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len())
            });
            let got = from.read(&mut buffer[..room]).await?;
            if got == 0 {
                break;
            }
            (self.said)(&buffer[..got]);
            if *self.shared.silent.borrow() {
                // A stream with a hole in it is none: what follows is dropped as well.
                self.swallow(from, &mut buffer).await?;
                break;
            }
            to.write_all(&buffer[..got]).await?;
            (self.passed)(&buffer[..got]);
            carried += got as u64;
        }
        to.shutdown().await
    }

    /// Takes bytes until their sender has ended.
    async fn swallow(&self, from: &mut ReadHalf<'_>, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            match from.read(buffer).await? {
                0 => return Ok(()),
                got => (self.said)(&buffer[..got]),
            }
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Echoes what comes, once.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = tcp.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        addr
    }

    /// What comes back of six bytes before the end, and how it ends.
    async fn heard(proxy: &Proxy) -> (Vec<u8>, io::Result<()>) {
        let mut tcp = TcpStream::connect(proxy.addr).await.unwrap();
        let mut heard = Vec::new();
        if let Err(error) = tcp.write_all(b"abcdef").await {
            return (heard, Err(error));
        }
        let mut byte = [0];
        while heard.len() < 6 {
            match tcp.read(&mut byte).await {
                Ok(0) => return (heard, Ok(())),
                Ok(_) => heard.push(byte[0]),
                Err(error) => return (heard, Err(error)),
            }
        }
        (heard, Ok(()))
    }

    #[tokio::test]
    async fn without_a_fault_everything_passes() {
        let proxy = Proxy::start(echo().await, |_| None).await.unwrap();
        assert_eq!(heard(&proxy).await.0, b"abcdef");
        proxy.disconnected().await;
        assert_eq!(proxy.connections(), 1);
    }

    #[tokio::test]
    async fn a_reset_lets_so_many_bytes_through_and_no_more() {
        for way in [Way::ToServer, Way::ToClient] {
            for at in 0..6 {
                let fault = Fault {
                    way,
                    at,
                    harm: Harm::Reset,
                };
                let proxy = Proxy::start(echo().await, move |_| Some(fault)).await.unwrap();
                let (bytes, end) = heard(&proxy).await;
                assert!(
                    bytes.len() as u64 <= at && end.is_err(),
                    "{way:?} {at}: {bytes:?} {end:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn silence_keeps_the_connection_open_until_its_time() {
        for (way, at) in [(Way::ToServer, 2), (Way::ToClient, 4)] {
            let fault = Fault {
                way,
                at,
                harm: Harm::Blackhole(None),
            };
            let proxy = Proxy::start(echo().await, move |_| Some(fault)).await.unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(50), heard(&proxy)).await;
            assert!(waited.is_err(), "neither an end nor an error");
            let brief = Harm::Blackhole(Some(Duration::from_millis(100)));
            proxy.plan(move |_| Some(Fault { harm: brief, ..fault }));
            let (bytes, end) = heard(&proxy).await;
            assert!(bytes.len() as u64 == at && end.is_err(), "{bytes:?} {end:?}");
        }
    }

    #[tokio::test]
    async fn who_refuses_lets_nothing_through_and_then_all() {
        let proxy = Proxy::start(echo().await, |_| None).await.unwrap();
        proxy.refuse(true);
        let (bytes, end) = heard(&proxy).await;
        assert!(bytes.is_empty() && end.is_err(), "{bytes:?} {end:?}");
        proxy.refuse(false);
        assert_eq!(heard(&proxy).await.0, b"abcdef");
    }

    #[tokio::test]
    async fn a_stream_that_lost_bytes_never_goes_on() {
        let proxy = Proxy::start(echo().await, |_| None).await.unwrap();
        let mut tcp = TcpStream::connect(proxy.addr).await.unwrap();
        let mut byte = [0];
        tcp.write_all(b"a").await.unwrap();
        tcp.read_exact(&mut byte).await.unwrap();
        proxy.silence(true);
        tcp.write_all(b"b").await.unwrap();
        let brief = Duration::from_millis(50);
        assert!(tokio::time::timeout(brief, tcp.read(&mut byte)).await.is_err());
        proxy.silence(false);
        tcp.write_all(b"c").await.unwrap();
        assert!(tokio::time::timeout(brief, tcp.read(&mut byte)).await.is_err());
        proxy.reset_all();
        assert!(tcp.read(&mut byte).await.is_err());
        assert_eq!(heard(&proxy).await.0, b"abcdef");
    }
}
