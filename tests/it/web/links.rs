//! The links in messages: pixel, click, unsubscribe, task buttons.

use chrono::TimeDelta;
use kith::domain::token::{Purpose, TokenKey};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use uuid::Uuid;

use super::site::{Site, start};

#[tokio::test]
async fn a_pixel_is_an_open_once_a_minute() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let path = format!("/o/{}.gif", site.sign(Purpose::Open, ann.mail, 0));
    for _ in 0..2 {
        let response = site.person("GET", &path).send().await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "image/gif");
        assert!(response.bytes().await.unwrap().starts_with(b"GIF89a"));
    }
    assert_eq!(site.events().await, ["opened true {}"]);
    site.deps().clock.advance(TimeDelta::minutes(1)).unwrap();
    site.person("GET", &path).send().await.unwrap();
    assert_eq!(site.events().await.len(), 2);
}

#[tokio::test]
async fn a_click_leads_to_the_stored_target_and_says_its_tag() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let token = site.sign(Purpose::Click, ann.mail, ann.link.unsigned_abs());
    let path = format!("/c/{token}?to=https://evil.example");
    let response = site.person("GET", &path).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(
        response.headers()[LOCATION],
        "https://www.example.com/pricing?a=1"
    );
    let events = site.events().await;
    assert_eq!(events.len(), 1);
    assert!(
        events[0].starts_with("clicked true") && events[0].contains("\"pricing\""),
        "{events:?}"
    );
    let moved = site.count("select count(*) from evidence").await;
    assert!(moved > 0, "a click on the price page is evidence for the lead");
    // A number that no link has is no link, though the signature is good.
    let unknown = site.sign(Purpose::Click, ann.mail, 999_999);
    assert_eq!(
        site.person("GET", &format!("/c/{unknown}"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn unsubscribing_speaks_the_persons_language_and_acts_on_post_alone() {
    let site = Site::open().await;
    let ann = site.somebody("zh-TW").await;
    let path = format!("/u/{}", site.sign(Purpose::Unsubscribe, ann.mail, 0));
    let page = site.person("GET", &path).send().await.unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(page.text().await.unwrap().contains("取消訂閱"));
    assert_eq!(site.count("select count(*) from suppression").await, 0);
    let one_click = site
        .http
        .post(format!("{}{path}", site.public))
        .form(&[("List-Unsubscribe", "One-Click")]);
    let answer = one_click.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let suppressed = "select count(*) from suppression where channel = 'email' and reason = 'opted-out'";
    assert_eq!(site.count(suppressed).await, 1);
    assert!(answer.text().await.unwrap().contains("已取消訂閱"));
    assert_eq!(site.events().await, ["opted_out true {\"channel\": \"email\"}"]);
    // Again: it is so already.
    assert_eq!(site.person("POST", &path).send().await.unwrap().status(), 200);
    assert_eq!(site.events().await.len(), 1);
}

#[tokio::test]
async fn who_came_back_may_leave_again_by_an_old_mail() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let path = format!("/u/{}", site.sign(Purpose::Unsubscribe, ann.mail, 0));
    site.person("POST", &path).send().await.unwrap();
    site.deps().clock.advance(TimeDelta::hours(1)).unwrap();
    let token = site.token("crm").await;
    let back = serde_json::json!({
        "id": "back", "type": "opted_in", "contact": "ann@example.com", "data": { "channel": "email" }
    });
    let sent = site
        .http
        .post(format!("{}/v1/events", site.admin))
        .bearer_auth(token)
        .json(&back);
    assert_eq!(sent.send().await.unwrap().status(), 200);
    assert_eq!(site.count("select count(*) from suppression").await, 0);
    site.deps().clock.advance(TimeDelta::hours(1)).unwrap();
    site.person("POST", &path).send().await.unwrap();
    assert_eq!(site.count("select count(*) from suppression").await, 1);
}

#[tokio::test]
async fn the_buttons_of_a_task_act_until_the_link_ends() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let good = site.deps().links.task(ann.task, start() + TimeDelta::days(1));
    let path = good.strip_prefix(super::site::PUBLIC_URL).unwrap().to_owned();
    let page = site
        .person("GET", &path)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("Call Ann") && page.contains("Ann &lt;b&gt;Lee&lt;/b&gt;"),
        "{page}"
    );
    let post = async |form: &[(&str, &str)]| site.person("POST", &path).form(form).send().await.unwrap();
    assert_eq!(
        post(&[("do", "leave"), ("until", "2027-02-01")]).await.status(),
        200
    );
    let left = "select count(*) from contact where leave_until = '2027-02-01'";
    assert_eq!(site.count(left).await, 1);
    assert_eq!(
        post(&[("do", "snooze"), ("until", "nonsense")]).await.status(),
        400
    );
    assert_eq!(
        post(&[("do", "done"), ("outcome", "Wants a quote")])
            .await
            .status(),
        200
    );
    let done = "select count(*) from task where state = 'done' and outcome = 'Wants a quote'";
    assert_eq!(site.count(done).await, 1);
    site.deps().clock.advance(TimeDelta::days(1)).unwrap();
    assert_eq!(post(&[("do", "done")]).await.status(), 410);
}

#[tokio::test]
async fn a_link_that_was_never_made_is_not_found() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let forger = TokenKey::new(b"another key");
    let expires = u64::try_from((start() + TimeDelta::days(9)).timestamp()).unwrap();
    for (purpose, path, id, number) in [
        (Purpose::Open, "/o/TOKEN.gif", ann.mail, 0),
        (Purpose::Click, "/c/TOKEN", ann.mail, ann.link.unsigned_abs()),
        (Purpose::Unsubscribe, "/u/TOKEN", ann.mail, 0),
        (Purpose::Task, "/t/TOKEN", ann.task, expires),
    ] {
        let wrong = if purpose == Purpose::Open {
            Purpose::Click
        } else {
            Purpose::Open
        };
        for token in [
            forger.sign(purpose, id, number),
            site.sign(wrong, id, number),
            "x".to_owned(),
            "A".repeat(3000),
        ] {
            let path = path.replace("TOKEN", &token);
            let got = site.person("GET", &path).send().await.unwrap();
            assert_eq!(got.status(), 404, "{path}");
            if matches!(purpose, Purpose::Unsubscribe | Purpose::Task) {
                let posted = site
                    .person("POST", &path)
                    .form(&[("do", "done")])
                    .send()
                    .await
                    .unwrap();
                assert_eq!(posted.status(), 404, "{path}");
            }
        }
    }
    // A good signature over a message that nobody sent changes nothing either.
    let stranger = site.sign(Purpose::Unsubscribe, Uuid::now_v7(), 0);
    let posted = site
        .person("POST", &format!("/u/{stranger}"))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 404);
    assert_eq!(site.count("select count(*) from suppression").await, 0);
    assert!(site.events().await.is_empty());
}
