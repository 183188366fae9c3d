//! `kith bench deliver --old-snapshot`: the same sending before and beside a transaction that is left open. What was sent while
//! it is open cannot leave the queue's index, and whoever claims must not walk over it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::deliver::DeliverArgs;
use super::figures::{Sheet, Target};
use super::ground::Ground;
use super::process::{forget_peak, peak_rss_mb};
use super::timings::Timings;
use crate::engine::Deps;
use crate::engine::dispatch::Dispatcher;
use crate::store::bench;

/// The engine tells quantiles of its last minute; the worst of these looks counts.
const LOOK: Duration = Duration::from_secs(10);
/// A megabyte.
const MB: f64 = 1e6;

/// What one stretch of sending did.
struct Stretch {
    sent: u64,
    secs: f64,
    claim_ms: f64,
}

impl Stretch {
    fn rate(&self) -> f64 {
        self.sent as f64 / self.secs
    }
}

/// Sends the measured mails, then goes on beside the open transaction.
pub async fn measure(
    args: &DeliverArgs,
    open: Duration,
    ground: &Ground,
    dispatcher: &mut Dispatcher,
    deps: &Deps,
    timings: &Timings,
) -> Result<Sheet> {
    forget_peak()?;
    let messages = args.messages.unsigned_abs();
    let plain = stretch(dispatcher, deps, timings, |sent, _| sent >= messages).await?;
    let mut conn = ground.pool.acquire().await?;
    let before = bench::queue_size(&mut conn).await?;
    bench::hold_snapshot(&mut conn).await?;
    let beside = stretch(dispatcher, deps, timings, |_, went_on| went_on >= open).await?;
    let peak = peak_rss_mb()?;
    ensure!(plain.sent > 0 && beside.sent > 0, "too few mails were queued");
    let ended = bench::queue_size(&mut conn).await?;
    bench::let_go(&mut conn).await?;
    bench::vacuum_queue(&mut conn).await?;
    let after = bench::queue_size(&mut conn).await?;
    drop(conn);

    let mut sheet = Sheet::new("deliver", args.contacts);
    let share = 100.0 * beside.rate() / plain.rate();
    sheet.note("mails without an open transaction", plain.sent as f64, "messages");
    sheet.note("handed over without it", plain.rate(), "messages/s");
    sheet.hold_to(
        "a claim without it, 99 %",
        plain.claim_ms,
        "ms",
        Target::Under(50.0),
    );
    sheet.note("the transaction was open for", beside.secs, "s");
    sheet.note("mails beside it", beside.sent as f64, "messages");
    sheet.note("handed over beside it", beside.rate(), "messages/s");
    sheet.hold_to("of the rate without it", share, "%", Target::Over(70.0));
    sheet.hold_to(
        "a claim beside it, 99 % of the worst minute",
        beside.claim_ms,
        "ms",
        Target::Under(50.0),
    );
    sheet.hold_to("peak memory of the daemon", peak, "MB", Target::Under(64.0));
    for (when, size) in [
        ("when it was opened", before),
        ("when it was ended", ended),
        ("after a vacuum by hand", after),
    ] {
        sheet.note(format!("the queue's table {when}"), size.table as f64 / MB, "MB");
        sheet.note("its indexes then", size.indexes as f64 / MB, "MB");
    }
    sheet.value("rate_per_s", plain.rate());
    sheet.value("beside_per_s", beside.rate());
    sheet.value("claim_p99_ms", plain.claim_ms);
    sheet.value("beside_claim_p99_ms", beside.claim_ms);
    sheet.value("open_s", beside.secs);
    sheet.value("peak_rss_mb", peak);
    Ok(sheet)
}

/// Hands over until it is enough, or nothing is left.
async fn stretch(
    dispatcher: &mut Dispatcher,
    deps: &Deps,
    timings: &Timings,
    enough: impl Fn(u64, Duration) -> bool,
) -> Result<Stretch> {
    let (started, mut sent, mut claim_ms, mut looked) = (Instant::now(), 0, 0.0_f64, Instant::now());
    loop {
        let summary = dispatcher.run_once(deps.clock.now()).await?;
        sent += summary.done;
        timings.upkeep();
        let over = !summary.more || enough(sent, started.elapsed());
        if over || looked.elapsed() >= LOOK {
            claim_ms = claim_ms.max(timings.quantile_ms("kith_claim_seconds", "0.99"));
            looked = Instant::now();
        }
        if over {
            break;
        }
    }
    dispatcher.drain().await;
    Ok(Stretch {
        sent,
        secs: started.elapsed().as_secs_f64(),
        claim_ms,
    })
}
