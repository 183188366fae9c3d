//! The SMS channel against the recording gateway, and Twilio's signatures.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use kith::channel::sms::{
    GenericSmsOptions, SmsChannel, SmsDeadlines, SmsOptions, TwilioOptions, TwilioSender,
};
use kith::channel::{BuiltMessage, BuiltSms, Channel, Crossed, Crossing, RefusalClass, SendOutcome};
use kith::domain::gate::Clearance;
use kith::inbound::twilio::{verify_twilio_json_signature, verify_twilio_signature};
use kith::sandbox::gate::Gate;
use kith::sandbox::link::Cut;
use kith::sandbox::sms::{ReceivedSms, SmsAction, SmsBehaviour, SmsSandbox, SmsSandboxOptions};

struct Answers(Crossed, AtomicU32);

impl Crossing for Answers {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        self.1.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(self.0).boxed()
    }
}

struct Silence;

impl Crossing for Silence {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        futures::future::pending().boxed()
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 3, 1, 9, 0, 0).unwrap()
}

struct Rig {
    gateway: SmsSandbox,
    channel: SmsChannel,
}

impl Rig {
    async fn new(idempotent: bool) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let auth = Some(("AC1".to_owned(), "t0ken".to_owned()));
        let gateway = SmsSandbox::start(SmsSandboxOptions {
            auth,
            idempotent,
            ..Default::default()
        })
        .await
        .unwrap();
        let base_url = format!("http://{}", gateway.addr);
        let generic = GenericSmsOptions {
            method: "POST".to_owned(),
            url: format!("{base_url}/sms"),
            headers: vec![
                ("content-type".to_owned(), "application/json".into()),
                ("authorization".to_owned(), "Basic {{base64 \"AC1:t0ken\"}}".into()),
            ],
            body: r#"{"to":{{json to}},"from":{{json from}},"text":{{json text}},"message_id":{{json message_id}}}"#
                .into(),
            from: "Shop".to_owned(),
            accepted_if: None,
            idempotent,
        };
        let twilio = TwilioOptions {
            base_url,
            account_sid: "AC1".to_owned(),
            auth_token: "t0ken".into(),
            from: TwilioSender::Number("+15005550006".to_owned()),
            status_callback: Some("https://t.example.com/sms/twilio/status".to_owned()),
        };
        let mut stranger = twilio.clone();
        stranger.auth_token = "mistyped".into();
        let senders = [
            ("generic".to_owned(), SmsOptions::Generic(generic)),
            ("twilio".to_owned(), SmsOptions::Twilio(twilio)),
            ("stranger".to_owned(), SmsOptions::Twilio(stranger)),
        ];
        let deadlines = SmsDeadlines {
            crossing: Duration::from_secs(2),
            answer: Duration::from_millis(500),
        };
        let channel = SmsChannel::new(senders, deadlines, Arc::new(now)).unwrap();
        Self { gateway, channel }
    }

    async fn send(&self, sender: &str) -> SendOutcome {
        self.send_when(sender, &Answers(Crossed::Go, AtomicU32::new(0)))
            .await
    }

    async fn send_when(&self, sender: &str, crossing: &dyn Crossing) -> SendOutcome {
        let sms = BuiltMessage::Sms(BuiltSms {
            sender: sender.to_owned(),
            to: "+14155550100".to_owned(),
            text: "Hi \"Ada\",\n50 % & more".to_owned(),
            message_id: "m1".to_owned(),
            registered: None,
        });
        let send = self.channel.send(Clearance::by_operator(), &sms, crossing);
        tokio::time::timeout(Duration::from_mins(1), send).await.unwrap()
    }
}

#[tokio::test]
async fn a_text_arrives_through_either_provider() {
    let rig = Rig::new(false).await;
    let callback = "https://t.example.com/sms/twilio/status/m1";
    for (sender, from, message_id, callback) in [
        ("generic", "Shop", "m1", ""),
        ("twilio", "+15005550006", "", callback),
    ] {
        assert!(
            matches!(rig.send(sender).await, SendOutcome::Accepted { .. }),
            "{sender}"
        );
        let record = rig.gateway.log().pop().unwrap();
        let expected = ReceivedSms {
            to: "+14155550100".to_owned(),
            from: from.to_owned(),
            text: "Hi \"Ada\",\n50 % & more".to_owned(),
            message_id: message_id.to_owned(),
            status_callback: callback.to_owned(),
            registered: None,
        };
        assert_eq!(record.sms, expected);
        assert!(record.stored);
    }
    let SendOutcome::Accepted { reply } = rig.send("twilio").await else {
        panic!("not accepted")
    };
    assert_eq!(reply, format!("201 SM{:032x} queued", 3));
}

type Expected = Box<dyn Fn(&SendOutcome) -> bool>;

#[tokio::test]
async fn answers_have_outcomes() {
    let rig = Rig::new(false).await;
    let error =
        |code: u32, status: u16| format!("{{\"code\":{code},\"message\":\"why\",\"status\":{status}}}");
    let refused = |class| move |outcome: &SendOutcome| matches!(outcome, SendOutcome::Refused { class: c, .. } if *c == class);
    let deferred = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Deferred { until: None, .. });
    let rests = |outcome: &SendOutcome| {
        let hour = now() + TimeDelta::hours(1);
        matches!(outcome, SendOutcome::Deferred { until, why } if *until == Some(hour) && why.starts_with("sender problem"))
    };
    let uncertain = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Uncertain { .. });
    let cases: Vec<(u16, String, Expected)> = vec![
        (
            400,
            error(21211, 400),
            Box::new(refused(RefusalClass::AddressBad)),
        ),
        (
            400,
            error(21610, 400),
            Box::new(refused(RefusalClass::PolicyBlocked)),
        ),
        (400, error(99999, 400), Box::new(refused(RefusalClass::Other))),
        (400, error(21606, 400), Box::new(rests)),
        (401, error(20003, 401), Box::new(rests)),
        (500, error(20500, 500), Box::new(deferred)),
        (502, "<html>bad gateway".to_owned(), Box::new(uncertain)),
        (303, String::new(), Box::new(uncertain)),
        (307, String::new(), Box::new(rests)),
        (404, "<html>no such page".to_owned(), Box::new(rests)),
    ];
    for (status, body, expected) in cases {
        let answer = SmsAction::answer(status, &body);
        rig.gateway.behave(move |_: &ReceivedSms| answer.clone());
        let outcome = rig.send("twilio").await;
        assert!(expected(&outcome), "{status} {body}: {outcome:?}");
    }
    rig.gateway.behave(|_: &ReceivedSms| SmsAction::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "120".to_owned())],
        body: String::new(),
    });
    for sender in ["twilio", "generic"] {
        let outcome = rig.send(sender).await;
        let until = Some(now() + TimeDelta::seconds(120));
        assert!(
            matches!(&outcome, SendOutcome::Deferred { until: u, .. } if *u == until),
            "{outcome:?}"
        );
    }
    assert!(
        rests(&rig.send("stranger").await),
        "a wrong token is the account's fault"
    );
    assert!(deferred(&rig.send("nobody").await));
    assert!(rig.gateway.log().iter().all(|record| !record.stored));
}

#[tokio::test]
async fn no_answer_after_the_request_is_uncertain() {
    let rig = Rig::new(false).await;
    let gate = Gate::shut();
    for action in [
        SmsAction::Drop,
        SmsAction::store_and_drop(),
        SmsAction::Hold(gate, Box::new(SmsAction::Go)),
    ] {
        rig.gateway.behave(move |_: &ReceivedSms| action.clone());
        for sender in ["twilio", "generic"] {
            let before = rig.gateway.connections();
            let outcome = rig.send(sender).await;
            assert!(matches!(outcome, SendOutcome::Uncertain { .. }), "{outcome:?}");
            assert!(rig.gateway.connections() <= before + 1, "it was tried twice");
        }
    }
    assert_eq!(rig.gateway.log().iter().filter(|record| record.stored).count(), 2);
}

struct CutAt(Cut);

impl SmsBehaviour for CutAt {
    fn at(&self, _sms: &ReceivedSms) -> SmsAction {
        SmsAction::Go
    }

    fn cut(&self, _connection: u64) -> Cut {
        self.0
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_taken_for_a_refusal_or_a_failure() {
    for at in (0..200).step_by(7) {
        let rig = Rig::new(false).await;
        rig.gateway.behave(CutAt(Cut {
            after_sent: Some(at),
            ..Cut::default()
        }));
        let outcome = rig.send("twilio").await;
        // A link reset before the first byte may be seen while connecting is still under way; else the head decides.
        let stored = rig.gateway.log().iter().any(|record| record.stored);
        let right = match &outcome {
            SendOutcome::Uncertain { .. } => true,
            SendOutcome::Accepted { reply } => stored && reply.starts_with("201"),
            SendOutcome::Deferred { .. } => !stored,
            _ => false,
        };
        assert!(right, "{at}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_idempotent_gateway_takes_a_repetition_once() {
    let rig = Rig::new(true).await;
    rig.gateway
        .behave(|_: &ReceivedSms| SmsAction::StoreThen(Box::new(SmsAction::answer(502, "oops"))));
    assert!(matches!(rig.send("generic").await, SendOutcome::Deferred { .. }));
    rig.gateway.behave(|_: &ReceivedSms| SmsAction::Go);
    assert!(matches!(rig.send("generic").await, SendOutcome::Accepted { .. }));
    assert_eq!(rig.gateway.log().iter().filter(|record| record.stored).count(), 1);
}

#[tokio::test]
async fn without_a_crossing_there_is_no_request() {
    let rig = Rig::new(false).await;
    for sender in ["twilio", "generic"] {
        let stop = Answers(Crossed::Stop, AtomicU32::new(0));
        assert_eq!(rig.send_when(sender, &stop).await, SendOutcome::NotCrossed);
        assert_eq!(stop.1.load(Ordering::SeqCst), 1);
    }
    assert_eq!(rig.send_when("twilio", &Silence).await, SendOutcome::Withdrawn);
    assert_eq!((rig.gateway.log().len(), rig.gateway.connections()), (0, 0));
}

#[tokio::test]
async fn nobody_listening_is_deferred() {
    let Rig { gateway, channel } = Rig::new(false).await;
    let addr = gateway.addr;
    gateway.stop().await;
    let rig = Rig {
        gateway: SmsSandbox::start(SmsSandboxOptions::default()).await.unwrap(),
        channel,
    };
    assert_ne!(rig.gateway.addr, addr);
    for sender in ["twilio", "generic"] {
        let outcome = rig.send(sender).await;
        assert!(matches!(outcome, SendOutcome::Deferred { .. }), "{outcome:?}");
    }
}

#[derive(serde::Deserialize)]
struct Vector {
    case: String,
    token: String,
    url: String,
    params: Vec<(String, String)>,
    body: Option<String>,
    signature: String,
}

#[test]
fn twilio_signatures_agree_with_published_ones() {
    let corpora = std::env::var("KITH_CORPORA").unwrap_or_else(|_| "../shared/corpora".to_owned());
    let file = std::path::Path::new(&corpora).join("webhooks/signing/twilio.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no signature vectors at {}", file.display());
        return;
    };
    let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
    assert!(!vectors.is_empty());
    for Vector {
        case,
        token,
        url,
        mut params,
        body,
        signature,
    } in vectors
    {
        if let Some(body) = body {
            assert!(
                verify_twilio_json_signature(&token, &url, body.as_bytes(), &signature),
                "{case}"
            );
            assert!(
                !verify_twilio_json_signature(&token, &url, b"{}", &signature),
                "{case}"
            );
            continue;
        }
        assert!(
            verify_twilio_signature(&token, &url, &params, &signature),
            "{case}"
        );
        assert!(
            !verify_twilio_signature("other", &url, &params, &signature),
            "{case}"
        );
        assert!(
            !verify_twilio_signature(&token, &format!("{url}x"), &params, &signature),
            "{case}"
        );
        assert!(
            !verify_twilio_signature(&token, &url, &params, "no base64!"),
            "{case}"
        );
        params.push(("Body".to_owned(), "slipped in".to_owned()));
        assert!(
            !verify_twilio_signature(&token, &url, &params, &signature),
            "{case}"
        );
    }
}
