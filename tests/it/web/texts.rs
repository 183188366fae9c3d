//! Text messages that come in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use reqwest::Response;
use ring::hmac;

use super::site::{PHONE, PUBLIC_URL, Site, TWILIO_TOKEN};

async fn text(site: &Site, token: &str, sid: &str, from: &str, body: &str) -> Response {
    let form = vec![
        ("MessageSid", sid),
        ("From", from),
        ("To", "+15550100"),
        ("Body", body),
    ];
    signed(site, token, "/sms/twilio", form).await
}

async fn signed(site: &Site, token: &str, path: &str, mut form: Vec<(&str, &str)>) -> Response {
    form.sort_unstable();
    let joined: String = form.iter().flat_map(|(key, value)| [*key, *value]).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("{PUBLIC_URL}{path}{joined}").as_bytes()));
    let request = site.http.post(format!("{}{path}", site.public)).form(&form);
    request
        .header("X-Twilio-Signature", signature)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn only_what_the_provider_signed_is_taken() {
    let site = Site::open().await;
    site.somebody("zh-CN").await;
    assert_eq!(
        text(&site, "a wrong token", "SM1", PHONE, "STOP").await.status(),
        403
    );
    let unsigned = site
        .http
        .post(format!("{}/sms/twilio", site.public))
        .form(&[("From", PHONE), ("Body", "STOP")]);
    assert_eq!(unsigned.send().await.unwrap().status(), 403);
    assert_eq!(site.count("select count(*) from suppression").await, 0);
}

#[tokio::test]
async fn stop_start_help_and_replies() {
    let site = Site::open().await;
    site.somebody("zh-CN").await;
    let sms = "select count(*) from suppression where channel = 'sms'";
    let said = async |sid: &str, body: &str| {
        site.deps().clock.advance(TimeDelta::seconds(1)).unwrap();
        let response = text(&site, TWILIO_TOKEN, sid, PHONE, body).await;
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    };
    for (n, word) in ["STOP", "退订", "TD", "T", "R"].into_iter().enumerate() {
        let answer = said(&format!("SM-stop-{n}"), word).await;
        assert!(!answer.contains("<Message>"), "{answer}");
        assert_eq!(site.count(sms).await, 1, "{word}");
        said(&format!("SM-start-{n}"), "START").await;
        assert_eq!(site.count(sms).await, 0, "{word}");
    }
    let help = said("SM-help", "HELP").await;
    assert!(help.contains("<Message>") && help.contains("TD"), "{help}");
    let before = site.events().await.len();
    for _ in 0..2 {
        said("SM-reply", "Please call me tomorrow").await;
    }
    let events = site.events().await;
    assert_eq!(
        events.len(),
        before + 1,
        "the provider's second try is the same message"
    );
    assert!(events.last().unwrap().starts_with("replied true"), "{events:?}");
}

#[tokio::test]
async fn a_stop_from_a_number_that_nobody_has_holds_for_the_number() {
    let site = Site::open().await;
    let response = text(&site, TWILIO_TOKEN, "SM9", "+14155552671", "stop").await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        site.count("select count(*) from suppression where channel = 'sms'")
            .await,
        1
    );
    assert_eq!(site.count("select count(*) from event_parked").await, 1);
}

#[tokio::test]
async fn reports_settle_what_nobody_knew_and_bad_numbers_are_left_alone() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let path = format!("/sms/twilio/status/{}", ann.text);
    let report = async |token: &str, status: &str, code: &str| {
        let mut form = vec![("MessageSid", "SM7"), ("MessageStatus", status)];
        if !code.is_empty() {
            form.push(("ErrorCode", code));
        }
        signed(&site, token, &path, form).await.status()
    };
    let unknown = async || {
        sqlx::query("update message set outcome = 'uncertain' where channel = 'sms'")
            .execute(&site.db.pool)
            .await
            .unwrap();
    };
    let settled = "select count(*) from message where channel = 'sms' and outcome = 'accepted'";
    unknown().await;
    assert_eq!(report("a wrong token", "delivered", "").await, 403);
    assert_eq!(site.count(settled).await, 0);
    assert_eq!(report(TWILIO_TOKEN, "sent", "").await, 204);
    assert_eq!(site.count(settled).await, 1);
    assert!(site.events().await.is_empty(), "sent is no delivery");
    unknown().await;
    for _ in 0..2 {
        assert_eq!(report(TWILIO_TOKEN, "delivered", "").await, 204);
    }
    assert_eq!(site.count(settled).await, 1);
    assert_eq!(site.events().await.len(), 1, "a second report is the same");
    unknown().await;
    assert_eq!(report(TWILIO_TOKEN, "undelivered", "30003").await, 204);
    assert_eq!(site.count(settled).await, 1);
    let bad = "select count(*) from suppression where channel = 'sms' and reason = 'address-bad'";
    assert_eq!(site.count(bad).await, 0, "a handset that is off is no bad number");
    let form = vec![
        ("MessageSid", "SM8"),
        ("MessageStatus", "failed"),
        ("ErrorCode", "30006"),
    ];
    assert_eq!(signed(&site, TWILIO_TOKEN, &path, form).await.status(), 204);
    assert_eq!(site.count(bad).await, 1);
}
