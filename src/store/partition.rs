//! Monthly partitions of the tables that only grow, made three months ahead of business time.

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
