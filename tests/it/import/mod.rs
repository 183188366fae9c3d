//! Importing CSV into a real database.

mod contacts;
mod leads;
mod refusals;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::id::IdSource;
use kith::engine::import::{self, ImportDeps, ImportOrder, ImportReport, Imported, Kind};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::harness::TestDb;

const NOW: &str = "2026-11-20T04:00:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

/// A database, a folder for files, and what importing needs.
struct Desk {
    db: TestDb,
    dir: TempDir,
    deps: ImportDeps,
}

impl Desk {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let deps = ImportDeps {
            pool: db.pool.clone(),
            ids: Arc::new(IdSource::seeded(1)),
            zone: chrono_tz::Asia::Shanghai,
            region: "CN".to_owned(),
            birthdays: BirthdayRules::default(),
            address_key: AddressKey::new(b"key"),
        };
        Self {
            db,
            dir: TempDir::new().unwrap(),
            deps,
        }
    }

    fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    fn write(&self, kind: Kind, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(format!("{}.csv", kind.as_str()));
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn order(&self, kind: Kind, path: &Path, dry_run: bool) -> Imported {
        let order = ImportOrder {
            kind,
            path: path.to_owned(),
            source: "csv".to_owned(),
            dry_run,
        };
        import::import(&self.deps, &order, now(), |_| {}).await.unwrap()
    }

    async fn import(&self, kind: Kind, text: impl AsRef<[u8]>) -> ImportReport {
        let path = self.write(kind, text);
        match self.order(kind, &path, false).await {
            Imported::Done(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Imports, and expects (new, changed, same, refused).
    async fn expect(&self, kind: Kind, text: &str, counts: (u64, u64, u64, u64)) {
        let report = self.import(kind, text).await;
        let rejected = report
            .rejected_path
            .as_ref()
            .map(|p| std::fs::read_to_string(p).unwrap());
        let got = (report.new, report.changed, report.same, report.refused);
        assert_eq!(got, counts, "{text}\n{rejected:?}");
    }

    async fn text(&self, sql: &'static str) -> Option<String> {
        sqlx::query_scalar(sql).fetch_one(self.pool()).await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.pool()).await.unwrap()
    }
}

/// Where each row lies and which transaction wrote it: the same only if nothing was written.
const ROWS: &str = "select string_agg(concat(t.n, t.ctid, t.xmin), ',' order by t.n, t.ctid) from (
    select 'contact' n, ctid::text, xmin::text from contact union all
    select 'account', ctid::text, xmin::text from account union all
    select 'ref', ctid::text, xmin::text from contact_ref union all
    select 'owner', ctid::text, xmin::text from owner union all
    select 'consent', ctid::text, xmin::text from consent union all
    select 'fact', ctid::text, xmin::text from fact_change) t";

const PEOPLE: &str = "\
external_id,name,email,phone,locale,timezone,region,birthday,birthday_calendar,organisation,role,decision_maker,owner,preferred_channel,best_time,referred_by,consent_email,consent_sms,consent_source,attr.hobby
c1,Ann Lee,Ann@Example.com,13800138000,zh_cn,Asia/Shanghai,华东,1990-08-15,lunar,o1,CTO,是,w1,email,09:00,c2,yes,no,fair 2026,chess
c2,Bo,bo@example.com,+4930901820,de,Europe/Berlin,DE,--02-29,,,,0,,sms,,,true,,,
c3,Cy,,,,,,,,,,,,,,,,,,
";

async fn with_people(desk: &Desk) {
    desk.expect(Kind::Owners, "external_id,name,deputy\nw1,Wu,w9\n", (1, 0, 0, 0))
        .await;
    desk.expect(
        Kind::Organisations,
        "external_id,name,industry\no1,Acme,steel\n",
        (1, 0, 0, 0),
    )
    .await;
    desk.expect(Kind::Contacts, PEOPLE, (3, 0, 0, 0)).await;
}
