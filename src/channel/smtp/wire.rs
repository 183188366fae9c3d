//! The wire to an SMTP server: one function per stage, each with its own deadline and its own flush.
//!
//! The wire never retries and never hides a reply. Whether a break came before or after the dot is known from the
//! caller's place in the dialogue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::TlsConnector;

use super::reply::{Partial, Reply};
use super::socket::{Socket, Tcp};

/// Longest reply line, in bytes; RFC 5321 asks for 512.
const LONGEST_LINE: u64 = 8 * 1024;

/// Bytes of content per deadline.
const BLOCK: usize = 64 * 1024;

/// Why the wire gave no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Closed or reset.
    #[error("the link was cut: {0}")]
    Cut(#[from] io::Error),
    /// The deadline of the stage is over.
    #[error("nothing within {} s", .0.as_secs_f32())]
    TooSlow(Duration),
    /// Bytes came that are no reply, or came when none were due.
    #[error("not an SMTP reply: {0}")]
    Garbage(String),
}

/// A link to a server.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<BufWriter<Socket>>,
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(WireError::TooSlow(limit)))
}

impl Wire {
    /// Opens a TCP link.
    pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<Self, WireError> {
        let tcp = within(limit, async { Ok(TcpStream::connect((host, port)).await?) }).await?;
        Ok(Self::over(Socket::Plain(Tcp::new(tcp)?)))
    }

    fn over(socket: Socket) -> Self {
        Self {
            stream: BufReader::new(BufWriter::new(socket)),
        }
    }

    /// Starts TLS on the link. What the server had sent ahead in clear text would be taken for its protected word, and
    /// anybody on the way could have put it there; so an unread byte ends the link.
    pub(super) async fn secure(
        mut self,
        config: Arc<ClientConfig>,
        host: &str,
        limit: Duration,
    ) -> Result<Self, WireError> {
        self.expect_silence()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a server name"))?;
        let Socket::Plain(tcp) = self.stream.into_inner().into_inner() else {
            return Err(WireError::Garbage("TLS inside TLS".to_owned()));
        };
        let connect = async { Ok(TlsConnector::from(config).connect(name, tcp).await?) };
        Ok(Self::over(Socket::Tls(Box::new(within(limit, connect).await?))))
    }

    /// The next whole reply.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        within(limit, self.read_reply()).await
    }

    /// Sends one command line and reads its reply.
    pub(super) async fn ask(&mut self, command: &str, limit: Duration) -> Result<Reply, WireError> {
        within(limit, async {
            self.write(&[command]).await?;
            self.read_reply().await
        })
        .await
    }

    /// Sends several command lines in one write (RFC 2920). The caller reads one reply for each.
    pub(super) async fn tell(&mut self, commands: &[&str], limit: Duration) -> Result<(), WireError> {
        within(limit, self.write(commands)).await
    }

    /// Marks that the server waits for content: from here until the dot the link ends in a reset.
    pub(super) fn enter_content(&mut self) {
        self.tcp().abrupt = true;
    }

    /// Sends the content, which is encoded already, all but the final dot.
    pub(super) async fn content(&mut self, content: &[u8], limit: Duration) -> Result<(), WireError> {
        for block in content.chunks(BLOCK) {
            within(limit, async { Ok(self.stream.write_all(block).await?) }).await?;
        }
        within(limit, async { Ok(self.stream.flush().await?) }).await
    }

    /// Sends the final dot. An error, and a future dropped unfinished, mean that it did not go out whole: the kernel
    /// takes the three bytes (or their one TLS record) last, and nothing can fail after it took them. The link still
    /// ends in a reset then, so the server cannot have the mail.
    pub(super) async fn dot(&mut self) -> Result<(), WireError> {
        self.stream.write_all(b".\r\n").await?;
        self.stream.flush().await?;
        self.tcp().abrupt = false;
        Ok(())
    }

    /// Fails when the server has spoken or hung up although nothing was asked. Does not wait, so it sees what the
    /// runtime has noticed by now. A reply that came too early would be read as the answer to what is sent next.
    pub(super) fn expect_silence(&mut self) -> Result<(), WireError> {
        // Unconstrained: a task at the end of its budget would always look silent.
        match unconstrained(self.stream.fill_buf()).now_or_never() {
            None => Ok(()),
            Some(Ok([])) => Err(WireError::Cut(io::ErrorKind::UnexpectedEof.into())),
            Some(Ok(early)) => Err(WireError::Garbage(
                String::from_utf8_lossy(early).trim_end().to_owned(),
            )),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn tcp(&mut self) -> &mut Tcp {
        self.stream.get_mut().get_mut().tcp()
    }

    async fn write(&mut self, commands: &[&str]) -> Result<(), WireError> {
        for command in commands {
            self.stream.write_all(command.as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
        }
        Ok(self.stream.flush().await?)
    }

    async fn read_reply(&mut self) -> Result<Reply, WireError> {
        let mut partial = Partial::default();
        loop {
            let mut line = Vec::new();
            (&mut self.stream)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .await?;
            if !line.ends_with(b"\n") {
                return Err(match line.len() as u64 {
                    LONGEST_LINE => WireError::Garbage("a line without end".to_owned()),
                    _ => WireError::Cut(io::ErrorKind::UnexpectedEof.into()),
                });
            }
            if let Some(reply) = partial.push(&line)? {
                return Ok(reply);
            }
        }
    }
}
