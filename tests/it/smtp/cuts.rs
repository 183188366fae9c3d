//! The dialogue cut by reset at every byte of either stream, in the clear and below TLS.

use futures::FutureExt;
use futures::future::BoxFuture;
use kith::channel::smtp::TlsMode;
use kith::channel::{Crossed, Crossing, SendOutcome};
use kith::sandbox::link::Cut;
use kith::sandbox::smtp::{CutAt, SmtpSandbox, SmtpSandboxOptions, TlsIdentity};

use super::stages::Stages;
use super::{Go, Rig, is_accepted, within};

/// What a TLS record is longer than what it carries.
const RECORD: u64 = 22;

/// Lets the attempt cross, but only when the server has gone if it is going to before the dot: what the client does
/// next then does not depend on who is faster.
struct AfterTheCut<'a> {
    server: &'a SmtpSandbox,
    cut_before_dot: bool,
    count: Go,
}

impl Crossing for AfterTheCut<'_> {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        async {
            if self.cut_before_dot {
                self.server.disconnected().await;
            }
            self.count.cross().await
        }
        .boxed()
    }
}

/// Cuts so many bytes after the server's or the client's first.
fn after_sent(at: u64) -> Cut {
    Cut {
        after_sent: Some(at),
        ..Cut::default()
    }
}

fn after_received(at: u64) -> Cut {
    Cut {
        after_received: Some(at),
        ..Cut::default()
    }
}

/// Sends one mail over a link that is cut; `dot_from` is the first count of bytes at which the client's dot gets out. Returns the
/// stage that is named in the reason of a mail that was put off.
async fn send_cut(rig: &mut Rig, cut: Cut, at: u64, dot_from: u64) -> Option<String> {
    rig.reconnect();
    rig.server.behave(CutAt(cut));
    let before = rig.server.log().len();
    let crossing = AfterTheCut {
        server: &rig.server,
        cut_before_dot: at < dot_from,
        count: Go::default(),
    };
    let outcome = rig.send_when("one", &crossing).await;
    let asked = crossing.count.asked();
    within(rig.server.disconnected()).await;
    let log = rig.server.log();
    let record = log.get(before);
    let dot_received = record.is_some_and(|record| record.dot_received_at.is_some());
    let delivered = dot_received && record.is_some_and(|record| record.reply_delivered);

    assert!(asked <= 1, "{cut:?}");
    match &outcome {
        SendOutcome::Accepted { .. } => assert!(delivered, "{cut:?}: {outcome:?}"),
        SendOutcome::Uncertain { why } => {
            assert!(
                !delivered && (dot_received || at >= dot_from),
                "{cut:?}: {outcome:?}"
            );
            assert!(why.starts_with("after the dot: "), "{cut:?}: {why}");
        }
        SendOutcome::Deferred { why, .. } => {
            assert!(
                !dot_received && at < dot_from && asked == 0,
                "{cut:?}: {outcome:?}"
            );
            return Some(why.split(": ").next().unwrap().to_owned());
        }
        SendOutcome::Withdrawn => {
            assert!(
                !dot_received && at < dot_from && asked == 1,
                "{cut:?}: {outcome:?}"
            );
        }
        _ => panic!("{cut:?}: {outcome:?}"),
    }
    None
}

#[tokio::test]
async fn cut_at_every_byte_the_verdict_is_right() {
    for pipelining in [true, false] {
        let mut rig = Rig::with(
            SmtpSandboxOptions {
                pipelining,
                ..Default::default()
            },
            |_| {},
        )
        .await;
        let stages = Stages::overhear(&rig, "one", pipelining).await;
        assert!(is_accepted(&rig.send("one").await));
        let whole = rig.log().await.remove(1);
        rig.reconnect();
        within(rig.server.disconnected()).await;

        // A link that is reset at once may be found out by the connect already.
        let right = |at: u64, named: &str, expected: &str| named == expected || at == 0 && named == "connect";
        // The server sends its last reply after the dot: before that is everything up to the 354.
        let last_reply = whole.reply.len() as u64 + 2;
        for at in 0..=whole.link_sent {
            let named = send_cut(&mut rig, after_sent(at), at, whole.link_sent - last_reply + 1).await;
            let expected = stages.awaited(at);
            // With the 354 the reply to the dot is due next, but it is the content that does not get through.
            let expected = if expected == "dot" { "content" } else { expected };
            assert!(
                named
                    .as_ref()
                    .map_or(expected == "content", |named| right(at, named, expected)),
                "{at} sent: {named:?}, not {expected}"
            );
        }
        // The client's last three bytes are the dot; once one of them has been read, all were sent.
        for at in 0..=whole.link_received {
            let named = send_cut(&mut rig, after_received(at), at, whole.link_received - 2).await;
            let expected = stages.unanswered(at);
            assert!(
                named
                    .as_ref()
                    .map_or(expected == "content", |named| right(at, named, expected)),
                "{at} received: {named:?}, not {expected}"
            );
        }
    }
}

/// The server's certificate, with a key whose signatures are all of one length, so that every handshake is.
fn identity(implicit: bool) -> TlsIdentity {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    TlsIdentity {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        implicit,
    }
}

/// The stages that are named while the cut moves on through the dialogue, which go on with it. The end of a handshake is one
/// side's before it is the other's, so there the one before may be named again.
fn assert_in_order(named: &[(u64, String)], order: &[&str], to: &str) {
    let mut at = 0;
    for (byte, stage) in named {
        match order[at..].iter().position(|next| next == stage) {
            Some(on) => at += on,
            None => assert!(
                at > 0 && order[at - 1] == stage,
                "{byte}: {stage} after {}",
                order[at]
            ),
        }
    }
    let reached = order.iter().position(|stage| *stage == to).unwrap();
    assert!(at >= reached, "{named:?}");
}

#[tokio::test]
async fn cut_below_tls_and_with_a_login_the_verdict_is_right() {
    let (starttls, implicit) = (
        [
            "connect", "greeting", "EHLO", "STARTTLS", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA",
            "content",
        ],
        [
            "connect", "TLS", "greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "content",
        ],
    );
    for (mode, order) in [
        (TlsMode::StartTls, &starttls[..]),
        (TlsMode::Implicit, &implicit[..]),
    ] {
        let identity = identity(mode == TlsMode::Implicit);
        let sandbox = SmtpSandboxOptions {
            tls: Some(identity.clone()),
            auth: Some(("user".to_owned(), "secret".to_owned())),
            ..Default::default()
        };
        let mut rig = Rig::with(sandbox, |options| {
            options.tls = mode;
            options.extra_roots_pem = Some(identity.certificate_pem.clone());
            options.auth = Some(("user".to_owned(), "secret".into()));
        })
        .await;
        let mut lengths = Vec::new();
        for _ in 0..3 {
            assert!(is_accepted(&rig.send("one").await));
            let whole = rig.log().await.pop().unwrap();
            lengths.push((whole.link_sent, whole.link_received, whole.reply.len() as u64 + 2));
            rig.reconnect();
            within(rig.server.disconnected()).await;
        }
        let (sent, received, last_reply) = lengths[0];
        assert!(lengths.iter().all(|one| *one == lengths[0]), "{lengths:?}");

        // The reply to the dot is the server's last record, and the dot the client's.
        let dot_from = sent - (last_reply + RECORD) + 1;
        let mut named = Vec::new();
        for at in 0..=sent {
            named.extend(
                send_cut(&mut rig, after_sent(at), at, dot_from)
                    .await
                    .map(|stage| (at, stage)),
            );
        }
        assert_in_order(&named, order, "DATA");
        let dot_from = received - (3 + RECORD) + 1;
        let mut named = Vec::new();
        for at in 0..=received {
            named.extend(
                send_cut(&mut rig, after_received(at), at, dot_from)
                    .await
                    .map(|stage| (at, stage)),
            );
        }
        assert_in_order(&named, order, "MAIL");
    }
}
