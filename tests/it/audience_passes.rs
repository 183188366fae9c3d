//! Audiences by what changed: every pass after the first takes in exactly whom a full one would, and scans no table for it.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use kith::domain::cadence::Cadence;
use kith::engine::{Deps, enroll, sweep};
use kith::store::partition;
use sqlx::PgPool;
use tracing::field::Field;
use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::rig::{OPEN_HOURS, Postbox, Town, bury, until};

fn start() -> DateTime<Utc> {
    "2027-03-01T08:00:00Z".parse().unwrap()
}

/// A cadence that looks at its audience by a schedule.
fn daily(name: &str, schedule: &str, subject: &str, reentry: &str, audience: &str) -> (String, String) {
    let text = format!(
        "name = \"{name}\"\ntitle = \"Daily\"\nsubject = \"{subject}\"\n[entry]\nschedule = \"{schedule}\"\n{reentry}\
         audience = {audience}\n[[steps]]\nkey = \"mail\"\nchannel = \"email\"\ntemplate = \"note\"\nfunction = \"information\"\n"
    );
    (name.to_owned(), text)
}

fn cadences(schedule: &str) -> Vec<(String, String)> {
    let daily = |name, subject, reentry, audience| daily(name, schedule, subject, reentry, audience);
    let once = "reentry = \"never\"\n";
    vec![
        daily(
            "quiet",
            "contact",
            once,
            "{ all = [{ fact = \"account.last_purchase_at\", older_than = \"30d\" }, { not = { event = \"opened\", within = \"5d\" } }] }",
        ),
        daily(
            "spoken",
            "account",
            once,
            "{ fact = \"contact.last_human_at\", within = \"20d\" }",
        ),
        daily(
            "left",
            "contact",
            once,
            "{ not = { fact = \"contact.last_human_at\", within = \"20d\" } }",
        ),
        daily(
            "soon",
            "contact",
            once,
            "{ fact = \"contact.next_birthday_on\", days_until_at_most = 3 }",
        ),
        daily(
            "later",
            "contact",
            once,
            "{ all = [{ fact = \"contact.next_birthday_on\", known = true }, { not = { fact = \"contact.next_birthday_on\", days_until_at_most = 3 } }] }",
        ),
        daily(
            "lead",
            "lead",
            once,
            "{ any = [{ fact = \"lead.opened_at\", older_than = \"10d\" }, { fact = \"lead.grade\", is = \"B\" }] }",
        ),
        daily(
            "again",
            "contact",
            "reentry = { after = \"4d\" }\n",
            "{ fact = \"contact.region\", is = \"US\" }",
        ),
    ]
}

async fn sql(pool: &PgPool, text: &'static str, now: DateTime<Utc>) {
    sqlx::query(text).bind(now).execute(pool).await.unwrap();
}

async fn town(people: i32, schedule: &str) -> (Town, Arc<Deps>) {
    let town = Town::found(OPEN_HOURS, &cadences(schedule), start()).await;
    town.settle(people / 2, 2).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, start()).await.unwrap();
    // Everything that time alone can bring about, at moments of their own.
    sql(
        &town.db.pool,
        "update account set last_purchase_at = $1 - interval '1 h' * (hashtext(id::text) & 2047)",
        start(),
    )
    .await;
    sql(&town.db.pool, "update contact set region = case when hashtext(id::text) & 7 = 0 then 'US' end,
        last_human_at = case when hashtext(id::text) & 3 > 0 then $1 - interval '1 h' * (hashtext(id::text || 'h') & 1023) end,
        next_birthday_on = case when hashtext(id::text) & 1 = 0 then ($1::date + (hashtext(id::text || 'b') & 63)) end", start()).await;
    sql(&town.db.pool, "insert into lead (id, shard, account_id, source_id, external_id, opened_at)
        select gen_random_uuid(), shard, id, (select id from source limit 1), id::text, $1 - interval '1 h' * (hashtext(id::text) & 511)
        from account", start()).await;
    sql(&town.db.pool, "insert into lead_contact (lead_id, contact_id) select l.id, c.id from lead l join contact c using (account_id) where $1 is not null", start()).await;
    sql(&town.db.pool, "insert into event (id, occurred_at, received_at, type, contact_id, human, source)
        select gen_random_uuid(), at, at, 'opened', c.id, true, 'test'
        from contact c, lateral (select $1::timestamptz - interval '1 h' * (hashtext(c.id::text || 'o') & 255) as at) x
        where hashtext(c.id::text) & 15 = 1", start()).await;
    sqlx::query("analyze").execute(&mut *conn).await.unwrap();
    let deps = town.daemon(Postbox::open().channel()).await;
    enroll::by_schedule(&deps, start()).await.unwrap();
    (town, deps)
}

/// A few hundred changes, noted as whoever writes facts notes them.
async fn live_a_day(pool: &PgPool, now: DateTime<Utc>, one_in: i32) {
    for text in [
        "with c as (
             update contact set last_human_at = $1 - interval '1 h'
             where hashtext(id::text || $1::text) % $2 = 0 returning id
         ) insert into fact_change (contact_id) select id from c",
        "with l as (
             update lead set grade = 'B', grade_since = $1 where hashtext(id::text || $1::text) % $2 = 0 returning id
         ) insert into fact_change (contact_id) select lc.contact_id from l join lead_contact lc on lc.lead_id = l.id",
        "update enrollment set state = 'finished', ended_at = $1
         where cadence = 'again' and state = 'active' and hashtext(id::text || $1::text) % $2 % 4 = 0",
    ] {
        sqlx::query(text).bind(now).bind(one_in).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_pass_over_what_changed_takes_in_whom_a_full_one_would() {
    let (town, deps) = town(3000, "0 9 * * *").await;
    let rules: Vec<Cadence> = deps
        .rules()
        .current()
        .map(|(_, cadence)| cadence.clone())
        .collect();
    let mut came_later = 0;
    for day in 0..12 {
        let now = start() + TimeDelta::hours(1) + TimeDelta::days(day);
        town.clock.set(now).unwrap();
        if day > 0 {
            live_a_day(&town.db.pool, now - TimeDelta::minutes(10), 64).await;
        }
        let entered = enroll::by_schedule(&deps, now).await.unwrap().done;
        came_later += if day > 0 { entered } else { 0 };
        let before = town.count("select count(*) from enrollment").await;
        // Asking everybody now brings nobody.
        sqlx::query("delete from audience_pass")
            .execute(&town.db.pool)
            .await
            .unwrap();
        let passes: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
            "update mark set at = at - interval '1 day' where name like 'audience:%' returning name, at",
        )
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
        assert_eq!(passes.len(), rules.len());
        enroll::by_schedule(&deps, now).await.unwrap();
        let missed: Vec<(String, i64)> = sqlx::query_as(
            "select cadence, count(*) from enrollment where entered_at = $1 group by 1 order by 1",
        )
        .bind(now)
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
        assert_eq!(
            town.count("select count(*) from enrollment").await,
            before,
            "day {day}: {missed:?}"
        );
    }
    assert!(came_later > 1000, "{came_later}");
}

#[tokio::test]
async fn a_pass_that_fails_is_run_again() {
    let (town, deps) = town(40, "0 9 * * *").await;
    let now = start() + TimeDelta::hours(1);
    town.clock.set(now).unwrap();
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&town.db.pool).await.unwrap();
    };
    run("alter table enrollment rename to elsewhere").await;
    assert!(enroll::by_schedule(&deps, now).await.is_err());
    run("alter table elsewhere rename to enrollment").await;
    // It is still that daemon's, and another's as soon as that is dead.
    let other = town.daemon(Postbox::open().channel()).await;
    assert_eq!(enroll::by_schedule(&other, now).await.unwrap().done, 0);
    bury(&town.db.pool, &deps).await;
    assert!(enroll::by_schedule(&other, now).await.unwrap().done > 0);
    assert_eq!(enroll::by_schedule(&deps, now).await.unwrap().done, 0, "once");
}

#[tokio::test]
async fn a_daily_retier_that_fails_keeps_no_audience_from_its_pass() {
    let (town, deps) = town(40, "0 9 * * *").await;
    town.clock.set(start() + TimeDelta::hours(1)).unwrap();
    sqlx::query("alter table standing_change rename to elsewhere")
        .execute(&town.db.pool)
        .await
        .unwrap();
    assert!(kith::daemon::round(&deps).await.is_err());
    assert!(town.count("select count(*) from enrollment").await > 0);
}

#[tokio::test]
async fn a_further_pass_scans_no_table_and_what_all_have_seen_is_trimmed() {
    let (town, deps) = town(40_000, "*/5 * * * *").await;
    let first = start() + TimeDelta::hours(1);
    town.clock.set(first).unwrap();
    enroll::by_schedule(&deps, first).await.unwrap();
    let later = first + TimeDelta::minutes(5);
    live_a_day(&deps.pool, later - TimeDelta::minutes(1), 800).await;
    sqlx::query("analyze").execute(&deps.pool).await.unwrap();
    let noted = town.count("select count(*) from fact_change").await;
    assert!(noted > 40, "{noted}");
    // A server tells what its sessions read when they are over.
    deps.pool.close().await;
    let before = rows_read(&town).await;
    let fresh = town.daemon(Postbox::open().channel()).await;
    town.clock.set(later).unwrap();
    let began = Instant::now();
    let entered = enroll::by_schedule(&fresh, later).await.unwrap().done;
    eprintln!("{entered} came in after {noted} changes, {:?}", began.elapsed());
    fresh.pool.close().await;
    assert!(entered > 20, "{entered}");
    assert_eq!(
        rows_read(&town).await,
        before,
        "rows read by scans of whole tables"
    );

    let fresh = town.daemon(Postbox::open().channel()).await;
    // What a transaction that is still open may have seen before is kept.
    let mut open = town.db.pool.begin().await.unwrap();
    sqlx::query("insert into fact_change (contact_id) select min(id::text)::uuid from contact")
        .execute(&mut *open)
        .await
        .unwrap();
    sweep::run_once(&fresh, later).await.unwrap();
    open.commit().await.unwrap();
    assert!(town.count("select count(*) from fact_change").await >= 1);
    // What any transaction of this server may still be at is kept, and the server runs other proofs too.
    let mut next = later;
    until("what all have seen is trimmed", async || {
        next += TimeDelta::minutes(5);
        enroll::by_schedule(&fresh, next).await.unwrap();
        sweep::run_once(&fresh, next).await.unwrap();
        (town.count("select count(*) from fact_change").await == 0).then_some(())
    })
    .await;
}

/// Keeps what the server tells of its plans.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::postgres::notice" {
            let mut told = String::new();
            event.record(&mut |_: &Field, value: &dyn fmt::Debug| write!(told, "{value:?}").unwrap());
            self.0.lock().unwrap().push(told.replace("\\n", "\n"));
        }
    }
}

#[tokio::test]
async fn no_plan_of_a_further_pass_goes_over_a_whole_table() {
    let (mut town, deps) = town(40_000, "*/5 * * * *").await;
    let first = start() + TimeDelta::hours(1);
    town.clock.set(first).unwrap();
    enroll::by_schedule(&deps, first).await.unwrap();
    let later = first + TimeDelta::minutes(5);
    live_a_day(&deps.pool, later - TimeDelta::minutes(1), 800).await;
    sqlx::query("analyze").execute(&deps.pool).await.unwrap();
    deps.pool.close().await;

    // The server explains every statement of this daemon, as it runs it.
    town.db.options = town.db.options.clone().options([
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_level", "notice"),
    ]);
    let fresh = town.daemon(Postbox::open().channel()).await;
    town.clock.set(later).unwrap();
    let plans = Plans::default();
    let entered = enroll::by_schedule(&fresh, later)
        .with_subscriber(tracing_subscriber::registry().with(plans.clone()))
        .await
        .unwrap()
        .done;
    assert!(entered > 20, "{entered}");
    let plans = plans.0.lock().unwrap();
    let of = |words: &str| plans.iter().filter(|plan| plan.contains(words)).count();
    assert!(of("Index") > 20, "{} plans: {:?}", plans.len(), plans.first());
    assert!(
        of("fact_change") >= cadences("").len(),
        "what changed is asked for each cadence"
    );
    for table in ["contact", "account", "lead", "lead_contact", "enrollment"] {
        let whole: Vec<&String> = plans
            .iter()
            .filter(|plan| plan.lines().any(|line| goes_over(line, table)))
            .collect();
        assert!(whole.is_empty(), "{}", whole[0]);
    }
}

/// Whether a line of a plan reads a whole table.
fn goes_over(line: &str, table: &str) -> bool {
    line.split_once("Seq Scan on ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .is_some_and(|name| name == table)
}

/// Rows that sequential scans of the big tables have read so far, once no session of a daemon is left.
async fn rows_read(town: &Town) -> Vec<(String, i64)> {
    until("the sessions are over", async || {
        let others = town
            .count(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()",
            )
            .await;
        // The test's own pool stays, idle.
        (others < i64::from(town.db.pool.size())).then_some(())
    })
    .await;
    // What its idle sessions have read so far they would tell up to ten seconds later.
    let mut idle = Vec::new();
    while let Some(mut session) = town.db.pool.try_acquire() {
        sqlx::query("select pg_stat_force_next_flush()")
            .execute(&mut *session)
            .await
            .unwrap();
        idle.push(session);
    }
    drop(idle);
    sqlx::query_as(
        "select relname::text, seq_tup_read from pg_stat_user_tables
         where relname in ('contact', 'account', 'lead', 'lead_contact', 'enrollment') order by 1",
    )
    .fetch_all(&town.db.pool)
    .await
    .unwrap()
}
