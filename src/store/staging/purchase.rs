//! Purchases, and what they say about their accounts.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::PgConnection;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "create temp table import_purchase (
             line bigint not null, external_id text not null, fresh_id uuid not null, contact text,
             organisation text, at timestamptz not null, at_local timestamp, amount numeric not null,
             currency text not null, quantity numeric, profit numeric, product text
         ) on commit delete rows;
         create temp table import_present (
             contact boolean, organisation boolean, quantity boolean, profit boolean, product boolean
         );
         create temp table import_merge (
             line bigint not null, action text not null, field text, reason text, external_id text not null,
             id uuid not null, account_id uuid, account_before uuid, at_before timestamptz, contact_id uuid,
             at timestamptz, amount numeric, currency text, quantity numeric, profit numeric, product text
         ) on commit delete rows",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into import_present select 'contact' = any ($1), 'organisation' = any ($1), 'quantity' = any ($1),
                                           'profit' = any ($1), 'product' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_purchase from stdin").await
}

/// Wall times that are meant in the zone of the row's contact, where that is not `company_zone`.
pub async fn foreign_times(
    connection: &mut PgConnection,
    source_id: i16,
    company_zone: &str,
) -> sqlx::Result<Vec<(i64, String, NaiveDateTime)>> {
    sqlx::query_as(
        "select s.line, c.timezone, s.at_local from import_purchase s
         join contact_ref r on r.source_id = $1 and r.external_id = s.contact
         join contact c on c.id = r.contact_id
         where s.at_local is not null and c.timezone <> $2",
    )
    .bind(source_id)
    .bind(company_zone)
    .fetch_all(connection)
    .await
}

/// Corrects the instants of rows.
pub async fn set_times(
    connection: &mut PgConnection,
    lines: &[i64],
    times: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    sqlx::query(
        "update import_purchase s set at = t.at from unnest($1::bigint[], $2::timestamptz[]) t (line, at)
         where s.line = t.line",
    )
    .bind(lines)
    .bind(times)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the copied rows beside the stored purchases.
pub async fn merge(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(include_str!("purchase_merge.sql"))
        .bind(source_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes new purchases.
pub async fn insert(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into purchase (account_id, at, id, source_id, external_id, contact_id, amount, currency, quantity,
                               profit, product)
         select account_id, at, id, $1, external_id, contact_id, amount, currency, quantity, profit, product
         from import_merge where action = 'new'",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the purchases that differ.
pub async fn update(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update purchase p
         set account_id = m.account_id, at = m.at, contact_id = m.contact_id, amount = m.amount,
             currency = m.currency, quantity = m.quantity, profit = m.profit, product = m.product
         from import_merge m
         where m.action = 'changed' and p.account_id = m.account_before and p.at = m.at_before and p.id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Brings the accounts' last purchase up to date; a return is none.
pub async fn update_last_purchases(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "with n as (
             select t.account_id, (select max(p.at) from purchase p
                                   where p.account_id = t.account_id and p.amount > 0) as last_at
             from (select account_id from import_merge where action in ('new', 'changed')
                   union
                   select account_before from import_merge where action = 'changed') t
         ), other as materialized (
             select a.id, n.last_at from account a join n on n.account_id = a.id
             where a.last_purchase_at is distinct from n.last_at
             order by a.id
             for update of a
         )
         update account a set last_purchase_at = other.last_at from other where a.id = other.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells the audiences whom to look at again: the people of the accounts.
pub async fn note_changes(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fact_change (contact_id)
         select c.id from (select account_id from import_merge where action in ('new', 'changed')
                           union
                           select account_before from import_merge where action = 'changed') t
         join contact c on c.account_id = t.account_id",
    )
    .execute(connection)
    .await?;
    Ok(())
}
