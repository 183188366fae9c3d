//! Importing CSV: one file, one kind of record, one source.
//!
//! A thread reads, checks and normalises rows into chunks; each chunk is copied into a temporary table, set beside
//! what is stored, and written as far as it differs, in a transaction of its own. Memory is bounded by three chunks
//! and eight bytes a row. An import that is cut off leaves whole chunks; the same import again does the rest.

mod campaign;
mod cell;
mod contact;
mod feed;
pub mod form;
mod header;
mod kind;
mod lead;
mod organisation;
mod owner;
mod purchase;
mod record;
mod rejected;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use cell::Refusal;
pub use header::FileRefusal;
pub use kind::Kind;

use crate::domain::address_hash::AddressKey;
use crate::domain::birthday::BirthdayRules;
use crate::domain::id::IdSource;
use crate::store::staging::{self, CopyText, Tally};
use crate::store::unhurried;
use campaign::CampaignColumns;
use contact::ContactColumns;
use feed::{Chunk, Columns, Feed};
use lead::LeadColumns;
use organisation::OrganisationColumns;
use owner::OwnerColumns;
use purchase::PurchaseColumns;
use rejected::Rejected;

/// What importing needs from the rest of the house.
#[derive(Debug, Clone)]
pub struct ImportDeps {
    /// The database. Importing opens one connection of its own with the pool's options.
    pub pool: PgPool,
    /// Where new ids come from.
    pub ids: Arc<IdSource>,
    /// The company's zone, for dates and people without one.
    pub zone: Tz,
    /// The company's region (ISO 3166), for phone numbers in national form.
    pub region: String,
    /// How birthdays are kept.
    pub birthdays: BirthdayRules,
    /// The key of the address hashes.
    pub address_key: AddressKey,
}

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportOrder {
    /// What the file holds.
    pub kind: Kind,
    /// The file.
    pub path: PathBuf,
    /// Where its records come from; external ids are unique per source.
    pub source: String,
    /// Count only.
    pub dry_run: bool,
}

/// How an import went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The file was gone through to its end.
    Done(ImportReport),
    /// The file cannot be what it is said to be; nothing was taken.
    FileRefused(FileRefusal),
    /// Another session imports this kind of this source at this moment.
    Busy,
}

/// What became of the rows; of a dry run, what would have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Records that were not there.
    pub new: u64,
    /// Records that differed and were written.
    pub changed: u64,
    /// Records that were as they are in the file; nothing was written.
    pub same: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The file with the refused rows, if there are any.
    pub rejected_path: Option<PathBuf>,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes of the file that are done.
    pub bytes: u64,
    /// Bytes of the file.
    pub of_bytes: u64,
    /// Rows that are done.
    pub rows: u64,
}

/// What reading rows needs.
#[derive(Debug, Clone)]
struct Reading {
    ids: Arc<IdSource>,
    now: DateTime<Utc>,
    zone: Tz,
    region: String,
    birthdays: BirthdayRules,
    address_key: AddressKey,
}

impl Reading {
    fn of(deps: &ImportDeps, now: DateTime<Utc>) -> Self {
        Self {
            ids: deps.ids.clone(),
            now,
            zone: deps.zone,
            region: deps.region.clone(),
            birthdays: deps.birthdays,
            address_key: deps.address_key.clone(),
        }
    }

    fn id(&self) -> Uuid {
        self.ids.next(self.now)
    }

    /// The region by which a phone number in national form is read: the contact's, where that is the code of one.
    fn phone_region<'a>(&'a self, region: Option<&'a str>) -> &'a str {
        let is_code = |r: &&str| r.len() == 2 && r.bytes().all(|b| b.is_ascii_alphabetic());
        region.filter(is_code).unwrap_or(&self.region)
    }
}

/// One chunk on its way into the database.
struct Load<'a> {
    rows: &'a CopyText,
    source: &'a str,
    source_id: i16,
    ids: &'a IdSource,
    now: DateTime<Utc>,
    zone: Tz,
    /// How a permission came.
    basis: &'static str,
    dry_run: bool,
}

/// A source id that no record has: what a dry run of a new source compares with.
const NO_SOURCE: i16 = -1;

/// Imports one file. Refused rows do not stop it; they are written beside the file. Errors are those of disk and
/// database, after which the chunks done so far stay.
pub async fn import(
    deps: &ImportDeps,
    order: &ImportOrder,
    now: DateTime<Utc>,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Imported> {
    let place = || format!("reading {}", order.path.display());
    let feed = match open(order).await.with_context(place)? {
        Ok(feed) => feed,
        Err(refusal) => return Ok(Imported::FileRefused(refusal)),
    };
    let of_bytes = std::fs::metadata(&order.path).with_context(place)?.len();
    let mut rejected = Rejected::beside(&order.path, feed.header_raw());
    let columns = columns(deps, order.kind, &feed, now);
    let mut report = ImportReport::default();
    let mut rows = 0;

    // A connection of its own: temporary tables and the lock end with it, whatever happens.
    let mut db = PgConnection::connect_with(&deps.pool.connect_options()).await?;
    staging::prepare_session(&mut db).await?;
    if !staging::lock_kind(&mut db, &order.source, order.kind.as_str()).await? {
        return Ok(Imported::Busy);
    }
    let source_id = if order.dry_run {
        staging::find_source(&mut db, &order.source)
            .await?
            .unwrap_or(NO_SOURCE)
    } else {
        staging::source_id(&mut db, &order.source).await?
    };
    open_tables(&mut db, order.kind, feed.header().names()).await?;

    let (sender, mut chunks) = mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || read(feed, columns, &sender));
    while let Some(mut chunk) = chunks.recv().await {
        let mut transaction = db.begin().await?;
        unhurried(&mut transaction).await?;
        let load = Load {
            rows: &chunk.rows,
            source: &order.source,
            source_id,
            ids: &deps.ids,
            now,
            zone: deps.zone,
            basis: "import",
            dry_run: order.dry_run,
        };
        bring_in(&mut transaction, order.kind, &load).await?;
        let tally = staging::tally(&mut transaction).await?;
        let by_database = staging::refused(&mut transaction).await?;
        transaction.commit().await?;

        rows += chunk.rows.rows() as u64 + chunk.refused.len() as u64;
        count(&mut report, tally);
        let mut refused = std::mem::take(&mut chunk.refused);
        refused.extend(
            by_database
                .into_iter()
                .map(|r| (r.line as u64, Refusal::new(r.field, r.reason))),
        );
        rejected
            .add(&chunk, refused)
            .context("writing the refused rows")?;
        progress(Progress {
            bytes: chunk.bytes_read,
            of_bytes,
            rows,
        });
    }
    reader.await?.with_context(place)?;
    staging::unlock_kind(&mut db).await?;
    db.close().await?;
    (report.refused, report.rejected_path) = rejected.finish().context("writing the refused rows")?;
    Ok(Imported::Done(report))
}

async fn open(order: &ImportOrder) -> Result<Result<Feed, FileRefusal>> {
    let (path, kind) = (order.path.clone(), order.kind);
    Ok(tokio::task::spawn_blocking(move || Feed::open(&path, kind)).await??)
}

/// Reads chunks until the file ends or nobody takes them any more.
fn read(mut feed: Feed, mut columns: Box<dyn Columns>, to: &mpsc::Sender<Chunk>) -> std::io::Result<()> {
    while let Some(chunk) = feed.chunk(columns.as_mut())? {
        if to.blocking_send(chunk).is_err() {
            break;
        }
    }
    Ok(())
}

fn columns(deps: &ImportDeps, kind: Kind, feed: &Feed, now: DateTime<Utc>) -> Box<dyn Columns> {
    let reading = Reading::of(deps, now);
    match kind {
        Kind::Contacts => Box::new(ContactColumns::new(reading, feed.header().attributes.clone())),
        Kind::Organisations => Box::new(OrganisationColumns(reading)),
        Kind::Owners => Box::new(OwnerColumns(reading)),
        Kind::Leads => Box::new(LeadColumns::new(reading)),
        Kind::Purchases => Box::new(PurchaseColumns(reading)),
        Kind::Campaigns => Box::new(CampaignColumns(reading)),
    }
}

async fn open_tables(db: &mut PgConnection, kind: Kind, names: &[String]) -> sqlx::Result<()> {
    match kind {
        Kind::Contacts => staging::contact::open(db, names).await,
        Kind::Organisations => staging::organisation::open(db, names).await,
        Kind::Owners => staging::owner::open(db, names).await,
        Kind::Leads => staging::lead::open(db, names).await,
        Kind::Purchases => staging::purchase::open(db, names).await,
        Kind::Campaigns => staging::campaign::open(db, names).await,
    }
}

async fn bring_in(db: &mut PgConnection, kind: Kind, load: &Load<'_>) -> Result<()> {
    match kind {
        Kind::Contacts => contact::load(db, load).await,
        Kind::Organisations => organisation::load(db, load).await,
        Kind::Owners => owner::load(db, load).await,
        Kind::Leads => return lead::load(db, load).await,
        Kind::Purchases => purchase::load(db, load).await,
        Kind::Campaigns => campaign::load(db, load).await,
    }?;
    Ok(())
}

fn count(report: &mut ImportReport, tally: Tally) {
    report.new += tally.new as u64;
    report.changed += tally.changed as u64;
    report.same += tally.same as u64;
}
