//! What goes well, and what the connections do.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use kith::channel::SendOutcome;
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::sandbox::checker::{Findings, Outcome, Told, check};
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, Received, Record, Sink, SmtpSandbox, SmtpSandboxOptions, Stage};

use super::{Go, Rig, Silence, Stop, is_accepted, mail, send, within};

#[tokio::test]
async fn a_mail_arrives_as_it_was_built() {
    for pipelining in [true, false] {
        let rig = Rig::with(
            SmtpSandboxOptions {
                pipelining,
                ..Default::default()
            },
            |_| {},
        )
        .await;
        let crossing = Go::default();
        let outcome = rig.send_when("one", &crossing).await;
        assert_eq!(
            outcome,
            SendOutcome::Accepted {
                reply: "250 2.0.0 taken".to_owned()
            }
        );
        assert_eq!(crossing.asked(), 1);
        let log = rig.log().await;
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].message_id, "one@shop.example");
        assert_eq!(
            (log[0].mail_from.as_str(), log[0].rcpt.as_slice()),
            ("bounce@shop.example", &["one@customer.example".to_owned()][..])
        );
        assert_eq!(log[0].bytes.as_deref(), Some(mail("one").bytes.as_slice()));
        assert!(log[0].stored && log[0].reply_delivered);
        assert_eq!(log[0].dot_received_at, Some(1));
    }
}

#[tokio::test]
async fn a_bare_line_feed_before_a_dot_cannot_end_the_mail() {
    let rig = Rig::ordinary().await;
    let mut mail = mail("one");
    mail.bytes = b"Message-ID: <one@shop.example>\n\na\n.\nMAIL FROM:<x@y>\r.\r\n..b\r\n.".to_vec();
    assert!(is_accepted(&send(&rig.channel, &mail, &Go::default()).await));
    let arrived = b"Message-ID: <one@shop.example>\r\n\r\na\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\n..b\r\n.\r\n";
    let log = rig.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].bytes.as_deref(), Some(arrived.as_slice()));
}

#[tokio::test]
async fn many_mails_on_one_connection_do_not_wait_for_acknowledgements() {
    let rig = Rig::ordinary().await;
    let start = Instant::now();
    for n in 0..200 {
        assert!(is_accepted(&rig.send(&format!("m{n}")).await));
    }
    // Without NODELAY each of them takes some 40 ms.
    assert!(
        start.elapsed() < 200 * Duration::from_millis(20),
        "took {:?}",
        start.elapsed()
    );
    assert_eq!(rig.server.connections(), 1);
    let dots: Vec<_> = rig
        .log()
        .await
        .iter()
        .filter_map(|record| record.dot_received_at)
        .collect();
    assert_eq!(dots, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_mail_arrives_whole() {
    let rig = Rig::ordinary().await;
    let mut mail = mail("big");
    let line = [b".".as_slice(), &[b'x'; 75], b"\r\n"].concat();
    mail.bytes.extend(line.repeat(20_000));
    assert!(is_accepted(&send(&rig.channel, &mail, &Go::default()).await));
    assert_eq!(rig.log().await[0].bytes.as_deref(), Some(mail.bytes.as_slice()));
}

#[tokio::test]
async fn a_connection_carries_as_many_as_allowed() {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| options.max_messages = 2).await;
    for n in 0..5 {
        assert!(is_accepted(&rig.send(&format!("m{n}")).await));
    }
    assert_eq!(rig.server.connections(), 3);
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_open() {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.max_connections = 2;
    })
    .await;
    let gate = Gate::shut();
    let held = gate.clone();
    rig.server.behave(move |at: &Moment<'_>| match at.stage {
        Stage::Dot => Action::hold(&held),
        _ => Action::Go,
    });
    let sends: Vec<_> = (0..6)
        .map(|n| {
            let channel = rig.channel.clone();
            tokio::spawn(async move { send(&channel, &mail(&format!("m{n}")), &Go::default()).await })
        })
        .collect();
    within(gate.arrived(2)).await;
    assert_eq!(rig.server.connections(), 2);
    gate.open();
    for sent in sends {
        assert!(is_accepted(&sent.await.unwrap()));
    }
    assert_eq!(rig.server.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_once() {
    for at_mail in [Action::reply("421 4.4.2 idle too long"), Action::Drop] {
        let rig = Rig::ordinary().await;
        assert!(is_accepted(&rig.send("first").await));
        rig.server.behave(move |at: &Moment<'_>| match at {
            Moment {
                connection: 1,
                stage: Stage::Mail,
                ..
            } => at_mail.clone(),
            _ => Action::Go,
        });
        let crossing = Go::default();
        assert!(is_accepted(&rig.send_when("second", &crossing).await));
        assert_eq!((rig.server.connections(), crossing.asked()), (2, 1));
    }
    let rig = Rig::ordinary().await;
    assert!(is_accepted(&rig.send("first").await));
    rig.server.behave(|at: &Moment<'_>| {
        if at.stage == Stage::Mail {
            Action::Drop
        } else {
            Action::Go
        }
    });
    assert!(super::is_deferred(&rig.send("second").await));
    assert_eq!(rig.server.connections(), 2);
}

#[tokio::test]
async fn two_senders_use_their_own_servers() {
    let (one, two) = (Rig::ordinary().await, Rig::ordinary().await);
    let plain = |rig: &Rig| SmtpOptions {
        tls: TlsMode::None,
        ..SmtpOptions::new("127.0.0.1", rig.server.addr.port())
    };
    let channel = SmtpChannel::new([
        ("main".to_owned(), plain(&one)),
        ("other".to_owned(), plain(&two)),
    ])
    .unwrap();
    let mut other = mail("other");
    other.sender = "other".to_owned();
    let mut nobody = mail("nobody");
    nobody.sender = "nobody".to_owned();
    assert!(is_accepted(&send(&channel, &mail("main"), &Go::default()).await));
    assert!(is_accepted(&send(&channel, &other, &Go::default()).await));
    assert!(super::is_deferred(&send(&channel, &nobody, &Go::default()).await));
    assert_eq!(one.log().await[0].message_id, "main@shop.example");
    assert_eq!(two.log().await[0].message_id, "other@shop.example");
    assert_eq!((one.server.log().len(), two.server.log().len()), (1, 1));
    channel.close_idle().await;
    within(one.server.disconnected()).await;
}

#[tokio::test]
async fn without_a_crossing_there_is_no_dot() {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.deadlines.crossing = Duration::from_millis(20);
    })
    .await;
    assert_eq!(rig.send_when("stopped", &Stop).await, SendOutcome::NotCrossed);
    assert_eq!(rig.send_when("silent", &Silence).await, SendOutcome::Withdrawn);
    within(rig.server.disconnected()).await;
    let log = rig.log().await;
    assert_eq!(log.len(), 2);
    assert!(
        log.iter()
            .all(|record| record.dot_received_at.is_none() && record.stage == Stage::Content)
    );
}

#[tokio::test]
async fn a_cancelled_send_leaves_no_reply_for_the_next() {
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Content, Stage::Dot] {
        for pipelining in [true, false] {
            let rig = Rig::with(
                SmtpSandboxOptions {
                    pipelining,
                    ..Default::default()
                },
                |_| {},
            )
            .await;
            let gate = Gate::shut();
            let held = gate.clone();
            rig.server.behave(move |at: &Moment<'_>| match at.stage {
                s if s == stage && at.mail_from == "held@shop.example" => Action::hold(&held),
                Stage::Rcpt if at.rcpt[0].starts_with("second") => Action::reply("550 5.1.1 user unknown"),
                _ => Action::Go,
            });
            // A kept connection, so that the cancelled send has one to spoil.
            assert!(is_accepted(&rig.send("zeroth").await));
            let channel = rig.channel.clone();
            let first = tokio::spawn(async move {
                let mut first = mail("first");
                first.mail_from = "held@shop.example".to_owned();
                send(&channel, &first, &Go::default()).await
            });
            within(gate.arrived(1)).await;
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            gate.open();
            let outcome = rig.send("second").await;
            assert!(
                matches!(outcome, SendOutcome::Refused { .. }),
                "{stage:?}: {outcome:?}"
            );
        }
    }
}

struct Inbox(tokio::sync::mpsc::UnboundedSender<Received>);

impl Sink for Inbox {
    fn take(&self, mail: Received) -> BoxFuture<'_, ()> {
        self.0.send(mail).unwrap();
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn the_sink_and_the_log_file_get_what_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.jsonl");
    let (inbox, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let sandbox = SmtpSandboxOptions {
        sink: Some(std::sync::Arc::new(Inbox(inbox))),
        log_file: Some(file.clone()),
        ..Default::default()
    };
    let rig = Rig::with(sandbox, |_| {}).await;
    assert!(is_accepted(&rig.send("one").await));
    assert_eq!(taken.try_recv().unwrap().rcpt, ["one@customer.example"]);
    rig.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::Dot => Action::store_and_drop(),
        _ => Action::Go,
    });
    assert!(super::is_uncertain(&rig.send("two").await));
    assert_eq!(taken.try_recv().unwrap().message_id, "two@shop.example");
    rig.log().await;
    let told = [
        ("one", Outcome::Accepted),
        ("two", Outcome::Uncertain),
        ("three", Outcome::NotSent),
    ];
    let told = told
        .map(|(id, outcome)| (format!("{id}@shop.example"), Told::from(outcome)))
        .into();
    let findings = check(&Record::read_file(&file).unwrap(), &told);
    assert_eq!(findings, Findings::default());
    rig.server.stop().await;
    assert!(SmtpSandbox::start(SmtpSandboxOptions::default()).await.is_ok());
}
