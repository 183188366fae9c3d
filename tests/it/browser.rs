//! The console in a real headless Chromium, wide and on a phone, in both languages, on the sample company.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use kith::app::{self, Options};
use kith::clock::Clock;
use kith::config::Settings;
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::id::IdSource;
use kith::engine::apply;
use kith::engine::import::{ImportDeps, ImportOrder, Imported, Kind, import};
use kith::sample::SampleCompany;
use kith::simulate::Simulation;
use kith::store::control;
use kith::web;
use serde_json::json;

use crate::apply_faults::{checked, shipped_files};
use crate::harness::TestDb;
use crate::web::site::Site;

/// Days played before anybody looks.
const DAYS: i64 = 2;

/// A chromedriver of our own, ended with the test.
struct Driver {
    process: Child,
    address: String,
    /// Kept open: it writes there until its end.
    _said: BufReader<ChildStdout>,
}

impl Driver {
    /// `None`, with the reason printed, where there is none.
    fn start() -> Option<Self> {
        let mut process = match Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
        {
            Ok(process) => process,
            Err(error) => {
                println!("skipped: chromedriver (package chromium-driver): {error}");
                return None;
            }
        };
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let port = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let port = line.split("successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("http://127.0.0.1:{}", port.expect("chromedriver tells its port"));
        Some(Self {
            process,
            address,
            _said: said,
        })
    }

    /// A window of that width; narrow ones are phones.
    async fn window(&self, width: u32, language: &str) -> Client {
        let mut options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     format!("--window-size={width},900"), format!("--lang={language}")],
            "prefs": { "intl.accept_languages": language },
        });
        if width < 500 {
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": width, "height": 844, "pixelRatio": 2.0 } });
        }
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.address)
            .await
            .unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn sample_site() -> Site {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let db = TestDb::new().await;
    let settings = Settings::defaults().unwrap();
    let zone = settings.company.timezone;
    let day = "2027-01-04".parse().unwrap();
    let now: DateTime<Utc> = "2027-01-03T16:00:00Z".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = SampleCompany::generate(1, day, zone)
        .write_csv(folder.path())
        .unwrap();
    let mut conn = db.pool.acquire().await.unwrap();
    let key = control::read(&mut conn).await.unwrap().address_key;
    let deps = ImportDeps {
        pool: db.pool.clone(),
        ids: Arc::new(IdSource::seeded(1)),
        zone,
        region: settings.company.region.clone(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(&key),
    };
    for (name, path) in files {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap();
        let order = ImportOrder {
            kind,
            path,
            source: "sample".into(),
            dry_run: false,
        };
        let done = import(&deps, &order, now - TimeDelta::days(1), |_| {})
            .await
            .unwrap();
        assert!(matches!(done, Imported::Done(_)), "{name}");
    }
    let ids = IdSource::seeded(2);
    let rules = checked(shipped_files().path()).unwrap();
    apply::apply(&mut conn, &rules, &[], "test", now, &ids)
        .await
        .unwrap();
    let options = Options {
        clock: Clock::manual(now),
        ids,
        journal: None,
        roles: vec!["all".into()],
    };
    let app = app::build(db.pool.clone(), settings, options).await.unwrap();
    let days = std::env::var("KITH_BROWSER_DAYS")
        .ok()
        .and_then(|days| days.parse().ok())
        .unwrap_or(DAYS);
    let until = now + TimeDelta::days(days) + TimeDelta::hours(14);
    Simulation::new(app.deps.clone(), 1)
        .play(until, |_| {})
        .await
        .unwrap();
    control::simulated(&mut conn, Some(app.deps.clock.now()))
        .await
        .unwrap();
    drop(conn);
    Site::serve(db, app, tempfile::tempdir().unwrap()).await
}

/// Pages that need a row to be about.
async fn pages(site: &Site) -> Vec<(&'static str, String)> {
    let one = async |sql: &'static str| -> Option<String> {
        sqlx::query_scalar(sql)
            .fetch_optional(&site.db.pool)
            .await
            .unwrap()
    };
    let mail =
        one("select id::text from sandbox_message where channel = 'email' order by id desc limit 1").await;
    let text =
        one("select id::text from sandbox_message where channel = 'sms' order by id desc limit 1").await;
    let person = one("select contact_id::text from event group by 1 order by count(*) desc, 1 limit 1").await;
    let mut pages = vec![
        ("today", "/".to_owned()),
        ("leads", "/leads".to_owned()),
        ("pyramid", "/pyramid".to_owned()),
        ("tasks", "/tasks".to_owned()),
        ("people", "/people?q=a".to_owned()),
        ("sandbox", "/sandbox".to_owned()),
        ("nowhere", "/nowhere".to_owned()),
    ];
    pages.push((
        "person",
        format!("/people/{}", person.expect("somebody answered")),
    ));
    pages.push(("mail", format!("/sandbox/{}", mail.expect("a mail was sent"))));
    pages.extend(text.map(|text| ("sms", format!("/sandbox/{text}"))));
    pages
}

async fn shot(window: &Client, name: &str) {
    if let Ok(folder) = std::env::var("KITH_SHOTS") {
        let picture = window.screenshot().await.unwrap();
        std::fs::write(format!("{folder}/{name}.png"), picture).unwrap();
    }
}

async fn number(window: &Client, script: &str) -> i64 {
    window
        .execute(&format!("return Math.ceil({script})"), vec![])
        .await
        .unwrap()
        .as_i64()
        .unwrap()
}

async fn log_in(site: &Site, window: &Client) {
    let path = web::login_link(site.deps(), "operator", TimeDelta::hours(1))
        .await
        .unwrap();
    window.goto(&format!("{}{path}", site.admin)).await.unwrap();
    assert_eq!(window.current_url().await.unwrap().path(), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_wide_and_on_a_phone_in_both_languages() {
    let Some(driver) = Driver::start() else { return };
    let site = sample_site().await;
    let pages = pages(&site).await;
    for (width, language, tag) in [
        (1280, "en-US", "en"),
        (390, "zh-CN", "zh-Hans"),
        (390, "en-US", "en"),
        (1280, "zh-CN", "zh-Hans"),
    ] {
        let window = driver.window(width, language).await;
        window.goto(&format!("{}/login", site.admin)).await.unwrap();
        shot(&window, &format!("login-{width}-{tag}")).await;
        log_in(&site, &window).await;
        for (name, path) in &pages {
            window.goto(&format!("{}{path}", site.admin)).await.unwrap();
            shot(&window, &format!("{name}-{width}-{tag}")).await;
            let inner = number(&window, "window.innerWidth").await;
            assert_eq!(inner, i64::from(width), "{name}: the window is as wide as asked");
            let wide = number(&window, "document.documentElement.scrollWidth").await;
            assert!(
                wide <= inner,
                "{name} in {tag} is {wide} wide in a window of {inner}"
            );
            let said = window
                .find(Locator::Css("html"))
                .await
                .unwrap()
                .attr("lang")
                .await
                .unwrap();
            assert_eq!(said.as_deref(), Some(tag), "{name}");
            let heading = window
                .find(Locator::Css("h1"))
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            assert!(!heading.trim().is_empty(), "{name}");
        }
        window.close().await.unwrap();
    }
    let window = driver.window(1280, "en-US").await;
    log_in(&site, &window).await;
    forms_work(&site, &window).await;
    mail_is_shown_in_its_frame(&site, &window, &pages).await;
    window.close().await.unwrap();
}

/// What a real browser sends passes the check of where a form comes from.
async fn forms_work(site: &Site, window: &Client) {
    let press = async |form: &str| {
        let button = window
            .find(Locator::Css(&format!("form[action='{form}'] button")))
            .await
            .unwrap();
        button.click().await.unwrap();
    };
    let braked = "select count(*) from control where brake";
    press("/brake").await;
    window
        .wait()
        .for_element(Locator::Css(".pill.alarm"))
        .await
        .unwrap();
    assert_eq!(site.count(braked).await, 1);
    press("/brake").await;
    window
        .wait()
        .for_element(Locator::Css(".pill.calm"))
        .await
        .unwrap();
    assert_eq!(site.count(braked).await, 0);
    press("/demo/advance").await;
    window.wait().for_element(Locator::Css(".said")).await.unwrap();
    assert_eq!(
        site.count("select count(*) from control where simulated_target > simulated_now")
            .await,
        1
    );
    window.goto(&format!("{}/tasks", site.admin)).await.unwrap();
    window
        .find(Locator::Css("details.acts summary"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    window
        .find(Locator::Css("details.acts button.strong"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    window.wait().for_element(Locator::Css(".said")).await.unwrap();
    assert_eq!(
        site.count("select count(*) from task where state = 'done' and done_by like 'link:%'")
            .await,
        1
    );
    window.goto(&format!("{}/?lang=zh", site.admin)).await.unwrap();
    window.goto(&format!("{}/leads", site.admin)).await.unwrap();
    let kept = window
        .find(Locator::Css("html"))
        .await
        .unwrap()
        .attr("lang")
        .await
        .unwrap();
    assert_eq!(kept.as_deref(), Some("zh-Hans"), "the language asked for is kept");
}

/// The frame has the mail in it, and looking at it opened nothing.
async fn mail_is_shown_in_its_frame(site: &Site, window: &Client, pages: &[(&str, String)]) {
    let opened = "select count(*) from event where source = 'link'";
    let before = site.count(opened).await;
    let (_, path) = pages.iter().find(|(name, _)| *name == "mail").unwrap();
    window.goto(&format!("{}{path}", site.admin)).await.unwrap();
    window.enter_frame(0).await.unwrap();
    let text = window
        .find(Locator::Css("body"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.len() > 40, "the mail is in its frame: {text}");
    window.enter_parent_frame().await.unwrap();
    assert_eq!(site.count(opened).await, before);
}
