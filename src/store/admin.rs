//! Databases of a server: made and dropped whole, for demos and benchmarks that need one of their own.

use sqlx::{AssertSqlSafe, PgConnection};

use super::StoreError;

/// Whether somebody is connected to a database.
pub async fn in_use(conn: &mut PgConnection, database: &str) -> Result<bool, StoreError> {
    let n: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
    )
    .bind(database)
    .fetch_one(conn)
    .await?;
    Ok(n > 0)
}

/// Makes a database anew.
pub async fn recreate(conn: &mut PgConnection, database: &str) -> Result<(), StoreError> {
    drop(conn, database).await?;
    let name = quoted(conn, database).await?;
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(conn)
        .await?;
    Ok(())
}

/// Drops a database, whoever is connected to it.
pub async fn drop(conn: &mut PgConnection, database: &str) -> Result<(), StoreError> {
    let name = quoted(conn, database).await?;
    sqlx::query(AssertSqlSafe(format!(
        "drop database if exists {name} with (force)"
    )))
    .execute(conn)
    .await?;
    Ok(())
}

async fn quoted(conn: &mut PgConnection, name: &str) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar("select quote_ident($1)")
        .bind(name)
        .fetch_one(conn)
        .await?)
}
