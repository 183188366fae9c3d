//! What the proofs of the sending path share: rules of their own in force, people by SQL, and daemons without a loop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kith::channel::{BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::clock::Clock;
use kith::config::Mode;
use kith::domain::cadence::ChannelKind;
use kith::domain::gate::Clearance;
use kith::domain::id::IdSource;
use kith::domain::token::TokenKey;
use kith::engine::dispatch::Dispatcher;
use kith::engine::journal::Journal;
use kith::engine::links::LinkDesk;
use kith::engine::rules::Rules;
use kith::engine::{Channels, Deps, Parts, apply};
use kith::sandbox::gate::{Gate, Passed};
use kith::store::daemon::Process;
use kith::store::{self, control, daemon};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::TestDb;

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What a daemon of these proofs says of itself.
pub const PROCESS: Process<'static> = Process {
    host: "test",
    pid: 1,
    roles: &[],
    version: "0",
    mode: Mode::Live,
};

/// Waits for `work`, but not for ever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took too long")
}

/// Looks again and again until `look` finds something; fails with `what` when it never does.
pub async fn until<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut look: F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `kith.toml` for tests: open at all hours, one message per person and day, nobody is a colleague.
pub const OPEN_HOURS: &str = r#"
[company]
timezone = "UTC"
region = "US"
[gate.windows.email]
marketing = "always"
care = "always"
[gate.business_days_only]
marketing = false
[gate.caps.marketing]
contact = [{ n = 1, per = "1d" }]
account_per_day = 0
"#;

/// A cadence of one mail, due at once, that only SQL lets people into.
pub fn one_mail(name: &str) -> (String, String) {
    let text = format!(
        r#"
name = "{name}"
title = "One mail"
subject = "contact"
[entry]
on_event = "form"
reentry = "event"
[[steps]]
key = "mail"
channel = "email"
template = "note"
function = "information"
expires = "30d"
"#
    );
    (name.to_owned(), text)
}

/// A configuration on the disk.
pub struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    /// Writes `kith.toml`, the cadences, and a template `note`; the calendars are the shipped ones.
    pub fn write(kith: &str, cadences: &[(String, String)]) -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let config = files.config();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        std::fs::create_dir_all(config.join("cadences")).unwrap();
        copy(&shipped.join("calendars"), &config.join("calendars"));
        for shared in ["_layouts", "_partials"] {
            copy(
                &shipped.with_file_name("templates").join(shared),
                &files.templates().join(shared),
            );
        }
        // Nobody is won back here, so that no cadence is missing.
        let retention = std::fs::read_to_string(shipped.join("retention.toml")).unwrap();
        let kept: Vec<&str> = retention
            .lines()
            .filter(|line| !line.starts_with("win_back"))
            .collect();
        std::fs::write(config.join("retention.toml"), kept.join("\n")).unwrap();
        std::fs::write(config.join("kith.toml"), kith).unwrap();
        for (name, text) in cadences {
            std::fs::write(config.join("cadences").join(format!("{name}.toml")), text).unwrap();
        }
        let note = files.templates().join("note/en");
        std::fs::create_dir_all(&note).unwrap();
        std::fs::write(note.join("subject.hbs"), "A note").unwrap();
        std::fs::write(note.join("html.hbs"), "<p>Hello.</p>").unwrap();
        files
    }

    /// The shipped templates too.
    pub fn with_shipped_templates(self) -> Self {
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"),
            &self.templates(),
        );
        self
    }

    /// The configuration directory.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The template directory.
    pub fn templates(&self) -> PathBuf {
        self.dir.path().join("templates")
    }

    /// Puts them in force.
    pub async fn apply(&self, pool: &PgPool, now: DateTime<Utc>) {
        let checked = apply::check(&self.config(), &self.templates()).unwrap_or_else(|problems| {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", list.join("\n"));
        });
        let mut conn = pool.acquire().await.unwrap();
        apply::apply(&mut conn, &checked, &[], "test", now, &IdSource::Random)
            .await
            .unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One database with rules in force and a clock that the test moves.
pub struct Town {
    /// The database.
    pub db: TestDb,
    /// Business time.
    pub clock: Clock,
    files: Files,
}

impl Town {
    /// Applies the rules at `now`.
    pub async fn found(kith: &str, cadences: &[(String, String)], now: DateTime<Utc>) -> Self {
        let db = TestDb::new().await;
        let files = Files::write(kith, cadences);
        files.apply(&db.pool, now).await;
        Self {
            db,
            clock: Clock::manual(now),
            files,
        }
    }

    /// Writes another body for the template `note` and puts it in force.
    pub async fn rewrite(&self, html: &str) {
        std::fs::write(self.files.templates().join("note/en/html.hbs"), html).unwrap();
        self.files.apply(&self.db.pool, self.now()).await;
    }

    /// The present.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// `accounts` customers with `each` contacts, who agreed to mail. Contact ids grow with (account, number); number 1
    /// of an account with several decides.
    pub async fn settle(&self, accounts: i32, each: i32) {
        settle(&self.db.pool, accounts, each).await;
    }

    /// Everybody got something long ago, so that a crossing has rows of caps to lock.
    pub async fn charge_long_ago(&self) {
        sqlx::query(
            "insert into pace (kind, key, ring) select 'contact', id::text, array['2000-01-01'::timestamptz] from contact",
        )
        .execute(&self.db.pool)
        .await
        .unwrap();
    }

    /// A daemon that hands mails to `channel` and keeps no journal.
    pub async fn daemon(&self, channel: Arc<dyn Channel>) -> Arc<Deps> {
        self.daemon_of(channel, None).await
    }

    /// A daemon that hands mails to `channel`, with its journal in a folder.
    pub async fn daemon_of(&self, channel: Arc<dyn Channel>, journal: Option<&Path>) -> Arc<Deps> {
        let settings = kith::config::Settings::load(Some(&self.files.config())).unwrap();
        let pool = store::connect(self.db.options.clone(), 5).await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let rules = Rules::load(&mut conn).await.unwrap();
        let control = control::read(&mut conn).await.unwrap();
        let id = Uuid::now_v7();
        let incarnation = daemon::register(&mut conn, id, &PROCESS).await.unwrap();
        drop(conn);
        let mut channels = Channels::default();
        for sender in settings.senders.iter().filter(|sender| sender.email().is_some()) {
            channels.add(ChannelKind::Email, &sender.name, channel.clone());
        }
        Arc::new(Deps::new(Parts {
            pool,
            clock: self.clock.clone(),
            ids: Arc::new(IdSource::Random),
            links: LinkDesk::new(TokenKey::new(&control.token_key), "http://127.0.0.1:8601"),
            settings: Arc::new(settings),
            channels,
            journal: journal.map_or_else(Journal::none, |folder| {
                Journal::at(folder.to_owned(), id, control.database_id)
            }),
            rules,
            incarnation,
        }))
    }

    /// Enrolls every contact for which `which` (SQL over `c.id`, `c.account_id`) holds and queues the mail.
    pub async fn queue(&self, cadence: &str, due: DateTime<Utc>, which: &str) -> u64 {
        enroll(&self.db.pool, cadence, due, which).await;
        let text = format!(
            "with t as (
                 insert into touch (id, enrollment_id, shard, contact_id, step_key, visit, channel, due_at, state, message_id)
                 select gen_random_uuid(), e.id, e.shard, e.contact_id, 'mail', 1, 'email', $2, 'queued', gen_random_uuid()
                 from enrollment e join contact c on c.id = e.contact_id
                 where e.cadence = $1 and e.next_at = $2 and e.state = 'active' and ({which})
                 returning *
             )
             insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, cadence,
                                cadence_version_id, step_key, address_hash, class, channel, due_at, first_due_at, expires_at)
             select t.id, t.shard, t.message_id, e.id, t.contact_id, e.account_id, e.cadence, e.cadence_version_id, 'mail',
                    c.email_hash, 3, 'email', $2, $2, $2 + interval '30 days'
             from t join enrollment e on e.id = t.enrollment_id join contact c on c.id = t.contact_id"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(cadence)
            .bind(due)
            .execute(&self.db.pool)
            .await
            .unwrap();
        // Planning is another story: nothing here looks at these enrollments again.
        sqlx::query("update enrollment set next_at = '3000-01-01' where cadence = $1")
            .bind(cadence)
            .execute(&self.db.pool)
            .await
            .unwrap();
        done.rows_affected()
    }

    /// One number out of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db.pool).await.unwrap()
    }
}

/// People by SQL: see [`Town::settle`].
pub async fn settle(pool: &PgPool, accounts: i32, each: i32) {
    sqlx::query(
        "with a as (
             insert into account (id, shard, kind, name)
             select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024,
                    case when $2 > 1 then 'organisation' else 'person' end, 'Account ' || n
             from generate_series(1, $1) n
             returning id, shard
         ), s as (
             insert into source (name) values ('test') on conflict (name) do update set name = excluded.name returning id
         ), c as (
             insert into contact (id, shard, account_id, name, email, email_hash, locale, timezone, decision_maker,
                                  consent_email)
             select ('00000000-0000-7000-9000-' || right(a.id::text, 8) || lpad(to_hex(k), 4, '0'))::uuid, a.shard, a.id,
                    'Person ' || k, 'p' || right(a.id::text, 8) || '-' || k || '@example.net',
                    decode(md5(a.id::text || k), 'hex'), 'en', 'UTC', $2 > 1 and k = 1, true
             from a, generate_series(1, $2) k
             returning id, email
         )
         insert into contact_ref (source_id, external_id, contact_id)
         select s.id, split_part(c.email, '@', 1), c.id from c, s",
    )
    .bind(accounts)
    .bind(each)
    .execute(pool)
    .await
    .unwrap();
}

/// Enrollments by SQL for the contacts `c` for whom `which` holds, due at `due`.
pub async fn enroll(pool: &PgPool, cadence: &str, due: DateTime<Utc>, which: &str) -> u64 {
    let text = format!(
        "insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state, cursor,
                                 next_at, entered_at, entry_reason)
         select gen_random_uuid(), c.shard, c.id, c.account_id, d.name, d.version_id, gen_random_uuid()::text, 'active',
                'mail', $2, $2, 'test'
         from contact c, document d
         where d.kind = 'cadence' and d.name = $1 and ({which})"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(cadence)
        .bind(due)
        .execute(pool)
        .await
        .unwrap();
    done.rows_affected()
}

/// A way out that notes who got a mail. It can be held just before the crossing, and just before the dot.
#[derive(Clone)]
pub struct Postbox {
    /// Held before the crossing is asked for.
    pub before: Arc<Mutex<Gate>>,
    /// Held between the crossing and the dot; a killed gate withdraws.
    pub crossed: Arc<Mutex<Gate>>,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Postbox {
    /// With both gates open.
    pub fn open() -> Self {
        let open = || {
            let gate = Gate::shut();
            gate.open();
            Arc::new(Mutex::new(gate))
        };
        Self {
            before: open(),
            crossed: open(),
            sent: Arc::default(),
        }
    }

    /// Shuts the gate before the crossing and returns it.
    pub fn hold_before(&self) -> Gate {
        let gate = Gate::shut();
        *self.before.lock().unwrap() = gate.clone();
        gate
    }

    /// Shuts the gate between crossing and dot and returns it.
    pub fn hold_crossed(&self) -> Gate {
        let gate = Gate::shut();
        *self.crossed.lock().unwrap() = gate.clone();
        gate
    }

    /// The addresses of all mails so far, in order.
    pub fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }

    /// How many mails so far.
    pub fn len(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// As a way out.
    pub fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(self.clone())
    }
}

impl Channel for Postbox {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            let BuiltMessage::Email(mail) = message else {
                panic!("only mails here")
            };
            let gate = self.before.lock().unwrap().clone();
            gate.pass().await;
            if crossing.cross().await == Crossed::Stop {
                return SendOutcome::NotCrossed;
            }
            let gate = self.crossed.lock().unwrap().clone();
            if gate.pass().await == Passed::Killed {
                return SendOutcome::Withdrawn;
            }
            self.sent.lock().unwrap().push(mail.rcpt_to.clone());
            SendOutcome::Accepted {
                reply: "250 taken".to_owned(),
            }
        })
    }
}

/// Dispatches until nothing is due.
pub async fn run_dry(deps: &Arc<Deps>, dispatcher: &mut Dispatcher) {
    loop {
        let done = within(dispatcher.run_once(deps.clock.now())).await.unwrap().done;
        within(dispatcher.drain()).await;
        if done == 0 {
            return;
        }
    }
}

/// Declares a daemon dead, as others do when it missed its heartbeats.
pub async fn bury(pool: &PgPool, deps: &Deps) {
    let mut conn = pool.acquire().await.unwrap();
    sqlx::query("update daemon set heartbeat_at = heartbeat_at - interval '1 hour' where id = $1")
        .bind(deps.incarnation().id)
        .execute(&mut *conn)
        .await
        .unwrap();
    assert_eq!(
        daemon::bury(&mut conn, 1800.0).await.unwrap(),
        vec![deps.incarnation().id]
    );
}
