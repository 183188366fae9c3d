//! The dialogue swallowed without a word from every byte of either stream on: no reset tells the client, only its deadlines.

use std::time::Duration;

use futures::StreamExt as _;
use kith::channel::SendOutcome;
use kith::channel::smtp::{SmtpOptions, TlsMode};
use kith::sandbox::gate::Gate;
use kith::sandbox::proxy::{Fault, Harm, Proxy, Way};
use kith::sandbox::smtp::{Action, Moment, Ordinary, SmtpSandboxOptions, Stage};

use super::secure::identity;
use super::stages::Stages;
use super::{Go, Rig, channel_of, is_accepted, mail, send};

/// How long each stage may take: much longer than it needs, as nothing but silence shall use it up.
const STAGE: Duration = Duration::from_millis(700);
const AT_ONCE: usize = 48;

/// Whether the reason is that this stage took too long.
fn costs(why: &str, stage: &str) -> bool {
    why.starts_with(&format!("{stage}: nothing within"))
}

/// Sends one mail over a link that falls silent.
async fn send_into(rig: &Rig, fault: Fault, id: &str) -> (SendOutcome, u32) {
    let proxy = Proxy::start(rig.server.addr, move |_| Some(fault)).await.unwrap();
    let options = SmtpOptions {
        port: proxy.addr.port(),
        ..rig.options.clone()
    };
    let crossing = Go::default();
    let outcome = send(&channel_of(&options), &mail(id), &crossing).await;
    (outcome, crossing.asked())
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_from_every_byte_on_the_verdict_is_right() {
    for pipelining in [true, false] {
        let sandbox = SmtpSandboxOptions {
            pipelining,
            ..Default::default()
        };
        let mut rig = Rig::with(sandbox, |options| {
            let limits = &mut options.deadlines;
            (limits.hello, limits.envelope, limits.data, limits.dot) = (STAGE, STAGE, STAGE, STAGE);
        })
        .await;
        let stages = Stages::overhear(&rig, "00000", pipelining).await;
        assert!(is_accepted(&rig.send("00000").await));
        let whole = rig.log().await.remove(1);
        rig.reconnect();

        // Everything up to the 354 lets the dot out; the whole last reply makes it known.
        let (sent, received) = (whole.link_sent, whole.link_received);
        let to_354 = sent - (whole.reply.len() as u64 + 2);
        // The content: a stuffed dot and the final dot are more than the mail has.
        let to_data = received - (mail("00000").bytes.len() as u64 + 1 + 3);
        let cases = (0..=sent)
            .map(|at| (Way::ToClient, at, to_354, sent))
            .chain((0..=received).map(|at| (Way::ToServer, at, to_data, received)));
        let (rig, stages) = (&rig, &stages);
        let wrong: Vec<String> = futures::stream::iter(cases.enumerate())
            .map(|(n, (way, at, dot_from, known_from))| async move {
                let fault = Fault {
                    way,
                    at,
                    harm: Harm::Blackhole(None),
                };
                let id = format!("{:05}", n + 1);
                let (outcome, asked) = send_into(rig, fault, &id).await;
                let right = match (&outcome, way) {
                    (SendOutcome::Accepted { .. }, _) => at >= known_from && asked == 1,
                    (SendOutcome::Uncertain { why }, _) => {
                        (dot_from..known_from).contains(&at)
                            && asked == 1
                            && why.starts_with("after the dot: nothing within")
                    }
                    (SendOutcome::Deferred { why, .. }, Way::ToClient) => {
                        at < dot_from && asked == 0 && costs(why, stages.awaited(at))
                    }
                    (SendOutcome::Deferred { why, .. }, Way::ToServer) => {
                        at < dot_from && asked == 0 && stages.unread(at).iter().any(|stage| costs(why, stage))
                    }
                    _ => false,
                };
                (!right).then(|| format!("{way:?} {at} of {known_from}: {outcome:?}, asked {asked} times"))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |wrong| wrong)
            .collect()
            .await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));

        // And the judge agrees: what is called not sent was never taken, what is called accepted was.
        let log = rig.log().await;
        let taken = log.iter().filter(|record| record.stored).count() as u64;
        // The first two, those whose reply was swallowed from some byte on, and the two that were heard.
        assert_eq!(taken, 2 + (sent - to_354 + 1) + 1);
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_costs_the_deadline_of_a_block() {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.deadlines.block = Duration::from_millis(300);
    })
    .await;
    let gate = Gate::shut();
    let held = gate.clone();
    rig.server.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Content => Action::hold(&held),
        _ => Action::Go,
    });
    // More than the buffers between the two hold.
    let mut large = mail("large");
    let line = [[b'x'; 62].as_slice(), b"\r\n"].concat();
    large.bytes.extend(line.repeat((16 << 20) / line.len()));
    let crossing = Go::default();
    let outcome = send(&rig.channel, &large, &crossing).await;
    assert!(
        matches!(&outcome, SendOutcome::Deferred { why, .. } if costs(why, "content")),
        "{outcome:?}"
    );
    assert_eq!(crossing.asked(), 0);
    rig.server.behave(Ordinary);
    gate.kill();
    assert_eq!(rig.log().await[0].dot_received_at, None);
    assert!(is_accepted(&rig.send("next").await));
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_costs_the_deadline_of_the_connect() {
    // Nothing from the first byte on, and nothing after the word that TLS may begin.
    let go_ahead =
        "220 sandbox.invalid ESMTP\r\n250-sandbox.invalid\r\n250 STARTTLS\r\n220 2.0.0 go ahead\r\n";
    for (mode, at) in [(TlsMode::Implicit, 0), (TlsMode::StartTls, go_ahead.len() as u64)] {
        let sandbox = SmtpSandboxOptions {
            tls: Some(identity(mode == TlsMode::Implicit)),
            ..Default::default()
        };
        let rig = Rig::with(sandbox, |options| {
            options.tls = mode;
            options.deadlines.connect = Duration::from_millis(300);
        })
        .await;
        rig.server.behave(|at: &Moment<'_>| match at.stage {
            Stage::Ehlo => Action::reply("250-sandbox.invalid\r\n250 STARTTLS"),
            _ => Action::Go,
        });
        let fault = Fault {
            way: Way::ToClient,
            at,
            harm: Harm::Blackhole(None),
        };
        let (outcome, asked) = send_into(&rig, fault, "one").await;
        assert!(
            matches!(&outcome, SendOutcome::Deferred { why, .. } if costs(why, "TLS")),
            "{mode:?}: {outcome:?}"
        );
        assert_eq!(asked, 0);
    }
}
