//! Every stage says no, says nothing, or says nonsense.

use std::time::Duration;

use kith::channel::smtp::SmtpOptions;
use kith::channel::{RefusalClass, SendOutcome};
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandboxOptions, Stage};

use super::{Go, Rig, is_accepted, is_deferred, is_uncertain, mail, send, within};

/// The outcome with only what these tests look at.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Accepted,
    Deferred,
    Refused(RefusalClass),
    NotSent,
    Uncertain,
}

fn kind(outcome: &SendOutcome) -> Kind {
    match outcome {
        SendOutcome::Accepted { .. } => Kind::Accepted,
        SendOutcome::Deferred { .. } => Kind::Deferred,
        SendOutcome::Refused { class, .. } => Kind::Refused(*class),
        SendOutcome::NotBegun | SendOutcome::Withdrawn | SendOutcome::NotCrossed => Kind::NotSent,
        SendOutcome::Uncertain { .. } => Kind::Uncertain,
    }
}

#[tokio::test]
async fn each_reply_at_each_stage_has_its_outcome() {
    use Kind::{Deferred, Refused, Uncertain};
    let cases = [
        (Stage::Connect, "554 5.3.2 no service", Deferred),
        (Stage::Connect, "421 4.3.2 later", Deferred),
        (Stage::Connect, "hello", Deferred),
        (Stage::Ehlo, "550 5.7.0 who are you", Deferred),
        (Stage::Ehlo, "421 4.7.0 go away", Deferred),
        (Stage::Mail, "451 4.7.1 later", Deferred),
        (
            Stage::Mail,
            "550 5.7.1 blocked by policy",
            Refused(RefusalClass::PolicyBlocked),
        ),
        (Stage::Mail, "530 5.7.0 authentication required", Deferred),
        (Stage::Mail, "550 5.4.5 daily sending quota exceeded", Deferred),
        (Stage::Mail, "553 5.1.8 sender address rejected", Deferred),
        (
            Stage::Mail,
            "552 5.3.4 message size exceeds fixed limit",
            Refused(RefusalClass::Other),
        ),
        (Stage::Mail, "421 4.3.2 closing", Deferred),
        (Stage::Mail, "354 what", Deferred),
        (Stage::Rcpt, "450 4.2.0 greylisted", Deferred),
        (
            Stage::Rcpt,
            "550 5.1.1 user unknown",
            Refused(RefusalClass::AddressBad),
        ),
        (
            Stage::Rcpt,
            "552 5.2.2 mailbox full",
            Refused(RefusalClass::MailboxFull),
        ),
        (Stage::Rcpt, "nonsense", Deferred),
        (Stage::Data, "451 4.3.0 later", Deferred),
        (Stage::Data, "554 5.7.1 no", Refused(RefusalClass::PolicyBlocked)),
        (Stage::Data, "250 2.0.0 what", Deferred),
        (Stage::Dot, "451 4.3.0 try again", Deferred),
        (Stage::Dot, "421 4.3.2 closing, not taken", Deferred),
        (Stage::Dot, "554 5.7.1 spam", Refused(RefusalClass::PolicyBlocked)),
        (Stage::Dot, "354 go on", Uncertain),
        (Stage::Dot, "199 what", Uncertain),
        (Stage::Dot, "nonsense", Uncertain),
        (Stage::Dot, "250-half a reply\r\nnonsense", Uncertain),
    ];
    for pipelining in [true, false] {
        let mut rig = Rig::with(
            SmtpSandboxOptions {
                pipelining,
                ..Default::default()
            },
            |_| {},
        )
        .await;
        for (stage, reply, expected) in cases {
            rig.reconnect();
            rig.server.behave(move |at: &Moment<'_>| {
                if at.stage == stage {
                    Action::reply(reply)
                } else {
                    Action::Go
                }
            });
            let crossing = Go::default();
            let outcome = rig.send_when("one", &crossing).await;
            assert_eq!(kind(&outcome), expected, "{stage:?} {reply}: {outcome:?}");
            assert_eq!(
                crossing.asked(),
                u32::from(stage == Stage::Dot),
                "{stage:?} {reply}"
            );
            // Whatever happened, the next mail is judged by its own replies.
            rig.server.behave(|_: &Moment<'_>| Action::Go);
            assert!(is_accepted(&rig.send("next").await), "{stage:?} {reply}");
        }
    }
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_connection() {
    for pipelining in [true, false] {
        let rig = Rig::with(
            SmtpSandboxOptions {
                pipelining,
                ..Default::default()
            },
            |_| {},
        )
        .await;
        rig.server.behave(|at: &Moment<'_>| match at.stage {
            Stage::Rcpt if at.rcpt[0].starts_with("bad") => Action::reply("550 5.1.1 user unknown"),
            _ => Action::Go,
        });
        for n in 0..5 {
            assert!(matches!(
                rig.send(&format!("bad{n}")).await,
                SendOutcome::Refused { .. }
            ));
            assert!(is_accepted(&rig.send(&format!("good{n}")).await));
        }
        assert_eq!(rig.server.connections(), 1);
    }
}

#[tokio::test]
async fn a_reply_that_came_before_the_dot_is_not_its_answer() {
    let rig = Rig::ordinary().await;
    rig.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::Data => Action::reply("354 go ahead\r\n250 2.0.0 taken, they say"),
        Stage::Dot => Action::reply("554 5.7.1 spam"),
        _ => Action::Go,
    });
    let outcome = rig.send("one").await;
    assert!(
        matches!(kind(&outcome), Kind::Deferred | Kind::NotSent),
        "{outcome:?}"
    );
    within(rig.server.disconnected()).await;
    assert_eq!(rig.log().await[0].dot_received_at, None);
}

#[tokio::test]
async fn a_server_that_falls_silent_costs_its_deadline() {
    let brief = Duration::from_millis(50);
    for stage in [
        Stage::Connect,
        Stage::Ehlo,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Data,
        Stage::Dot,
    ] {
        for pipelining in [true, false] {
            let rig = Rig::with(
                SmtpSandboxOptions {
                    pipelining,
                    ..Default::default()
                },
                |options| {
                    let limits = &mut options.deadlines;
                    match stage {
                        Stage::Dot => limits.dot = brief,
                        Stage::Data => limits.data = brief,
                        Stage::Mail | Stage::Rcpt => limits.envelope = brief,
                        _ => limits.hello = brief,
                    }
                },
            )
            .await;
            let gate = Gate::shut();
            let held = gate.clone();
            rig.server.behave(move |at: &Moment<'_>| {
                if at.stage == stage {
                    Action::hold(&held)
                } else {
                    Action::Go
                }
            });
            let outcome = rig.send("one").await;
            let expected = if stage == Stage::Dot {
                is_uncertain(&outcome)
            } else {
                is_deferred(&outcome)
            };
            assert!(expected, "{stage:?}: {outcome:?}");
            // The late reply is nobody's.
            gate.kill();
            rig.server.behave(|_: &Moment<'_>| Action::Go);
            assert!(is_accepted(&rig.send("next").await));
        }
    }
}

/// A server takes half of the deadline to answer the dot, and another one longer than all of it. Scaled by 1 to 200, so
/// that 600 s are 3 s and an answer after 300 s comes after 1.5 s, as its last byte does.
#[tokio::test]
async fn an_answer_300_s_after_the_dot_is_heard_and_one_after_600_s_is_not() {
    const SCALE: u32 = 200;
    let real = SmtpOptions::new("127.0.0.1", 25).deadlines.dot;
    assert_eq!(real, Duration::from_mins(10));
    let bytes = "250 2.0.0 taken\r\n".len() as u32;
    for (seconds, heard) in [(300, true), (900, false)] {
        let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
            options.deadlines.dot = real / SCALE;
        })
        .await;
        let pause = Duration::from_secs(seconds) / SCALE / bytes;
        rig.server.behave(move |at: &Moment<'_>| match at.stage {
            Stage::Dot => Action::Drip(pause),
            _ => Action::Go,
        });
        let began = std::time::Instant::now();
        let outcome = rig.send("one").await;
        if heard {
            assert!(is_accepted(&outcome), "{outcome:?}");
            assert!(began.elapsed() >= pause * (bytes - 1), "it was waited for");
        } else {
            assert!(is_uncertain(&outcome), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_dripping_server_is_heard_out() {
    let rig = Rig::ordinary().await;
    rig.server
        .behave(|_: &Moment<'_>| Action::Drip(Duration::from_micros(100)));
    assert!(is_accepted(&rig.send("one").await));
}

#[tokio::test]
async fn a_link_dropped_after_the_dot_is_uncertain_whether_or_not_the_mail_was_taken() {
    for (action, taken) in [(Action::Drop, false), (Action::store_and_drop(), true)] {
        let rig = Rig::ordinary().await;
        rig.server.behave(move |at: &Moment<'_>| {
            if at.stage == Stage::Dot {
                action.clone()
            } else {
                Action::Go
            }
        });
        assert!(is_uncertain(&rig.send("one").await));
        let log = rig.log().await;
        assert_eq!(
            (log[0].stored, log[0].reply_delivered, log[0].dot_received_at),
            (taken, false, Some(1))
        );
    }
}

#[tokio::test]
async fn nobody_listening_is_deferred() {
    let rig = Rig::ordinary().await;
    let (channel, server) = (rig.channel, rig.server);
    server.stop().await;
    assert!(is_deferred(&send(&channel, &mail("one"), &Go::default()).await));
}

#[tokio::test]
async fn a_mail_that_the_server_cannot_take_is_refused_before_mail() {
    let rig = Rig::with(
        SmtpSandboxOptions {
            max_size: 1000,
            ..Default::default()
        },
        |_| {},
    )
    .await;
    let mut injected = mail("one");
    injected.rcpt_to = "a@b.example>\r\nRCPT TO:<c@d.example".to_owned();
    let mut large = mail("two");
    large.bytes.extend([b'x'; 2000]);
    for bad in [injected, large] {
        let outcome = send(&rig.channel, &bad, &Go::default()).await;
        assert_eq!(kind(&outcome), Kind::Refused(RefusalClass::Other));
    }
    assert!(rig.log().await.is_empty());
    // A server without 8BITMIME and SMTPUTF8 gets no 8-bit mail.
    let rig = Rig::ordinary().await;
    rig.server.behave(|at: &Moment<'_>| {
        if at.stage == Stage::Ehlo {
            Action::reply("250 old")
        } else {
            Action::Go
        }
    });
    let mut eight_bit = mail("three");
    eight_bit.bytes.extend("grüße".bytes());
    let mut utf8 = mail("four");
    utf8.rcpt_to = "用户@customer.example".to_owned();
    for bad in [eight_bit, utf8] {
        let outcome = send(&rig.channel, &bad, &Go::default()).await;
        assert_eq!(kind(&outcome), Kind::Refused(RefusalClass::Other));
    }
    assert!(is_accepted(&rig.send("five").await));
}
