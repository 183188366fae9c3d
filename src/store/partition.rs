//! Monthly partitions of the tables that only grow, made three months ahead of business time, and dropped as a whole when
//! they are older than is kept.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Builder;

use super::StoreError;

/// Tables that are cut by the month of their id.
const TABLES: [&str; 3] = ["message", "decision", "event"];
const AHEAD: u32 = 3;
/// One process at a time makes partitions. The number is arbitrary and belongs to kith.
const LOCK: i64 = 0x006b_6974_685f_7074;

/// Makes the partitions of this month and the next three that are not there yet.
pub async fn ensure(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), StoreError> {
    let today = now.date_naive();
    let this_month = today.with_day(1).unwrap_or(today);
    let months: Vec<NaiveDate> = (0..=AHEAD)
        .filter_map(|n| this_month.checked_add_months(Months::new(n)))
        .collect();
    ensure_months(conn, &months).await
}

/// The months that have partitions, by their first day.
pub async fn months(conn: &mut PgConnection) -> Result<Vec<NaiveDate>, StoreError> {
    let mut months: Vec<NaiveDate> = existing(conn)
        .await?
        .iter()
        .filter_map(|name| {
            name.rsplit_once('_')
                .and_then(|(rest, month)| Some((rest.rsplit_once('_')?.1, month)))
        })
        .filter_map(|(year, month)| NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1))
        .collect();
    months.sort_unstable();
    months.dedup();
    Ok(months)
}

async fn existing(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!(
        r#"
        select c.relname as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
        where p.relname in ('message', 'decision', 'event') and p.relnamespace = (select oid from pg_namespace where nspname = 'kith')
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(names)
}

/// Makes the partitions of months, given by their first day, that are not there yet. Several daemons may find the same ones
/// missing: one makes them, the others wait and see.
pub async fn ensure_months(conn: &mut PgConnection, months: &[NaiveDate]) -> Result<(), StoreError> {
    if missing(conn, months).await?.is_empty() {
        return Ok(());
    }
    let mut tx = conn.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *tx)
        .await?;
    for (table, month, next) in missing(&mut tx, months).await? {
        // Names and bounds are made here, from dates: nothing of a user is in this text.
        let create = format!(
            "create table {} partition of {table} for values from ('{}') to ('{}')",
            name(table, month),
            first_id(month),
            first_id(next)
        );
        sqlx::query(AssertSqlSafe(create)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The partitions that are not there: table, month, and the month after.
async fn missing(
    conn: &mut PgConnection,
    months: &[NaiveDate],
) -> Result<Vec<(&'static str, NaiveDate, NaiveDate)>, StoreError> {
    let existing = existing(conn).await?;
    let wanted = months
        .iter()
        .filter_map(|month| Some((*month, month.checked_add_months(Months::new(1))?)));
    Ok(wanted
        .flat_map(|(month, next)| TABLES.map(|table| (table, month, next)))
        .filter(|(table, month, _)| !existing.contains(&name(table, *month)))
        .collect())
}

fn name(table: &str, month: NaiveDate) -> String {
    format!("{table}_{}", month.format("%Y_%m"))
}

/// The smallest uuid v7 of a month.
fn first_id(month: NaiveDate) -> uuid::Uuid {
    let millis = month.and_time(NaiveTime::MIN).and_utc().timestamp_millis().max(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Builder::from_bytes(bytes).into_uuid()
}

/// A history that is cut by months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Messages.
    Message,
    /// What the gate said.
    Decision,
    /// What came in.
    Event,
}

impl History {
    fn table(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Decision => "decision",
            Self::Event => "event",
        }
    }

    /// What must not be in a partition `p` that is dropped: work that is not at its end.
    fn unfinished(self) -> &'static str {
        match self {
            Self::Message => {
                "p.outcome not in ('accepted', 'refused')
                 or exists (select from touch t where t.message_id = p.id and t.state in ('queued', 'uncertain'))"
            }
            Self::Decision => "exists (select from queue q where q.touch_id = p.touch_id)",
            Self::Event => {
                "exists (select from grievance g where g.event_id = p.id and g.closed_at is null)
                 or exists (select from message m where m.id = p.message_id and m.outcome = 'uncertain')"
            }
        }
    }
}

/// How many partitions of one history one call looks into.
const LOOKS: usize = 3;

/// Drops the oldest month of a history that ended by `before` and holds nothing unfinished; at most one. Returns its name.
/// It waits two seconds for statements that use the table, then gives up until the next time.
pub async fn drop_oldest(
    conn: &mut PgConnection,
    history: History,
    before: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let mut old: Vec<String> = existing(conn)
        .await?
        .into_iter()
        .filter(|name| ended(history.table(), name).is_some_and(|end| end <= before.date_naive()))
        .collect();
    // Year and month are written so that text sorts like time.
    old.sort_unstable();
    for partition in old.into_iter().take(LOOKS) {
        let mut tx = conn.begin().await?;
        // Names are those of the catalogue, made by `name`, and the conditions are constants of this file.
        let unfinished = format!(
            "select exists (select from {partition} p where {})",
            history.unfinished()
        );
        sqlx::query("set local lock_timeout = '2s'")
            .execute(&mut *tx)
            .await?;
        let held: bool = sqlx::query_scalar(AssertSqlSafe(unfinished))
            .fetch_one(&mut *tx)
            .await?;
        if held {
            continue;
        }
        sqlx::query(AssertSqlSafe(format!("drop table {partition}")))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        return Ok(Some(partition));
    }
    Ok(None)
}

/// The first day after the month of a partition, if this is one of the table's.
fn ended(table: &str, partition: &str) -> Option<NaiveDate> {
    let (year, month) = partition
        .strip_prefix(table)?
        .strip_prefix('_')?
        .split_once('_')?;
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?.checked_add_months(Months::new(1))
}
