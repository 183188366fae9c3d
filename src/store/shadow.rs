//! Shadow tables: temp copies of what the engine writes, in one session, for a forecast.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection};

use super::StoreError;

/// What the engine writes, with the rows a forecast starts from. Histories start empty: only what has to be known again
/// (who was enrolled, what was touched, what was sent lately) is copied.
const SHADOWED: [(&str, &str); 23] = [
    ("control", "select * from kith.control"),
    ("daemon", "select * from kith.daemon where false"),
    ("mark", "select * from kith.mark"),
    ("account", "select * from kith.account"),
    ("contact", "select * from kith.contact"),
    ("lead", "select * from kith.lead"),
    ("evidence", "select * from kith.evidence"),
    ("grade_change", "select * from kith.grade_change where false"),
    (
        "standing_change",
        "select * from kith.standing_change where false",
    ),
    ("pyramid_base", "select * from kith.pyramid_base"),
    ("enrollment", "select * from kith.enrollment"),
    (
        "touch",
        "select t.* from kith.touch t join kith.enrollment e on e.id = t.enrollment_id where e.state in ('active', 'control')",
    ),
    ("queue", "select * from kith.queue where state <> 'crossing'"),
    ("pace", "select * from kith.pace"),
    ("message", "select * from kith.message where false"),
    ("message_body", "select * from kith.message_body where false"),
    ("decision", "select * from kith.decision where false"),
    ("link", "select * from kith.link"),
    (
        "task",
        "select * from kith.task where state in ('open', 'snoozed') or dedup_key is not null",
    ),
    ("fact_change", "select * from kith.fact_change where false"),
    ("audience_pass", "select * from kith.audience_pass where false"),
    ("event_parked", "select * from kith.event_parked where false"),
    ("suppression", "select * from kith.suppression"),
];

/// The tables that are shadowed, in the order of making.
pub fn tables() -> impl Iterator<Item = &'static str> {
    SHADOWED.iter().map(|(table, _)| *table)
}

/// Has every statement on this connection planned by the size its tables have by then: shadows begin empty, grow by the
/// hundred thousand, and autovacuum never sees them.
pub async fn plan_anew(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("set plan_cache_mode = force_custom_plan")
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the shadow of one of [`tables`] on this connection, fills it, then indexes it (three times faster than the other
/// way round).
pub async fn cast(conn: &mut PgConnection, table: &str) -> Result<(), StoreError> {
    let Some((table, rows)) = SHADOWED.iter().find(|(name, _)| *name == table) else {
        return Err(StoreError::Decode(format!("`{table}` has no shadow")));
    };
    // Table names are constants of this file.
    let make = format!("create temp table {table} (like kith.{table} including defaults including identity)");
    sqlx::query(AssertSqlSafe(make)).execute(&mut *conn).await?;
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute
         where attrelid = to_regclass('kith.' || $1) and attnum > 0 and not attisdropped order by attnum",
    )
    .bind(table)
    .fetch_all(&mut *conn)
    .await?;
    let fill = format!(
        "insert into pg_temp.{table} ({}) overriding system value {rows}",
        columns.join(", ")
    );
    sqlx::query(AssertSqlSafe(fill)).execute(&mut *conn).await?;
    let indexes: Vec<String> = sqlx::query_scalar(
        "select pg_get_indexdef(indexrelid) from pg_index where indrelid = to_regclass('kith.' || $1)",
    )
    .bind(table)
    .fetch_all(&mut *conn)
    .await?;
    for (n, index) in indexes.iter().enumerate() {
        // `create [unique] index NAME on [only] kith.TABLE using ..` becomes one on the shadow, with a name of its own.
        let Some((_, using)) = index.split_once(" USING ") else {
            continue;
        };
        let unique = if index.starts_with("CREATE UNIQUE") {
            "unique "
        } else {
            ""
        };
        let make = format!("create {unique}index shadow_{table}_{n} on pg_temp.{table} using {using}");
        sqlx::query(AssertSqlSafe(make)).execute(&mut *conn).await?;
    }
    sqlx::query(AssertSqlSafe(format!("analyze pg_temp.{table}")))
        .execute(&mut *conn)
        .await?;
    if *table == "queue" {
        // Claims of living daemons are theirs; the forecast imagines them as waiting.
        sqlx::query("update pg_temp.queue set state = 'waiting', daemon_id = null, epoch = null")
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Whether a daemon that lives has something in hand or due: not in the shadows, in the tables behind them.
pub async fn live_work_waits(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let waits = sqlx::query_scalar!(
        r#"
        select exists (select 1 from kith.daemon where ended_at is null)
           and exists (
               select 1
               from (values (0::smallint), (1::smallint), (2::smallint), (3::smallint)) as k (class),
                    lateral (select 1 from kith.queue q where q.class = k.class and q.due_at <= $1 limit 1) due
           ) as "waits!"
        "#,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok(waits)
}

/// A message that was imagined.
#[derive(Debug, Clone)]
pub struct HandedOver {
    /// When.
    pub at: DateTime<Utc>,
    /// What the person is called outside.
    pub external_id: String,
    /// His name.
    pub name: String,
    /// His zone.
    pub timezone: Option<String>,
    /// Cadence by name.
    pub cadence: String,
    /// Step by key.
    pub step_key: String,
    /// email, sms, task
    pub channel: String,
    /// Template by name.
    pub template: String,
}

/// What was accepted since `since`, in order of time.
pub async fn handed_over(
    conn: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Vec<HandedOver>, StoreError> {
    let rows = sqlx::query_as!(
        HandedOver,
        r#"
        select m.done_at as at,
               coalesce((select r.external_id from contact_ref r where r.contact_id = c.id order by r.source_id limit 1), c.id::text) as "external_id!",
               c.name, c.timezone, coalesce(m.cadence, '') as "cadence!", coalesce(m.step_key, '') as "step_key!", m.channel,
               m.template
        from message m join contact c on c.id = m.contact_id
        where m.done_at >= $1 and m.outcome = 'accepted'
        order by m.done_at, 2, m.cadence, m.step_key
        "#,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
