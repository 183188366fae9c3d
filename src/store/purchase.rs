//! Purchases.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A purchase that came in as an event.
#[derive(Debug, Clone)]
pub struct NewPurchase {
    /// Its id.
    pub id: Uuid,
    /// Who told it.
    pub source: String,
    /// What the source calls it.
    pub external_id: String,
    /// The customer.
    pub account_id: Uuid,
    /// The person.
    pub contact_id: Option<Uuid>,
    /// When.
    pub at: DateTime<Utc>,
    /// How much.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// What.
    pub product: Option<String>,
}

/// Keeps purchases; the same one of a source is kept once.
pub async fn insert(conn: &mut PgConnection, rows: &[NewPurchase]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    let external: Vec<&str> = rows.iter().map(|r| r.external_id.as_str()).collect();
    let accounts: Vec<Uuid> = rows.iter().map(|r| r.account_id).collect();
    let contacts: Vec<Option<Uuid>> = rows.iter().map(|r| r.contact_id).collect();
    let at: Vec<DateTime<Utc>> = rows.iter().map(|r| r.at).collect();
    let amounts: Vec<Decimal> = rows.iter().map(|r| r.amount).collect();
    let currencies: Vec<&str> = rows.iter().map(|r| r.currency.as_str()).collect();
    let products: Vec<Option<&str>> = rows.iter().map(|r| r.product.as_deref()).collect();
    sqlx::query!(
        "insert into source (name) select distinct n from unnest($1::text[]) n on conflict do nothing",
        &sources as &[&str],
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        insert into purchase (id, source_id, external_id, account_id, contact_id, at, amount, currency, product)
        select p.id, s.id, p.external_id, p.account_id, p.contact_id, p.at, p.amount, p.currency, p.product
        from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::numeric[], $8::text[],
                    $9::text[])
             as p (id, source, external_id, account_id, contact_id, at, amount, currency, product)
        join source s on s.name = p.source
        on conflict do nothing
        "#,
        &ids,
        &sources as &[&str],
        &external as &[&str],
        &accounts,
        &contacts as &[Option<Uuid>],
        &at,
        &amounts,
        &currencies as &[&str],
        &products as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}
