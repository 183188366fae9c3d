//! Which stage of a plain dialogue a byte belongs to, from a dialogue that was overheard.

use std::sync::{Arc, Mutex};

use kith::sandbox::proxy::{Ear, Fault, Proxy};

use super::{Go, Rig, channel_of, is_accepted, mail, send};

/// What went each way.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<[Vec<u8>; 2]>>);

impl Ear for Tape {
    fn said(&self, _connection: u64, bytes: &[u8]) {
        self.0.lock().unwrap()[0].extend(bytes);
    }

    fn heard(&self, _connection: u64, bytes: &[u8]) {
        self.0.lock().unwrap()[1].extend(bytes);
    }

    fn left(&self, _connection: u64, _unread: bool) {}
}

/// Up to which byte of its stream each stage goes.
pub struct Stages {
    commands: Vec<(u64, &'static str)>,
    replies: Vec<(u64, &'static str)>,
    pipelining: bool,
}

impl Stages {
    /// Of the mail with this id, on a connection of its own.
    pub async fn overhear(rig: &Rig, id: &str, pipelining: bool) -> Self {
        let tape = Tape::default();
        let proxy = Proxy::start(rig.server.addr, |_| None::<Fault>).await.unwrap();
        proxy.overhear(tape.clone());
        let mut options = rig.options.clone();
        options.port = proxy.addr.port();
        assert!(is_accepted(
            &send(&channel_of(&options), &mail(id), &Go::default()).await
        ));
        let [said, heard] = tape.0.lock().unwrap().clone();
        let ends = |bytes: &[u8], is_last: fn(&[u8]) -> bool| {
            let mut at = 0;
            let mut ends = Vec::new();
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                at += line.len() as u64;
                if is_last(line) {
                    ends.push(at);
                }
            }
            ends
        };
        let commands = ["EHLO", "MAIL", "RCPT", "DATA"];
        let replies = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"];
        let reply_ends = ends(&heard, |line| line.get(3) == Some(&b' '));
        assert_eq!(reply_ends.len(), replies.len());
        Self {
            commands: ends(&said, |_| true).into_iter().zip(commands).collect(),
            replies: reply_ends.into_iter().zip(replies).collect(),
            pipelining,
        }
    }

    /// The stage whose reply is the first that is not whole, when so many bytes have come from the server.
    pub fn awaited(&self, heard: u64) -> &'static str {
        stage(&self.replies, |end| end > heard)
    }

    /// The stage of the command that is the first to be unanswered when the server dies of reading so many bytes: it answers
    /// nothing any more then. Pipelined commands are read together.
    pub fn unanswered(&self, said: u64) -> &'static str {
        match stage(&self.commands, |end| end >= said) {
            _ if said == 0 => "greeting",
            "RCPT" | "DATA" if self.pipelining => "MAIL",
            stage => stage,
        }
    }

    /// Stages of which one has the first command to be unanswered when so many bytes got to the server and no more. Which of
    /// the pipelined ones depends on what it reads together.
    pub fn unread(&self, said: u64) -> &'static [&'static str] {
        match stage(&self.commands, |end| end > said) {
            "MAIL" | "RCPT" | "DATA" if self.pipelining => &["MAIL", "RCPT", "DATA"],
            "EHLO" => &["EHLO"],
            "MAIL" => &["MAIL"],
            "RCPT" => &["RCPT"],
            "DATA" => &["DATA"],
            _ => &[],
        }
    }
}

/// The first stage with such an end, or the content after all of them.
fn stage(ends: &[(u64, &'static str)], is_it: impl Fn(u64) -> bool) -> &'static str {
    ends.iter()
        .find(|(end, _)| is_it(*end))
        .map_or("content", |(_, stage)| *stage)
}
