//! Five hundred servers that say nothing: others hardly notice, and nobody waits for longer than his deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::channel::{BuiltEmail, SendOutcome};
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandbox, SmtpSandboxOptions, Stage};
use tokio::task::JoinHandle;

use super::{Go, is_accepted, mail, send, within};

const STALLED: usize = 500;
/// What an attempt with them may take, and the machine's own slowness beside it.
const STAGE: Duration = Duration::from_secs(8);
const SLACK: Duration = Duration::from_secs(4);
/// How long one measurement lasts: two of them, and the connecting between, end before the silent ones' deadline.
const MEASURED: Duration = Duration::from_millis(1500);
/// Most pairs of measurements. One in which the others lost less than a tenth is enough: what else the machine does makes the one
/// or the other slower, but what costs a tenth each time costs it in every pair.
const PAIRS: usize = 12;

fn options(server: &SmtpSandbox, most: usize) -> SmtpOptions {
    let mut options = SmtpOptions::new("127.0.0.1", server.addr.port());
    options.tls = TlsMode::None;
    options.max_connections = most;
    options.deadlines.hello = STAGE;
    options
}

/// Letters a second to the server that works.
async fn rate(channel: &SmtpChannel) -> f64 {
    let began = Instant::now();
    let accepted = futures::stream::iter(0..)
        .take_while(|_| std::future::ready(began.elapsed() < MEASURED))
        .map(|n| async move { is_accepted(&send(channel, &mail(&format!("{n:04}")), &Go::default()).await) })
        .buffer_unordered(8)
        .map(|accepted| assert!(accepted))
        .count()
        .await;
    accepted as f64 / began.elapsed().as_secs_f64()
}

/// So many letters to servers that say nothing; resolves when each has its connection. They come a few at a time: a listener
/// that is stormed leaves some without an answer, which is another story.
async fn stall(channel: &Arc<SmtpChannel>, gate: &Gate) -> Vec<JoinHandle<(SendOutcome, Duration)>> {
    let mut waiting = Vec::with_capacity(STALLED);
    for n in 1..=STALLED {
        let channel = channel.clone();
        waiting.push(tokio::spawn(async move {
            let letter = BuiltEmail {
                sender: "silent".to_owned(),
                ..mail(&format!("{n:04}"))
            };
            let began = Instant::now();
            let outcome = send(&channel, &letter, &Go::default()).await;
            (outcome, began.elapsed())
        }));
        if n % 50 == 0 {
            within(gate.arrived(n as u64)).await;
        }
    }
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_silent_servers_cost_the_others_little_and_nobody_outlives_his_deadline() {
    let silent = SmtpSandbox::start(SmtpSandboxOptions::default()).await.unwrap();
    let working = SmtpSandbox::start(SmtpSandboxOptions {
        keep_bytes: false,
        ..Default::default()
    })
    .await
    .unwrap();
    let channel = Arc::new(
        SmtpChannel::new([
            ("main".to_owned(), options(&working, 8)),
            ("silent".to_owned(), options(&silent, STALLED)),
        ])
        .unwrap(),
    );
    let mut best = 0.0_f64;
    let mut pairs = 0;
    while best <= 0.9 && pairs < PAIRS {
        let gate = shut(&silent);
        let alone = within(rate(&channel)).await;
        let waiting = stall(&channel, &gate).await;
        let beside = within(rate(&channel)).await;
        let still = waiting.iter().filter(|one| !one.is_finished()).count();
        eprintln!("{alone:.0} letters/s alone, {beside:.0} beside {still} silent servers");
        if still == STALLED {
            best = best.max(beside / alone);
        }
        gate.kill();
        for one in waiting {
            within(one).await.unwrap();
        }
        within(silent.disconnected()).await;
        pairs += 1;
    }
    assert!(best > 0.9, "at best {best:.2} of the rate alone");

    let gate = shut(&silent);
    for one in stall(&channel, &gate).await {
        let (outcome, took) = within(one).await.unwrap();
        assert!(matches!(outcome, SendOutcome::Deferred { .. }), "{outcome:?}");
        assert!(took < STAGE + SLACK, "{took:?}");
    }
    gate.kill();
    within(silent.disconnected()).await;
}

/// The server says nothing to whoever comes until the gate it returns is killed.
fn shut(silent: &SmtpSandbox) -> Gate {
    let gate = Gate::shut();
    let held = gate.clone();
    silent.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Connect => Action::hold(&held),
        _ => Action::Go,
    });
    gate
}
