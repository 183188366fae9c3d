//! The dialogue swallowed without a word from every byte of either stream on: no reset tells the client, only its deadlines.

use std::time::Duration;

use futures::StreamExt as _;
use kith::channel::SendOutcome;
use kith::channel::smtp::SmtpOptions;
use kith::sandbox::proxy::{Fault, Harm, Proxy, Way};
use kith::sandbox::smtp::SmtpSandboxOptions;

use super::{Go, Rig, channel_of, is_accepted, is_deferred, is_uncertain, mail, send};

/// How long each stage may take: much longer than it needs, as nothing but silence shall use it up.
const STAGE: Duration = Duration::from_millis(700);
const AT_ONCE: usize = 48;

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
        assert!(is_accepted(&rig.send("00000").await));
        let whole = rig.log().await.remove(0);
        rig.reconnect();

        // Everything up to the 354 lets the dot out; the whole last reply makes it known.
        let (sent, received) = (whole.link_sent, whole.link_received);
        let to_354 = sent - (whole.reply.len() as u64 + 2);
        // The content: a stuffed dot and the final dot are more than the mail has.
        let to_data = received - (mail("00000").bytes.len() as u64 + 1 + 3);
        let cases = (0..=sent)
            .map(|at| (Way::ToClient, at, to_354, sent))
            .chain((0..=received).map(|at| (Way::ToServer, at, to_data, received)));
        let rig = &rig;
        let wrong: Vec<String> = futures::stream::iter(cases.enumerate())
            .map(|(n, (way, at, dot_from, known_from))| async move {
                let fault = Fault {
                    way,
                    at,
                    harm: Harm::Blackhole(None),
                };
                let id = format!("{:05}", n + 1);
                let (outcome, asked) = send_into(rig, fault, &id).await;
                let right = match at {
                    _ if at >= known_from => is_accepted(&outcome) && asked == 1,
                    _ if at >= dot_from => is_uncertain(&outcome) && asked == 1,
                    _ => is_deferred(&outcome) && asked == 0,
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
        // The first, those whose reply was swallowed from some byte on, and the two that were heard.
        assert_eq!(taken, 1 + (sent - to_354 + 1) + 1);
    }
}
