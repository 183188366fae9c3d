//! TLS and AUTH.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use kith::channel::SendOutcome;
use kith::channel::smtp::{SmtpOptions, TlsMode};
use kith::sandbox::smtp::{Action, Moment, SmtpSandboxOptions, Stage, TlsIdentity};

use super::{Rig, is_accepted, is_deferred};

pub fn identity(implicit: bool) -> TlsIdentity {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    TlsIdentity {
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        implicit,
    }
}

async fn rig(identity: &TlsIdentity, tls: TlsMode, trusted: bool) -> Rig {
    let sandbox = SmtpSandboxOptions {
        tls: Some(identity.clone()),
        ..Default::default()
    };
    Rig::with(sandbox, |options: &mut SmtpOptions| {
        options.tls = tls;
        options.extra_roots_pem = trusted.then(|| identity.certificate_pem.clone());
    })
    .await
}

#[tokio::test]
async fn checked_tls_carries_mail_to_a_trusted_server_only() {
    for (mode, implicit) in [(TlsMode::StartTls, false), (TlsMode::Implicit, true)] {
        let identity = identity(implicit);
        let trusting = rig(&identity, mode, true).await;
        for n in 0..3 {
            assert!(is_accepted(&trusting.send(&format!("m{n}")).await));
        }
        assert_eq!(trusting.server.connections(), 1);

        let doubting = rig(&identity, mode, false).await;
        assert!(is_deferred(&doubting.send("one").await));
        assert!(doubting.log().await.is_empty());
        assert!(doubting.channel.probe("main").await.unwrap_err().contains("TLS"));
    }
}

#[tokio::test]
async fn tls_is_never_given_up_silently() {
    let plain_server = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.tls = TlsMode::StartTls;
    })
    .await;
    let outcome = plain_server.send("one").await;
    assert!(
        matches!(&outcome, SendOutcome::Deferred { why, .. } if why.contains("STARTTLS")),
        "{outcome:?}"
    );
    assert!(plain_server.log().await.is_empty());

    let refusing = rig(&identity(false), TlsMode::StartTls, true).await;
    refusing.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::StartTls => Action::reply("454 4.7.0 TLS not available"),
        _ => Action::Go,
    });
    assert!(is_deferred(&refusing.send("one").await));
    assert!(refusing.log().await.is_empty());
}

#[tokio::test]
async fn somebody_on_the_way_who_hides_or_refuses_starttls_gets_no_mail() {
    let identity = identity(false);
    for (mode, stage, answer) in [
        (TlsMode::StartTls, Stage::Ehlo, "250-sandbox\r\n250 PIPELINING"),
        (TlsMode::StartTls, Stage::Ehlo, "250-sandbox\r\n250 XXXXXXXA"),
        (TlsMode::StartTls, Stage::Ehlo, "502 5.5.1 what is EHLO"),
        (TlsMode::StartTls, Stage::StartTls, "454 4.7.0 TLS not available"),
        (TlsMode::StartTls, Stage::StartTls, "502 5.5.1 what is STARTTLS"),
        (TlsMode::StartTls, Stage::StartTls, "220 go ahead\r\n220 twice"),
        // What was offered and then refused is no reason to go on in the clear.
        (
            TlsMode::Opportunistic,
            Stage::StartTls,
            "454 4.7.0 TLS not available",
        ),
    ] {
        let rig = rig(&identity, mode, true).await;
        rig.server.behave(move |at: &Moment<'_>| {
            if at.stage == stage {
                Action::reply(answer)
            } else {
                Action::Go
            }
        });
        let outcome = rig.send("one").await;
        assert!(is_deferred(&outcome), "{mode:?} {stage:?} {answer}: {outcome:?}");
        assert!(rig.log().await.is_empty(), "{mode:?} {stage:?} {answer}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_the_servers() {
    for (mode, implicit) in [(TlsMode::StartTls, false), (TlsMode::Implicit, true)] {
        let made = rcgen::generate_simple_self_signed(["mail.elsewhere.example".to_owned()]).unwrap();
        let other = TlsIdentity {
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            implicit,
        };
        let rig = rig(&other, mode, true).await;
        let outcome = rig.send("one").await;
        assert!(
            matches!(&outcome, SendOutcome::Deferred { why, .. } if why.contains("TLS")),
            "{mode:?}: {outcome:?}"
        );
        assert!(rig.log().await.is_empty());
    }
}

#[tokio::test]
async fn opportunistic_tls_takes_what_is_offered() {
    assert!(is_accepted(
        &rig(&identity(false), TlsMode::Opportunistic, false)
            .await
            .send("one")
            .await
    ));
    let plain = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.tls = TlsMode::Opportunistic;
    })
    .await;
    assert!(is_accepted(&plain.send("one").await));
}

#[tokio::test]
async fn mail_that_goes_in_the_clear_is_told_of_once() {
    let log = Log::default();
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).finish();
    // This thread only, and the test runs on one.
    let _listening = tracing::subscriber::set_default(subscriber);
    let mut plain = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.tls = TlsMode::Opportunistic;
    })
    .await;
    for id in ["one", "two"] {
        assert!(is_accepted(&plain.send(id).await));
        plain.reconnect();
    }
    assert_eq!(plain.channel.probe("main").await, Ok(false));
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(told.matches("in the clear").count(), 1, "{told}");
    assert!(
        told.contains(&plain.options.port.to_string()) && !told.contains("customer"),
        "{told}"
    );

    let secured = rig(&identity(false), TlsMode::Opportunistic, false).await;
    assert_eq!(secured.channel.probe("main").await, Ok(true));
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(told.matches("in the clear").count(), 1, "{told}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn bytes_slipped_in_before_the_handshake_end_the_link() {
    let rig = rig(&identity(false), TlsMode::StartTls, true).await;
    rig.server.behave(|at: &Moment<'_>| match at.stage {
        Stage::StartTls => Action::reply("220 go ahead\r\n250 PIPELINING"),
        _ => Action::Go,
    });
    let outcome = rig.send("one").await;
    assert!(
        matches!(&outcome, SendOutcome::Deferred { why, .. } if why.contains("PIPELINING")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn login_by_plain_and_by_login() {
    for offer in [
        "250-sandbox\r\n250 AUTH PLAIN LOGIN",
        "250-sandbox\r\n250 AUTH LOGIN",
    ] {
        for (password, right) in [("secret", true), ("mistyped", false)] {
            let auth = Some(("user".to_owned(), "secret".to_owned()));
            let rig = Rig::with(
                SmtpSandboxOptions {
                    auth,
                    ..Default::default()
                },
                |options| {
                    options.auth = Some(("user".to_owned(), password.into()));
                },
            )
            .await;
            rig.server.behave(move |at: &Moment<'_>| {
                if at.stage == Stage::Ehlo {
                    Action::reply(offer)
                } else {
                    Action::Go
                }
            });
            let outcome = rig.send("one").await;
            // A wrong password is the account's fault: the mail waits for a right one.
            assert!(
                if right {
                    is_accepted(&outcome)
                } else {
                    is_deferred(&outcome)
                },
                "{outcome:?}"
            );
            assert!(!format!("{outcome:?}").contains(password));
        }
    }
}

#[tokio::test]
async fn no_login_where_the_server_offers_none() {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.auth = Some(("user".to_owned(), "secret".into()));
    })
    .await;
    assert!(is_deferred(&rig.send("one").await));
    assert!(rig.log().await.is_empty());
}
