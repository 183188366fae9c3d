//! Importing by sets: rows are copied into temporary tables of one session, set beside what is stored, and only
//! what differs is written. The caller holds one transaction per chunk; the tables empty themselves at its end.

pub mod campaign;
pub mod contact;
mod copy;
pub mod lead;
pub mod organisation;
pub mod owner;
pub mod purchase;

use sqlx::PgConnection;

pub use copy::CopyText;

/// A staged row that the database cannot take.
#[derive(Debug, sqlx::FromRow)]
pub struct RefusedRow {
    /// The line of the file.
    pub line: i64,
    /// The column.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

/// How the rows of a chunk stand to what is stored.
#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
pub struct Tally {
    /// Records that were not there.
    pub new: i64,
    /// Records that differ.
    pub changed: i64,
    /// Records that are as they were.
    pub same: i64,
}

/// Prepares a session: small transactions that need not survive a power cut one by one (an import is repeated), and
/// joins from the staged rows into the indexes. No statistics know a chunk or a table that is just being filled;
/// left to guess, the planner now and then compares every staged row with every stored one.
pub async fn prepare_session(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "set synchronous_commit = off; set enable_hashjoin = off; set enable_mergejoin = off;
         set enable_material = off; set random_page_cost = 1; set jit = off; set temp_buffers = '32MB';
         set client_min_messages = warning",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Prepares one transaction in a session of others, as [`prepare_session`] does a session of its own; its commit still
/// waits for the disk. It has the right to import one kind of record of one source; who holds it is waited for.
pub async fn prepare_transaction(
    connection: &mut PgConnection,
    source: &str,
    kind: &str,
) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('kith import ' || $1 || ' ' || $2, 0))")
        .bind(kind)
        .bind(source)
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(
        "set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_material = off;
         set local random_page_cost = 1; set local jit = off",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the tables of a kind away, where the session lives on.
pub async fn drop_tables(connection: &mut PgConnection, kind: &str) -> sqlx::Result<()> {
    // The kinds are constants of this file's callers: nothing of a user is in this text.
    let text = format!("drop table import_{kind}, import_present, import_merge");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the right to import one kind of record of one source; false while another session has it. The end of the
/// session gives it back too, a moment later.
pub async fn lock_kind(connection: &mut PgConnection, source: &str, kind: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended('kith import ' || $1 || ' ' || $2, 0))")
        .bind(kind)
        .bind(source)
        .fetch_one(connection)
        .await
}

/// Gives back what [`lock_kind`] took.
pub async fn unlock_kind(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_unlock_all()")
        .execute(connection)
        .await?;
    Ok(())
}

/// The id of a source, which is made when it is new.
pub async fn source_id(connection: &mut PgConnection, name: &str) -> sqlx::Result<i16> {
    sqlx::query_scalar!(
        "with made as (insert into source (name) values ($1) on conflict (name) do nothing returning id)
         select id as \"id!\" from made union all select id from source where name = $1",
        name
    )
    .fetch_one(connection)
    .await
}

/// The id of a source, if it is known.
pub async fn find_source(connection: &mut PgConnection, name: &str) -> sqlx::Result<Option<i16>> {
    sqlx::query_scalar!("select id from source where name = $1", name)
        .fetch_optional(connection)
        .await
}

/// The refused rows of the chunk, by line.
pub async fn refused(connection: &mut PgConnection) -> sqlx::Result<Vec<RefusedRow>> {
    sqlx::query_as("select line, field, reason from import_merge where action = 'refused' order by line")
        .fetch_all(connection)
        .await
}

/// Counts the chunk's rows by what becomes of them.
pub async fn tally(connection: &mut PgConnection) -> sqlx::Result<Tally> {
    sqlx::query_as(
        "select count(*) filter (where action = 'new') as new, count(*) filter (where action = 'changed') as changed,
                count(*) filter (where action = 'same') as same
         from import_merge",
    )
    .fetch_one(connection)
    .await
}
