//! Purchases. A negative amount is a return; it counts in sums and is not a purchase made.

use chrono_tz::Tz;
use sqlx::PgConnection;

use super::cell::{Cells, Refusal, SHORT, When};
use super::feed::Columns;
use super::{Load, Reading};
use crate::store::staging::{CopyText, purchase as staging};

/// Reads rows of `purchases.csv`.
pub struct PurchaseColumns(pub Reading);

impl Columns for PurchaseColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        let empty = |column| move || Refusal::new(column, "empty");
        row.plain(Some(self.0.id()));
        row.text(cells.text("contact", SHORT)?);
        row.text(cells.text("organisation", SHORT)?);
        let at = cells.when("purchased_at")?.ok_or_else(empty("purchased_at"))?;
        row.plain(Some(at.in_zone(self.0.zone).to_rfc3339()));
        row.plain(at.local());
        row.plain(Some(cells.decimal("amount")?.ok_or_else(empty("amount"))?));
        row.text(Some(
            &cells.parse("currency", currency)?.ok_or_else(empty("currency"))?,
        ));
        row.plain(cells.decimal("quantity")?);
        row.plain(cells.decimal("profit")?);
        row.text(cells.text("product", SHORT)?);
        Ok(())
    }
}

/// The shape of an ISO 4217 code.
fn currency(text: &str) -> Result<String, &'static str> {
    if text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("not a currency code of three letters, such as CNY or EUR")
    }
}

/// Brings a chunk of purchases into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    staging::copy(db, load.rows).await?;
    let foreign = staging::foreign_times(db, load.source_id, load.zone.name()).await?;
    if !foreign.is_empty() {
        let (lines, times): (Vec<_>, Vec<_>) = foreign
            .into_iter()
            .filter_map(|(line, zone, local)| {
                Some((line, When::Local(local).in_zone(zone.parse::<Tz>().ok()?)))
            })
            .unzip();
        staging::set_times(db, &lines, &times).await?;
    }
    staging::merge(db, load.source_id).await?;
    if load.dry_run {
        return Ok(());
    }
    staging::insert(db, load.source_id).await?;
    staging::update(db).await?;
    staging::update_last_purchases(db).await?;
    staging::note_changes(db).await
}
