//! `POST /v1/events`.

use chrono::TimeDelta;
use kith::engine::sweep;
use reqwest::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::site::{Site, start};

async fn post(site: &Site, token: &str, body: &Value) -> Response {
    let request = site.http.post(format!("{}/v1/events", site.admin));
    request.bearer_auth(token).json(body).send().await.unwrap()
}

async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_event_has_its_answer() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let token = site.token("crm").await;
    let replied =
        json!({ "id": "r1", "type": "replied", "contact": "ANN@example.com", "data": { "text": "hello" } });
    let one: Value = post(&site, &token, &replied).await.json().await.unwrap();
    assert_eq!(one, json!({ "answers": [{ "id": "r1", "status": "accepted" }] }));
    let many = json!([
        replied,
        { "id": "d1", "type": "delivered", "message": ann.mail },
        { "id": "p1", "type": "clicked", "message": Uuid::now_v7(), "data": { "tag": "pricing" } },
        { "id": "x1", "type": "clickd", "contact": "ann@example.com" },
        { "id": "x2", "type": "note", "contact": "ann@example.com", "colour": "red" },
        { "id": "x3", "type": "purchase", "contact": "ann@example.com" },
        7,
    ]);
    let answers: Value = post(&site, &token, &many).await.json().await.unwrap();
    let status: Vec<_> = answers["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["id"].as_str().unwrap_or("-"), a["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        status,
        [
            ("r1", "duplicate"),
            ("d1", "accepted"),
            ("p1", "parked"),
            ("x1", "refused"),
            ("x2", "refused"),
            ("x3", "refused"),
            ("-", "refused")
        ]
    );
    let reason = answers["answers"][4]["reason"].as_str().unwrap();
    assert!(reason.contains("colour"), "{reason}");
    assert_eq!(site.events().await.len(), 2);
    assert_eq!(site.count("select count(*) from event_parked").await, 1);
    assert_eq!(
        site.count("select count(*) from event where source = 'api:crm'")
            .await,
        2
    );
}

#[tokio::test]
async fn who_is_unknown_or_sends_too_much_is_refused_as_a_whole() {
    let site = Site::open().await;
    site.somebody("en").await;
    let token = site.token("crm").await;
    let note = |n: usize| json!({ "id": format!("n{n}"), "type": "note", "contact": "ann@example.com" });
    let url = format!("{}/v1/events", site.admin);
    let without = site.http.post(&url).json(&note(0)).send().await.unwrap();
    assert_eq!(code(without).await, (401, "unauthorized".into()));
    assert_eq!(
        code(post(&site, "wrong", &note(0)).await).await,
        (401, "unauthorized".into())
    );
    let broken = site
        .http
        .post(&url)
        .bearer_auth(&token)
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(code(broken).await, (400, "bad_request".into()));
    assert_eq!(
        code(post(&site, &token, &json!("x")).await).await,
        (400, "bad_request".into())
    );
    let many: Vec<Value> = (0..1001).map(note).collect();
    assert_eq!(
        code(post(&site, &token, &json!(many)).await).await,
        (413, "too_large".into())
    );
    let fat = json!({ "id": "f", "type": "note", "contact": "a", "data": { "text": "x".repeat(3 << 20) } });
    assert_eq!(
        code(post(&site, &token, &fat).await).await,
        (413, "too_large".into())
    );
    assert!(site.events().await.is_empty());
    let most = json!(many[..1000]);
    assert_eq!(post(&site, &token, &most).await.status(), 200);
    assert_eq!(site.events().await.len(), 1000);
}

#[tokio::test]
async fn how_far_ahead_and_how_long_parked_is_as_configured() {
    let site = Site::open().await;
    site.somebody("en").await;
    let token = site.token("crm").await;
    let at = |minutes: i64| (start() + TimeDelta::minutes(minutes)).to_rfc3339();
    let sent = json!([
        { "id": "a", "type": "note", "contact": "ann@example.com", "at": at(4) },
        { "id": "b", "type": "note", "contact": "ann@example.com", "at": at(6) },
        { "id": "c", "type": "clicked", "message": Uuid::now_v7() },
    ]);
    let answers: Value = post(&site, &token, &sent).await.json().await.unwrap();
    let statuses: Vec<_> = (0..3)
        .map(|n| answers["answers"][n]["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["accepted", "refused", "parked"]);
    assert_eq!(
        answers["answers"][1]["reason"],
        "at: lies more than 5m in the future"
    );

    let parked = "select count(*) from event_parked";
    sweep::run_once(site.deps(), start() + TimeDelta::days(29))
        .await
        .unwrap();
    assert_eq!(site.count(parked).await, 1);
    sweep::run_once(site.deps(), start() + TimeDelta::days(31))
        .await
        .unwrap();
    assert_eq!(site.count(parked).await, 0);
}
