//! Five hundred servers that say nothing: others hardly notice, and nobody waits for longer than his deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::channel::{BuiltEmail, SendOutcome};
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandbox, SmtpSandboxOptions, Stage};

use super::{Go, is_accepted, mail, send, within};

const STALLED: usize = 500;
/// What an attempt with them may take, and the machine's own slowness beside it.
const STAGE: Duration = Duration::from_secs(8);
const SLACK: Duration = Duration::from_secs(4);
/// Letters of one measurement, and how many measurements of each kind.
const LETTERS: usize = 400;
const ROUNDS: usize = 5;

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
    let accepted = futures::stream::iter(0..LETTERS)
        .map(|n| async move { is_accepted(&send(channel, &mail(&format!("{n:04}")), &Go::default()).await) })
        .buffer_unordered(8)
        .filter(|accepted| std::future::ready(*accepted))
        .count()
        .await;
    assert_eq!(accepted, LETTERS);
    LETTERS as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_silent_servers_cost_the_others_little_and_nobody_outlives_his_deadline() {
    let silent = SmtpSandbox::start(SmtpSandboxOptions::default()).await.unwrap();
    let gate = Gate::shut();
    let held = gate.clone();
    silent.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Connect => Action::hold(&held),
        _ => Action::Go,
    });
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
    let mut alone = 0.0_f64;
    for _ in 0..ROUNDS {
        alone = alone.max(within(rate(&channel)).await);
    }
    let waiting: Vec<_> = (0..STALLED)
        .map(|n| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let letter = BuiltEmail {
                    sender: "silent".to_owned(),
                    ..mail(&format!("{n:04}"))
                };
                let began = Instant::now();
                let outcome = send(&channel, &letter, &Go::default()).await;
                (outcome, began.elapsed())
            })
        })
        .collect();
    within(gate.arrived(STALLED as u64)).await;
    let mut beside = 0.0_f64;
    for _ in 0..ROUNDS {
        beside = beside.max(within(rate(&channel)).await);
    }
    let still = waiting.iter().filter(|one| !one.is_finished()).count();
    eprintln!("{alone:.0} letters/s alone, {beside:.0} beside {still} silent servers");
    for one in waiting {
        let (outcome, took) = within(one).await.unwrap();
        assert!(matches!(outcome, SendOutcome::Deferred { .. }), "{outcome:?}");
        assert!(took < STAGE + SLACK, "{took:?}");
    }
    assert!(
        still > 0,
        "they were still there when the others had been measured"
    );
    assert!(beside > 0.9 * alone, "{beside:.0} of {alone:.0} letters/s");
}
