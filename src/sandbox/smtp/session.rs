//! One connection of the recording server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

use super::behaviour::{Action, Moment, Stage};
use super::content::{Content, message_id};
use super::record::Record;
use super::{Received, Shared};
use crate::sandbox::gate::Passed;
use crate::sandbox::link::LinkFate;

/// Longest line taken, in bytes; far above what RFC 5321 asks for.
const LONGEST_LINE: u64 = 1024 * 1024;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

type Stream = BufReader<BufWriter<Box<dyn Io>>>;

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    connection: u64,
    fate: LinkFate,
    stream: Option<Stream>,
    secure: bool,
    pub(super) authenticated: bool,
    transactions: u64,
    recipients: usize,
    open: Option<Record>,
    content: Option<Arc<[u8]>>,
}

/// The answer that a stage got.
pub(super) struct Answer {
    line: String,
    drip: Option<Duration>,
}

impl Answer {
    pub(super) fn is(&self, class: char) -> bool {
        self.line.starts_with(class)
    }
}

pub(super) fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: u64,
        fate: LinkFate,
        io: Box<dyn Io>,
        secure: bool,
    ) -> Self {
        let stream = Some(BufReader::new(BufWriter::new(io)));
        Self {
            shared,
            connection,
            fate,
            stream,
            secure,
            authenticated: false,
            transactions: 0,
            recipients: 0,
            open: None,
            content: None,
        }
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        let ended = self.dialogue().await;
        self.close();
        ended
    }

    async fn dialogue(&mut self) -> io::Result<()> {
        let greeting = self.answer(Stage::Connect, "220 sandbox.invalid ESMTP").await?;
        if !self.say(greeting).await? {
            return Ok(());
        }
        while let Some(line) = self.line().await? {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
            let goes_on = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.ehlo().await?,
                "HELO" => self.plain(Stage::Ehlo, "250 sandbox.invalid").await?,
                "STARTTLS" if self.shared.tls.is_some() && !self.secure => self.starttls().await?,
                "AUTH" if self.shared.auth.is_some() => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.close();
                    self.plain(Stage::Rset, "250 2.0.0 reset").await?
                }
                "NOOP" => self.tell("250 2.0.0 ok").await?,
                "QUIT" => {
                    self.plain(Stage::Quit, "221 2.0.0 bye").await?;
                    false
                }
                _ => self.tell("502 5.5.2 unknown command").await?,
            };
            if !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn ehlo(&mut self) -> io::Result<bool> {
        let mut offers = vec!["sandbox.invalid".to_owned()];
        if self.shared.pipelining {
            offers.push("PIPELINING".to_owned());
        }
        offers.push(format!("SIZE {}", self.shared.max_size));
        if self.shared.tls.is_some() && !self.secure {
            offers.push("STARTTLS".to_owned());
        }
        if self.shared.auth.is_some() {
            offers.push("AUTH PLAIN LOGIN".to_owned());
        }
        offers.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"].map(str::to_owned));
        let last = offers.len() - 1;
        let lines = offers.iter().enumerate();
        let reply: Vec<_> = lines
            .map(|(i, offer)| format!("250{}{offer}", if i == last { ' ' } else { '-' }))
            .collect();
        self.plain(Stage::Ehlo, &reply.join("\r\n")).await
    }

    async fn starttls(&mut self) -> io::Result<bool> {
        let answer = self.answer(Stage::StartTls, "220 2.0.0 go ahead").await?;
        let go = answer.is('2');
        if !self.say(answer).await? {
            return Ok(false);
        }
        let (true, Some((acceptor, _))) = (go, &self.shared.tls) else {
            return Ok(true);
        };
        let acceptor = acceptor.clone();
        let io = self.stream.take().ok_or_else(gone)?.into_inner().into_inner();
        let stream: Box<dyn Io> = Box::new(acceptor.accept(io).await?);
        self.stream = Some(BufReader::new(BufWriter::new(stream)));
        self.secure = true;
        Ok(true)
    }

    async fn mail(&mut self, rest: &str) -> io::Result<bool> {
        if self.open.is_some() {
            return self.tell("503 5.5.1 nested MAIL").await;
        }
        self.transactions += 1;
        let record = Record::opened(self.connection, self.transactions, path_of(rest));
        self.open = Some(record);
        self.shared.activity.send_modify(|now| now.transactions += 1);
        let ordinary = if self.shared.auth.is_some() && !self.authenticated {
            "530 5.7.0 authentication required"
        } else {
            "250 2.1.0 ok"
        };
        let answer = self.answer(Stage::Mail, ordinary).await?;
        let refused = !answer.is('2');
        let goes_on = self.note_and_say(answer).await?;
        if refused {
            self.close();
        }
        Ok(goes_on)
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<bool> {
        let path = path_of(rest);
        let Some(record) = &mut self.open else {
            return self.tell("503 5.5.1 MAIL first").await;
        };
        record.stage = Stage::Rcpt;
        record.rcpt.truncate(self.recipients);
        record.rcpt.push(path);
        let answer = self.answer(Stage::Rcpt, "250 2.1.5 ok").await?;
        self.recipients += usize::from(answer.is('2'));
        self.note_and_say(answer).await
    }

    async fn data(&mut self) -> io::Result<bool> {
        if self.recipients == 0 {
            return self.tell("503 5.5.1 no valid recipients").await;
        }
        if let Some(record) = &mut self.open {
            record.rcpt.truncate(self.recipients);
        }
        self.at(Stage::Data);
        let answer = self.answer(Stage::Data, "354 end with a dot").await?;
        let go = answer.is('3');
        if !self.note_and_say(answer).await? {
            return Ok(false);
        }
        if !go {
            return Ok(true);
        }
        self.flush().await?;
        self.at(Stage::Content);
        let early = self.answer(Stage::Content, "").await?;
        if !early.line.is_empty() && !self.say(early).await? {
            return Ok(false);
        }
        let mut content = Content::default();
        loop {
            let line = self.line().await?.ok_or_else(gone)?;
            if content.push(&line) {
                break;
            }
        }
        self.dot(content).await
    }

    async fn dot(&mut self, content: Content) -> io::Result<bool> {
        let at = self.shared.log.next();
        let too_big = content.len() > self.shared.max_size;
        let bytes: Arc<[u8]> = content.into_bytes().into();
        if let Some(record) = &mut self.open {
            record.stage = Stage::Dot;
            record.reply = String::new();
            record.reply_delivered = false;
            record.dot_received_at = Some(at);
            record.message_id = message_id(&bytes);
            record.size = bytes.len();
            record.bytes = self.shared.keep_bytes.then(|| bytes.clone());
        }
        self.content = Some(bytes);
        let ordinary = if too_big {
            "552 5.3.4 too big"
        } else {
            "250 2.0.0 taken"
        };
        let answer = self.answer(Stage::Dot, ordinary).await?;
        if answer.is('2') {
            self.store().await;
        }
        let goes_on = self.note_and_say(answer).await?;
        self.close();
        Ok(goes_on)
    }

    /// Takes the message over, once.
    async fn store(&mut self) {
        let (Some(bytes), Some(record)) = (self.content.take(), &mut self.open) else {
            return;
        };
        record.stored = true;
        if let Some(sink) = &self.shared.sink {
            let mail = Received {
                mail_from: record.mail_from.clone(),
                rcpt: record.rcpt.clone(),
                message_id: record.message_id.clone(),
                bytes,
                dot_received_at: record.dot_received_at.unwrap_or_default(),
            };
            sink.take(mail).await;
        }
    }

    /// Ends the open transaction and logs it.
    fn close(&mut self) {
        self.content = None;
        self.recipients = 0;
        if let Some(mut record) = self.open.take() {
            record.link_received = self.fate.received();
            record.link_sent = self.fate.sent();
            self.shared.log.push(record);
            self.shared.activity.send_modify(|now| now.transactions -= 1);
        }
    }

    fn at(&mut self, stage: Stage) {
        if let Some(record) = &mut self.open {
            record.stage = stage;
            record.reply_delivered = false;
        }
    }

    /// Asks the script what to answer, and waits as long as it says.
    pub(super) async fn answer(&mut self, stage: Stage, ordinary: &str) -> io::Result<Answer> {
        let open = self.open.as_ref();
        let moment = Moment {
            stage,
            connection: self.connection,
            transaction: self.transactions,
            mail_from: open.map_or("", |record| record.mail_from.as_str()),
            rcpt: open.map_or(&[], |record| record.rcpt.as_slice()),
            message_id: open.map_or("", |record| record.message_id.as_str()),
        };
        let mut action = self.shared.behaviour().at(&moment);
        loop {
            action = match action {
                Action::Go => {
                    return Ok(Answer {
                        line: ordinary.to_owned(),
                        drip: None,
                    });
                }
                Action::Reply(line) => return Ok(Answer { line, drip: None }),
                Action::Drip(pause) => {
                    return Ok(Answer {
                        line: ordinary.to_owned(),
                        drip: Some(pause),
                    });
                }
                Action::Hold(gate, then) => {
                    self.flush().await?;
                    if gate.pass().await == Passed::Killed {
                        self.fate.cut();
                        return Err(gone());
                    }
                    *then
                }
                Action::StoreThen(then) => {
                    self.store().await;
                    *then
                }
                Action::Drop => {
                    self.fate.cut();
                    return Err(gone());
                }
            };
        }
    }

    async fn plain(&mut self, stage: Stage, ordinary: &str) -> io::Result<bool> {
        let answer = self.answer(stage, ordinary).await?;
        self.say(answer).await
    }

    pub(super) async fn tell(&mut self, line: &str) -> io::Result<bool> {
        self.say(Answer {
            line: line.to_owned(),
            drip: None,
        })
        .await
    }

    /// Writes an answer that belongs to the open transaction.
    async fn note_and_say(&mut self, answer: Answer) -> io::Result<bool> {
        if let Some(record) = &mut self.open {
            record.reply.clone_from(&answer.line);
            record.reply_delivered = false;
        }
        self.say(answer).await
    }

    /// Writes an answer; false when the link is to be closed after it.
    pub(super) async fn say(&mut self, answer: Answer) -> io::Result<bool> {
        let closes = answer.line.starts_with("421");
        let stream = self.stream.as_mut().ok_or_else(gone)?;
        let bytes = [answer.line.as_bytes(), b"\r\n"].concat();
        if let Some(pause) = answer.drip {
            for byte in bytes {
                stream.write_u8(byte).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        } else {
            stream.write_all(&bytes).await?;
        }
        // Replies to pipelined commands go out together, as RFC 2920 wants; all others at once.
        if stream.buffer().is_empty() || closes {
            self.flush().await?;
        }
        Ok(!closes)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.as_mut().ok_or_else(gone)?.flush().await?;
        if let Some(record) = &mut self.open {
            record.reply_delivered = !record.reply.is_empty();
        }
        Ok(())
    }

    /// The next line with its line end; none when the client has closed.
    pub(super) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let stream = self.stream.as_mut().ok_or_else(gone)?;
        let mut line = Vec::new();
        stream.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        Ok(line.ends_with(b"\n").then_some(line))
    }
}

impl Drop for Session {
    /// A stopped server still logs what it was in the middle of.
    fn drop(&mut self) {
        self.close();
    }
}

/// The address in `FROM:<a@b> SIZE=1`.
fn path_of(rest: &str) -> String {
    let after = rest.split_once('<').map_or(rest, |(_, after)| after);
    after.split_once('>').map_or(after, |(path, _)| path).to_owned()
}
