//! The dialogue cut by reset at every byte of either stream.

use futures::FutureExt;
use futures::future::BoxFuture;
use kith::channel::{Crossed, Crossing, SendOutcome};
use kith::sandbox::link::Cut;
use kith::sandbox::smtp::{CutAt, SmtpSandbox, SmtpSandboxOptions};

use super::{Go, Rig, is_accepted, is_uncertain, within};

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

/// Sends one mail over a link that is cut; `dot_from` is the first count of bytes at which the client's dot gets out.
async fn send_cut(rig: &mut Rig, cut: Cut, at: u64, dot_from: u64) {
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
    if delivered {
        assert!(is_accepted(&outcome), "{cut:?}: {outcome:?}");
    } else if dot_received || at >= dot_from {
        assert!(is_uncertain(&outcome), "{cut:?}: {outcome:?}");
    } else {
        let not_sent = matches!(outcome, SendOutcome::Deferred { .. } | SendOutcome::Withdrawn);
        assert!(not_sent, "{cut:?}: {outcome:?}");
        assert_eq!(
            outcome == SendOutcome::Withdrawn,
            asked == 1,
            "{cut:?}: {outcome:?}"
        );
    }
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
        assert!(is_accepted(&rig.send("one").await));
        let whole = rig.log().await.remove(0);
        rig.reconnect();
        within(rig.server.disconnected()).await;

        // The server sends its last reply after the dot: before that is everything up to the 354.
        let last_reply = whole.reply.len() as u64 + 2;
        for at in 0..=whole.link_sent {
            let cut = Cut {
                after_sent: Some(at),
                ..Cut::default()
            };
            send_cut(&mut rig, cut, at, whole.link_sent - last_reply + 1).await;
        }
        // The client's last three bytes are the dot; once one of them has been read, all were sent.
        for at in 0..=whole.link_received {
            let cut = Cut {
                after_received: Some(at),
                ..Cut::default()
            };
            send_cut(&mut rig, cut, at, whole.link_received - 2).await;
        }
    }
}
