//! Receipts and texts that Aliyun, Tencent Cloud and Vonage push.

use kith::domain::signing::{VonageHash, vonage};
use serde_json::json;

use super::site::{RECEIPTS, Site, TWILIO_TOKEN};

async fn push(site: &Site, path: String, body: String) -> u16 {
    let request = site.http.post(format!("{}{path}", site.public)).body(body);
    request.send().await.unwrap().status().as_u16()
}

async fn set(site: &Site, reply: &str) {
    sqlx::query("update message set outcome = 'uncertain', reply = $1 where channel = 'sms'")
        .bind(reply)
        .execute(&site.db.pool)
        .await
        .unwrap();
}

const SETTLED: &str = "select count(*) from message where channel = 'sms' and outcome = 'accepted'";
const BAD: &str = "select count(*) from suppression where channel = 'sms' and reason = 'address-bad'";

#[tokio::test]
async fn aliyuns_receipts_need_the_secret_end_and_settle_what_nobody_knew() {
    let site = Site::open().await;
    let ann = site.somebody("zh-Hans").await;
    let report = |success: bool, words: &str| {
        json!([{ "phone_number": "13800138000", "success": success, "err_code": "x", "err_msg": words,
                 "biz_id": format!("1^{words}"), "out_id": ann.text }])
        .to_string()
    };
    set(&site, "").await;
    let to = |token: &str| format!("/sms/aliyun/{token}");
    assert_eq!(push(&site, to("guess"), report(true, "")).await, 404);
    assert_eq!(
        push(&site, format!("/sms/tencent/{RECEIPTS}x"), report(true, "")).await,
        404
    );
    assert_eq!(site.count(SETTLED).await, 0);
    for _ in 0..2 {
        assert_eq!(push(&site, to(RECEIPTS), report(true, "ok")).await, 200);
    }
    assert_eq!(
        (site.count(SETTLED).await, site.events().await.len()),
        (1, 1),
        "a second push is the same"
    );
    assert_eq!(push(&site, to(RECEIPTS), report(false, "关机")).await, 200);
    assert_eq!(site.count(BAD).await, 0);
    assert_eq!(push(&site, to(RECEIPTS), report(false, "空号")).await, 200);
    assert_eq!(site.count(BAD).await, 1);
    assert_eq!(push(&site, to(RECEIPTS), "no json".to_owned()).await, 400);
    let text =
        json!([{ "phone_number": "13800138000", "send_time": "2027-01-04 10:00:00", "content": "退订" }]);
    assert_eq!(push(&site, to(RECEIPTS), text.to_string()).await, 200);
    // The number had been suppressed already; the person's own word stands beside it.
    let stopped = "select count(*) from event where type = 'opted_out' and source = 'aliyun'";
    assert_eq!(site.count(stopped).await, 1);
}

#[tokio::test]
async fn tencents_receipts_find_their_message_by_its_serial_number() {
    let site = Site::open().await;
    site.somebody("zh-Hans").await;
    let report = |sid: &str| {
        json!([{ "user_receive_time": "2027-01-04 10:00:03", "nationcode": "86", "mobile": "13800138000",
                 "report_status": "SUCCESS", "errmsg": "DELIVRD", "description": "", "sid": sid }])
        .to_string()
    };
    set(&site, "200 2019:85 Ok").await;
    let to = || format!("/sms/tencent/{RECEIPTS}");
    for other in ["2019:8", "019:85", "2019:99", "Ok%"] {
        assert_eq!(push(&site, to(), report(other)).await, 200);
    }
    assert_eq!(
        (site.count(SETTLED).await, site.events().await.len()),
        (0, 0),
        "none of ours"
    );
    assert_eq!(push(&site, to(), report("2019:85")).await, 200);
    assert_eq!((site.count(SETTLED).await, site.events().await.len()), (1, 1));
}

#[tokio::test]
async fn where_vonage_signs_only_a_signature_counts() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let id = ann.text.to_string();
    let mut params = vec![
        ("msisdn", "8613800138000"),
        ("messageId", "0A1"),
        ("status", "delivered"),
        ("client-ref", id.as_str()),
        ("timestamp", "1798000000"),
    ];
    set(&site, "").await;
    let form = |params: &[(&str, &str)]| {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish()
    };
    let to = || format!("/sms/vonage/{RECEIPTS}");
    assert_eq!(
        push(&site, to(), form(&params)).await,
        404,
        "the end of the address is not enough"
    );
    let sig = vonage(TWILIO_TOKEN, VonageHash::Sha256, &params);
    params.push(("sig", &sig));
    assert_eq!(push(&site, to(), form(&params)).await, 204);
    assert_eq!((site.count(SETTLED).await, site.events().await.len()), (1, 1));
    params[2].1 = "failed";
    assert_eq!(
        push(&site, to(), form(&params)).await,
        404,
        "what was signed was another state"
    );
}
