//! Organisations.

use sqlx::PgConnection;

use super::cell::{Cells, Refusal, SHORT};
use super::feed::Columns;
use super::{Load, Reading};
use crate::domain::shard::shard_of;
use crate::store::staging::{CopyText, organisation as staging};

/// Reads rows of `organisations.csv`.
pub struct OrganisationColumns(pub Reading);

impl Columns for OrganisationColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        let id = self.0.id();
        row.plain(Some(id));
        row.plain(Some(shard_of(id)));
        row.text(cells.name("name")?);
        for column in ["industry", "size", "region", "parent"] {
            row.text(cells.text(column, SHORT)?);
        }
        Ok(())
    }
}

/// Brings a chunk of organisations into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    staging::copy(db, load.rows).await?;
    staging::merge(db, load.source_id).await?;
    if load.dry_run {
        return Ok(());
    }
    staging::insert(db, load.source_id).await?;
    staging::update(db).await?;
    staging::note_changes(db).await
}
