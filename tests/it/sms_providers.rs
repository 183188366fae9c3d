//! Aliyun, Tencent Cloud and Vonage against the recording gateway: what is asked, how it is signed, what answers mean.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use kith::channel::sms::{
    AliyunOptions, SmsChannel, SmsDeadlines, SmsOptions, TencentOptions, VonageLogin, VonageOptions,
};
use kith::channel::{BuiltMessage, BuiltSms, Channel, Crossed, Crossing, SendOutcome};
use kith::domain::gate::Clearance;
use kith::domain::registered::{Blanks, RegisteredText};
use kith::domain::signing::{
    Tc3Scope, VonageHash, aliyun_acs3, aliyun_acs3_authorization, aliyun_rpc_v1, tencent_tc3,
    tencent_tc3_authorization, vonage,
};
use kith::sandbox::sms::{ReceivedSms, SmsAction, SmsRecord, SmsSandbox, SmsSandboxOptions};

struct Go;

impl Crossing for Go {
    fn cross(&self) -> BoxFuture<'_, Crossed> {
        futures::future::ready(Crossed::Go).boxed()
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 3, 1, 9, 0, 0).unwrap()
}

struct Rig {
    gateway: SmsSandbox,
    channel: SmsChannel,
}

fn named() -> Blanks {
    Blanks::Named(BTreeMap::from([("name".to_owned(), "王芳 & \"co\"".to_owned())]))
}

fn listed() -> Blanks {
    Blanks::Listed(vec!["王芳".to_owned(), "3".to_owned()])
}

impl Rig {
    async fn new() -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = SmsSandbox::start(SmsSandboxOptions::default()).await.unwrap();
        let base_url = format!("http://{}", gateway.addr);
        let aliyun = |rpc| {
            SmsOptions::Aliyun(AliyunOptions {
                base_url: base_url.clone(),
                access_key_id: "LTAI".to_owned(),
                access_key_secret: "k3y".into(),
                sign_name: "某公司".to_owned(),
                rpc,
            })
        };
        let tencent = SmsOptions::Tencent(TencentOptions {
            base_url: base_url.clone(),
            secret_id: "AKID".to_owned(),
            secret_key: "k3y".into(),
            app_id: "1400006666".to_owned(),
            sign_name: "某公司".to_owned(),
            region: "ap-guangzhou".to_owned(),
        });
        let vonage = |login| {
            SmsOptions::Vonage(VonageOptions {
                base_url: base_url.clone(),
                api_key: "k".to_owned(),
                login,
                from: "Shop".to_owned(),
                callback: Some("https://t.example.com/sms/vonage/signed".into()),
            })
        };
        let senders = [
            ("aliyun".to_owned(), aliyun(false)),
            ("aliyun-rpc".to_owned(), aliyun(true)),
            ("tencent".to_owned(), tencent),
            (
                "vonage".to_owned(),
                vonage(VonageLogin::Signature("s3cret".into(), VonageHash::Sha512)),
            ),
            (
                "vonage-plain".to_owned(),
                vonage(VonageLogin::Secret("pass".into())),
            ),
        ];
        let channel = SmsChannel::new(senders, SmsDeadlines::default(), Arc::new(now)).unwrap();
        Self { gateway, channel }
    }

    async fn send(&self, sender: &str, variables: Blanks) -> SendOutcome {
        let registered = RegisteredText {
            template: "SMS_71390007".to_owned(),
            sign_name: None,
            variables,
        };
        let sms = BuiltMessage::Sms(BuiltSms {
            sender: sender.to_owned(),
            to: "+8613800138000".to_owned(),
            text: "王芳您好 a=b&c".to_owned(),
            message_id: "m1".to_owned(),
            registered: Some(registered),
        });
        self.channel.send(Clearance::by_operator(), &sms, &Go).await
    }

    /// The only request since the last look.
    fn last(&self) -> SmsRecord {
        self.gateway.log().pop().unwrap()
    }
}

fn blanks(sender: &str) -> Blanks {
    if sender.starts_with("tencent") {
        listed()
    } else {
        named()
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
}

fn form(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

#[tokio::test]
async fn a_registered_text_arrives_with_its_blanks_and_a_right_signature() {
    let rig = Rig::new().await;
    for (at, sender, to) in [
        (1, "aliyun", "13800138000"),
        (2, "aliyun-rpc", "13800138000"),
        (3, "tencent", "+8613800138000"),
    ] {
        let outcome = rig.send(sender, blanks(sender)).await;
        assert!(
            matches!(&outcome, SendOutcome::Accepted { .. }),
            "{sender}: {outcome:?}"
        );
        assert_eq!(rig.gateway.log().len(), at, "one request each");
        let record = rig.last();
        let expected = ReceivedSms {
            to: to.to_owned(),
            from: "某公司".to_owned(),
            message_id: "m1".to_owned(),
            registered: Some(RegisteredText {
                template: "SMS_71390007".to_owned(),
                sign_name: Some("某公司".to_owned()),
                variables: blanks(sender),
            }),
            ..ReceivedSms::default()
        };
        assert_eq!(record.sms, expected);
        let raw = &record.raw;
        match sender {
            "aliyun" => {
                let login = raw.header("authorization").unwrap();
                let names = login
                    .split("SignedHeaders=")
                    .nth(1)
                    .unwrap()
                    .split(',')
                    .next()
                    .unwrap();
                let headers: Vec<_> = names.split(';').map(|n| (n, raw.header(n).unwrap())).collect();
                let query = form(&raw.query);
                let signed = aliyun_acs3("k3y", "POST", "/", &pairs(&query), &headers, raw.body.as_bytes());
                assert_eq!(login, aliyun_acs3_authorization("LTAI", &headers, &signed));
                assert_eq!(raw.header("x-acs-date"), Some("2027-03-01T09:00:00Z"));
            }
            "aliyun-rpc" => {
                let mut params = form(&raw.body);
                let signature = params.remove("Signature").unwrap();
                assert_eq!(signature, aliyun_rpc_v1("k3y", "POST", &pairs(&params)).signature);
            }
            _ => {
                let scope = Tc3Scope {
                    service: "sms",
                    timestamp: now().timestamp(),
                    date: "2027-03-01",
                };
                let headers: Vec<_> = ["content-type", "host", "x-tc-action"]
                    .map(|n| (n, raw.header(n).unwrap()))
                    .to_vec();
                let signed = tencent_tc3("k3y", scope, &headers, raw.body.as_bytes());
                assert_eq!(
                    raw.header("authorization").unwrap(),
                    tencent_tc3_authorization("AKID", scope, &headers, &signed)
                );
            }
        }
    }
    let SendOutcome::Accepted { reply } = rig.send("tencent", listed()).await else {
        panic!("not accepted")
    };
    assert_eq!(
        reply, "200 2027:4 Ok",
        "the serial number stands alone, for the report of delivery"
    );
}

#[tokio::test]
async fn vonage_is_told_the_text_signed_or_with_its_secret() {
    let rig = Rig::new().await;
    for sender in ["vonage", "vonage-plain"] {
        let outcome = rig.send(sender, named()).await;
        assert!(
            matches!(&outcome, SendOutcome::Accepted { .. }),
            "{sender}: {outcome:?}"
        );
        let record = rig.last();
        assert_eq!(record.sms.to, "8613800138000");
        assert_eq!(
            (record.sms.text.as_str(), record.sms.message_id.as_str()),
            ("王芳您好 a=b&c", "m1")
        );
        let params = form(&record.raw.body);
        assert_eq!(params["type"], "unicode");
        if sender == "vonage" {
            let sig = vonage("s3cret", VonageHash::Sha512, &pairs(&params));
            assert_eq!(params["sig"], sig);
            assert!(!params.contains_key("api_secret"));
        } else {
            assert_eq!(params["api_secret"], "pass");
            assert!(!params.contains_key("sig"));
        }
    }
    assert_eq!(rig.gateway.log().iter().filter(|record| record.stored).count(), 2);
}

#[tokio::test]
async fn without_a_registered_text_nothing_is_asked() {
    let rig = Rig::new().await;
    for (sender, wrong) in [("aliyun", listed()), ("tencent", named())] {
        let outcome = rig.send(sender, wrong).await;
        let asks_for_help = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Deferred { why, .. } if why.starts_with("sender problem"));
        assert!(asks_for_help(&outcome), "{outcome:?}");
        let sms = BuiltMessage::Sms(BuiltSms {
            sender: sender.to_owned(),
            to: "+8613800138000".to_owned(),
            text: "x".to_owned(),
            message_id: "m1".to_owned(),
            registered: None,
        });
        let outcome = rig.channel.send(Clearance::by_operator(), &sms, &Go).await;
        assert!(asks_for_help(&outcome), "{outcome:?}");
    }
    assert_eq!((rig.gateway.log().len(), rig.gateway.connections()), (0, 0));
}

/// An outcome in a word, with the wait in minutes where there is one.
fn word(outcome: &SendOutcome) -> (String, Option<i64>) {
    let (word, until) = match outcome {
        SendOutcome::Accepted { .. } => ("accepted".to_owned(), None),
        SendOutcome::Deferred { until, why } if why.starts_with("sender problem") => {
            ("sender".to_owned(), *until)
        }
        SendOutcome::Deferred { until, .. } => ("deferred".to_owned(), *until),
        SendOutcome::Refused { class, .. } => (format!("{class:?}"), None),
        SendOutcome::Uncertain { .. } => ("uncertain".to_owned(), None),
        other => (format!("{other:?}"), None),
    };
    (word, until.map(|until| (until - now()).num_minutes()))
}

#[tokio::test]
async fn codes_have_outcomes() {
    let rig = Rig::new().await;
    let aliyun = |code: &str, words: &str| {
        format!("{{\"Code\":\"{code}\",\"Message\":\"{words}\",\"RequestId\":\"r\"}}")
    };
    let one = |code: &str| {
        format!(
            "{{\"Response\":{{\"SendStatusSet\":[{{\"SerialNo\":\"\",\"Code\":\"{code}\",\"Message\":\"w\"}}],\"RequestId\":\"r\"}}}}"
        )
    };
    let whole = |code: &str| {
        format!(
            "{{\"Response\":{{\"Error\":{{\"Code\":\"{code}\",\"Message\":\"w\"}},\"RequestId\":\"r\"}}}}"
        )
    };
    let vonage = |code: &str| {
        format!("{{\"message-count\":\"1\",\"messages\":[{{\"status\":\"{code}\",\"error-text\":\"w\"}}]}}")
    };
    let cases: Vec<(&str, u16, String, &str, Option<i64>)> = vec![
        (
            "aliyun",
            200,
            aliyun("isv.MOBILE_NUMBER_ILLEGAL", "w"),
            "AddressBad",
            None,
        ),
        (
            "aliyun",
            200,
            aliyun("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1"),
            "deferred",
            Some(1),
        ),
        (
            "aliyun",
            200,
            aliyun("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5"),
            "deferred",
            Some(60),
        ),
        (
            "aliyun",
            200,
            aliyun("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10"),
            "deferred",
            Some(24 * 60),
        ),
        (
            "aliyun",
            200,
            aliyun("isv.AMOUNT_NOT_ENOUGH", "w"),
            "sender",
            Some(60),
        ),
        (
            "aliyun",
            404,
            aliyun("InvalidAccessKeyId.NotFound", "w"),
            "sender",
            Some(60),
        ),
        ("aliyun", 400, aliyun("Throttling.User", "w"), "deferred", Some(1)),
        ("aliyun", 503, aliyun("ServiceUnavailable", "w"), "deferred", None),
        (
            "aliyun-rpc",
            400,
            aliyun("SignatureDoesNotMatch", "w"),
            "sender",
            Some(60),
        ),
        (
            "aliyun",
            200,
            aliyun("isv.SMS_TEMPLATE_ILLEGAL", "w"),
            "Other",
            None,
        ),
        ("aliyun", 200, "{}".to_owned(), "uncertain", None),
        ("aliyun", 502, "<html>".to_owned(), "uncertain", None),
        (
            "tencent",
            200,
            one("InvalidParameterValue.IncorrectPhoneNumber"),
            "AddressBad",
            None,
        ),
        (
            "tencent",
            200,
            one("LimitExceeded.PhoneNumberDailyLimit"),
            "deferred",
            Some(24 * 60),
        ),
        (
            "tencent",
            200,
            one("FailedOperation.InsufficientBalanceInSmsPackage"),
            "sender",
            Some(60),
        ),
        (
            "tencent",
            200,
            one("FailedOperation.PhoneNumberInBlacklist"),
            "PolicyBlocked",
            None,
        ),
        (
            "tencent",
            200,
            whole("AuthFailure.SignatureFailure"),
            "sender",
            Some(60),
        ),
        ("tencent", 200, whole("RequestLimitExceeded"), "deferred", Some(1)),
        ("tencent", 200, whole("InternalError.Timeout"), "uncertain", None),
        (
            "tencent",
            200,
            "{\"Response\":{\"RequestId\":\"r\"}}".to_owned(),
            "uncertain",
            None,
        ),
        ("vonage", 200, vonage("1"), "deferred", Some(0)),
        ("vonage", 200, vonage("9"), "sender", Some(60)),
        ("vonage", 200, vonage("33"), "AddressBad", None),
        ("vonage", 200, vonage("7"), "PolicyBlocked", None),
        ("vonage", 200, vonage("5"), "deferred", None),
        ("vonage", 401, String::new(), "sender", Some(60)),
        ("vonage", 200, String::new(), "uncertain", None),
    ];
    let count = cases.len();
    for (sender, status, body, expected, minutes) in cases {
        let action = SmsAction::answer(status, &body);
        rig.gateway.behave(move |_: &ReceivedSms| action.clone());
        let outcome = rig.send(sender, blanks(sender)).await;
        assert_eq!(
            word(&outcome),
            (expected.to_owned(), minutes),
            "{sender} {body}: {outcome:?}"
        );
    }
    assert_eq!(rig.gateway.log().len(), count, "one request each, none repeated");
    rig.gateway.behave(|_: &ReceivedSms| SmsAction::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
        body: String::new(),
    });
    for sender in ["aliyun", "tencent", "vonage"] {
        let outcome = rig.send(sender, blanks(sender)).await;
        let until = Some(now() + TimeDelta::minutes(10));
        assert!(
            matches!(&outcome, SendOutcome::Deferred { until: u, .. } if *u == until),
            "{outcome:?}"
        );
    }
    rig.gateway.behave(|_: &ReceivedSms| SmsAction::store_and_drop());
    for sender in ["aliyun", "tencent", "vonage"] {
        let before = rig.gateway.connections();
        let outcome = rig.send(sender, blanks(sender)).await;
        assert!(matches!(outcome, SendOutcome::Uncertain { .. }), "{outcome:?}");
        assert!(rig.gateway.connections() <= before + 1, "it was tried twice");
    }
}
