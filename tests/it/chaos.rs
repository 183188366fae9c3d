//! `kith chaos`, small: real daemons, a real database and real links are broken ten times, and no promise is.

use std::process::{Command, Stdio};

use serde_json::Value;

const PROMISES: [&str; 5] = [
    "lost",
    "duplicates",
    "unrecorded_unknown",
    "sent_after_opt_out",
    "cap_broken",
];

/// Runs it; the verdict, and what it said meanwhile.
fn chaos(args: &[&str], messages: i64) -> (Value, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_kith"))
        .args(["chaos", "--json", "--messages", &messages.to_string()])
        .args(args)
        .env("KITH_LOG", "error")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}\n{said}");
    let verdict: Value = serde_json::from_str(&said).unwrap();
    for promise in PROMISES {
        assert_eq!(verdict[promise], 0, "{promise}: {verdict}\n{told}");
    }
    assert_eq!(verdict["brake_on"], false, "{verdict}");
    let ended = ["accepted", "uncertain", "refused", "skipped", "held"];
    let ended: i64 = ended.iter().map(|name| verdict[*name].as_i64().unwrap()).sum();
    assert_eq!(ended, messages, "everything has an end or waits: {verdict}");
    (verdict, told)
}

/// Every kind of blow comes at least once in seven cycles.
#[tokio::test]
async fn ten_blows_break_no_promise() {
    let (verdict, told) = chaos(&["--cycles", "10", "--seed", "20"], 300);
    assert!(
        verdict["accepted"].as_i64() > Some(150) && verdict["held"].as_i64() > Some(0),
        "{verdict}"
    );
    assert_eq!(told.lines().filter(|line| line.starts_with("cycle ")).count(), 10);
}

/// The full figure is the same with `--cycles 100 --messages 50000`.
#[tokio::test]
async fn five_daemons_stopped_at_random_cross_nothing_twice() {
    let args = [
        "--cycles",
        "5",
        "--daemons",
        "5",
        "--only",
        "freeze",
        "--seed",
        "21",
    ];
    let (_, told) = chaos(&args, 300);
    assert_eq!(told.matches(": stop daemon").count(), 5, "{told}");
}
