//! A yardstick: a plain loop over lettre's pooled transport. It has no database, keeps nothing, and stops at the first failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::Result;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::task::JoinSet;

/// Hands mails of two parts and so many bytes over to a server on the loopback, each built anew. Returns messages a second.
pub async fn rate(port: u16, messages: u32, connections: u16, bytes: usize) -> Result<f64> {
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(port)
        .pool_config(PoolConfig::new().max_size(connections.into()))
        .build();
    // Each part has half of it.
    let line = "A line of a mail that is as long as such lines usually are, no more.\r\n";
    let half = Arc::new(line.repeat(bytes / 2 / line.len()));
    let next = Arc::new(AtomicU32::new(0));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (transport, half, next) = (transport.clone(), half.clone(), next.clone());
        senders.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= messages {
                    return Ok::<(), anyhow::Error>(());
                }
                transport.send(letter(n, &half)?).await?;
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(f64::from(messages) / started.elapsed().as_secs_f64())
}

fn letter(n: u32, half: &str) -> Result<Message> {
    let to = Address::new(format!("person{n}"), "sink.example")?;
    Ok(Message::builder()
        .from("A Bench <a@source.example>".parse::<Mailbox>()?)
        .to(Mailbox::new(None, to))
        .subject(format!("Letter {n}"))
        .multipart(MultiPart::alternative_plain_html(
            half.to_owned(),
            format!("<html><body><pre>{half}</pre></body></html>"),
        ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_the_size_that_is_asked_for() {
        let half = "x".repeat(60) + "\r\n";
        let bytes = letter(1, &half.repeat(40)).unwrap().formatted().len();
        assert!((5000..6000).contains(&bytes), "{bytes}");
    }
}
