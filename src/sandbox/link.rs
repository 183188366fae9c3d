//! A TCP stream that counts its bytes and is cut by reset at a chosen one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Where a connection is cut. Bytes are those on the socket, so below TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// As soon as the server has sent this many bytes.
    pub after_sent: Option<u64>,
    /// As soon as the server has read this many bytes.
    pub after_received: Option<u64>,
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct Link {
    tcp: TcpStream,
    fate: LinkFate,
}

/// Cuts a link from outside. Clones are the same link.
#[derive(Debug, Clone)]
pub struct LinkFate(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    cut: Cut,
    sent: AtomicU64,
    received: AtomicU64,
    dead: AtomicBool,
}

impl LinkFate {
    /// The next read or write fails and the socket is reset.
    pub fn cut(&self) {
        self.0.dead.store(true, Ordering::Release);
    }

    /// Whether the link was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.sendable() == 0 || self.receivable() == 0
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Acquire)
    }

    /// Bytes read so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Acquire)
    }

    fn sendable(&self) -> u64 {
        self.left(self.0.cut.after_sent, self.sent())
    }

    fn receivable(&self) -> u64 {
        self.left(self.0.cut.after_received, self.received())
    }

    fn left(&self, limit: Option<u64>, used: u64) -> u64 {
        if self.0.dead.load(Ordering::Acquire) {
            return 0;
        }
        limit.map_or(u64::MAX, |limit| limit.saturating_sub(used))
    }

    fn check(&self) -> io::Result<()> {
        if self.is_cut() {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl Link {
    /// Wraps an accepted stream; NODELAY so that every flush is on the wire at once.
    pub fn new(tcp: TcpStream, cut: Cut) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let counters = Counters {
            cut,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dead: AtomicBool::new(false),
        };
        Ok(Self {
            tcp,
            fate: LinkFate(Arc::new(counters)),
        })
    }

    /// The handle that cuts this link.
    pub fn fate(&self) -> LinkFate {
        self.fate.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.fate.is_cut() {
            // Best effort: without it the peer sees an orderly end instead of a reset.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fate.check()?;
        let room = usize::try_from(self.fate.receivable())
            .unwrap_or(usize::MAX)
            .min(buf.remaining());
        let mut part = vec![0; room.min(16 * 1024)];
        let mut read = ReadBuf::new(&mut part);
        std::task::ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut read))?;
        self.fate
            .0
            .received
            .fetch_add(read.filled().len() as u64, Ordering::AcqRel);
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.fate.check()?;
        let room = usize::try_from(self.fate.sendable())
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write(cx, &bytes[..room]))?;
        self.fate.0.sent.fetch_add(written as u64, Ordering::AcqRel);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
