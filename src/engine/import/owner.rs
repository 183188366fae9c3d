//! Owners. A deputy may stand further down in the file or come later: it is looked up when it is needed.

use sqlx::PgConnection;

use super::cell::{BLOCK, Cells, Refusal, SHORT};
use super::feed::Columns;
use super::{Load, Reading};
use crate::domain::email::EmailAddress;
use crate::domain::phone::PhoneNumber;
use crate::store::staging::{CopyText, owner as staging};

/// Reads rows of `owners.csv`.
pub struct OwnerColumns(pub Reading);

impl Columns for OwnerColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        row.plain(Some(self.0.id()));
        row.text(cells.name("name")?);
        // As written: this is what customers see and answer to.
        row.plain(cells.parse("email", EmailAddress::parse)?);
        let region = self.0.phone_region(None);
        row.plain(cells.parse("phone", |text| PhoneNumber::parse(text, Some(region)))?);
        row.plain(cells.zone("timezone")?);
        row.plain(cells.parse("from_email", EmailAddress::parse)?);
        row.text(cells.block("signature", BLOCK)?);
        row.text(cells.text("deputy", SHORT)?);
        row.plain(cells.date("away_from")?);
        row.plain(cells.date("away_until")?);
        Ok(())
    }
}

/// Brings a chunk of owners into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    staging::copy(db, load.rows).await?;
    staging::merge(db, load.source_id).await?;
    if load.dry_run {
        return Ok(());
    }
    staging::insert(db, load.source_id).await?;
    staging::update(db).await
}
