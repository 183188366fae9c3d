//! What a backup needs of the database: its tables, their rows as COPY gives and takes them, its sequences.

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::StoreError;

/// A table, with the tables its foreign keys point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// The tables that must be filled before it.
    pub needs: Vec<String>,
}

/// Every table of kith, a partitioned one as one; logins that are short-lived are left out.
pub async fn tables(conn: &mut PgConnection) -> Result<Vec<Table>, StoreError> {
    let rows = sqlx::query_as!(
        Table,
        r#"
        select c.relname::text as "name!",
               array(select a.attname::text from pg_attribute a
                     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                     order by a.attnum) as "columns!",
               array(select distinct f.relname::text from pg_constraint k join pg_class f on f.oid = k.confrelid
                     where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as "needs!"
        from pg_class c
        where c.relnamespace = (select oid from pg_namespace where nspname = 'kith')
          and c.relkind in ('r', 'p') and not c.relispartition
          and c.relname not in ('_sqlx_migrations', 'web_session', 'login_link')
        order by c.relname
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The rows of a table in the text form of COPY: one line each.
pub async fn rows<'c>(
    conn: &'c mut PgConnection,
    table: &Table,
) -> Result<BoxStream<'c, Result<Vec<u8>, StoreError>>, StoreError> {
    let statement = format!(
        "copy (select {} from {}) to stdout",
        columns(table),
        quoted(&table.name)
    );
    let stream = conn.copy_out_raw(&statement).await?;
    Ok(stream.map(|chunk| Ok(chunk?.to_vec())).boxed())
}

/// Fills a table from such rows; returns how many there were.
pub async fn fill(
    conn: &mut PgConnection,
    table: &Table,
    mut chunk: impl FnMut() -> std::io::Result<Option<Vec<u8>>>,
) -> Result<u64, StoreError> {
    let statement = format!("copy {} ({}) from stdin", quoted(&table.name), columns(table));
    let mut copy = conn.copy_in_raw(&statement).await?;
    loop {
        match chunk() {
            Ok(Some(bytes)) => {
                copy.send(bytes).await?;
            }
            Ok(None) => break,
            Err(error) => {
                copy.abort("the file ended early").await?;
                return Err(StoreError::Sql(sqlx::Error::Io(error)));
            }
        }
    }
    Ok(copy.finish().await?)
}

/// Names come from the database's own catalog; they are quoted all the same.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn columns(table: &Table) -> String {
    table
        .columns
        .iter()
        .map(|c| quoted(c))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Where a sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The last number it gave; absent = none yet.
    pub last: Option<i64>,
}

/// Where the sequences stand.
pub async fn sequences(conn: &mut PgConnection) -> Result<Vec<Sequence>, StoreError> {
    let rows = sqlx::query_as!(
        Sequence,
        r#"
        select sequencename::text as "name!", last_value as last from pg_sequences
        where schemaname = 'kith' order by sequencename
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Sets the sequences of that name that exist here.
pub async fn set_sequences(conn: &mut PgConnection, all: &[Sequence]) -> Result<(), StoreError> {
    let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
    let last: Vec<Option<i64>> = all.iter().map(|s| s.last).collect();
    sqlx::query!(
        r#"
        select count(setval(c.oid::regclass, coalesce(s.last, 1), s.last is not null)) as n
        from unnest($1::text[], $2::bigint[]) as s (name, last)
        join pg_class c on c.relname = s.name and c.relkind = 'S'
             and c.relnamespace = (select oid from pg_namespace where nspname = 'kith')
        "#,
        &names as &[&str],
        &last as &[Option<i64>],
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Begins a transaction that sees one moment of the database.
pub async fn one_moment(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("begin isolation level repeatable read, read only")
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends it.
pub async fn end_moment(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("commit").execute(conn).await?;
    Ok(())
}

/// The first table that has rows; the one row of `control` does not count.
pub async fn occupied(conn: &mut PgConnection, tables: &[Table]) -> Result<Option<String>, StoreError> {
    for table in tables.iter().filter(|t| t.name != "control") {
        let statement = format!("select exists (select from {})", quoted(&table.name));
        if sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(&mut *conn)
            .await?
        {
            return Ok(Some(table.name.clone()));
        }
    }
    Ok(None)
}

/// Empties every table, the logins too.
pub async fn empty(conn: &mut PgConnection, tables: &[Table]) -> Result<(), StoreError> {
    let names: Vec<String> = tables.iter().map(|t| quoted(&t.name)).collect();
    let statement = format!(
        "truncate {}, web_session, login_link restart identity",
        names.join(", ")
    );
    sqlx::query(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

/// Makes a restored database one of its own: another identity, the brake on, nobody alive, and no transaction of the
/// old server remembered.
pub async fn settle(
    conn: &mut PgConnection,
    database_id: Uuid,
    reason: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update control
        set former_ids = former_ids || database_id, database_id = $1, brake = true, brake_reason = $2, brake_by = $3,
            brake_at = $4
        "#,
        database_id,
        reason,
        by,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("update daemon set heartbeat_at = 'epoch' where ended_at is null")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("update fact_change set xid = pg_current_xact_id()")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("delete from audience_pass").execute(conn).await?;
    Ok(())
}
