//! One mail over an open connection: MAIL, RCPT, DATA, content, crossing, dot, reply.

use tokio::time::{Instant, timeout_at};

use super::classify::{Stage, class_of};
use super::encode::encode;
use super::opening::Connection;
use super::options::Deadlines;
use super::reply::Reply;
use super::wire::WireError;
use crate::channel::{BuiltEmail, Crossed, Crossing, RefusalClass, SendOutcome};

/// How a dialogue ended, and whether its connection is clean.
#[derive(Debug)]
pub(super) enum Ended {
    /// With an outcome; the connection may carry the next mail.
    Clean(SendOutcome),
    /// With an outcome; the connection must be closed.
    Broken(SendOutcome),
    /// The server had closed the connection before it took MAIL: nothing was sent.
    Stale(String),
}

fn deferred(why: impl Into<String>) -> SendOutcome {
    SendOutcome::Deferred {
        until: None,
        why: why.into(),
    }
}

fn not_sent(stage: Stage, error: &WireError) -> Ended {
    Ended::Broken(deferred(format!("{}: {error}", stage.name())))
}

/// A reply that says no, as an outcome.
fn refused(stage: Stage, reply: &Reply) -> SendOutcome {
    let (why, class) = (reply.one_line(), class_of(stage, reply));
    match reply.code / 100 {
        // The login was refused or is missing: the account's fault, not the mail's.
        5 if matches!(reply.code, 530 | 534 | 535 | 538) => deferred(why),
        // MAIL speaks of the sender alone, but for the size: any other mail would fare the same.
        5 if stage == Stage::Mail && reply.code != 552 && class != RefusalClass::PolicyBlocked => {
            deferred(why)
        }
        5 => SendOutcome::Refused { class, why },
        _ => deferred(why),
    }
}

/// The MAIL and RCPT commands, or why this mail cannot go to this server.
fn envelope(mail: &BuiltEmail, connection: &Connection, size: usize) -> Result<[String; 3], SendOutcome> {
    let offers = connection.offers;
    let bad = |why: &str| SendOutcome::Refused {
        class: RefusalClass::Other,
        why: why.to_owned(),
    };
    let fits = |path: &str| {
        !path
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>'))
    };
    if !fits(&mail.mail_from) || !fits(&mail.rcpt_to) || mail.rcpt_to.is_empty() {
        return Err(bad("an envelope address has characters that it must not have"));
    }
    let mut from = format!("MAIL FROM:<{}>", mail.mail_from);
    if let Some(limit) = offers.size {
        if limit > 0 && size as u64 > limit {
            return Err(bad(&format!(
                "the mail has {size} bytes, the server takes {limit}"
            )));
        }
        from = format!("{from} SIZE={size}");
    }
    if !mail.bytes.is_ascii() {
        if !offers.eight_bit {
            return Err(bad(
                "the mail has 8-bit characters and the server does not offer 8BITMIME",
            ));
        }
        from.push_str(" BODY=8BITMIME");
    }
    if !mail.mail_from.is_ascii() || !mail.rcpt_to.is_ascii() {
        if !offers.smtputf8 {
            return Err(bad(
                "an address is not ASCII and the server does not offer SMTPUTF8",
            ));
        }
        from.push_str(" SMTPUTF8");
    }
    Ok([from, format!("RCPT TO:<{}>", mail.rcpt_to), "DATA".to_owned()])
}

/// Hands one mail over, with its signatures before it. The crossing is asked once at most, and the dot goes out only
/// after it said go.
pub(super) async fn hand_over(
    connection: &mut Connection,
    mail: &BuiltEmail,
    signature: &str,
    limits: &Deadlines,
    crossing: &dyn Crossing,
) -> Ended {
    let mut content = encode(&mail.bytes);
    content.splice(0..0, signature.bytes());
    let commands = match envelope(mail, connection, content.len()) {
        Ok(commands) => commands,
        Err(outcome) => return Ended::Clean(outcome),
    };
    connection.carried += 1;
    if let Err(ended) = open_content(connection, &commands, limits).await {
        return ended;
    }
    let wire = &mut connection.wire;
    let written = match wire.content(&content, limits.block).await {
        Ok(()) => wire.expect_silence(),
        cut => cut,
    };
    if let Err(error) = written {
        return not_sent(Stage::Content, &error);
    }

    let latest = Instant::now() + limits.crossing;
    match timeout_at(latest, crossing.cross()).await {
        Ok(Crossed::Go) if Instant::now() < latest => {}
        Ok(Crossed::Stop) => return Ended::Broken(SendOutcome::NotCrossed),
        Ok(Crossed::Go) | Err(_) => return Ended::Broken(SendOutcome::Withdrawn),
    }
    if wire.expect_silence().is_err() || !matches!(timeout_at(latest, wire.dot()).await, Ok(Ok(()))) {
        return Ended::Broken(SendOutcome::Withdrawn);
    }

    // From here on only a whole reply is knowledge.
    match wire.reply(limits.dot).await {
        Ok(reply) if reply.is_success() => Ended::Clean(SendOutcome::Accepted {
            reply: reply.one_line(),
        }),
        Ok(reply) if reply.is_closing() => Ended::Broken(refused(Stage::Dot, &reply)),
        Ok(reply) if reply.code >= 400 => Ended::Clean(refused(Stage::Dot, &reply)),
        Ok(reply) => Ended::Broken(SendOutcome::Uncertain {
            why: format!("after the dot: {}", reply.one_line()),
        }),
        Err(error) => Ended::Broken(SendOutcome::Uncertain {
            why: format!("after the dot: {error}"),
        }),
    }
}

/// MAIL, RCPT and DATA, in one write where the server offers PIPELINING; ends with 354.
async fn open_content(
    connection: &mut Connection,
    commands: &[String; 3],
    limits: &Deadlines,
) -> Result<(), Ended> {
    let stages = [
        (Stage::Mail, limits.envelope),
        (Stage::Rcpt, limits.envelope),
        (Stage::Data, limits.data),
    ];
    let wire = &mut connection.wire;
    let pipelined = connection.offers.pipelining;
    if pipelined {
        let lines = commands.each_ref().map(String::as_str);
        wire.tell(&lines, limits.envelope)
            .await
            .map_err(|error| broken_link(Stage::Mail, &error))?;
    }
    for (at, (stage, limit)) in stages.into_iter().enumerate() {
        let reply = if pipelined {
            wire.reply(limit).await
        } else {
            wire.ask(&commands[at], limit).await
        };
        let reply = reply.map_err(|error| broken_link(stage, &error))?;
        let wanted = if stage == Stage::Data {
            reply.code == 354
        } else {
            reply.is_success()
        };
        if wanted {
            continue;
        }
        if stage == Stage::Mail && reply.is_closing() {
            return Err(Ended::Stale(reply.one_line()));
        }
        let outcome = if reply.code >= 400 {
            refused(stage, &reply)
        } else {
            deferred(format!("{}: unexpected {}", stage.name(), reply.one_line()))
        };
        let left = if pipelined { stages.len() - 1 - at } else { 0 };
        let clean = !reply.is_closing() && reply.code >= 400 && back_to_start(connection, left, limits).await;
        return Err(if clean {
            Ended::Clean(outcome)
        } else {
            Ended::Broken(outcome)
        });
    }
    connection.wire.enter_content();
    Ok(())
}

fn broken_link(stage: Stage, error: &WireError) -> Ended {
    match (stage, error) {
        (Stage::Mail, WireError::Cut(_)) => Ended::Stale(format!("{}: {error}", stage.name())),
        _ => not_sent(stage, error),
    }
}

/// Reads the replies that are still due after a refusal and resets the transaction; false if the connection is no good
/// any more.
async fn back_to_start(connection: &mut Connection, replies_due: usize, limits: &Deadlines) -> bool {
    for _ in 0..replies_due {
        match connection.wire.reply(limits.envelope).await {
            // A server that opens the content after all waits for a dot, which it shall not get.
            Ok(reply) if reply.code < 400 && reply.code / 100 == 3 => {
                connection.wire.enter_content();
                return false;
            }
            Ok(reply) if !reply.is_closing() => {}
            _ => return false,
        }
    }
    matches!(connection.wire.ask("RSET", limits.envelope).await, Ok(reply) if reply.is_success())
}
