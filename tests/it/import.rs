//! Importing CSV into a real database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::email::EmailAddress;
use kith::domain::evidence::{EvidenceKind, Outcome, Source};
use kith::domain::factor::{Factor, Level, Setting};
use kith::domain::grade::Grade;
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

/// The accounts' last purchases.
const LAST: &str =
    "select string_agg(concat_ws(' ', name, last_purchase_at at time zone 'utc'), ', ' order by name)
                    from account where last_purchase_at is not null";

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

#[tokio::test]
async fn contacts_arrive_whole() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let ann = desk
        .text(
            "select concat_ws('|', c.name, c.email, c.phone, locale, c.timezone, c.region, birthday, birthday_calendar,
                              next_birthday_on, next_birthday_key, role, decision_maker, o.name, preferred_channel,
                              best_time, referred_by, attrs, consent_email, consent_sms, consent_source, a.name,
                              a.kind, c.shard = a.shard)
             from contact c join account a on a.id = account_id join owner o on o.id = owner_id
             where c.name = 'Ann Lee'",
        )
        .await;
    assert_eq!(
        ann.unwrap(),
        "Ann Lee|ann@example.com|+8613800138000|zh-CN|Asia/Shanghai|华东|1990-08-15|lunar|2027-09-15|2027-lunar-08-15|\
         CTO|t|Wu|email|09:00|c2|{\"hobby\": \"chess\"}|t|f|fair 2026|Acme|organisation|t"
    );
    let bo = desk
        .text(
            "select concat_ws('|', birthday, next_birthday_on, a.kind, a.id = c.id, a.name, a.region, attrs,
                              consent_sms is null)
             from contact c join account a on a.id = account_id where c.name = 'Bo'",
        )
        .await;
    assert_eq!(bo.unwrap(), "--02-29|2027-02-28|person|t|Bo|DE|{}|t");
    let hash: Vec<u8> = sqlx::query_scalar("select email_hash from contact where name = 'Ann Lee'")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    let address = EmailAddress::parse("ann@example.com").unwrap();
    assert_eq!(hash, desk.deps.address_key.email(&address).as_bytes());
    assert_eq!(desk.number("select count(*) from consent").await, 3);
    assert_eq!(desk.number("select count(*) from fact_change").await, 3);
}

#[tokio::test]
async fn the_same_again_writes_nothing_and_a_difference_writes_that_row() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let before = desk.text(ROWS).await;
    desk.expect(Kind::Owners, "external_id,name,deputy\nw1,Wu,w9\n", (0, 0, 1, 0))
        .await;
    desk.expect(
        Kind::Organisations,
        "external_id,name,industry\no1,Acme,steel\n",
        (0, 0, 1, 0),
    )
    .await;
    desk.expect(Kind::Contacts, PEOPLE, (0, 0, 3, 0)).await;
    assert_eq!(desk.text(ROWS).await, before);

    let changed = PEOPLE.replace("CTO", "CEO").replace("chess", "");
    desk.expect(Kind::Contacts, &changed, (0, 1, 2, 0)).await;
    let ann = desk
        .text("select role || attrs::text from contact where name = 'Ann Lee'")
        .await;
    assert_eq!(ann.unwrap(), "CEO{}");
    assert_eq!(desk.number("select count(*) from consent").await, 3);
}

#[tokio::test]
async fn an_absent_column_clears_nothing_and_an_empty_cell_clears() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    desk.expect(Kind::Contacts, "\u{feff}external_id,role\nc1,\n", (0, 1, 0, 0))
        .await;
    let ann = desk
        .text(
            "select concat_ws('|', role is null, email, birthday, attrs, consent_email, owner_id is not null)
               from contact where name = 'Ann Lee'",
        )
        .await;
    assert_eq!(
        ann.unwrap(),
        "t|ann@example.com|1990-08-15|{\"hobby\": \"chess\"}|t|t"
    );
    desk.expect(Kind::Contacts, "external_id,attr.size\nc1,L\n", (0, 1, 0, 0))
        .await;
    assert_eq!(
        desk.text("select attrs::text from contact where name = 'Ann Lee'")
            .await
            .unwrap(),
        "{\"size\": \"L\", \"hobby\": \"chess\"}"
    );
    // New people need a name; and an empty consent says nothing.
    desk.expect(
        Kind::Contacts,
        "external_id,consent_email\nc9,yes\nc1,\n",
        (0, 0, 1, 1),
    )
    .await;
    desk.expect(
        Kind::Owners,
        "external_id,phone\nw1,010 6552 9988\n",
        (0, 1, 0, 0),
    )
    .await;
    assert_eq!(
        desk.text("select name || phone from owner").await.unwrap(),
        "Wu+861065529988"
    );
}

#[tokio::test]
async fn a_dry_run_counts_and_writes_nothing() {
    let desk = Desk::new().await;
    let path = desk.write(
        Kind::Contacts,
        "external_id,name,email\nc1,Ann,a@b.com\nc2,Bo,b@\n",
    );
    let Imported::Done(report) = desk.order(Kind::Contacts, &path, true).await else {
        panic!()
    };
    assert_eq!((report.new, report.refused), (1, 1));
    assert_eq!(desk.number("select count(*) from contact").await, 0);
    assert_eq!(desk.number("select count(*) from source").await, 0);

    desk.expect(Kind::Contacts, "external_id,name\nc1,Ann\n", (1, 0, 0, 0))
        .await;
    let path = desk.write(Kind::Contacts, "external_id,name\nc1,Anna\nc2,Bo\n");
    let Imported::Done(report) = desk.order(Kind::Contacts, &path, true).await else {
        panic!()
    };
    assert_eq!((report.new, report.changed), (1, 1));
    assert_eq!(desk.text("select name from contact").await.unwrap(), "Ann");
}

#[tokio::test]
async fn an_import_lifts_no_opt_out() {
    let desk = Desk::new().await;
    let file = "external_id,name,email,consent_email\nc1,Ann,a@b.com,yes\n";
    desk.expect(Kind::Contacts, file, (1, 0, 0, 0)).await;
    // The person says no.
    sqlx::raw_sql(
        "insert into suppression (address_hash, channel, reason, at)
         select email_hash, 'email', 'opted-out', now() from contact;
         insert into consent (contact_id, at, id, channel, granted, basis, source)
         select id, now(), gen_random_uuid(), 'email', false, 'opt-out', 'link' from contact;
         update contact set consent_email = false",
    )
    .execute(desk.pool())
    .await
    .unwrap();
    desk.expect(Kind::Contacts, file, (0, 0, 1, 0)).await;
    desk.expect(Kind::Contacts, &file.replace("Ann", "Anna"), (0, 1, 0, 0))
        .await;
    assert_eq!(desk.number("select count(*) from suppression").await, 1);
    assert_eq!(
        desk.number("select count(*) from contact where consent_email")
            .await,
        0
    );
    assert_eq!(desk.number("select count(*) from consent where granted").await, 1);

    // A no that came by import yields to an import.
    let no = "external_id,name,consent_sms\nc2,Bo,no\n";
    desk.expect(Kind::Contacts, no, (1, 0, 0, 0)).await;
    desk.expect(Kind::Contacts, &no.replace(",no", ",yes"), (0, 1, 0, 0))
        .await;
    assert_eq!(
        desk.number("select count(*) from contact where consent_sms")
            .await,
        1
    );
}

#[tokio::test]
async fn a_contact_moves_between_organisation_and_alone() {
    let desk = Desk::new().await;
    desk.expect(Kind::Organisations, "external_id,name\no1,Acme\n", (1, 0, 0, 0))
        .await;
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc1,Ann,\nc2,Bo,o1\n",
        (2, 0, 0, 0),
    )
    .await;
    assert_eq!(desk.number("select count(*) from account").await, 2);
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc1,Ann,o1\nc2,Bo,\n",
        (0, 2, 0, 0),
    )
    .await;
    let accounts = desk
        .text(
            "select string_agg(concat_ws(' ', c.name, a.kind, a.name, a.shard = c.shard), ', ' order by c.name)
             from contact c join account a on a.id = c.account_id",
        )
        .await;
    assert_eq!(accounts.unwrap(), "Ann organisation Acme t, Bo person Bo t");
    assert_eq!(desk.number("select count(*) from account").await, 2);
}

#[tokio::test]
async fn references_must_be_known_except_a_deputy() {
    let desk = Desk::new().await;
    let report = desk
        .import(
            Kind::Contacts,
            "external_id,name,organisation,owner\nc1,Ann,o9,\nc2,Bo,,w9\nc3,Cy,,\n",
        )
        .await;
    assert_eq!((report.new, report.refused), (1, 2));
    let rejected = std::fs::read_to_string(report.rejected_path.unwrap()).unwrap();
    assert_eq!(
        rejected,
        "row,field,reason,external_id,name,organisation,owner\n\
         2,\"organisation\",\"no organisation of this source has this external id; import organisations first\",c1,Ann,o9,\n\
         3,\"owner\",\"no owner of this source has this external id; import owners first\",c2,Bo,,w9\n"
    );
    // Corrected, the file of refused rows is a file like any other.
    desk.expect(
        Kind::Contacts,
        &rejected.replace("o9", "").replace("w9", ""),
        (2, 0, 0, 0),
    )
    .await;
}

#[tokio::test]
async fn purchases_and_returns() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let file = "external_id,contact,organisation,purchased_at,amount,currency,quantity,profit,product\n\
                p1,c2,,2026-03-29 02:30,100.50,eur,2,40,pump\n\
                p2,,o1,2026-01-05,1000,CNY,,,\n\
                p3,c2,,2026-05-01T10:00+00:00,-20,EUR,,,\n\
                p4,c1,,2026-02-01,5,CNY,,,\n\
                p5,,,2026-02-01,5,CNY,,,\n\
                p6,c9,,2026-02-01,5,CNY,,,\n";
    desk.expect(Kind::Purchases, file, (4, 0, 0, 2)).await;
    let got = desk
        .text(
            "select string_agg(concat_ws(' ', p.external_id, a.name, p.at at time zone 'utc', amount, currency), ', '
                               order by p.external_id)
             from purchase p join account a on a.id = p.account_id",
        )
        .await;
    // In Berlin the clocks went from 02:00 to 03:00 that night.
    assert_eq!(
        got.unwrap(),
        "p1 Bo 2026-03-29 01:30:00 100.5 EUR, p2 Acme 2026-01-04 16:00:00 1000 CNY, \
         p3 Bo 2026-05-01 10:00:00 -20 EUR, p4 Acme 2026-01-31 16:00:00 5 CNY"
    );
    assert_eq!(
        desk.text(LAST).await.unwrap(),
        "Acme 2026-01-31 16:00:00, Bo 2026-03-29 01:30:00"
    );
    desk.expect(Kind::Purchases, file, (0, 0, 4, 2)).await;
    let moved = "external_id,contact,purchased_at,amount,currency\np4,c2,2026-04-01,5,CNY\n";
    desk.expect(Kind::Purchases, moved, (0, 1, 0, 0)).await;
    assert_eq!(
        desk.text(LAST).await.unwrap(),
        "Acme 2026-01-04 16:00:00, Bo 2026-03-31 22:00:00"
    );
}

const LEADS: &str = "\
external_id,contact,organisation,owner,source_channel,campaign,situation,grade,grade_at,objective_need,felt_need,resolve,waiting_for,expected_on,expected_close,likelihood,value,product,stage,opened_at,closed_at,outcome,not_fit
l1,c1,o1,w1,fair,g1,greenfield,B,2026-10-01,yes,yes,high,the budget,2026-12-01,2027-03-01,60%,5000,pump,talks,2026-09-01,,,
l2,c2,,,,,,,,,,,,,,,,,,2026-09-01T12:00,2026-10-01,lost,
";

async fn evidence(desk: &Desk, lead: &str) -> Vec<(DateTime<Utc>, EvidenceKind)> {
    let rows: Vec<(DateTime<Utc>, sqlx::types::Json<EvidenceKind>)> = sqlx::query_as(
        "select e.at, e.body from evidence e join lead l on l.id = e.lead_id where l.external_id = $1
         order by e.at, e.id",
    )
    .bind(lead)
    .fetch_all(desk.pool())
    .await
    .unwrap();
    rows.into_iter().map(|(at, body)| (at, body.0)).collect()
}

#[tokio::test]
async fn leads_bring_evidence_where_the_file_has_news() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    desk.expect(
        Kind::Campaigns,
        "external_id,name,date,cost\ng1,Fair,2026-09-01,900\n",
        (1, 0, 0, 0),
    )
    .await;
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc4,Di,o1\n",
        (1, 0, 0, 0),
    )
    .await;
    desk.expect(Kind::Leads, LEADS, (2, 0, 0, 0)).await;

    let source = || Source::Import("csv".to_owned());
    let stated = |setting| EvidenceKind::Stated {
        setting,
        source: source(),
    };
    let date = |text: &str| text.parse().unwrap();
    let got = evidence(&desk, "l1").await;
    assert!(
        got.iter()
            .all(|(at, _)| *at == "2026-09-30T16:00:00Z".parse::<DateTime<Utc>>().unwrap()),
        "{got:?}"
    );
    let kinds: Vec<EvidenceKind> = got.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [
            stated(Setting::ObjectiveNeed(true)),
            stated(Setting::FeltNeed(true)),
            stated(Setting::Resolve(Level::High)),
            stated(Setting::ExpectedClose(date("2027-03-01"))),
            stated(Setting::WaitingFor("the budget".to_owned())),
            stated(Setting::ExpectedOn(date("2026-12-01"))),
            stated(Setting::Likelihood(60)),
            EvidenceKind::Asserted {
                grade: Grade::B,
                source: source(),
                reason: None,
                expires: None
            },
        ]
    );
    assert_eq!(
        evidence(&desk, "l2").await,
        [(
            "2026-09-30T22:00:00Z".parse().unwrap(),
            EvidenceKind::Closed {
                outcome: Outcome::Lost
            }
        )]
    );
    let l1 = desk
        .text(
            "select concat_ws('|', grade is null, waiting_for, expected_on, expected_close, likelihood, value, stage,
                              closed_at is null, g.name, o.name, a.name, regrade_at = '2026-11-20T04:00:00Z',
                              l.shard = a.shard,
                              (select string_agg(c.name, ',' order by c.name) from lead_contact x
                               join contact c on c.id = x.contact_id where x.lead_id = l.id))
             from lead l join campaign g on g.id = campaign_id join owner o on o.id = owner_id
             join account a on a.id = account_id where l.external_id = 'l1'",
        )
        .await;
    assert_eq!(
        l1.unwrap(),
        "t|the budget|2026-12-01|2027-03-01|60|5000|talks|t|Fair|Wu|Acme|t|t|Ann Lee,Di"
    );

    // The same again is no news; what kith moved itself stays.
    sqlx::query("update lead set stage = 'won over', regrade_at = null")
        .execute(desk.pool())
        .await
        .unwrap();
    desk.expect(Kind::Leads, LEADS, (0, 0, 2, 0)).await;
    assert_eq!(desk.number("select count(*) from evidence").await, 9);

    // News of a known lead is news of today; a cell that is emptied is withdrawn.
    let news = LEADS
        .replace("yes,yes,high,the budget", "yes,yes,medium,")
        .replace(",lost,", ",,")
        .replace("2026-10-01,,", ",,");
    desk.expect(Kind::Leads, &news, (0, 2, 0, 0)).await;
    let kinds: Vec<_> = evidence(&desk, "l1")
        .await
        .into_iter()
        .filter(|(at, _)| *at == now())
        .map(|e| e.1)
        .collect();
    assert_eq!(
        kinds,
        [
            stated(Setting::Resolve(Level::Medium)),
            EvidenceKind::Withdrawn {
                factor: Factor::WaitingFor,
                source: source()
            }
        ]
    );
    assert_eq!(
        evidence(&desk, "l2").await.last(),
        Some(&(now(), EvidenceKind::Reopened))
    );
    assert_eq!(
        desk.text("select string_agg(concat_ws(' ', external_id, stage, waiting_for, closed_at), ',' order by external_id) from lead")
            .await
            .unwrap(),
        "l1 won over,l2 won over"
    );
    assert_eq!(
        desk.number("select count(*) from lead where regrade_at is not null")
            .await,
        2
    );

    // A colleague who comes later joins the open lead of the organisation.
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc5,Ed,o1\n",
        (1, 0, 0, 0),
    )
    .await;
    assert_eq!(desk.number("select count(*) from lead_contact").await, 4);
}

#[tokio::test]
async fn a_file_that_cannot_be_what_it_says_is_refused_whole() {
    let desk = Desk::new().await;
    for (text, part) in [
        (&b""[..], "empty"),
        (b"\xff\xfee\0x\0", "UTF-16"),
        (b"external_id,e_mail\nc1,a@b.com\n", "did you mean email"),
        (b"name\nAnn\n", "required"),
        (b"external_id;name\nc1;Ann\n", "separated by commas"),
        (b"external_id,n\xe9\nc1,Ann\n", "not UTF-8"),
    ] {
        let path = desk.write(Kind::Contacts, text);
        match desk.order(Kind::Contacts, &path, false).await {
            Imported::FileRefused(refusal) => assert!(refusal.reason.contains(part), "{refusal:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(desk.number("select count(*) from source").await, 0);
}

/// Twenty kinds of bad rows: a row with `#` for its number, the column that is to blame, and a part of the reason.
fn bad_kinds() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let long = format!("b#,{},,,,,,,,,", "x".repeat(201));
    let rows: [(&[u8], &str, &str); 20] = [
        (b",Ann,,,,,,,,,", "external_id", "empty"),
        (b"b#,,,,,,,,,,", "name", "empty"),
        (b"b#,Ann,ann@,,,,,,,,", "email", "domain"),
        (b"b#,Ann,,12345,,,,,,,", "phone", "phone"),
        (b"b#,Ann,,,xx_yy_zz_123456789,,,,,,", "locale", ""),
        (b"b#,Ann,,,,Mars/Olympus,,,,,", "timezone", "time zone"),
        (b"b#,Ann,,,,,1990-02-30,,,,", "birthday", "no such day"),
        (b"b#,Ann,,,,,15 Aug,,,,", "birthday", "not a birthday"),
        (
            b"b#,Ann,,,,,1990-08-15,julian,,,",
            "birthday_calendar",
            "calendar",
        ),
        (b"b#,Ann,,,,,1990-L06-10,,,,", "birthday", "leap month"),
        (b"b#,Ann,,,,,,,maybe,,", "decision_maker", "yes"),
        (b"b#,Ann,,,,,,,,fax,", "preferred_channel", "email, sms, phone"),
        (long.as_bytes(), "name", "longer than 200"),
        (b"dup,Ann,,,,,,,,,", "external_id", "further up"),
        (b"b#,Ann,,,", "", "5 cells"),
        (b"b#,Ann,,,,,,,,,,", "", "12 cells"),
        (b"b#,A\xe9nn,,,,,,,,,", "name", "UTF-8"),
        (b"b#,A\0nn,,,,,,,,,", "name", "NUL"),
        (b"b#,Ann,\"ann@b.com,,,,,,,,", "", "quote"),
        (b"b#,Ann,,,,,,,,,o9", "organisation", "no organisation"),
    ];
    rows.into_iter()
        .map(|(row, field, reason)| (row.to_vec(), field, reason))
        .collect()
}

#[tokio::test]
async fn a_thousand_bad_rows_of_twenty_kinds() {
    let desk = Desk::new().await;
    let header = "external_id,name,email,phone,locale,timezone,birthday,birthday_calendar,decision_maker,\
                  preferred_channel,organisation";
    let kinds = bad_kinds();
    let mut file = format!("{header}\ndup,First,,,,,,,,,\n").into_bytes();
    let mut want = Vec::new();
    for n in 0..1000_usize {
        let (row, field, reason) = &kinds[n % kinds.len()];
        let line = file.split(|&b| b == b'\n').count();
        for &byte in row {
            if byte == b'#' {
                file.extend_from_slice(n.to_string().as_bytes());
            } else {
                file.push(byte);
            }
        }
        file.extend_from_slice(b"\r\n");
        want.push((line, *field, *reason));
        // Good rows between the bad ones are kept.
        if n % 4 == 0 {
            file.extend_from_slice(format!("g{n},\"Good, {n}\",,,,,,,,,\n").as_bytes());
        }
    }
    let report = desk.import(Kind::Contacts, &file).await;
    assert_eq!((report.new, report.refused), (251, 1000));
    assert_eq!(desk.number("select count(*) from contact").await, 251);

    let rejected = std::fs::read(report.rejected_path.unwrap()).unwrap();
    let lines: Vec<&[u8]> = rejected
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(lines[0], format!("row,field,reason,{header}").as_bytes());
    assert_eq!(lines.len(), 1001);
    for ((line, field, reason), got) in want.iter().zip(&lines[1..]) {
        let got = String::from_utf8_lossy(got);
        assert!(
            got.starts_with(&format!("{line},\"{field}\",")),
            "{line} {field}: {got}"
        );
        assert!(got.contains(reason), "{reason}: {got}");
    }
}

#[tokio::test]
async fn bad_rows_of_the_other_kinds() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    for (kind, text, field, reason) in [
        (
            Kind::Owners,
            "external_id,name,from_email\nw2,Xu,xu@\n",
            "from_email",
            "domain",
        ),
        (
            Kind::Owners,
            "external_id,name,away_from,away_until\nw2,Xu,2026-02-02,2026-02-01\n",
            "away_until",
            "ends before",
        ),
        (
            Kind::Campaigns,
            "external_id,name,cost\ng2,Ad,-5\n",
            "cost",
            "negative",
        ),
        (
            Kind::Campaigns,
            "external_id,name,date\ng2,Ad,31.03.2026\n",
            "date",
            "2026-03-31",
        ),
        (
            Kind::Organisations,
            "external_id,size\no2,10\n",
            "name",
            "needs a name",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,2026-02-01,5,Yuan\n",
            "currency",
            "three letters",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,2026-02-01,\"1,000\",CNY\n",
            "amount",
            "separators",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,yesterday,5,CNY\n",
            "purchased_at",
            "date or time",
        ),
        (
            Kind::Leads,
            "external_id,contact,resolve\nl1,c1,huge\n",
            "resolve",
            "high, medium",
        ),
        (
            Kind::Leads,
            "external_id,contact,grade\nl1,c1,E\n",
            "grade",
            "A, B, C or D",
        ),
        (
            Kind::Leads,
            "external_id,contact,situation\nl1,c1,blue\n",
            "situation",
            "greenfield",
        ),
        (
            Kind::Leads,
            "external_id,contact,likelihood\nl1,c1,120\n",
            "likelihood",
            "0 to 100",
        ),
        (
            Kind::Leads,
            "external_id,contact,expected_on\nl1,c1,9999-01-01\n",
            "expected_on",
            "year",
        ),
        (
            Kind::Leads,
            "external_id,contact,outcome,closed_at\nl1,c1,,2026-01-01\n",
            "outcome",
            "won or lost",
        ),
        (
            Kind::Leads,
            "external_id,contact,campaign\nl1,c1,g9\n",
            "campaign",
            "no campaign",
        ),
        (
            Kind::Leads,
            "external_id,contact\nl1,c77\n",
            "contact",
            "no contact",
        ),
        (
            Kind::Leads,
            "external_id,grade\nl1,A\n",
            "contact",
            "a contact or an organisation",
        ),
    ] {
        let report = desk.import(kind, text).await;
        assert_eq!((report.new, report.refused), (0, 1), "{text}");
        let rejected = std::fs::read_to_string(report.rejected_path.unwrap()).unwrap();
        let row = rejected.lines().nth(1).unwrap();
        assert!(
            row.starts_with(&format!("2,\"{field}\",")) && row.contains(reason),
            "{row}"
        );
    }
}
