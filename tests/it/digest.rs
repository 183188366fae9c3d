//! The digest: once for an owner and day whoever races or dies, the most urgent first, and only to whom it may go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::{DateTime, Duration, NaiveDate, Utc};
use kith::app::{self, App, Options};
use kith::clock::Clock;
use kith::config::{Mode, Settings};
use kith::domain::id::IdSource;
use kith::domain::token::Purpose;
use kith::engine::apply::{apply, check};
use kith::engine::digest;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, Ordinary, Stage};
use kith::store::{self, control, digest as table};
use kith::web::{WebState, public_router};
use mail_parser::MessageParser;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::harness::TestDb;
use crate::rig::{until, within};

/// 08:00 in Shanghai.
const MORNING: &str = "2027-01-05T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn daemon(db: &TestDb, clock: &Clock, seed: u64, settings: Settings) -> App {
    with_journal(db, clock, seed, settings, None).await
}

/// With a pool of its own.
async fn with_journal(
    db: &TestDb,
    clock: &Clock,
    seed: u64,
    settings: Settings,
    journal: Option<PathBuf>,
) -> App {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = check(&root.join("config"), &root.join("templates"))
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut conn = db.pool.acquire().await.unwrap();
    apply(&mut conn, &shipped, &[], "test", clock.now(), &IdSource::Random)
        .await
        .unwrap();
    drop(conn);
    let options = Options {
        clock: clock.clone(),
        ids: IdSource::seeded(seed),
        journal,
        roles: vec!["all".into()],
    };
    let pool = store::connect(db.options.clone(), 5).await.unwrap();
    app::build(pool, settings, options).await.unwrap()
}

async fn owner(db: &TestDb, n: u128, name: &str, deputy: Option<&str>) -> Uuid {
    let id = Uuid::from_u128(n);
    sqlx::query("insert into source (name) values ('test') on conflict do nothing")
        .execute(&db.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into owner (id, source_id, external_id, name, email, timezone, deputy_external_id, away_from, away_until)
         select $1, s.id, $2, $2, $2 || '@sales.example', 'Asia/Shanghai', $3, $4, $4 from source s where s.name = 'test'",
    )
    .bind(id)
    .bind(name)
    .bind(deputy)
    .bind(deputy.map(|_| NaiveDate::from_ymd_opt(2027, 1, 5).unwrap()))
    .execute(&db.pool)
    .await
    .unwrap();
    id
}

async fn task(db: &TestDb, owner: Uuid, title: &str, created: &str, due: &str) -> Uuid {
    let id = Uuid::new_v4();
    sqlx::query(
        "insert into task (id, shard, kind, title, body, owner_id, created_at, due_at) values ($1, 0, 'touch', $2, '', $3, $4, $5)",
    )
    .bind(id)
    .bind(title)
    .bind(owner)
    .bind(at(created))
    .bind(at(due))
    .execute(&db.pool)
    .await
    .unwrap();
    id
}

/// What the sandbox took in: to whom, and the mail.
async fn sent(db: &TestDb) -> Vec<(String, Vec<u8>)> {
    sqlx::query_as("select recipient, raw from sandbox_message order by recipient, id")
        .fetch_all(&db.pool)
        .await
        .unwrap()
}

async fn states(db: &TestDb) -> Vec<String> {
    sqlx::query_scalar("select state from digest order by owner_id, day")
        .fetch_all(&db.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_write_once_a_day() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    for n in 1..=20 {
        let owner = owner(&db, n, &format!("rep-{n:02}"), None).await;
        task(&db, owner, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    }
    let one = daemon(&db, &clock, 1, Settings::defaults().unwrap()).await;
    let two = daemon(&db, &clock, 2, Settings::defaults().unwrap()).await;
    for day in 1..=3 {
        let now = clock.now();
        let (a, b) = tokio::join!(digest::run_once(&one.deps, now), digest::run_once(&two.deps, now));
        assert!(a.unwrap().done + b.unwrap().done >= 20);
        // Whoever comes later that day, a loser of the race too, finds nothing to do.
        clock.advance(Duration::hours(3)).unwrap();
        assert_eq!(digest::run_once(&one.deps, clock.now()).await.unwrap().done, 0);
        let mails = sent(&db).await;
        assert_eq!(mails.len(), 20 * day);
        let people: BTreeSet<_> = mails.iter().map(|(to, _)| to).collect();
        assert_eq!(people.len(), 20);
        clock.advance(Duration::hours(21)).unwrap();
    }
    assert_eq!(states(&db).await, vec!["accepted"; 60]);
}

#[tokio::test(flavor = "multi_thread")]
async fn overdue_first_with_links_that_end() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING) - Duration::minutes(1));
    let rep = owner(&db, 1, "rep", None).await;
    let later = task(
        &db,
        rep,
        "Later <b>",
        "2027-01-04T09:00:00Z",
        "2027-01-09T09:00:00Z",
    )
    .await;
    let late = task(&db, rep, "Late", "2027-01-02T09:00:00Z", "2027-01-03T09:00:00Z").await;
    let done = task(&db, rep, "Done", "2027-01-02T09:00:00Z", "2027-01-03T09:00:00Z").await;
    sqlx::query("update task set state = 'done' where id = $1")
        .bind(done)
        .execute(&db.pool)
        .await
        .unwrap();
    let idle = owner(&db, 2, "idle", None).await;
    let app = daemon(&db, &clock, 1, Settings::defaults().unwrap()).await;
    assert_eq!(
        digest::next_at(&app.deps, clock.now()).await.unwrap(),
        Some(at(MORNING))
    );
    assert_eq!(
        digest::run_once(&app.deps, clock.now()).await.unwrap().done,
        0,
        "not before its time"
    );
    clock.set(at(MORNING) + Duration::minutes(7)).unwrap();
    // What is made after the hour stands in the mail of the next day.
    task(&db, idle, "New", "2027-01-05T00:05:00Z", "2027-01-06T09:00:00Z").await;
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 1);
    assert_eq!(
        digest::next_at(&app.deps, clock.now()).await.unwrap(),
        Some(at(MORNING) + Duration::days(1))
    );
    let mails = sent(&db).await;
    assert_eq!(mails.len(), 1);
    let mail = MessageParser::default().parse(&mails[0].1).unwrap();
    assert_eq!(mail.subject(), Some("2 open tasks, 1 overdue"));
    let (text, html) = (mail.body_text(0).unwrap(), mail.body_html(0).unwrap());
    assert!(
        text.find("Late").unwrap() < text.find("Later").unwrap() && !text.contains("Done\r\n"),
        "{text}"
    );
    assert!(
        html.find("Late<").unwrap() < html.find("Later &lt;b&gt;").unwrap(),
        "{html}"
    );
    // Every link names one of the two tasks, for a week; the page behind it asks first and acts on POST alone.
    let base = format!("{}/t/", app.deps.settings.listen.public_url);
    let links: Vec<(Uuid, u64)> = html
        .split(&base)
        .skip(1)
        .map(|rest| rest.split(['?', '"']).next().unwrap())
        .map(|token| app.deps.links.key().verify(Purpose::Task, token).unwrap())
        .collect();
    let until = (clock.now() + Duration::days(7)).timestamp() as u64;
    assert!(
        links
            .iter()
            .all(|(task, expires)| [late, later].contains(task) && *expires == until),
        "{links:?}"
    );
    assert_eq!(
        links.len(),
        14,
        "seven buttons each: no person here to be left to his owner"
    );
    assert_eq!(
        html.matches(base.as_str()).count(),
        html.matches("<a ").count(),
        "no other links"
    );
    looking_changes_nothing(&db, &app, &html, late).await;
    clock.advance(Duration::days(1)).unwrap();
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 2);
}

/// Every link of the mail by GET and HEAD, then one button by POST.
async fn looking_changes_nothing(db: &TestDb, app: &App, html: &str, task: Uuid) {
    let site = public_router(WebState::new(app.deps.clone(), None));
    let tasks = async || -> Vec<(Uuid, String, Option<String>)> {
        sqlx::query_as("select id, state, outcome from task order by id")
            .fetch_all(&db.pool)
            .await
            .unwrap()
    };
    let ask = async |method: &str, path: &str, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        let answer = site.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {path}");
        String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    };
    let before = tasks().await;
    let base = &app.deps.settings.listen.public_url;
    let paths: Vec<String> = html
        .split(&format!("href=\"{base}"))
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
        .collect();
    assert_eq!(paths.len(), 14);
    for path in &paths {
        let page = ask("GET", path, "").await;
        let offered = page.contains("name=\"outcome\" value=\"no-answer\"");
        assert_eq!(offered, path.ends_with("outcome=no-answer"), "{path}");
        ask("HEAD", path, "").await;
    }
    assert_eq!(tasks().await, before);
    // The late task is the first of the mail.
    ask("POST", &paths[0], "do=done&outcome=no-answer&until=").await;
    let after = tasks().await;
    let closed = (task, "done".to_owned(), Some("no-answer".to_owned()));
    assert!(after.contains(&closed) && !before.contains(&closed), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deputy_reads_it_while_the_owner_is_away() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    let away = owner(&db, 1, "away", Some("deputy")).await;
    owner(&db, 2, "deputy", None).await;
    task(&db, away, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    let app = daemon(&db, &clock, 1, Settings::defaults().unwrap()).await;
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 1);
    clock.advance(Duration::days(1)).unwrap();
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 1);
    let mails = sent(&db).await;
    let to: Vec<&str> = mails.iter().map(|(to, _)| to.as_str()).collect();
    assert_eq!(to, ["away@sales.example", "deputy@sales.example"]);
    let subject = |n: usize| {
        MessageParser::default()
            .parse(&mails[n].1)
            .unwrap()
            .subject()
            .unwrap()
            .to_owned()
    };
    assert_eq!(subject(1), "1 open task (away)");
    assert_eq!(subject(0), "1 open task, 1 overdue");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_daemon_crossed_is_not_sent_again() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    let rep = owner(&db, 1, "rep", None).await;
    task(&db, rep, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    let dead = daemon(&db, &clock, 1, Settings::defaults().unwrap()).await;
    let heir = daemon(&db, &clock, 2, Settings::defaults().unwrap()).await;
    let copy = table::Copy {
        owner_id: rep,
        day: NaiveDate::from_ymd_opt(2027, 1, 5).unwrap(),
        message_id: Uuid::from_u128(7),
        address: "rep@sales.example".into(),
        tasks: 1,
    };
    let mut conn = db.pool.acquire().await.unwrap();
    assert!(
        table::cross(&mut conn, dead.deps.incarnation(), &copy, b"", clock.now())
            .await
            .unwrap()
    );
    assert!(
        !table::cross(&mut conn, heir.deps.incarnation(), &copy, b"", clock.now())
            .await
            .unwrap()
    );
    assert_eq!(digest::run_once(&heir.deps, clock.now()).await.unwrap().done, 0);
    assert_eq!(states(&db).await, ["crossing"]);
    sqlx::query("update daemon set epoch = epoch + 1, ended_at = now() where id = $1")
        .bind(dead.deps.incarnation().id)
        .execute(&mut *conn)
        .await
        .unwrap();
    assert_eq!(digest::run_once(&heir.deps, clock.now()).await.unwrap().done, 0);
    assert_eq!(states(&db).await, ["uncertain"]);
    assert!(sent(&db).await.is_empty());
    // The dead cross nothing; their late reply still settles what they had crossed.
    let next = table::Copy {
        day: copy.day.succ_opt().unwrap(),
        ..copy.clone()
    };
    assert!(
        !table::cross(&mut conn, dead.deps.incarnation(), &next, b"", clock.now())
            .await
            .unwrap()
    );
    let end = table::End {
        who: dead.deps.incarnation(),
        copy,
        state: "accepted".into(),
        reply: "250 ok".into(),
        again_at: None,
        at: clock.now(),
    };
    table::end(&mut conn, &end).await.unwrap();
    assert_eq!(states(&db).await, ["accepted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn brake_rehearsal_and_a_closed_address_hold_it() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    let rep = owner(&db, 1, "rep", None).await;
    task(&db, rep, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    let mut rehearsal = Settings::defaults().unwrap();
    rehearsal.delivery.mode = Mode::Rehearsal;
    let rehearsal = daemon(&db, &clock, 1, rehearsal).await;
    assert_eq!(
        digest::run_once(&rehearsal.deps, clock.now()).await.unwrap().done,
        0
    );
    let app = daemon(&db, &clock, 2, Settings::defaults().unwrap()).await;
    let mut conn = db.pool.acquire().await.unwrap();
    control::brake(&mut conn, true, "test", "test", clock.now())
        .await
        .unwrap();
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 0);
    assert!(states(&db).await.is_empty());
    control::brake(&mut conn, false, "test", "test", clock.now())
        .await
        .unwrap();
    let hash =
        kith::domain::address_hash::AddressKey::new(&control::read(&mut conn).await.unwrap().address_key)
            .email(&kith::domain::email::EmailAddress::parse("rep@sales.example").unwrap());
    sqlx::query("insert into suppression (address_hash, channel, purpose, reason, at) values ($1, 'email', 'all', 'address-bad', now())")
        .bind(hash.as_bytes())
        .execute(&mut *conn)
        .await
        .unwrap();
    digest::run_once(&app.deps, clock.now()).await.unwrap();
    assert_eq!(states(&db).await, ["deferred"]);
    assert!(sent(&db).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_put_off_is_tried_again_that_day() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    let rep = owner(&db, 1, "rep", None).await;
    task(&db, rep, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    let app = daemon(&db, &clock, 1, Settings::defaults().unwrap()).await;
    let smtp = &app.sandbox.as_ref().unwrap().smtp;
    for stage in [Stage::Rcpt, Stage::Dot] {
        smtp.behave(move |moment: &Moment<'_>| {
            if moment.stage == stage {
                Action::reply("451 4.3.0 later")
            } else {
                Action::Go
            }
        });
        assert_eq!(
            digest::run_once(&app.deps, clock.now()).await.unwrap().done,
            1,
            "{stage:?}"
        );
        assert_eq!(states(&db).await, ["deferred"]);
        assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 0);
        let again = digest::next_at(&app.deps, clock.now()).await.unwrap().unwrap();
        assert!(
            again > clock.now() && again < at(MORNING) + Duration::hours(2),
            "{again}"
        );
        clock.set(again).unwrap();
    }
    smtp.behave(Ordinary);
    assert_eq!(digest::run_once(&app.deps, clock.now()).await.unwrap().done, 1);
    assert_eq!(states(&db).await, ["accepted"]);
    assert_eq!(sent(&db).await.len(), 1);
}

/// The database goes away between the dot and the answer: the journal keeps what the answer was.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_database_is_written_at_the_next_start() {
    let db = TestDb::new().await;
    let clock = Clock::manual(at(MORNING));
    let rep = owner(&db, 1, "rep", None).await;
    task(&db, rep, "Call", "2027-01-04T09:00:00Z", "2027-01-05T09:00:00Z").await;
    let room = tempfile::tempdir().unwrap();
    let start = |seed| {
        with_journal(
            &db,
            &clock,
            seed,
            Settings::defaults().unwrap(),
            Some(room.path().join("journal")),
        )
    };
    let app = start(1).await;
    let gate = Gate::shut();
    let held = gate.clone();
    app.sandbox
        .as_ref()
        .unwrap()
        .smtp
        .behave(move |moment: &Moment<'_>| match moment.stage {
            Stage::Dot => Action::Hold(held.clone(), Box::new(Action::reply("250 2.0.0 taken"))),
            _ => Action::Go,
        });
    let (deps, now) = (app.deps.clone(), clock.now());
    let sending = tokio::spawn(async move { digest::run_once(&deps, now).await });
    within(gate.arrived(1)).await;
    app.deps.pool.close().await;
    gate.open();
    within(sending).await.unwrap().unwrap();
    assert_eq!(states(&db).await, ["crossing"]);
    drop(app);
    let next = until("the journal is free", async || {
        let next = start(2).await;
        (states(&db).await == ["accepted"]).then_some(next)
    })
    .await;
    assert_eq!(digest::run_once(&next.deps, now).await.unwrap().done, 0);
}
