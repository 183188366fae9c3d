//! The engine on the sample company, on a manual clock, over real SMTP and HTTP.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta, TimeZone, Utc};
use kith::app::{self, Options};
use kith::clock::Clock;
use kith::config::Settings;
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::id::IdSource;
use kith::engine::import::{ImportDeps, ImportOrder, Imported, Kind, import};
use kith::sample::SampleCompany;
use kith::simulate::Simulation;
use kith::store::{control, tally};

use crate::harness::TestDb;

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_the_sample_company() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let db = TestDb::new().await;
    let settings = Settings::defaults().unwrap();
    let start = NaiveDate::from_ymd_opt(2027, 1, 4).unwrap();
    let now = Utc.from_utc_datetime(&start.and_hms_opt(0, 0, 0).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let files = SampleCompany::generate(1, start, settings.company.timezone).write_csv(dir.path()).unwrap();
    let ids = Arc::new(IdSource::seeded(1));
    let key = { let mut c = db.pool.acquire().await.unwrap(); control::read(&mut c).await.unwrap().address_key };
    let deps = ImportDeps { pool: db.pool.clone(), ids, zone: settings.company.timezone, region: settings.company.region.clone(), birthdays: BirthdayRules::default(), address_key: AddressKey::new(&key) };
    let t = std::time::Instant::now();
    for (kind, path) in files {
        let kind = match kind { "owners" => Kind::Owners, "organisations" => Kind::Organisations, "campaigns" => Kind::Campaigns, "contacts" => Kind::Contacts, "leads" => Kind::Leads, _ => Kind::Purchases };
        let order = ImportOrder { kind, path, source: "sample".into(), dry_run: false };
        match import(&deps, &order, now, |_| {}).await.unwrap() { Imported::Done(r) => eprintln!("{r:?}"), Imported::FileRefused(r) => panic!("{r:?}"), Imported::Busy => panic!() }
    }
    eprintln!("import {:?}", t.elapsed());
    let app = app::build(db.pool.clone(), settings, Options { clock: Clock::manual(now), ids: IdSource::seeded(2), journal: None, roles: vec!["all".into()] }).await.unwrap();
    let mut sim = Simulation::new(app.deps.clone(), 1);
    let mut rounds = 0;
    let t = std::time::Instant::now();
    let days: i64 = std::env::var("DAYS").ok().and_then(|d| d.parse().ok()).unwrap_or(10);
    sim.play(now + TimeDelta::days(days), |_| rounds += 1).await.unwrap();
    eprintln!("played {:?} rounds {rounds}", t.elapsed());
    let mut c = db.pool.acquire().await.unwrap();
    eprintln!("sent {:?}", tally::sent_by_cadence(&mut c).await.unwrap());
    eprintln!("held {:?}", tally::held(&mut c).await.unwrap());
    eprintln!("grades {:?}", tally::grades(&mut c).await.unwrap());
    eprintln!("moves {:?}", tally::moves(&mut c, now).await.unwrap());
    eprintln!("responses {:?}", tally::responses(&mut c).await.unwrap());
    eprintln!("won {:?} birthdays {:?}", tally::won_back(&mut c).await.unwrap(), tally::birthdays(&mut c).await.unwrap());
    let faults = tally::faults(&mut c).await.unwrap();
    eprintln!("{faults:?}");
    assert_eq!((faults.lost, faults.duplicates, faults.uncertain), (0, 0, 0));
}
