//! What is kept, what is dropped, and what is noted for later.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use kith::engine::ingest::{self, Answer, Incoming};
use kith::engine::{regrade, retier, sweep};
use kith::store::{contact, event, partition, person};
use uuid::{Builder, Uuid};

use crate::rig::{OPEN_HOURS, Postbox, Town};

fn now() -> DateTime<Utc> {
    "2027-03-01T09:00:00Z".parse().unwrap()
}

/// An id of a day.
fn id_of(year: i32, month: u32, day: u32) -> Uuid {
    let at = NaiveDate::from_ymd_opt(year, month, day)
        .unwrap()
        .and_time(NaiveTime::MIN)
        .and_utc();
    let millis = u64::try_from(at.timestamp_millis()).unwrap();
    Builder::from_unix_timestamp_millis(millis, &rand_bytes()).into_uuid()
}

fn rand_bytes() -> [u8; 10] {
    Uuid::new_v4().as_bytes()[..10].try_into().unwrap()
}

async fn partitions(town: &Town, table: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
         join pg_class p on p.oid = i.inhparent where p.relname = $1 and c.relname like '%\\_20%' order by 1",
    )
    .bind(table)
    .fetch_all(&town.db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn old_months_go_one_by_one_and_unfinished_ones_stay() {
    let keep = format!("{OPEN_HOURS}\n[keep]\nmessage = \"365d\"\ndecision = \"365d\"\nevent = \"ever\"\n");
    let town = Town::found(&keep, &[], now()).await;
    let deps = town.daemon(Postbox::open().channel()).await;
    let months: Vec<NaiveDate> = (1..=12)
        .chain(1..=3)
        .enumerate()
        .map(|(n, month)| NaiveDate::from_ymd_opt(2025 + i32::try_from(n / 12).unwrap(), month, 1).unwrap())
        .collect();
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure_months(&mut conn, &months).await.unwrap();
    drop(conn);
    for (month, outcome) in [(1, "accepted"), (2, "uncertain"), (3, "accepted")] {
        sqlx::query(
            "insert into message (id, shard, contact_id, account_id, channel, class, template, locale, sender, address,
                                  outcome, done_at)
             values ($1, 0, $1, $1, 'email', 3, 't', 'en', 'mail', 'a@example.net', $2, $3)",
        )
        .bind(id_of(2025, month, 5))
        .bind(outcome)
        .bind(now())
        .execute(&town.db.pool)
        .await
        .unwrap();
    }
    // 1 March 2026 is the edge: what ended by then goes, one month of a kind a pass.
    sweep::run_once(&deps, now()).await.unwrap();
    let left = partitions(&town, "message").await;
    assert!(!left.contains(&"message_2025_01".to_owned()), "{left:?}");
    assert!(
        left.contains(&"message_2025_03".to_owned()),
        "one at a time: {left:?}"
    );
    for _ in 0..20 {
        sweep::run_once(&deps, now()).await.unwrap();
    }
    let left = partitions(&town, "message").await;
    assert_eq!(left[..2], ["message_2025_02", "message_2026_03"], "{left:?}");
    assert_eq!(partitions(&town, "decision").await[0], "decision_2026_03");
    assert_eq!(
        partitions(&town, "event").await[0],
        "event_2025_01",
        "kept for ever"
    );
    assert_eq!(
        town.count("select count(*) from message where outcome = 'uncertain'")
            .await,
        1
    );
    // Once it is settled, the month goes too.
    sqlx::query("update message set outcome = 'accepted'")
        .execute(&town.db.pool)
        .await
        .unwrap();
    sweep::run_once(&deps, now()).await.unwrap();
    assert_eq!(town.count("select count(*) from message").await, 0);
}

#[tokio::test]
async fn keys_of_events_go_with_the_months_of_their_events() {
    for (kept, left) in [("365d", 3), ("ever", 5)] {
        let keep =
            format!("{OPEN_HOURS}\n[keep]\nmessage = \"ever\"\ndecision = \"730d\"\nevent = \"{kept}\"\n");
        let town = Town::found(&keep, &[], now()).await;
        let deps = town.daemon(Postbox::open().channel()).await;
        // 1 March 2026 is the edge.
        sqlx::query(
            "insert into event_key (source, key_hash, event_id, at)
             select 'hook', at::bytea, gen_random_uuid(), at::timestamptz
             from unnest(array['2025-01-05T00:00:00Z', '2026-02-28T23:59:59Z', '2026-03-01T00:00:00Z', '2026-03-20T00:00:00Z',
                               '2027-02-28T00:00:00Z']) as at",
        )
        .execute(&town.db.pool)
        .await
        .unwrap();
        sweep::run_once(&deps, now()).await.unwrap();
        assert_eq!(town.count("select count(*) from event_key").await, left, "{kept}");
        let oldest = if left == 3 { "2026-03-01" } else { "2025-01-05" };
        let first: DateTime<Utc> = sqlx::query_scalar("select min(at) from event_key")
            .fetch_one(&town.db.pool)
            .await
            .unwrap();
        assert_eq!(first.date_naive().to_string(), oldest);
    }
    let town = Town::found(OPEN_HOURS, &[], now()).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    sqlx::query(
        "insert into event_key (source, key_hash, event_id, at)
         select 'hook', n::text::bytea, gen_random_uuid(), $1 - interval '1 day' * n from generate_series(1, 5) as n",
    )
    .bind(now())
    .execute(&mut *conn)
    .await
    .unwrap();
    // In batches, the oldest first.
    assert_eq!(event::forget_keys(&mut conn, now(), 2).await.unwrap(), 2);
    let youngest_gone = "select count(*) from event_key where key_hash in ('4', '5')";
    assert_eq!(town.count(youngest_gone).await, 0);
    assert_eq!(event::forget_keys(&mut conn, now(), 9).await.unwrap(), 3);
}

#[tokio::test]
async fn standings_are_right_before_there_is_a_pyramid() {
    let town = Town::found(OPEN_HOURS, &[], now()).await;
    town.settle(3, 1).await;
    let deps = town.daemon(Postbox::open().channel()).await;
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&town.db.pool).await.unwrap();
    };
    run("insert into purchase (account_id, at, id, source_id, external_id, amount, currency)
         select a.id, '2020-05-01', a.id, s.id, 'b-1', 100, 'EUR' from account a, source s where a.name = 'Account 1'")
    .await;
    run("insert into lead (id, shard, account_id, source_id, external_id)
         select a.id, 0, a.id, s.id, 'l-1' from account a, source s where a.name = 'Account 2'")
    .await;
    assert_eq!(retier::run_once(&deps, now()).await.unwrap().done, 2);
    let standing: Vec<String> = sqlx::query_scalar("select standing from account order by name")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    assert_eq!(standing, ["inactive", "prospect", "suspect"]);
    assert_eq!(town.count("select count(*) from pyramid_base").await, 0);
    assert_eq!(town.count("select count(*) from standing_change").await, 2);
    let noted = "select count(distinct contact_id) from fact_change";
    assert_eq!(
        town.count(noted).await,
        2,
        "audiences are told whose facts changed"
    );
    // The first purchase of the period makes the pyramid; a run that fails leaves its day to the next try.
    run("insert into purchase (account_id, at, id, source_id, external_id, amount, currency)
         select a.id, '2027-02-01', a.id, s.id, 'b-3', 100, 'EUR' from account a, source s where a.name = 'Account 3'")
    .await;
    run("alter table standing_change rename to elsewhere").await;
    let tomorrow = now() + TimeDelta::days(1);
    assert!(retier::run_once(&deps, tomorrow).await.is_err());
    run("alter table elsewhere rename to standing_change").await;
    retier::run_once(&deps, tomorrow).await.unwrap();
    assert_eq!(
        retier::run_once(&deps, tomorrow).await.unwrap().done,
        0,
        "once a day"
    );
    assert_eq!(town.count("select count(*) from pyramid_base").await, 1);
    let tiers = "select count(*) from account where standing not in ('inactive', 'prospect', 'suspect')";
    assert_eq!(town.count(tiers).await, 1);
}

#[tokio::test]
async fn looking_for_people_reads_ranges_of_indexes_only() {
    let town = Town::found(OPEN_HOURS, &[], now()).await;
    town.settle(30_000, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    sqlx::raw_sql("update contact set name = 'Zoë ' || name where email like 'p00000012%'; analyze")
        .execute(&mut *conn)
        .await
        .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "explain {}",
        include_str!("../../src/store/person_search.sql")
    )))
    .bind("zoë")
    .bind("zoë")
    .bind(format!("zoë{}", char::MAX))
    .bind("zoë")
    .bind(format!("zoë{}", char::MAX))
    .bind(51_i64)
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let plan = plan.join("\n");
    for index in [
        "contact_name",
        "contact_surname",
        "contact_email",
        "contact_phone",
        "account_name",
    ] {
        assert!(plan.contains(index), "{index}: {plan}");
    }
    assert!(!plan.contains("Seq Scan on contact"), "{plan}");
    let find = async |asked: &str| {
        let mut conn = town.db.pool.acquire().await.unwrap();
        let found = person::search(&mut conn, asked, asked, 51).await.unwrap();
        found.len()
    };
    assert_eq!(find("ZOË").await, 1, "the beginning of a name, whatever its case");
    assert_eq!(find("p00000012").await, 1, "the beginning of an address");
    assert_eq!(find("p00000012-1").await, 1, "an external id");
    assert_eq!(find("oë").await, 0);
    assert_eq!(find("%").await, 0);
    assert_eq!(find("person").await, 51, "cut");
}

#[tokio::test]
async fn whoever_changes_a_fact_says_so() {
    let town = Town::found(OPEN_HOURS, &[], now()).await;
    town.settle(2, 1).await;
    let deps = town.daemon(Postbox::open().channel()).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, now()).await.unwrap();
    let mut ids = Vec::new();
    for n in 1..=2 {
        ids.push(format!("p0000000{n}-1"));
    }
    let noted = async || {
        let news: Vec<String> = sqlx::query_scalar(
            "select distinct r.external_id from fact_change f join contact_ref r using (contact_id) order by 1",
        )
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
        sqlx::query("delete from fact_change")
            .execute(&town.db.pool)
            .await
            .unwrap();
        news
    };
    let event = |id: &str, kind: &str, human: bool, data: serde_json::Value| -> Incoming {
        serde_json::from_value(serde_json::json!({
            "id": id, "type": kind, "contact": "p00000001-1", "human": human, "data": data
        }))
        .unwrap()
    };
    let first = &ids[..1];
    for (n, (kind, human, data, told)) in [
        ("clicked", true, serde_json::json!({}), true),
        ("clicked", false, serde_json::json!({}), false),
        ("call", true, serde_json::json!({}), true),
        ("opted_out", true, serde_json::json!({}), true),
        ("purchase", true, serde_json::json!({ "amount": 5 }), true),
    ]
    .into_iter()
    .enumerate()
    {
        let answers = ingest::accept(
            &deps,
            "test",
            vec![event(&n.to_string(), kind, human, data)],
            now(),
        )
        .await
        .unwrap();
        assert_eq!(answers, [Answer::Accepted]);
        let expected: &[String] = if told { first } else { &[] };
        assert_eq!(noted().await, expected, "{kind} by a person: {human}");
    }
    let person: Uuid =
        sqlx::query_scalar("select contact_id from contact_ref where external_id = 'p00000002-1'")
            .fetch_one(&town.db.pool)
            .await
            .unwrap();
    contact::leave_until(&mut conn, person, now().date_naive().into())
        .await
        .unwrap();
    assert_eq!(noted().await, ids[1..], "left to the owner");
    sqlx::query(
        "with l as (
             insert into lead (id, shard, account_id, source_id, external_id, regrade_at)
             select gen_random_uuid(), 0, c.account_id, s.id, 'l-1', $2 from contact c, source s where c.id = $1 returning id
         ), x as (insert into lead_contact (lead_id, contact_id) select id, $1 from l)
         insert into evidence (lead_id, at, id, body)
         select id, $2, gen_random_uuid(), $3 from l",
    )
    .bind(person)
    .bind(now())
    .bind(serde_json::json!({ "kind": "asserted", "grade": "B", "source": { "by": "import", "name": "test" } }))
    .execute(&town.db.pool)
    .await
    .unwrap();
    regrade::run_once(&deps, now()).await.unwrap();
    let graded = "select count(*) from lead where grade = 'B'";
    assert_eq!(town.count(graded).await, 1);
    assert_eq!(noted().await, ids[1..], "graded");
    sqlx::query("update lead set regrade_at = $1")
        .bind(now())
        .execute(&town.db.pool)
        .await
        .unwrap();
    regrade::run_once(&deps, now()).await.unwrap();
    assert_eq!(noted().await, [] as [String; 0], "graded the same");
    retier::run_once(&deps, now() + TimeDelta::days(1)).await.unwrap();
    assert_eq!(noted().await, ids, "standing");
}
