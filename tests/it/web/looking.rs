//! Looking is not acting: machines that fetch every link, and paths that the public listener does not have.

use chrono::TimeDelta;
use kith::domain::token::Purpose;
use kith::web;

use super::site::{Site, start};

/// Everything that a link could have changed.
const STATE: &str = "
    select concat_ws(' ',
        (select count(*) from suppression), (select count(*) from consent), (select count(*) from evidence),
        (select count(*) from grade_change), (select count(*) from enrollment), (select count(*) from grievance),
        (select string_agg(state || coalesce(owner_id::text, '') || coalesce(outcome, ''), ',') from task),
        (select string_agg(coalesce(leave_until::text, ''), ',') from contact),
        (select string_agg(outcome, ',' order by id) from message),
        (select count(*) from event where human))";

#[tokio::test]
async fn machines_change_nothing_but_machine_events() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let expires = u64::try_from((start() + TimeDelta::days(9)).timestamp()).unwrap();
    let links = [
        format!("/o/{}.gif", site.sign(Purpose::Open, ann.mail, 0)),
        format!(
            "/c/{}",
            site.sign(Purpose::Click, ann.mail, ann.link.unsigned_abs())
        ),
        format!("/u/{}", site.sign(Purpose::Unsubscribe, ann.mail, 0)),
        format!("/u/{}", site.sign(Purpose::Unsubscribe, ann.text, 0)),
        format!("/t/{}", site.sign(Purpose::Task, ann.task, expires)),
    ];
    let state = async || -> String { sqlx::query_scalar(STATE).fetch_one(&site.db.pool).await.unwrap() };
    let before = state().await;
    let ways = [
        ("HEAD", "Accept", "*/*"),
        ("GET", "Sec-Purpose", "prefetch;prerender"),
        ("GET", "Purpose", "prefetch"),
        ("GET", "X-Moz", "prefetch"),
    ];
    for path in &links {
        let mut requests: Vec<_> = ways
            .iter()
            .map(|(method, name, value)| site.person(method, path).header(*name, *value))
            .collect();
        // Programs without a name, and with one.
        let url = format!("{}{path}", site.public);
        requests.push(site.http.get(&url));
        requests.push(
            site.http
                .get(&url)
                .header("User-Agent", "Mozilla/5.0 (compatible; SomeScanner/1.0)"),
        );
        for request in requests {
            let status = request.send().await.unwrap().status();
            assert!(status.is_success() || status == 302, "{path}: {status}");
        }
    }
    assert_eq!(state().await, before);
    assert_eq!(site.events().await.len(), 2, "one open and one click by machines");
    // The pages behind links change nothing for people either.
    for path in &links[2..] {
        site.person("GET", path).send().await.unwrap();
    }
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn the_public_listener_has_none_of_the_admin_paths() {
    let site = Site::open().await;
    let paths = web::admin_paths();
    assert!(
        paths.len() > 15 && paths.contains(&"/") && paths.contains(&"/v1/events"),
        "{paths:?}"
    );
    for path in paths {
        let filled = path
            .replace("{id}", "0197c7e0-0000-7000-8000-000000000000")
            .replace("{token}", "abc");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let response = site.person(method, &filled).send().await.unwrap();
            assert_eq!(response.status(), 404, "{method} {filled}");
        }
    }
    assert_eq!(site.person("GET", "/healthz").send().await.unwrap().status(), 200);
}
