//! `kith bench deliver`: the whole way of due mails, from the claim to the written outcome, against postfix's `smtp-sink`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use uuid::Uuid;

use super::cadences;
use super::figures::{Sheet, Target, median};
use super::ground::Ground;
use super::postfix::Sink;
use super::process::{cpu_s, family_cpu_s, forget_peak, parent_of, peak_rss_mb};
use super::timings::Timings;
use super::{old_snapshot, pooled, queue_size, server_work};
use crate::channel::smtp::dkim::{self, DkimKey, Kind};
use crate::cli::Context;
use crate::cli::context::refused;
use crate::clock::Clock;
use crate::config::secret::SecretRef;
use crate::config::sender::Dkim;
use crate::config::{Mode, Settings, Tls, Transport};
use crate::domain::span::Span;
use crate::engine::dispatch::Dispatcher;
use crate::engine::{Deps, plan};
use crate::store::{bench, queue, tally};

/// Bytes of a mail of the yardstick, near those of kith's own.
const LETTER: usize = 5 * 1024;
/// Mails of each run of a yardstick, at most.
const YARDSTICK: u32 = 20_000;
/// Signatures that are timed.
const SIGNATURES: u32 = 500;
/// The measured mails are due so much later than those of the warm-up, which must be through by then.
const LATER: TimeDelta = TimeDelta::minutes(10);
/// Who is put off for no more than this still belongs to the run.
const MOMENT: TimeDelta = TimeDelta::seconds(20);
/// No cap reaches back so far.
const LONG_AGO: TimeDelta = TimeDelta::days(60);
/// How long to wait when nothing is due.
const BEAT: Duration = Duration::from_millis(5);

/// Measure the way of due mails: claim, gate, rendering, crossing, SMTP, outcome
#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// People in the database
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    pub(super) contacts: i64,
    /// Mails that are measured
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(10..=10_000_000))]
    pub(super) messages: i64,
    /// Mails that go before them
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    warm_up: i64,
    /// Addresses that are suppressed
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    suppressed: i64,
    /// Everybody had a message long ago: the row of a cap is changed, where else it is made
    #[arg(long)]
    charged: bool,
    /// SMTP connections at once
    #[arg(long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    connections: u16,
    /// Sign each mail with a new key of this kind
    #[arg(long, value_enum, default_value_t = DkimArg::None)]
    dkim: DkimArg,
    /// Let so many become due each second, instead of all at once
    #[arg(long, value_name = "RATE")]
    offered: Option<u32>,
    /// After the mails that are measured go on sending, for so long (90s, 10m), beside a transaction left open
    #[arg(long, value_name = "SPAN", value_parser = Span::parse, conflicts_with_all = ["offered", "dkim"])]
    old_snapshot: Option<Span>,
    /// Mails in the queue by then, those that are measured among them
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "old_snapshot", value_parser = clap::value_parser!(i64).range(10..=10_000_000))]
    queued: i64,
}

impl DeliverArgs {
    /// Everybody is either written to, once, or suppressed.
    pub(super) fn check(&self) -> Result<()> {
        let needed = self.warm_up + self.planned() + self.suppressed;
        if needed > self.contacts {
            return refused(format!(
                "warm-up, messages and suppressed addresses need {needed} contacts, and --contacts is {}",
                self.contacts
            ));
        }
        if self.planned() < self.messages {
            return refused("--queued counts --messages too");
        }
        Ok(())
    }

    /// Mails that are planned, but for the warm-up.
    fn planned(&self) -> i64 {
        self.old_snapshot.map_or(self.messages, |_| self.queued)
    }
}

/// What mails are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DkimArg {
    /// Nothing.
    None,
    /// RSA of 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// A key for every mail sender, in a file as a configuration names it.
struct Signing {
    kind: Kind,
    file: PathBuf,
}

impl DkimArg {
    fn key_in(self, folder: &Path) -> Result<Option<Signing>> {
        let kind = match self {
            Self::None => return Ok(None),
            Self::Rsa => Kind::Rsa,
            Self::Ed25519 => Kind::Ed25519,
        };
        let file = folder.join("dkim.pem");
        std::fs::write(&file, dkim::new_pem(kind).map_err(Error::msg)?)?;
        Ok(Some(Signing { kind, file }))
    }

    /// Messages a second that are asked for.
    fn target(self) -> f64 {
        match self {
            Self::None => 4000.0,
            Self::Rsa => 1500.0,
            Self::Ed25519 => 3000.0,
        }
    }
}

/// Microseconds that one signature of a mail takes on one core.
fn signature_us(kind: Kind) -> Result<f64> {
    let key = DkimKey::generate("bench.example", "bench", kind).map_err(Error::msg)?;
    let mut mail = b"From: a@bench.example\r\nSubject: hi\r\n\r\n".to_vec();
    mail.resize(LETTER, b'x');
    let started = Instant::now();
    for _ in 0..SIGNATURES {
        key.sign_mail(&mail).map_err(Error::msg)?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(SIGNATURES))
}

/// Measures.
pub async fn run(args: DeliverArgs, context: &Context) -> Result<Sheet> {
    let timings = Timings::start().context("this process counts already")?;
    let rules = tempfile::tempdir()?;
    let context = cadences::unpack(context, rules.path())?;
    let sink = Sink::start().await?;
    let ground = Ground::make(&context, "deliver").await?;
    let signing = args.dkim.key_in(rules.path())?;
    let sheet = measure(&args, &context, &ground, &sink, &timings, signing.as_ref()).await;
    ground.clear().await?;
    sheet
}

async fn measure(
    args: &DeliverArgs,
    context: &Context,
    ground: &Ground,
    sink: &Sink,
    timings: &Timings,
    signing: Option<&Signing>,
) -> Result<Sheet> {
    let clock = Clock::manual(ground.begin);
    let settings = settings(&context.settings, sink.port, args.connections, signing);
    let deps = ground.app(settings, clock.clone()).await?.deps;
    ground.load(args.contacts, false).await?;
    enroll(args, ground, &deps).await?;
    ground.settle().await?;
    // Once before and twice after, as a machine is not equally fast all the time.
    let measure_of = YARDSTICK.min(u32::try_from(args.messages)?);
    let mut yardstick = vec![sink.yardstick(measure_of, args.connections, LETTER).await?];
    let apart = apart(args);
    let planned = plan_all(&deps, &clock, args, ground, apart).await?;
    // What planning leaves behind is not sending's to clean up.
    ground.tidy().await?;

    let mut dispatcher = Dispatcher::new(deps.clone());
    if args.warm_up > 0 {
        send(&mut dispatcher, &deps, &clock, ground.begin, timings).await?;
        ensure!(
            clock.now() + MOMENT < ground.begin + LATER,
            "the warm-up took so long that the mails to be measured became due; a smaller --warm-up will do"
        );
    }
    if let Some(open) = args.old_snapshot {
        clock.set(ground.begin + LATER + TimeDelta::minutes(1))?;
        let open = open.length().to_std()?;
        return old_snapshot::measure(args, open, ground, &mut dispatcher, &deps, timings).await;
    }
    ground.tell().await?;
    let mut conn = ground.pool.acquire().await?;
    let postmaster = parent_of(u32::try_from(bench::server_process(&mut conn).await?)?)?;
    let sink_pid = sink.pid().context("smtp-sink has ended")?;
    forget_peak()?;
    let work = bench::work(&mut conn).await?;
    let written = bench::rows_written(&mut conn).await?;
    let cpu = [
        cpu_s(std::process::id())?,
        family_cpu_s(postmaster)?,
        cpu_s(sink_pid)?,
    ];
    drop(conn);

    let started = Instant::now();
    send(&mut dispatcher, &deps, &clock, ground.begin + LATER, timings).await?;
    let took = started.elapsed().as_secs_f64();
    // They are of the last minute, and what follows takes longer.
    let [claim, crossing, reply_on, dot_on] = [
        "kith_claim_seconds",
        "kith_crossing_seconds",
        "kith_outcome_seconds",
        "kith_dot_to_outcome_seconds",
    ]
    .map(|name| timings.quantile_ms(name, "0.99"));

    let used = [
        cpu_s(std::process::id())?,
        family_cpu_s(postmaster)?,
        cpu_s(sink_pid)?,
    ];
    let peak = peak_rss_mb()?;
    let [daemon, postgres, taken] = [0, 1, 2].map(|n: usize| used[n] - cpu[n]);
    ground.tell().await?;
    let mut conn = ground.pool.acquire().await?;
    let after = bench::work(&mut conn).await?;
    let accepted = tally::sent(&mut conn).await?.get("email").copied().unwrap_or(0);
    let sent = accepted - args.warm_up;
    ensure!(
        sent == args.messages,
        "{sent} of {} mails were accepted",
        args.messages
    );
    let written = bench::rows_written(&mut conn).await? - written;
    drop(conn);
    let left = queue_size::look(ground).await?;
    for _ in 0..2 {
        yardstick.push(sink.yardstick(measure_of, args.connections, LETTER).await?);
    }
    let yardstick = median(&yardstick);
    let pooled = pooled::rate(sink.port, measure_of, args.connections, LETTER).await?;

    let n = args.messages as f64;
    let rate = n / took;
    let mut sheet = Sheet::new("deliver", args.contacts);
    sheet.note("mails", n, "messages");
    sheet.note("SMTP connections", f64::from(args.connections), "connections");
    sheet.note("planned before", planned, "touches/s");
    if args.offered.is_none() {
        sheet.hold_to(
            "handed over",
            rate,
            "messages/s",
            Target::Over(args.dkim.target()),
        );
    } else {
        sheet.note("handed over", rate, "messages/s");
    }
    // What a mail may cost is stated for one that is not signed, at full speed.
    let (share, cost) = (rate / yardstick, daemon / n * 1e6);
    if args.offered.is_none() && signing.is_none() {
        sheet.hold_to(
            "of smtp-source in the same run",
            share,
            "times",
            Target::Over(0.6),
        );
        sheet.hold_to(
            "processor of the daemon, a mail",
            cost,
            "us",
            Target::Under(170.0),
        );
    } else {
        sheet.note("of smtp-source in the same run", share, "times");
        sheet.note("processor of the daemon, a mail", cost, "us");
    }
    sheet.note(
        "smtp-source, a connection a mail, median of three",
        yardstick,
        "messages/s",
    );
    sheet.note(
        "lettre's pooled transport, without a database",
        pooled,
        "messages/s",
    );
    sheet.note("of it in the same run", rate / pooled, "times");
    sheet.hold_to("a claim, 99 %", claim, "ms", Target::Under(50.0));
    for (what, value, bound) in [
        ("waiting for the crossing, 99 %", crossing, 50.0),
        ("from the dot to the written outcome, 99 %", dot_on, 150.0),
    ] {
        match args.offered {
            Some(_) => sheet.hold_to(what, value, "ms", Target::Under(bound)),
            None => sheet.note(what, value, "ms"),
        }
    }
    sheet.note("from the reply to the written outcome, 99 %", reply_on, "ms");
    sheet.hold_to(
        "processor of Postgres, a mail",
        postgres / n * 1e6,
        "us",
        Target::Under(150.0),
    );
    sheet.note("processor of smtp-sink, a mail", taken / n * 1e6, "us");
    sheet.note("rows written, a mail", written as f64 / n, "rows");
    server_work::note(&mut sheet, &work, &after, n);
    sheet.hold_to("peak memory of the daemon", peak, "MB", Target::Under(64.0));
    left.note(&mut sheet);
    sheet.note(
        "the trail of the crossings at the end",
        ground.trail_bytes()? as f64 / 1e6,
        "MB",
    );
    if let Some(signing) = signing {
        let cost = signature_us(signing.kind)?;
        sheet.note("a signature of a mail of that size, on one core", cost, "us");
        sheet.value("signature_us", cost);
    }
    sheet.value("rate_per_s", rate);
    sheet.value("rows_written", written);
    sheet.value("claim_p99_ms", claim);
    sheet.value("crossing_p99_ms", crossing);
    sheet.value("dot_to_outcome_p99_ms", dot_on);
    sheet.value("peak_rss_mb", peak);
    sheet.value("yardstick_per_s", yardstick);
    sheet.value("lettre_per_s", pooled);
    sheet.value(
        "cpu_s",
        serde_json::json!({ "daemon": daemon, "postgres": postgres, "smtp-sink": taken }),
    );
    Ok(sheet)
}

/// Every mail sender hands over to the sink, for real.
fn settings(settings: &Settings, port: u16, connections: u16, signing: Option<&Signing>) -> Settings {
    let mut settings = settings.clone();
    settings.delivery.mode = Mode::Live;
    for sender in &mut settings.senders {
        if let Transport::Email(email) = &mut sender.transport {
            "127.0.0.1".clone_into(&mut email.smtp.host);
            email.smtp.port = port;
            email.smtp.tls = Tls::None;
            email.smtp.username = None;
            email.smtp.max_connections = connections;
            email.dkim = signing
                .map(|signing| key_of(&email.from_email, signing))
                .into_iter()
                .collect();
        }
    }
    settings
}

fn key_of(from: &str, signing: &Signing) -> Dkim {
    Dkim {
        domain: from
            .rsplit_once('@')
            .map_or("localhost", |(_, domain)| domain)
            .to_owned(),
        selector: "bench".to_owned(),
        key: SecretRef::File(signing.file.clone()),
    }
}

/// The time between two touches of the measured run.
fn apart(args: &DeliverArgs) -> TimeDelta {
    args.offered.map_or(TimeDelta::zero(), |rate| {
        TimeDelta::microseconds(1_000_000 / i64::from(rate.max(1)))
    })
}

/// Deals the people out among the cadences: those of the warm-up now, those who are measured some minutes later, and the
/// addresses of the last are suppressed.
async fn enroll(args: &DeliverArgs, ground: &Ground, deps: &Deps) -> Result<()> {
    let rules = deps.rules();
    let versions = cadences::NAMES
        .iter()
        .map(|name| {
            let found = rules.current().find(|(_, cadence)| cadence.name == *name);
            found.map(|(version, _)| ((*name).to_owned(), version))
        })
        .collect::<Option<Vec<(String, Uuid)>>>()
        .context("the cadences of the benchmark are not in force")?;
    let mut conn = ground.pool.acquire().await?;
    let (warm_up, last) = (args.warm_up, args.warm_up + args.planned());
    let begin = ground.begin;
    let (none, step) = (TimeDelta::zero(), cadences::STEP);
    bench::enroll_contacts(&mut conn, 1, warm_up, &versions, step, begin, none).await?;
    let measured = begin + LATER;
    bench::enroll_contacts(
        &mut conn,
        warm_up + 1,
        last,
        &versions,
        step,
        measured,
        apart(args),
    )
    .await?;
    if args.charged {
        bench::charge(&mut conn, last, begin - LONG_AGO).await?;
    }
    bench::suppress(
        &mut conn,
        args.contacts - args.suppressed + 1,
        args.contacts,
        begin,
    )
    .await?;
    Ok(())
}

/// Plans every touch ahead of the measurement. Returns touches a second.
async fn plan_all(
    deps: &Arc<Deps>,
    clock: &Clock,
    args: &DeliverArgs,
    ground: &Ground,
    apart: TimeDelta,
) -> Result<f64> {
    let last = LATER + apart * i32::try_from(args.planned())?;
    let (started, mut touches) = (Instant::now(), 0);
    for at in [ground.begin, ground.begin + last] {
        clock.set(at)?;
        loop {
            let summary = plan::run_once(deps, at).await?;
            touches += summary.done;
            if !summary.more {
                break;
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    if !apart.is_zero() {
        // Planned at the end of the run, they became due then.
        let mut conn = ground.pool.acquire().await?;
        bench::due_as_first(&mut conn).await?;
    }
    Ok(touches as f64 / took)
}

/// Hands over what is due and becomes due, until nothing is left that waits for no more than a moment. Business time runs with
/// the machine's, from an instant on: who is put off comes back by itself, as beside a daemon, while the others go on.
async fn send(
    dispatcher: &mut Dispatcher,
    deps: &Deps,
    clock: &Clock,
    from: DateTime<Utc>,
    timings: &Timings,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let now = from + TimeDelta::from_std(started.elapsed())?;
        clock.set(now)?;
        let summary = dispatcher.run_once(now).await?;
        timings.upkeep();
        if summary.more {
            continue;
        }
        if summary.done == 0 && dispatcher.under_way() == 0 {
            let mut conn = deps.pool.acquire().await?;
            let next = queue::next_due(&mut conn).await?;
            if next.is_none_or(|at| at > now + MOMENT) {
                return Ok(());
            }
        }
        tokio::time::sleep(BEAT).await;
    }
}
