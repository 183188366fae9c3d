//! Owners: the reps.

use sqlx::PgConnection;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "create temp table import_owner (
             line bigint not null, external_id text not null, fresh_id uuid not null, name text, email text,
             phone text, timezone text, from_email text, signature text, deputy text, away_from date,
             away_until date
         ) on commit delete rows;
         create temp table import_present (
             name boolean, email boolean, phone boolean, timezone boolean, from_email boolean, signature boolean,
             deputy boolean, away_from boolean, away_until boolean
         );
         create temp table import_merge (
             line bigint not null, action text not null, field text, reason text, external_id text not null,
             id uuid not null, name text, email text, phone text, timezone text, from_email text, signature text,
             deputy text, away_from date, away_until date
         ) on commit delete rows",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into import_present
         select 'name' = any ($1), 'email' = any ($1), 'phone' = any ($1), 'timezone' = any ($1),
                'from_email' = any ($1), 'signature' = any ($1), 'deputy' = any ($1), 'away_from' = any ($1),
                'away_until' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_owner from stdin").await
}

/// Sets the copied rows beside the stored owners.
pub async fn merge(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(include_str!("owner_merge.sql"))
        .bind(source_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes new owners.
pub async fn insert(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into owner (id, source_id, external_id, name, email, phone, timezone, from_email, signature,
                            deputy_external_id, away_from, away_until)
         select id, $1, external_id, name, email, phone, timezone, from_email, signature, deputy, away_from,
                away_until
         from import_merge where action = 'new'",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the owners that differ.
pub async fn update(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update owner o
         set name = m.name, email = m.email, phone = m.phone, timezone = m.timezone, from_email = m.from_email,
             signature = m.signature, deputy_external_id = m.deputy, away_from = m.away_from,
             away_until = m.away_until
         from import_merge m where m.action = 'changed' and o.id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}
