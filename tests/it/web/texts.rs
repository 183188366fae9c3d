//! Text messages that come in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use reqwest::Response;
use ring::hmac;

use super::site::{PHONE, PUBLIC_URL, Site, TWILIO_TOKEN};

async fn text(site: &Site, token: &str, sid: &str, from: &str, body: &str) -> Response {
    let mut form = vec![
        ("MessageSid", sid),
        ("From", from),
        ("To", "+15550100"),
        ("Body", body),
    ];
    form.sort_unstable();
    let joined: String = form.iter().flat_map(|(key, value)| [*key, *value]).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let signature = STANDARD.encode(hmac::sign(
        &key,
        format!("{PUBLIC_URL}/sms/twilio{joined}").as_bytes(),
    ));
    let request = site.http.post(format!("{}/sms/twilio", site.public)).form(&form);
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
