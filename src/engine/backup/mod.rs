//! Backup and restore without Postgres' tools: every table by COPY, in one moment, in one file.

mod file;

use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::PgConnection;
use uuid::Uuid;

use self::file::{FileError, Frame, Header, Reader, TableHead, Writer};
use crate::store::backup::{self as rows, Table};
use crate::store::{self, control, partition};

/// A restored database is left with this reason at its brake.
pub const REASON: &str = "restored from backup";

/// What a backup or a restore came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Tables.
    pub tables: usize,
    /// Rows.
    pub rows: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Writes the database into a new file. A file that is not finished is taken away again.
pub async fn backup(conn: &mut PgConnection, path: &Path, now: DateTime<Utc>) -> Result<Sum> {
    let writer = Writer::create(path).with_context(|| format!("making {}", path.display()))?;
    let written = write(conn, writer, now).await;
    if written.is_err() {
        std::fs::remove_file(path).ok();
    }
    written
}

async fn write(conn: &mut PgConnection, mut writer: Writer, now: DateTime<Utc>) -> Result<Sum> {
    rows::one_moment(conn).await?;
    store::unhurried(conn).await?;
    let control = control::read(conn).await?;
    writer.header(&Header {
        kith: env!("CARGO_PKG_VERSION").to_owned(),
        schema: store::known_version(),
        taken_at: now,
        database_id: control.database_id,
        months: partition::months(conn).await?,
        sequences: rows::sequences(conn).await?,
    })?;
    let tables = in_order(rows::tables(conn).await?);
    let mut sum = Sum {
        tables: tables.len(),
        ..Sum::default()
    };
    for table in &tables {
        writer.table(&TableHead {
            name: table.name.clone(),
            columns: table.columns.clone(),
        })?;
        let mut lines = 0;
        let mut stream = rows::rows(conn, table).await?;
        while let Some(chunk) = stream.try_next().await? {
            lines += (chunk.split(|byte| *byte == b'\n').count() - 1) as u64;
            writer.rows(&chunk)?;
        }
        writer.end_of_table(lines)?;
        sum.rows += lines;
    }
    rows::end_moment(conn).await?;
    sum.bytes = writer.finish()?;
    Ok(sum)
}

/// What became of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// The database is as in the file, with the brake on.
    Done {
        /// How much it was.
        sum: Sum,
        /// The moment the file shows.
        taken_at: DateTime<Utc>,
    },
    /// Nothing was changed.
    Refused(String),
}

/// Fills the database from a file, all or nothing; the file is read through once before anything is changed.
pub async fn restore(
    conn: &mut PgConnection,
    path: &Path,
    force: bool,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Restored> {
    let header = match check(path) {
        Ok(header) => header,
        Err(error) => return Ok(Restored::Refused(format!("{}: {error}", path.display()))),
    };
    if header.schema != store::known_version() {
        return Ok(Restored::Refused(format!(
            "{}: taken by kith {} with schema {}, and this kith has schema {}: restore it with that version, then upgrade",
            path.display(),
            header.kith,
            header.schema,
            store::known_version()
        )));
    }
    let tables = in_order(rows::tables(conn).await?);
    if !force && let Some(table) = rows::occupied(conn, &tables).await? {
        return Ok(Restored::Refused(format!(
            "the database is not empty (there are rows in {table}): --force empties it first"
        )));
    }
    let sum = fill(conn, path, &header, &tables, by, now).await?;
    Ok(Restored::Done {
        sum,
        taken_at: header.taken_at,
    })
}

/// Reads the whole file.
fn check(path: &Path) -> Result<Header, FileError> {
    let (mut reader, header) = Reader::open(path)?;
    while reader.next()? != Frame::End {}
    Ok(header)
}

async fn fill(
    conn: &mut PgConnection,
    path: &Path,
    header: &Header,
    tables: &[Table],
    by: &str,
    now: DateTime<Utc>,
) -> Result<Sum> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    store::unhurried(&mut tx).await?;
    rows::empty(&mut tx, tables).await?;
    partition::ensure_months(&mut tx, &header.months).await?;
    let (mut reader, _) = Reader::open(path)?;
    let mut sum = Sum {
        bytes: std::fs::metadata(path)?.len(),
        ..Sum::default()
    };
    loop {
        let head = match reader.next()? {
            Frame::Table(head) => head,
            Frame::End => break,
            Frame::Rows(_) | Frame::EndOfTable(_) => {
                return Err(FileError::Damaged("rows of no table").into());
            }
        };
        let table = tables
            .iter()
            .find(|table| table.name == head.name && table.columns == head.columns)
            .with_context(|| format!("the table {} is not as in the file", head.name))?;
        let mut told = 0;
        let made = rows::fill(&mut tx, table, || match reader.next() {
            Ok(Frame::Rows(bytes)) => Ok(Some(bytes)),
            Ok(Frame::EndOfTable(rows)) => {
                told = rows;
                Ok(None)
            }
            Ok(_) => Err(std::io::Error::other("a table without an end")),
            Err(error) => Err(std::io::Error::other(error)),
        })
        .await
        .with_context(|| format!("filling {}", head.name))?;
        if made != told {
            anyhow::bail!("{}: {told} rows in the file, {made} arrived", head.name);
        }
        sum.tables += 1;
        sum.rows += made;
    }
    rows::set_sequences(&mut tx, &header.sequences).await?;
    rows::settle(&mut tx, Uuid::new_v4(), REASON, by, now).await?;
    tx.commit().await?;
    Ok(sum)
}

/// The tables so that each comes after those its foreign keys point to.
fn in_order(mut tables: Vec<Table>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let ready: Vec<bool> = tables
            .iter()
            .map(|table| {
                table
                    .needs
                    .iter()
                    .all(|need| ordered.iter().any(|done| done.name == *need))
            })
            .collect();
        // Tables that need each other would wait for ever: they go together, and the database says what is wrong.
        let stuck = !ready.contains(&true);
        let mut waiting = Vec::new();
        for (table, ready) in tables.into_iter().zip(ready) {
            if ready || stuck {
                ordered.push(table);
            } else {
                waiting.push(table);
            }
        }
        tables = waiting;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, needs: &[&str]) -> Table {
        Table {
            name: name.to_owned(),
            columns: Vec::new(),
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[test]
    fn tables_come_after_those_they_need() {
        let ordered = in_order(vec![table("a", &["c"]), table("b", &["a", "c"]), table("c", &[])]);
        let names: Vec<_> = ordered.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert_eq!(in_order(vec![table("a", &["b"]), table("b", &["a"])]).len(), 2);
    }
}
