//! What benchmarks need of the database: many people at once, made by it, and what it counts of its own work.
//!
//! Person n has one and the same number in every id, so that a benchmark can name them without asking.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::StoreError;

/// Makes the people 1..=n, each a customer of their own with permission for mail, who next have a birthday on or after
/// a day. Every tenth was a VIP and has been lost.
pub async fn people(
    conn: &mut PgConnection,
    n: i64,
    birthdays_from: NaiveDate,
    lost_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!("insert into source (name) values ('bench') on conflict do nothing")
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        r#"
        insert into account (id, shard, kind, name, region, standing, standing_since, tier_at_loss, lost_at, last_purchase_at)
        select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024, 'person', 'Person ' || n, 'CN',
               case when n % 10 = 0 then 'inactive' else 'prospect' end,
               $2::timestamptz, case when n % 10 = 0 then 'vip' end, case when n % 10 = 0 then $2 end, case when n % 10 = 0 then $2 end
        from generate_series(1, $1::bigint) as n
        "#,
        n,
        lost_at,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        insert into contact (id, shard, account_id, name, email, email_hash, locale, timezone, region, birthday,
                             birthday_calendar, next_birthday_on, next_birthday_key, role, attrs, consent_email)
        select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024,
               ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Person ' || n, email,
               sha256(convert_to(email, 'UTF8')), 'en', 'Asia/Shanghai', 'CN', '1980-' || to_char(day, 'MM-DD'), 'gregorian',
               day, to_char(day, 'YYYY'), 'buyer', '{"size": "30"}', true
        from generate_series(1, $1::bigint) as n,
             lateral (select 'person' || n || '@example' || n % 500 || '.com' as email, $2::date + (n % 300)::int as day) as of
        "#,
        n,
        birthdays_from,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        insert into contact_ref (source_id, external_id, contact_id)
        select s.id, 'c' || n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
        from generate_series(1, $1::bigint) as n, source s where s.name = 'bench'
        "#,
        n,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes an open B lead for each of the people 1..=n.
pub async fn leads(conn: &mut PgConnection, n: i64, since: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into lead (id, shard, account_id, source_id, external_id, grade, grade_since, product, opened_at)
        select ('01900000-0000-7001-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024,
               ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, s.id, 'l' || n, 'B', $2, 'Press', $2
        from generate_series(1, $1::bigint) as n, source s where s.name = 'bench'
        "#,
        n,
        since,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        insert into lead_contact (lead_id, contact_id, role)
        select ('01900000-0000-7001-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
               ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'buyer'
        from generate_series(1, $1::bigint) as n
        "#,
        n,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where people stand in a cadence.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The cadence.
    pub cadence: &'a str,
    /// Its version.
    pub version: Uuid,
    /// The step that is next.
    pub step: &'a str,
    /// When the first of them is due.
    pub first_at: DateTime<Utc>,
    /// Over how many days after it the others follow, at the same time of day; 0 = all at once.
    pub over_days: i32,
}

/// Enrolls the people `from..=to`, each for their lead.
pub async fn enroll(conn: &mut PgConnection, from: i64, to: i64, at: Standing<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into enrollment (id, shard, contact_id, account_id, lead_id, cadence, cadence_version_id, entry_key, state,
                                cursor, next_at, entered_at, entry_reason)
        select ('01900000-0000-7002-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024, person, person, lead, $3, $4, lead::text,
               'active', $5, $6::timestamptz + make_interval(days => (n % ($7::int + 1))::int), $6, 'grade'
        from generate_series($1::bigint, $2::bigint) as n,
             lateral (
                 select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as person,
                        ('01900000-0000-7001-8000-' || lpad(to_hex(n), 12, '0'))::uuid as lead
             ) as of
        "#,
        from,
        to,
        at.cadence,
        at.version,
        at.step,
        at.first_at,
        at.over_days,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes what a person has before them due at an instant.
pub async fn make_due(conn: &mut PgConnection, n: i64, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update enrollment set next_at = $2
        where contact_id = ('01900000-0000-7000-8000-' || lpad(to_hex($1::bigint), 12, '0'))::uuid
        "#,
        n,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets the database clean up and look at its tables.
pub async fn tidy(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("vacuum analyze").execute(conn).await?;
    Ok(())
}

/// Lets the database look at what was loaded, as it would have by itself after a while.
pub async fn settle(conn: &mut PgConnection) -> Result<(), StoreError> {
    tidy(conn).await?;
    sqlx::query!("checkpoint").execute(conn).await?;
    Ok(())
}

/// Rows that were inserted, updated and deleted in kith's tables since they were made, as far as the database has heard of it.
pub async fn rows_written(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"
        select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint as "rows!"
        from pg_stat_user_tables where schemaname = 'kith'
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(rows)
}

/// Bytes of the database on the disk.
pub async fn size(conn: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!(r#"select pg_database_size(current_database()) as "bytes!""#)
            .fetch_one(conn)
            .await?,
    )
}

/// Who else works in this database.
#[derive(Debug, Clone, Copy)]
pub struct Others {
    /// Sessions whose application name is not ours.
    pub sessions: i64,
    /// Sessions of ours that wait at this moment for a lock which one of those holds.
    pub we_wait: i64,
}

/// Looks once at the sessions that do not bear our application name.
pub async fn others(conn: &mut PgConnection, ours: &str) -> Result<Others, StoreError> {
    let row = sqlx::query_as!(
        Others,
        r#"
        with session as materialized (
            select pid, application_name, wait_event_type from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend'
        )
        select count(*) filter (where application_name <> $1) as "sessions!",
               count(*) filter (
                   where application_name = $1 and wait_event_type = 'Lock'
                     and exists (select 1 from session o where o.application_name <> $1 and o.pid = any (pg_blocking_pids(s.pid)))
               ) as "we_wait!"
        from session s
        "#,
        ours,
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// Enrolls the people `from..=to` as contacts, dealt out among cadences of one step, each due `apart` after the one before.
pub async fn enroll_contacts(
    conn: &mut PgConnection,
    from: i64,
    to: i64,
    cadences: &[(String, Uuid)],
    step: &str,
    first_at: DateTime<Utc>,
    apart: TimeDelta,
) -> Result<(), StoreError> {
    let names: Vec<String> = cadences.iter().map(|(name, _)| name.clone()).collect();
    let versions: Vec<Uuid> = cadences.iter().map(|(_, version)| *version).collect();
    sqlx::query!(
        r#"
        insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state, cursor,
                                next_at, entered_at, entry_reason)
        select ('01900000-0000-7002-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024, person, person,
               ($3::text[])[1 + n % cardinality($3)], ($4::uuid[])[1 + n % cardinality($3)], 'once', 'active', $5,
               $6::timestamptz + make_interval(secs => (n - $1) * $7::float8), $6, 'audience'
        from generate_series($1::bigint, $2::bigint) as n,
             lateral (select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as person) as of
        "#,
        from,
        to,
        &names,
        &versions,
        step,
        first_at,
        apart.as_seconds_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Suppresses the addresses of the people `from..=to`.
pub async fn suppress(
    conn: &mut PgConnection,
    from: i64,
    to: i64,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into suppression (address_hash, channel, reason, at)
        select c.email_hash, 'email', 'opted-out', $3
        from generate_series($1::bigint, $2::bigint) as n
        join contact c on c.id = ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
        on conflict do nothing
        "#,
        from,
        to,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Charges the caps of the people 1..=n for a message at an instant.
pub async fn charge(conn: &mut PgConnection, n: i64, at: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into pace (kind, key, ring)
        select 'contact', '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), array[$2::timestamptz]
        from generate_series(1, $1::bigint) as n
        "#,
        n,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the server has done so far.
#[derive(Debug, Clone)]
pub struct Work {
    /// Bytes of WAL since the beginning of time, as its end has moved: all that the disk gets.
    pub wal: i64,
    /// Bytes of WAL as `pg_stat_wal` counts them: without the headers and the empty ends of its pages and files.
    pub wal_counted: i64,
    /// Whole pages in it, as they are written when they change for the first time after a checkpoint.
    pub wal_pages: i64,
    /// Updates of `enrollment`, `pace`, `queue` and `touch`, in this order.
    pub updates: Vec<Updates>,
}

/// Updates of one table.
#[derive(Debug, Clone)]
pub struct Updates {
    /// The table.
    pub table: String,
    /// All of them.
    pub all: i64,
    /// Those of them that wrote no index.
    pub hot: i64,
}

/// Lets a session tell the server at once of the rows that it has written; by itself it waits a second or ten.
pub async fn tell(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("select pg_stat_force_next_flush()")
        .execute(conn)
        .await?;
    Ok(())
}

/// Looks at what the server counts, as far as it has been told: see [`tell`].
pub async fn work(conn: &mut PgConnection) -> Result<Work, StoreError> {
    let wal = sqlx::query!(
        r#"
        select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as "moved!", wal_bytes::bigint as "counted!", wal_fpi as "pages!"
        from pg_stat_wal
        "#
    )
    .fetch_one(&mut *conn)
    .await?;
    let updates = sqlx::query_as!(
        Updates,
        r#"
        select relname::text as "table!", n_tup_upd as "all!", n_tup_hot_upd as "hot!"
        from pg_stat_user_tables
        where schemaname = 'kith' and relname in ('enrollment', 'pace', 'queue', 'touch')
        order by relname
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(Work {
        wal: wal.moved,
        wal_counted: wal.counted,
        wal_pages: wal.pages,
        updates,
    })
}

/// The process that this session's server process works in.
pub async fn server_process(conn: &mut PgConnection) -> Result<i32, StoreError> {
    Ok(sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
        .fetch_one(conn)
        .await?)
}

/// What the live queue takes on the disk, and whether that is to change.
#[derive(Debug, Clone, Copy)]
pub struct QueueSize {
    /// Bytes of the table.
    pub table: i64,
    /// Bytes of its indexes.
    pub indexes: i64,
    /// So many rows of it are dead that autovacuum comes by itself.
    pub owed: bool,
}

/// Looks at the size of the live queue.
pub async fn queue_size(conn: &mut PgConnection) -> Result<QueueSize, StoreError> {
    let row = sqlx::query_as!(
        QueueSize,
        r#"
        select pg_table_size(c.oid) as "table!", pg_indexes_size(c.oid) as "indexes!",
               current_setting('autovacuum')::boolean
                 and pg_stat_get_dead_tuples(c.oid) > current_setting('autovacuum_vacuum_threshold')::float8
                   + current_setting('autovacuum_vacuum_scale_factor')::float8 * greatest(c.reltuples, 0) as "owed!"
        from pg_class c where c.oid = 'queue'::regclass
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// Lets rows of the queue become due when they were due at first, and vacuums what that leaves.
pub async fn due_as_first(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("update queue set due_at = first_due_at where due_at > first_due_at")
        .execute(&mut *conn)
        .await?;
    vacuum_queue(conn).await
}

/// Vacuums the queue by hand, without waiting for autovacuum.
pub async fn vacuum_queue(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("vacuum queue").execute(conn).await?;
    Ok(())
}

/// Opens a transaction that sees the database as it is now, until [`let_go`].
pub async fn hold_snapshot(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("begin transaction isolation level repeatable read")
        .execute(&mut *conn)
        .await?;
    super::unhurried(&mut *conn).await?;
    sqlx::query!("select brake from control").fetch_one(conn).await?;
    Ok(())
}

/// Ends that transaction.
pub async fn let_go(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("rollback").execute(conn).await?;
    Ok(())
}

/// Makes a mail that was accepted at an instant for each of the people 1..=n, and one link that all of them bear.
/// Returns the number of the link.
pub async fn mails(conn: &mut PgConnection, n: i64, at: DateTime<Utc>) -> Result<i64, StoreError> {
    sqlx::query!(
        r#"
        insert into message (id, shard, contact_id, account_id, channel, class, template, locale, sender, address, outcome, done_at)
        select ('01900000-0000-7003-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n % 1024, person, person, 'email', 3, 'bench', 'en',
               'bench', 'person' || n || '@example' || n % 500 || '.com', 'accepted', $2
        from generate_series(1, $1::bigint) as n,
             lateral (select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as person) as of
        "#,
        n,
        at,
    )
    .execute(&mut *conn)
    .await?;
    Ok(sqlx::query_scalar!(
        r#"
        insert into link (template_version_id, target)
        values ('01900000-0000-7004-8000-000000000000', 'https://bench.example/offer')
        returning id
        "#
    )
    .fetch_one(conn)
    .await?)
}

/// Notes that so many of the people 1..=n, evenly dealt, were spoken with at an instant.
pub async fn speak(
    conn: &mut PgConnection,
    n: i64,
    how_many: i64,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        with spoken as (
            update contact set last_human_at = $3
            where id in (
                select ('01900000-0000-7000-8000-' || lpad(to_hex(1 + k * ($1::bigint / $2) + k % 10), 12, '0'))::uuid
                from generate_series(0, $2::bigint - 1) as k
            )
            returning id
        )
        insert into fact_change (contact_id) select id from spoken
        "#,
        n,
        how_many,
        at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Rows that scans of whole tables have read of those that grow with the people, as far as the database has heard of it.
pub async fn rows_scanned(conn: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        select coalesce(sum(seq_tup_read), 0)::bigint as "rows!"
        from pg_stat_user_tables
        where schemaname = 'kith' and relname in ('contact', 'account', 'contact_ref', 'lead', 'lead_contact', 'enrollment')
        "#
    )
    .fetch_one(conn)
    .await?)
}

/// Events that were taken in.
pub async fn events(conn: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "n!" from event"#)
        .fetch_one(conn)
        .await?)
}

/// Takes the indexes of tables away, but for those of their keys: to fill them and make the indexes afterwards is several times
/// as fast. Returns what [`make_indexes`] needs.
pub async fn drop_indexes(conn: &mut PgConnection, tables: &[&str]) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select c.relname as "name!", pg_get_indexdef(i.indexrelid) as "definition!"
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
        where t.relnamespace = 'kith'::regnamespace and t.relname = any($1) and t.relkind = 'r'
          and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
        "#,
        tables as &[&str],
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        sqlx::query(AssertSqlSafe(format!("drop index kith.{}", row.name)))
            .execute(&mut *conn)
            .await?;
    }
    Ok(rows.into_iter().map(|row| row.definition).collect())
}

/// Makes indexes anew.
pub async fn make_indexes(conn: &mut PgConnection, definitions: &[String]) -> Result<(), StoreError> {
    sqlx::query!("set maintenance_work_mem = '512MB'")
        .execute(&mut *conn)
        .await?;
    for definition in definitions {
        sqlx::query(AssertSqlSafe(definition.clone()))
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query!("reset maintenance_work_mem").execute(conn).await?;
    Ok(())
}
