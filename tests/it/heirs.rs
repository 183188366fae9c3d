//! The work of a daemon that was killed, and of one that was stopped, goes on elsewhere: how soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, Stage};

use crate::process::{CONNECTIONS, Workshop, live};
use crate::rig::{Files, one_mail, until, within};

/// The promise.
const SOON: Duration = Duration::from_mins(1);
const LETTERS: i32 = 100;
const VICTIM: &str = "victim@example.com";

/// `kith.toml` with a lease that runs out quickly, or with the shipped one if `KITH_SHIPPED_LEASE` is set.
fn rules(port: u16) -> String {
    let short = "[lease]\nheartbeat = \"1s\"\ndead_after = \"4s\"\n";
    let rules = live(port);
    assert!(rules.contains(short));
    if std::env::var_os("KITH_SHIPPED_LEASE").is_some() {
        rules.replace(short, "")
    } else {
        rules
    }
}

/// What becomes of a daemon that has claimed everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Killed,
    Stopped,
}

/// The full figure is `KITH_SHIPPED_LEASE=1 cargo test --test it heirs::`.
#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_killed_and_of_a_stopped_daemon_is_resumed_within_a_minute() {
    for blow in [Blow::Killed, Blow::Stopped] {
        resumed_after(blow).await;
    }
}

async fn resumed_after(blow: Blow) {
    let workshop = Workshop::with(false, |port| Files::write(&rules(port), &[one_mail("first")])).await;
    workshop.done(&["apply"]);
    // The victim comes as far as RCPT; whoever else sends is answered.
    let gate = Gate::shut();
    let (held, others) = (gate.clone(), Arc::new(AtomicU64::new(0)));
    let counted = others.clone();
    workshop.server.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Rcpt if at.mail_from == VICTIM => Action::hold(&held),
        Stage::Dot => {
            counted.fetch_add(1, Ordering::AcqRel);
            Action::Go
        }
        _ => Action::Go,
    });
    let victim = workshop.run("victim", VICTIM);
    workshop.due(LETTERS).await;
    within(gate.arrived(CONNECTIONS as u64)).await;
    let claimed = "select count(*) from queue where state = 'claimed'";
    until("it has claimed everything", async || {
        (workshop.count(claimed).await == i64::from(LETTERS)).then_some(())
    })
    .await;
    let heir = workshop.run("heir", "heir@example.com");
    until("the heir is registered", async || {
        let alive = "select count(*) from daemon where ended_at is null";
        (workshop.count(alive).await == 2).then_some(())
    })
    .await;

    let struck = Instant::now();
    let stopped = match blow {
        Blow::Killed => {
            victim.kill();
            None
        }
        Blow::Stopped => {
            victim.freeze();
            Some(victim)
        }
    };
    until("the first is sent by the heir", async || {
        (others.load(Ordering::Acquire) > 0).then_some(())
    })
    .await;
    let first = struck.elapsed();
    workshop.all_ended().await;
    let all = struck.elapsed();
    eprintln!(
        "{blow:?}: the first of {LETTERS} letters after {:.1} s, the last after {:.1} s",
        first.as_secs_f64(),
        all.as_secs_f64()
    );
    assert!(all < SOON, "{blow:?}: {all:?}");

    // What the stopped one had in hand is not its own any more.
    if let Some(stopped) = stopped {
        stopped.thaw();
        gate.open();
        assert!(stopped.leave().await.success());
    }
    gate.kill();
    assert!(heir.leave().await.success());
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(workshop.acknowledged(), LETTERS as usize, "each once");
    let accepted = "select count(*) from message where outcome = 'accepted' and sender = 'mail'";
    assert_eq!(workshop.count(accepted).await, i64::from(LETTERS));
}
