//! `kith bench import`: a file of contacts goes in, and once more unchanged.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::figures::{Sheet, Target};
use super::ground::Ground;
use crate::cli::Context;
use crate::domain::address_hash::AddressKey;
use crate::domain::birthday::BirthdayRules;
use crate::engine::import::{self, ImportDeps, ImportOrder, ImportReport, Imported, Kind};
use crate::store::control;

/// Measure the import of contacts: time, memory, and what the same file writes again
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Rows of the file
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..=10_000_000))]
    contacts: i64,
}

/// Measures.
pub async fn run(args: ImportArgs, context: &Context) -> Result<Sheet> {
    let ground = Ground::make(context, "import").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &ImportArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("contacts.csv");
    write_contacts(&path, args.contacts)?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    let mut conn = ground.pool.acquire().await?;
    let key = control::read(&mut conn).await?.address_key;
    drop(conn);
    let deps = ImportDeps {
        pool: ground.pool.clone(),
        ids: context.ids.clone(),
        zone: context.settings.company.timezone,
        region: context.settings.company.region.clone(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(&key),
    };
    let order = ImportOrder {
        kind: Kind::Contacts,
        path,
        source: "bench".to_owned(),
        dry_run: false,
    };
    let (first, took) = pass(&deps, &order, ground).await?;
    let peak = peak_memory();
    let before = ground.rows_written().await?;
    let (again, took_again) = pass(&deps, &order, ground).await?;
    let after = ground.rows_written().await?;

    let mut sheet = Sheet::new("import", args.contacts);
    let rows = args.contacts as f64;
    sheet.note("the file", megabytes, "MB");
    sheet.hold_to(
        "new contacts",
        first.new as f64,
        "contacts",
        Target::Exactly(rows),
    );
    sheet.hold_to("time", took, "s", Target::Under(60.0));
    sheet.note("rate", rows / took, "contacts/s");
    sheet.hold_to("peak memory of the process", peak, "MB", Target::Under(200.0));
    sheet.note("rows written", before as f64, "rows");
    sheet.hold_to(
        "unchanged contacts, again",
        again.same as f64,
        "contacts",
        Target::Exactly(rows),
    );
    sheet.note("time, again", took_again, "s");
    sheet.note("peak memory of the process, again", peak_memory(), "MB");
    sheet.hold_to(
        "rows written, again",
        (after - before) as f64,
        "rows",
        Target::Exactly(0.0),
    );
    Ok(sheet)
}

async fn pass(deps: &ImportDeps, order: &ImportOrder, ground: &Ground) -> Result<(ImportReport, f64)> {
    let started = Instant::now();
    match import::import(deps, order, ground.begin, |_| {}).await? {
        Imported::Done(report) => Ok((report, started.elapsed().as_secs_f64())),
        Imported::FileRefused(refusal) => bail!("the file was refused: {}", refusal.reason),
        Imported::Busy => bail!("another import is running"),
    }
}

fn write_contacts(path: &Path, rows: i64) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(
        out,
        "external_id,name,email,phone,locale,timezone,region,birthday,birthday_calendar,role,decision_maker,\
         preferred_channel,best_time,consent_email,consent_sms,consent_source,attr.size"
    )?;
    for n in 0..rows {
        let (month, day) = (n % 12 + 1, n % 28 + 1);
        writeln!(
            out,
            "c{n},Person Number {n},person{n}@example{}.com,1380{n:07},zh-CN,Asia/Shanghai,East,19{}-{month:02}-{day:02},{},\
             buyer,{},email,09:00,yes,no,fair,{}",
            n % 500,
            n % 50 + 50,
            if n % 3 == 0 { "lunar" } else { "gregorian" },
            if n % 5 == 0 { "yes" } else { "no" },
            n % 90
        )?;
    }
    out.flush().context("writing the file")?;
    Ok(())
}

/// The most memory this process has had resident, in MB, as the kernel tells it; 0 where it does not.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0);
    kibibytes * 1024.0 / 1e6
}
