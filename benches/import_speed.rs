//! Measures an import of many contacts: `cargo bench --bench import_speed -- DATABASE_URL ROWS FILE`.
//! Writes FILE with ROWS generated contacts, imports it twice, and prints time and peak memory of each pass.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use kith::clock::Clock;
use kith::domain::address_hash::AddressKey;
use kith::domain::birthday::BirthdayRules;
use kith::domain::id::IdSource;
use kith::engine::import::{self, ImportDeps, ImportOrder, Kind};
use sqlx::PgPool;

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds a flag of its own.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(url) = args.next() else {
        println!("usage: cargo bench --bench import_speed -- DATABASE_URL ROWS FILE");
        return Ok(());
    };
    let rows: u32 = args.next().context("ROWS")?.parse()?;
    let path = PathBuf::from(args.next().context("FILE")?);
    write_contacts(&path, rows)?;
    println!(
        "{rows} contacts, {} MB",
        std::fs::metadata(&path)?.len() / 1_000_000
    );

    let deps = ImportDeps {
        pool: PgPool::connect(&url).await?,
        ids: Arc::new(IdSource::Random),
        zone: chrono_tz::Asia::Shanghai,
        region: "CN".to_owned(),
        birthdays: BirthdayRules::default(),
        address_key: AddressKey::new(b"measuring"),
    };
    let order = ImportOrder {
        kind: Kind::Contacts,
        path,
        source: "speed".to_owned(),
        dry_run: false,
    };
    for pass in ["first", "again"] {
        let started = Instant::now();
        let imported = import::import(&deps, &order, Clock::System.now(), |_| {}).await?;
        println!(
            "{pass}: {:.1} s, peak memory {}, {imported:?}",
            started.elapsed().as_secs_f64(),
            peak()
        );
    }
    Ok(())
}

fn write_contacts(path: &Path, rows: u32) -> Result<()> {
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
            "c{n},Person Number {n},person{n}@example{}.com,1380{:07},zh-CN,Asia/Shanghai,East,19{}-{month:02}-{day:02},{},\
             buyer,{},email,09:00,yes,no,fair,{}",
            n % 500,
            n,
            n % 50 + 50,
            if n % 3 == 0 { "lunar" } else { "gregorian" },
            if n % 5 == 0 { "yes" } else { "no" },
            n % 90
        )?;
    }
    out.flush()?;
    Ok(())
}

/// The process's highest resident memory, as the kernel tells it; empty where it does not.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}
