//! `kith bench`, small: each benchmark runs through and prints the figures that programs read.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::clear_at_exit;

/// One server for all of them, since its start costs more than they do.
fn bench(dir: &std::path::Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kith"))
        .args(["bench", "--json"])
        .args(args)
        .current_dir(dir)
        .env_remove("DATABASE_URL")
        .env("KITH_DATABASE__DATA_DIR", dir.join("state"))
        .output()
        .unwrap()
}

fn sheet(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Programs find these under their names, and none is nothing.
fn positive(sheet: &Value, names: &[&str]) {
    for name in names {
        assert!(
            sheet[*name].as_f64().is_some_and(|value| value > 0.0),
            "{name}: {sheet:#}"
        );
    }
}

/// A figure of a sheet by its name.
fn figure<'s>(sheet: &'s Value, name: &str) -> &'s Value {
    let figures = sheet["figures"].as_array().unwrap();
    figures
        .iter()
        .find(|figure| figure["name"] == name)
        .unwrap_or_else(|| panic!("no figure {name:?} in {sheet:#}"))
}

#[test]
fn each_benchmark_runs_and_prints_what_programs_read() {
    let dir = tempfile::Builder::new()
        .prefix("kith-bench-")
        .tempdir_in("/tmp")
        .unwrap()
        .keep();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
    clear_at_exit(&dir);

    let tick = sheet(&bench(
        &dir,
        &["tick", "--contacts", "200", "--rounds", "10", "--touches", "1"],
    ));
    assert_eq!(
        figure(&tick, "statements of a tick, most")["met"],
        true,
        "{tick:#}"
    );

    let named = [
        "ticks_per_s",
        "tick_p50_ms",
        "tick_p99_ms",
        "statements",
        "handed_over_p50_ms",
        "handed_over_max_ms",
        "peak_rss_mb",
    ];
    positive(&tick, &named);
    assert!(tick["rows_written_per_tick"].as_f64().unwrap() >= 0.0, "{tick:#}");

    let enroll = sheet(&bench(&dir, &["enroll", "--contacts", "200"]));
    let named = [
        "time_s",
        "rate_per_s",
        "statements",
        "statement_p50_ms",
        "statement_p99_ms",
        "statement_max_ms",
        "peak_rss_mb",
    ];
    positive(&enroll, &named);
    // Each of the tenth who come in is a row at least.
    assert!(enroll["rows_written"].as_i64().unwrap() >= 20, "{enroll:#}");

    let audience = sheet(&bench(
        &dir,
        &["audience", "--contacts", "2000", "--changed", "100"],
    ));
    assert_eq!(
        figure(&audience, "taken in by it, of all cadences")["met"],
        true,
        "{audience:#}"
    );
    assert!(audience["pass_s"].as_f64().unwrap() > 0.0);

    let some = [
        "ingest",
        "--contacts",
        "300",
        "--events",
        "250",
        "--batch",
        "100",
        "--visits",
        "40",
    ];
    let ingest = sheet(&bench(&dir, &some));
    let named = [
        "events_per_s",
        "opens_per_s",
        "clicks_per_s",
        "request_p50_ms",
        "request_p99_ms",
        "open_p99_ms",
        "click_p99_ms",
        "peak_rss_mb",
    ];
    positive(&ingest, &named);
    // Each event is a row of its own and a key.
    assert!(
        ingest["rows_written"].as_i64().unwrap() >= 2 * (250 + 80),
        "{ingest:#}"
    );
    assert!(figure(&ingest, "an open, 99 %")["value"].as_f64().unwrap() > 0.0);

    let few = [
        "deliver",
        "--contacts",
        "600",
        "--messages",
        "100",
        "--warm-up",
        "20",
        "--suppressed",
        "10",
        "--charged",
    ];
    let deliver = bench(&dir, &few);
    let why = String::from_utf8_lossy(&deliver.stderr).into_owned();
    if why.contains("package postfix") {
        eprintln!("skipped: {why}");
        return;
    }
    let deliver = sheet(&deliver);
    let named = [
        "rate_per_s",
        "claim_p99_ms",
        "crossing_p99_ms",
        "dot_to_outcome_p99_ms",
        "yardstick_per_s",
        "lettre_per_s",
        "peak_rss_mb",
        "rows_written",
        "wal_bytes",
        "wal_counted_bytes",
        "queue_table_mb",
        "queue_indexes_mb",
        "queue_vacuumed_indexes_mb",
    ];
    positive(&deliver, &named);
    // Processor time is counted in hundredths of a second: of so few mails it may be none.
    for process in ["daemon", "postgres", "smtp-sink"] {
        let used = &deliver["cpu_s"][process];
        assert!(used.as_f64().unwrap() >= 0.0, "{process}: {deliver:#}");
    }
    // Every mail changes its row of the queue twice, its touch once, and the row of a cap that was charged before. Where it
    // stands in its cadence was planned.
    let updates = |table: &str| deliver["updates"][table]["updates"].as_i64().unwrap();
    for (table, least) in [("queue", 200), ("touch", 100), ("pace", 100)] {
        assert!(updates(table) >= least, "{table}: {deliver:#}");
    }
    assert_eq!(updates("enrollment"), 0, "{deliver:#}");
    assert!(
        deliver["hot_least_percent"].as_f64().unwrap() <= 100.0,
        "{deliver:#}"
    );
    // It measures what the daemon does, who also keeps a trail; and takes it away.
    let trail = &figure(&deliver, "the trail of the crossings at the end")["value"];
    assert!(trail.as_f64().unwrap() > 0.0, "{deliver:#}");
    let beside = bench(
        &dir,
        &[&few[..], &["--queued", "500", "--old-snapshot", "1s"]].concat(),
    );
    let beside = sheet(&beside);
    positive(
        &beside,
        &["rate_per_s", "beside_per_s", "beside_claim_p99_ms", "open_s"],
    );
    let left: Vec<_> = std::fs::read_dir(dir.join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("bench-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for (args, why) in [
        (
            &["deliver", "--contacts", "1000", "--old-snapshot", "1s"][..],
            "need 1120000 contacts",
        ),
        (&["deliver", "--queued", "50"], "--old-snapshot"),
        (
            &["audience", "--contacts", "1000", "--changed", "500"],
            "less than a tenth of the people",
        ),
        (
            &["ingest", "--contacts", "100", "--visits", "200"],
            "each visit is of another person",
        ),
    ] {
        let output = bench(dir.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
        assert!(!dir.path().join("state").exists(), "{args:?}");
    }
}
