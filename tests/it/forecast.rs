//! The forecast is what then happens: with silence exactly, with an audience up to what it says first; and it hinders nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kith::app::{self, App, Options};
use kith::clock::Clock;
use kith::config::Settings;
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::id::IdSource;
use kith::domain::zone::{day_start, local_date};
use kith::engine::dispatch::Dispatcher;
use kith::engine::import::{ImportDeps, ImportOrder, Imported, Kind, import};
use kith::engine::{apply, enroll, next_due, run_until_idle};
use kith::forecast;
use kith::sample::SampleCompany;
use kith::simulate::Simulation;
use kith::store::control;

use crate::harness::TestDb;
use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail};

const DAYS: u32 = 30;

/// Contact, cadence, step and the contact's own date.
type Entry = (String, String, String, NaiveDate);

/// The sample company, imported and with the shipped rules in force, on a manual clock.
struct Company {
    db: TestDb,
    app: App,
    settings: Arc<Settings>,
    begin: DateTime<Utc>,
}

impl Company {
    async fn found() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = TestDb::new().await;
        let settings = Settings::defaults().unwrap();
        let start = NaiveDate::from_ymd_opt(2027, 1, 4).unwrap();
        let begin = day_start(start, settings.company.timezone);
        let dir = tempfile::tempdir().unwrap();
        let mut conn = db.pool.acquire().await.unwrap();
        let key = control::read(&mut conn).await.unwrap().address_key;
        let deps = ImportDeps {
            pool: db.pool.clone(),
            ids: Arc::new(IdSource::seeded(1)),
            zone: settings.company.timezone,
            region: settings.company.region.clone(),
            birthdays: BirthdayRules::default(),
            address_key: AddressKey::new(&key),
        };
        let files = SampleCompany::generate(1, start, settings.company.timezone)
            .write_csv(dir.path())
            .unwrap();
        for (kind, path) in files {
            let kind = match kind {
                "owners" => Kind::Owners,
                "organisations" => Kind::Organisations,
                "campaigns" => Kind::Campaigns,
                "contacts" => Kind::Contacts,
                "leads" => Kind::Leads,
                _ => Kind::Purchases,
            };
            let order = ImportOrder {
                kind,
                path,
                source: "sample".to_owned(),
                dry_run: false,
            };
            let done = import(&deps, &order, begin, |_| {}).await.unwrap();
            assert!(
                matches!(done, Imported::Done(report) if report.refused == 0),
                "{kind:?}"
            );
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checked =
            apply::check(&root.join("config"), &root.join("templates")).unwrap_or_else(|p| panic!("{p:?}"));
        apply::apply(&mut conn, &checked, &[], "test", begin, &IdSource::Random)
            .await
            .unwrap();
        drop(conn);
        let options = Options {
            clock: Clock::manual(begin),
            ids: IdSource::seeded(2),
            journal: None,
            roles: vec!["all".to_owned()],
        };
        let app = app::build(db.pool.clone(), settings.clone(), options)
            .await
            .unwrap();
        Self {
            db,
            app,
            settings: Arc::new(settings),
            begin,
        }
    }

    async fn forecast(&self) -> Vec<forecast::Planned> {
        forecast::run(self.db.options.clone(), self.settings.clone(), self.begin, DAYS)
            .await
            .unwrap()
    }

    /// What was handed over before `until`.
    async fn happened(&self, until: DateTime<Utc>) -> BTreeSet<Entry> {
        type Row = (String, String, String, Option<String>, DateTime<Utc>);
        let rows: Vec<Row> = sqlx::query_as(
            "select r.external_id, m.cadence, m.step_key, c.timezone, m.done_at
             from message m join contact c on c.id = m.contact_id join contact_ref r on r.contact_id = c.id
             where m.outcome = 'accepted' and m.done_at < $1",
        )
        .bind(until)
        .fetch_all(&self.db.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(contact, cadence, step, zone, at)| {
                (
                    contact,
                    cadence,
                    step,
                    local_date(at, self.app.deps.zone_of(zone.as_deref())),
                )
            })
            .collect()
    }
}

fn entries(planned: &[forecast::Planned]) -> BTreeSet<Entry> {
    planned
        .iter()
        .map(|p| (p.contact.clone(), p.cadence.clone(), p.step.clone(), p.local_date))
        .collect()
}

fn same(planned: &BTreeSet<Entry>, happened: &BTreeSet<Entry>) {
    let (missing, extra): (Vec<_>, Vec<_>) = (
        planned.difference(happened).take(10).collect(),
        happened.difference(planned).take(10).collect(),
    );
    assert!(
        missing.is_empty() && extra.is_empty(),
        "planned only: {missing:#?}\nhappened only: {extra:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_silence_the_forecast_is_what_happens() {
    let company = Company::found().await;
    let planned = company.forecast().await;
    let deps = &company.app.deps;
    assert!(
        company
            .happened(company.begin + TimeDelta::days(90))
            .await
            .is_empty(),
        "a forecast leaves no trace"
    );
    let end = company.begin + TimeDelta::days(i64::from(DAYS));
    let mut dispatcher = Dispatcher::new(deps.clone());
    enroll::catch_up(deps, company.begin).await.unwrap();
    let mut now = company.begin;
    while now < end {
        deps.clock.set(now).unwrap();
        run_until_idle(deps, &mut dispatcher, now).await.unwrap();
        now = next_due(deps, now)
            .await
            .unwrap()
            .unwrap_or(end)
            .max(now + TimeDelta::minutes(5));
    }
    let (planned, happened) = (entries(&planned), company.happened(end).await);
    eprintln!("{} planned, {} happened", planned.len(), happened.len());
    assert!(planned.len() > 300);
    same(&planned, &happened);
}

/// Until the day on which somebody of a customer says the first thing, his people get what was planned.
#[tokio::test(flavor = "multi_thread")]
async fn with_an_audience_it_holds_up_to_the_first_response() {
    let company = Company::found().await;
    let planned = entries(&company.forecast().await);
    let end = company.begin + TimeDelta::days(i64::from(DAYS));
    Simulation::new(company.app.deps.clone(), 1)
        .play(end - TimeDelta::microseconds(1), |_| ())
        .await
        .unwrap();
    let happened = company.happened(end).await;
    let people: Vec<(String, Option<String>, Option<DateTime<Utc>>)> = sqlx::query_as(
        "select r.external_id, c.timezone, (select min(e.occurred_at) from event e where e.account_id = c.account_id)
         from contact c join contact_ref r on r.contact_id = c.id",
    )
    .fetch_all(&company.db.pool)
    .await
    .unwrap();
    let silent_until: BTreeMap<String, NaiveDate> = people
        .into_iter()
        .map(|(contact, zone, first)| {
            let first = first.map_or(NaiveDate::MAX, |at| {
                local_date(at, company.app.deps.zone_of(zone.as_deref()))
            });
            (contact, first)
        })
        .collect();
    let before = |all: BTreeSet<Entry>| -> BTreeSet<Entry> {
        all.into_iter()
            .filter(|(contact, _, _, on)| *on < silent_until[contact])
            .collect()
    };
    let all = planned.len();
    let (planned, happened) = (before(planned), before(happened));
    eprintln!(
        "{} of {all} planned before a first response, {} happened",
        planned.len(),
        happened.len()
    );
    assert!(planned.len() > 100 && planned.len() < all);
    same(&planned, &happened);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_live_waits_for_a_forecast() {
    const PEOPLE: i32 = 3000;
    let now: DateTime<Utc> = "2027-03-02T10:00:00Z".parse().unwrap();
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], now).await;
    town.settle(PEOPLE, 1).await;
    // Half is due now and half in the days to come, so that both sides have work.
    let due = town
        .queue("first", now, "right(c.account_id::text, 1) < '8'")
        .await as usize;
    let later = "insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state,
                                         cursor, next_at, entered_at, entry_reason)
                 select gen_random_uuid(), c.shard, c.id, c.account_id, d.name, d.version_id, 'later', 'active', 'mail',
                        $1 + interval '1 day', $1, 'test'
                 from contact c, document d
                 where d.kind = 'cadence' and d.name = 'first' and right(c.account_id::text, 1) >= '8'";
    sqlx::query(later).bind(now).execute(&town.db.pool).await.unwrap();
    sqlx::query("analyze").execute(&town.db.pool).await.unwrap();
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());

    let over = Arc::new(AtomicBool::new(false));
    let planning = {
        let (options, settings, over) = (
            town.db.options.clone().application_name("forecast"),
            deps.settings.clone(),
            over.clone(),
        );
        tokio::spawn(async move {
            let planned = forecast::run(options, settings, now, 3).await.unwrap();
            over.store(true, Ordering::Release);
            planned.len()
        })
    };
    let watching = {
        let (pool, over) = (town.db.pool.clone(), over.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            while !over.load(Ordering::Acquire) {
                let blocked: i64 = sqlx::query_scalar(
                    "select count(*) from pg_stat_activity waiting, pg_stat_activity planner
                     where planner.application_name = 'forecast' and waiting.datname = current_database()
                       and planner.pid = any(pg_blocking_pids(waiting.pid))",
                )
                .fetch_one(&pool)
                .await
                .unwrap();
                assert_eq!(blocked, 0, "somebody waits for the forecast");
                looks += 1;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            looks
        })
    };
    let began = Instant::now();
    let mut sent_meanwhile = 0;
    while !over.load(Ordering::Acquire) {
        let done = dispatcher.run_once(now).await.unwrap().done;
        dispatcher.drain().await;
        sent_meanwhile = postbox.len();
        if done == 0 {
            break;
        }
    }
    let meanwhile = began.elapsed();
    crate::rig::run_dry(&deps, &mut dispatcher).await;
    let planned = planning.await.unwrap();
    let looks = watching.await.unwrap();
    eprintln!(
        "{sent_meanwhile} sent in {meanwhile:?} while {planned} were planned, {looks} looks at the locks; forecast and daemon \
         share the machine"
    );
    // What had gone out before the forecast looked is not planned any more.
    assert!(planned >= PEOPLE as usize - due && planned <= PEOPLE as usize);
    assert_eq!(postbox.len(), due);
    assert!(sent_meanwhile > 0 && looks > 10);
}
