//! Campaigns.

use sqlx::PgConnection;

use super::cell::{Cells, Refusal, SHORT};
use super::feed::Columns;
use super::{Load, Reading};
use crate::store::staging::{CopyText, campaign as staging};

/// Reads rows of `campaigns.csv`.
pub struct CampaignColumns(pub Reading);

impl Columns for CampaignColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        row.plain(Some(self.0.id()));
        row.text(cells.name("name")?);
        row.text(cells.text("kind", SHORT)?);
        row.text(cells.text("channel", SHORT)?);
        row.plain(cells.date("date")?);
        row.plain(cells.amount("budget")?);
        row.plain(cells.amount("cost")?);
        Ok(())
    }
}

/// Brings a chunk of campaigns into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    staging::copy(db, load.rows).await?;
    staging::merge(db, load.source_id).await?;
    if load.dry_run {
        return Ok(());
    }
    staging::insert(db, load.source_id).await?;
    staging::update(db).await
}
