//! Both listeners on loopback, over a database with one person in it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kith::app::{self, App, Options};
use kith::clock::Clock;
use kith::config::Settings;
use kith::domain::address_hash::AddressKey;
use kith::domain::email::EmailAddress;
use kith::domain::id::IdSource;
use kith::domain::phone::PhoneNumber;
use kith::domain::role::Role;
use kith::domain::token::Purpose;
use kith::engine::{Deps, access, apply};
use kith::store::control;
use kith::web::{self, WebState};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::apply_faults::{checked, shipped_files};
use crate::harness::TestDb;

/// What a person's browser calls itself.
pub const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// How recipients are said to reach the public listener.
pub const PUBLIC_URL: &str = "https://links.example.com";
/// The secret end of the addresses at which the others report.
pub const RECEIPTS: &str = "r3ceipts";
/// The auth token of the Twilio account.
pub const TWILIO_TOKEN: &str = "an auth token";
/// The person's number.
pub const PHONE: &str = "+8613800138000";

/// Both listeners.
pub struct Site {
    pub app: App,
    pub http: Client,
    pub public: String,
    pub admin: String,
    /// Kept for its senders' secret.
    _secrets: TempDir,
    _stop: DropGuard,
    /// Last, so that nothing uses it when it goes.
    pub db: TestDb,
}

/// One person with a lead, a mail and a text message sent to him, and a task about him.
pub struct Person {
    pub contact: Uuid,
    pub mail: Uuid,
    pub text: Uuid,
    pub task: Uuid,
    pub link: i64,
}

pub fn start() -> DateTime<Utc> {
    "2027-01-04T02:00:00Z".parse().unwrap()
}

impl Site {
    pub async fn open() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = TestDb::new().await;
        let files = shipped_files();
        let ids = IdSource::Random;
        let mut conn = db.pool.acquire().await.unwrap();
        let rules = checked(files.path()).unwrap();
        apply::apply(&mut conn, &rules, &[], "test", start(), &ids)
            .await
            .unwrap();
        drop(conn);
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("token");
        std::fs::write(&file, TWILIO_TOKEN).unwrap();
        let mut settings = Settings::defaults().unwrap();
        PUBLIC_URL.clone_into(&mut settings.listen.public_url);
        let sender = format!(
            "name = \"twilio\"\nchannel = \"sms\"\n\
             twilio = {{ account_sid = \"AC1\", auth_token = {{ file = \"{}\" }}, from = \"+15550100\" }}",
            file.display()
        );
        settings.senders.push(toml::from_str(&sender).unwrap());
        let ending = secrets.path().join("ending");
        std::fs::write(&ending, RECEIPTS).unwrap();
        let (key, ending) = (file.display(), ending.display());
        for table in [
            format!(
                "aliyun = {{ access_key_id = \"L\", access_key_secret = {{ file = \"{key}\" }}, sign_name = \"x\", receipt_token = {{ file = \"{ending}\" }} }}"
            ),
            format!(
                "tencent = {{ secret_id = \"A\", secret_key = {{ file = \"{key}\" }}, app_id = \"1\", sign_name = \"x\", receipt_token = {{ file = \"{ending}\" }} }}"
            ),
            format!(
                "vonage = {{ api_key = \"k\", signature_secret = {{ file = \"{key}\" }}, from = \"x\", receipt_token = {{ file = \"{ending}\" }} }}"
            ),
        ] {
            let name = table.split(' ').next().unwrap();
            let sender = format!("name = \"{name}\"\nchannel = \"sms\"\n{table}");
            settings.senders.push(toml::from_str(&sender).unwrap());
        }
        let clock = Clock::manual(start());
        let options = Options {
            clock,
            ids,
            journal: None,
            roles: vec!["all".into()],
        };
        let app = app::build(db.pool.clone(), settings, options).await.unwrap();
        Self::serve(db, app, secrets).await
    }

    pub async fn serve(db: TestDb, app: App, secrets: TempDir) -> Self {
        let stop = CancellationToken::new();
        let state = WebState::new(app.deps.clone(), None);
        let public = listen(web::public_router(state.clone()), &stop).await;
        let admin = listen(web::admin_router(state), &stop).await;
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            app,
            http,
            public,
            admin,
            _secrets: secrets,
            _stop: stop.drop_guard(),
            db,
        }
    }

    pub fn deps(&self) -> &Arc<Deps> {
        &self.app.deps
    }

    /// A request to the public listener by a person's browser.
    pub fn person(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().unwrap();
        self.http
            .request(method, format!("{}{path}", self.public))
            .header(USER_AGENT, BROWSER)
    }

    /// A request to the admin listener, from its own page, with a session.
    pub fn colleague(&self, session: &str, method: &str, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.admin));
        request.header(COOKIE, session).header(ORIGIN, &self.admin)
    }

    /// A session in a role, by a one-time link.
    pub async fn session(&self, role: Role) -> String {
        let path = web::login_link(self.deps(), role.as_str(), TimeDelta::hours(1))
            .await
            .unwrap();
        let response = self
            .http
            .get(format!("{}{path}", self.admin))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 303);
        session_of(&response)
    }

    /// A new token of a program.
    pub async fn token(&self, name: &str) -> String {
        let mut conn = self.db.pool.acquire().await.unwrap();
        let id = self.deps().ids.next(start());
        access::create_token(&mut conn, id, name, start())
            .await
            .unwrap()
            .unwrap()
    }

    pub fn sign(&self, purpose: Purpose, id: Uuid, number: u64) -> String {
        self.deps().links.key().sign(purpose, id, number)
    }

    /// One number from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db.pool).await.unwrap()
    }

    /// The events of a person as `type human data`, in order of arrival.
    pub async fn events(&self) -> Vec<String> {
        sqlx::query_scalar("select type || ' ' || human || ' ' || data::text from event order by id")
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }

    /// Makes a person who reads `locale`.
    pub async fn somebody(&self, locale: &str) -> Person {
        let pool = &self.db.pool;
        let now = start();
        let id = || self.deps().ids.next(now);
        let mut conn = pool.acquire().await.unwrap();
        let key = AddressKey::new(&control::read(&mut conn).await.unwrap().address_key);
        drop(conn);
        let address = EmailAddress::parse("ann@example.com").unwrap();
        let number = PhoneNumber::parse(PHONE, None).unwrap();
        let (account, contact, lead, mail, text, task) = (id(), id(), id(), id(), id(), id());
        let run = async |sql: &'static str| sqlx::query(sql).execute(pool).await.unwrap();
        run("insert into source (name) values ('test') on conflict do nothing").await;
        sqlx::query("insert into account (id, shard, kind, name) values ($1, 0, 'organisation', 'Acme')")
            .bind(account)
            .execute(pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into contact (id, shard, account_id, name, email, email_hash, phone, phone_hash, locale, consent_email)
             values ($1, 0, $2, 'Ann <b>Lee</b>', 'ann@example.com', $3, $4, $5, $6, true)",
        )
        .bind(contact)
        .bind(account)
        .bind(key.email(&address).as_bytes())
        .bind(PHONE)
        .bind(key.phone(&number).as_bytes())
        .bind(locale)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "insert into lead (id, shard, account_id, source_id, external_id, grade, opened_at)
             select $1, 0, $2, id, 'l-1', 'B', $3 from source limit 1",
        )
        .bind(lead)
        .bind(account)
        .bind(now)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query("insert into lead_contact (lead_id, contact_id) values ($1, $2)")
            .bind(lead)
            .bind(contact)
            .execute(pool)
            .await
            .unwrap();
        for (message, channel, to) in [(mail, "email", "ann@example.com"), (text, "sms", PHONE)] {
            sqlx::query(
                "insert into message (id, shard, contact_id, account_id, lead_id, channel, class, template, locale, sender,
                                      address, outcome, done_at)
                 values ($1, 0, $2, $3, $4, $5, 3, 't', 'en', 'mail', $6, 'accepted', $7)",
            )
            .bind(message)
            .bind(contact)
            .bind(account)
            .bind(lead)
            .bind(channel)
            .bind(to)
            .bind(now)
            .execute(pool)
            .await
            .unwrap();
        }
        sqlx::query(
            "insert into task (id, shard, kind, title, body, contact_id, account_id, created_at, due_at)
             values ($1, 0, 'touch', 'Call Ann', 'About the offer.', $2, $3, $4, $4)",
        )
        .bind(task)
        .bind(contact)
        .bind(account)
        .bind(now)
        .execute(pool)
        .await
        .unwrap();
        let link = sqlx::query_scalar(
            "insert into link (template_version_id, target, tag) values ($1, 'https://www.example.com/pricing?a=1', 'pricing')
             returning id",
        )
        .bind(id())
        .fetch_one(pool)
        .await
        .unwrap();
        Person {
            contact,
            mail,
            text,
            task,
            link,
        }
    }
}

pub async fn listen(router: axum::Router, stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(web::serve(listener, router, stop.clone()));
    format!("http://{address}")
}

/// The session cookie that a response sets, as it is sent back.
pub fn session_of(response: &Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    assert_eq!(response.headers()[LOCATION], "/");
    cookie.split(';').next().unwrap().to_owned()
}
