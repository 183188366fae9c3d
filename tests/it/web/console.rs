//! The console: logging in, roles, forms, headers, the sandbox.

use chrono::TimeDelta;
use kith::domain::role::Role;
use kith::engine::access;
use kith::store::control;
use kith::store::sandbox::{self, NewSandboxMessage};
use kith::web;
use reqwest::header::{COOKIE, LOCATION, ORIGIN};

use super::site::{Site, session_of, start};

const PAGES: [&str; 6] = ["/", "/leads", "/pyramid", "/tasks", "/people?q=ann", "/sandbox"];

#[tokio::test]
async fn by_password() {
    let site = Site::open().await;
    let login = async |name: &str, password: &str| {
        let request = site
            .colleague("", "POST", "/login")
            .form(&[("name", name), ("password", password)]);
        request.send().await.unwrap()
    };
    let empty = site
        .http
        .get(format!("{}/login", site.admin))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(empty.contains("kith user add"), "{empty}");
    let mut conn = site.db.pool.acquire().await.unwrap();
    let put = async |conn: &mut sqlx::PgConnection, password: &str, owner| {
        let id = site.deps().ids.next(start());
        access::put_user(conn, id, "ann", Role::Rep, password, owner, start()).await
    };
    assert!(put(&mut conn, "short", None).await.is_err());
    assert!(put(&mut conn, "long enough", Some("nobody")).await.is_err());
    put(&mut conn, "long enough", None).await.unwrap();
    assert_eq!(login("ann", "long enouge").await.status(), 401);
    assert_eq!(login("bob", "long enough").await.status(), 401);
    let response = login("ann", "long enough").await;
    assert_eq!(response.status(), 303);
    let session = session_of(&response);
    for page in PAGES {
        assert_eq!(
            site.colleague(&session, "GET", page)
                .send()
                .await
                .unwrap()
                .status(),
            200,
            "{page}"
        );
    }
    // A new password ends what was opened with the old one.
    put(&mut conn, "another one", None).await.unwrap();
    let response = site.colleague(&session, "GET", "/").send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()[LOCATION].to_str().unwrap()
        ),
        (303, "/login")
    );
}

#[tokio::test]
async fn a_login_link_is_good_once() {
    let site = Site::open().await;
    let path = web::login_link(site.deps(), "operator", TimeDelta::hours(1))
        .await
        .unwrap();
    let url = format!("{}{path}", site.admin);
    assert_eq!(site.http.head(&url).send().await.unwrap().status(), 405);
    let session = session_of(&site.http.get(&url).send().await.unwrap());
    assert_eq!(site.http.get(&url).send().await.unwrap().status(), 401);
    let late = web::login_link(site.deps(), "operator", TimeDelta::seconds(-1))
        .await
        .unwrap();
    assert_eq!(
        site.http
            .get(format!("{}{late}", site.admin))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    // Weeks of a simulated clock do not end a session; logging out does.
    site.deps().clock.advance(TimeDelta::days(90)).unwrap();
    assert_eq!(
        site.colleague(&session, "GET", "/")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        site.colleague(&session, "POST", "/logout")
            .send()
            .await
            .unwrap()
            .status(),
        303
    );
    assert_eq!(
        site.colleague(&session, "GET", "/")
            .send()
            .await
            .unwrap()
            .status(),
        303
    );
}

#[tokio::test]
async fn nobody_sees_anything_without_a_session() {
    let site = Site::open().await;
    for page in PAGES.into_iter().chain(["/sandbox/1", "/sandbox/1/html"]) {
        let response = site
            .http
            .get(format!("{}{page}", site.admin))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 303, "{page}");
    }
    let brake = site
        .colleague("", "POST", "/brake")
        .form(&[("on", "true")])
        .send()
        .await
        .unwrap();
    assert_eq!(brake.status(), 401);
}

#[tokio::test]
async fn only_an_operator_brakes_and_only_from_the_own_page() {
    let site = Site::open().await;
    let on = "select count(*) from control where brake";
    let rep = site.session(Role::Rep).await;
    let page = site
        .colleague(&rep, "GET", "/")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!page.contains("action=\"/brake\""));
    let brake = async |session: &str| {
        let form = [("on", "true"), ("reason", "a <test>")];
        site.colleague(session, "POST", "/brake").form(&form)
    };
    assert_eq!(brake(&rep).await.send().await.unwrap().status(), 403);
    let operator = site.session(Role::Operator).await;
    let url = format!("{}/brake", site.admin);
    for origin in [None, Some("null"), Some("http://evil.example")] {
        let mut request = site
            .http
            .post(&url)
            .header(COOKIE, &operator)
            .form(&[("on", "true")]);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        assert_eq!(request.send().await.unwrap().status(), 403, "{origin:?}");
    }
    assert_eq!(site.count(on).await, 0);
    assert_eq!(brake(&operator).await.send().await.unwrap().status(), 303);
    assert_eq!(site.count(on).await, 1);
    assert_eq!(
        site.count("select count(*) from audit where verb = 'brake on'")
            .await,
        1
    );
    let page = site
        .colleague(&rep, "GET", "/leads")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("Brake on: a &lt;test&gt;"), "{page}");
}

#[tokio::test]
async fn the_clock_moves_only_where_it_is_simulated() {
    let site = Site::open().await;
    let session = site.session(Role::Operator).await;
    let advance = async || {
        let request = site
            .colleague(&session, "POST", "/demo/advance")
            .form(&[("days", "7")]);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(advance().await, 403);
    let mut conn = site.db.pool.acquire().await.unwrap();
    control::simulated(&mut conn, Some(start())).await.unwrap();
    assert_eq!((advance().await, advance().await), (303, 303));
    let target = control::read(&mut conn).await.unwrap().simulated_target;
    assert_eq!(
        target,
        Some(start() + TimeDelta::days(14)),
        "asked twice, it goes twice as far"
    );
    let page = site
        .colleague(&session, "GET", "/")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("simulated") && page.contains("2027-01-04 10:00"),
        "{page}"
    );
}

#[tokio::test]
async fn a_person_and_a_task() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let session = site.session(Role::Rep).await;
    let get = async |path: &str| site.colleague(&session, "GET", path).send().await.unwrap();
    let found = get("/people?q=ANN").await.text().await.unwrap();
    assert!(found.contains(&format!("/people/{}", ann.contact)), "{found}");
    assert!(
        !get("/people?q=%25")
            .await
            .text()
            .await
            .unwrap()
            .contains("/people/"),
        "% is no wildcard"
    );
    let story = get(&format!("/people/{}", ann.contact))
        .await
        .text()
        .await
        .unwrap();
    assert!(
        story.contains("Ann &lt;b&gt;Lee&lt;/b&gt;") && story.contains("l-1"),
        "{story}"
    );
    assert_eq!(
        get("/people/0197c7e0-0000-7000-8000-000000000000").await.status(),
        404
    );
    assert!(get("/tasks").await.text().await.unwrap().contains("Call Ann"));
    let act = site.colleague(&session, "POST", &format!("/tasks/{}", ann.task));
    let response = act
        .form(&[("do", "snooze"), ("until", "3")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()[LOCATION], "/tasks?said=task_done");
    assert!(!get("/tasks").await.text().await.unwrap().contains("Call Ann"));
}

#[tokio::test]
async fn both_languages_and_the_headers_on_every_page() {
    let site = Site::open().await;
    site.somebody("en").await;
    let session = site.session(Role::Operator).await;
    for page in PAGES {
        let path = format!("{page}{}lang=zh", if page.contains('?') { '&' } else { '?' });
        let response = site.colleague(&session, "GET", &path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{page}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("script"),
            "{policy}"
        );
        assert_eq!(
            (header("x-frame-options"), header("x-content-type-options")),
            ("DENY".into(), "nosniff".into())
        );
        assert!(header("set-cookie").starts_with("kith_lang=zh-Hans"));
        let text = response.text().await.unwrap();
        assert!(
            text.contains("<html lang=\"zh-Hans\">") && text.contains("沙盒：任何消息都不会离开本机"),
            "{page}"
        );
        assert!(text.contains("未刹车"), "mode and brake stand on every page");
        assert!(!text.contains("<script") && !text.contains("style="), "{page}");
    }
    let lost = site
        .colleague(&session, "GET", "/nowhere")
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!(lost.status(), 404);
    assert!(lost.headers().contains_key("content-security-policy"));
    assert!(lost.text().await.unwrap().contains("There is nothing here."));
}

#[tokio::test]
async fn the_sandbox_shows_a_message_without_letting_it_do_anything() {
    let site = Site::open().await;
    let session = site.session(Role::Rep).await;
    let mail = "From: Kith <k@example.com>\r\nSubject: Hello there\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain words\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script><p>rich words</p>\r\n--b--\r\n";
    let mut conn = site.db.pool.acquire().await.unwrap();
    for (channel, raw) in [("email", mail), ("sms", "short <words>")] {
        let row = NewSandboxMessage {
            at: start(),
            channel,
            sender: "k@example.com".into(),
            recipient: "ann@example.com".into(),
            message_id: None,
            subject: (channel == "email").then(|| "Hello there".into()),
            raw: raw.into(),
        };
        sandbox::insert(&mut conn, &row).await.unwrap();
    }
    let id = |channel| format!("select id from sandbox_message where channel = '{channel}'");
    let (email, sms): (i64, i64) = (
        sqlx::query_scalar(sqlx::AssertSqlSafe(id("email")))
            .fetch_one(&mut *conn)
            .await
            .unwrap(),
        sqlx::query_scalar(sqlx::AssertSqlSafe(id("sms")))
            .fetch_one(&mut *conn)
            .await
            .unwrap(),
    );
    let get = async |path: String| site.colleague(&session, "GET", &path).send().await.unwrap();
    let list = get("/sandbox".into()).await.text().await.unwrap();
    assert!(
        list.contains("Hello there") && list.contains("short &lt;words&gt;"),
        "{list}"
    );
    let page = get(format!("/sandbox/{email}")).await.text().await.unwrap();
    let frame = page.split("<iframe").nth(1).unwrap().split('>').next().unwrap();
    assert!(
        frame.contains("sandbox=")
            && !frame.contains("allow-scripts")
            && !frame.contains("allow-same-origin")
    );
    assert!(page.contains("plain words") && !page.contains("rich words"));
    let inner = get(format!("/sandbox/{email}/html")).await;
    let policy = inner.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("sandbox ") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("allow-scripts") && !policy.contains("allow-same-origin"),
        "{policy}"
    );
    assert!(inner.text().await.unwrap().contains("rich words"));
    let bubble = get(format!("/sandbox/{sms}")).await.text().await.unwrap();
    assert!(
        bubble.contains("class=\"bubble\">short &lt;words&gt;"),
        "{bubble}"
    );
    assert_eq!(get("/sandbox/999999".into()).await.status(), 404);
}

#[tokio::test]
async fn probes() {
    let site = Site::open().await;
    let get = async |path: &str| {
        site.http
            .get(format!("{}{path}", site.admin))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!((get("/healthz").await, get("/readyz").await), (200, 200));
    sqlx::query(
        "insert into kith._sqlx_migrations (version, description, success, checksum, execution_time)
                 values (990001, 'of the future', true, '', 0)",
    )
    .execute(&site.db.pool)
    .await
    .unwrap();
    assert_eq!((get("/healthz").await, get("/readyz").await), (200, 503));
}

#[tokio::test]
async fn the_story_is_told_in_the_language_of_the_page() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let session = site.session(Role::Rep).await;
    let page = async |lang: &str| {
        let path = format!("/people/{}?lang={lang}", ann.contact);
        let response = site.colleague(&session, "GET", &path).send().await.unwrap();
        response.text().await.unwrap()
    };
    let (english, chinese) = (page("en").await, page("zh-Hans").await);
    assert!(
        english.contains("Recorded as ") && english.contains("accepted by mail"),
        "{english}"
    );
    assert!(
        chinese.contains("建档：") && chinese.contains("mail 已接受"),
        "{chinese}"
    );
    assert!(!chinese.contains("Recorded") && !chinese.contains("accepted by"));
}
