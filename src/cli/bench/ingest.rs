//! `kith bench ingest`: what comes back, by HTTP into a daemon of its own: events in arrays from another program, and the opens
//! and clicks of people.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::figures::{Sheet, Target, percentile};
use super::ground::Ground;
use super::process::{cpu_s, family_cpu_s, parent_of, peak_of};
use crate::cli::Context;
use crate::cli::context::refused;
use crate::domain::id::IdSource;
use crate::domain::token::{Purpose, TokenKey};
use crate::engine::access;
use crate::store::{bench, control};

/// How long the daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// A reader, so that an open counts as a person's.
const READER: &str = "Mozilla/5.0 (X11; Linux x86_64)";

/// Measure events, opens and clicks that come in
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// People; each has had a mail
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(i64).range(100..=10_000_000))]
    contacts: i64,
    /// Events that a program tells
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(i64).range(10..=10_000_000))]
    events: i64,
    /// Events of a request
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=1000))]
    batch: i64,
    /// Mails that are opened, and whose link is then followed
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    visits: i64,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
}

impl IngestArgs {
    /// Each person has had one mail, and is seen once to open it.
    pub(super) fn check(&self) -> Result<()> {
        if self.visits > self.contacts {
            return refused("each visit is of another person: --visits is --contacts at most");
        }
        Ok(())
    }
}

/// Measures.
pub async fn run(args: IngestArgs, context: &Context) -> Result<Sheet> {
    let ground = Ground::make(context, "ingest").await?;
    let sheet = measure(&args, context, &ground).await;
    ground.clear().await?;
    sheet
}

async fn measure(args: &IngestArgs, context: &Context, ground: &Ground) -> Result<Sheet> {
    ground.load(args.contacts, false).await?;
    let mut conn = ground.pool.acquire().await?;
    let link = bench::mails(&mut conn, args.contacts, ground.begin).await?;
    let key = TokenKey::new(&control::read(&mut conn).await?.token_key);
    let token = access::create_token(
        &mut conn,
        IdSource::Random.next(ground.begin),
        "bench",
        ground.begin,
    )
    .await?
    .context("the database is new")?;
    let postmaster = parent_of(u32::try_from(bench::server_process(&mut conn).await?)?)?;
    drop(conn);
    ground.settle().await?;
    let daemon = Daemon::start(context, ground).await?;
    let client = Client::builder()
        .user_agent(READER)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(args.connections.into())
        .build()?;
    let pid = daemon.child.id().context("the daemon has ended")?;
    let (before, cpu, server) = (
        ground.rows_written().await?,
        cpu_s(pid)?,
        family_cpu_s(postmaster)?,
    );

    let url = format!("http://{}/v1/events", daemon.admin);
    let (contacts, batch, events) = (args.contacts, args.batch, args.events);
    let told = Course::run(
        (events + batch - 1) / batch,
        args.connections,
        StatusCode::OK,
        |n| {
            let of = n * batch..((n + 1) * batch).min(events);
            let array: Vec<Value> = of.map(|event| event_of(event, contacts)).collect();
            client.post(&url).bearer_auth(&token).json(&array)
        },
    )
    .await?;
    let opened = Course::run(args.visits, args.connections, StatusCode::OK, |n| {
        let token = key.sign(Purpose::Open, mail(n), 0);
        client.get(format!("http://{}/o/{token}.gif", daemon.public))
    })
    .await?;
    let clicked = Course::run(args.visits, args.connections, StatusCode::FOUND, |n| {
        let token = key.sign(Purpose::Click, mail(n), link.unsigned_abs());
        client.get(format!("http://{}/c/{token}", daemon.public))
    })
    .await?;

    let (cpu, server) = (cpu_s(pid)? - cpu, family_cpu_s(postmaster)? - server);
    let peak = peak_of(pid)?;
    daemon.stop().await?;
    let written = ground.rows_written().await? - before;
    let all = events + 2 * args.visits;
    ensure!(
        taken(ground).await? == all,
        "{} of {all} events were taken in",
        taken(ground).await?
    );

    let mut sheet = Sheet::new("ingest", args.contacts);
    sheet.note("requests at once", args.connections.into(), "requests");
    sheet.note("events of a request", batch as f64, "events");
    sheet.note("events told", events as f64 / told.secs, "events/s");
    told.note(
        &mut sheet,
        "a request of them",
        ["request_p50_ms", "request_p95_ms", "request_p99_ms"],
    );
    sheet.note("opens", opened.rate(), "opens/s");
    opened.note(
        &mut sheet,
        "an open",
        ["open_p50_ms", "open_p95_ms", "open_p99_ms"],
    );
    sheet.note("clicks", clicked.rate(), "clicks/s");
    clicked.note(
        &mut sheet,
        "a click",
        ["click_p50_ms", "click_p95_ms", "click_p99_ms"],
    );
    sheet.note("rows written, an event", written as f64 / all as f64, "rows");
    sheet.note("processor of the daemon, an event", cpu / all as f64 * 1e6, "us");
    sheet.note("processor of Postgres, an event", server / all as f64 * 1e6, "us");
    sheet.hold_to("peak memory of the daemon", peak, "MB", Target::Under(64.0));
    sheet.value("events_per_s", events as f64 / told.secs);
    sheet.value("opens_per_s", opened.rate());
    sheet.value("clicks_per_s", clicked.rate());
    sheet.value("rows_written", written);
    sheet.value("peak_rss_mb", peak);
    sheet.value("cpu_s", json!({ "daemon": cpu, "postgres": server }));
    Ok(sheet)
}

/// Events of several kinds by turns: reports of delivery, opens elsewhere, replies, and every fourth is a purchase.
fn event_of(n: i64, contacts: i64) -> Value {
    let person = n % contacts + 1;
    let (kind, data) = match n % 4 {
        0 => ("delivered", json!({})),
        1 => ("opened", json!({})),
        2 => ("replied", json!({ "text": "Thank you." })),
        _ => ("purchase", json!({ "amount": "12.50", "product": "Press" })),
    };
    json!({ "id": format!("e{n}"), "type": kind, "contact": format!("c{person}"), "data": data })
}

/// The mail of a person, counted from 0, as [`bench::mails`] numbers them.
fn mail(n: i64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7003_8000_0000_0000_0000 | u128::from((n + 1).unsigned_abs()))
}

async fn taken(ground: &Ground) -> Result<i64> {
    let mut conn = ground.pool.acquire().await?;
    Ok(bench::events(&mut conn).await?)
}

/// Requests of one kind: how long each took, and all of them.
struct Course {
    times: Vec<Duration>,
    secs: f64,
}

impl Course {
    /// Makes requests 0..n, so many at once; each has to be answered with a status.
    async fn run(
        n: i64,
        at_once: u16,
        status: StatusCode,
        request: impl Fn(i64) -> RequestBuilder,
    ) -> Result<Self> {
        let next = Arc::new(AtomicI64::new(0));
        let one = async |next: &AtomicI64| {
            let mut times = Vec::new();
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                if k >= n {
                    return Ok::<_, anyhow::Error>(times);
                }
                let request = request(k);
                let started = Instant::now();
                let answer = request.send().await?;
                let got = answer.status();
                let body = answer.bytes().await?;
                times.push(started.elapsed());
                if got != status {
                    bail!("answered {got}: {}", String::from_utf8_lossy(&body));
                }
            }
        };
        let started = Instant::now();
        let all = futures::future::try_join_all((0..at_once).map(|_| one(&next))).await?;
        Ok(Self {
            times: all.into_iter().flatten().collect(),
            secs: started.elapsed().as_secs_f64(),
        })
    }

    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.secs
    }

    /// Notes the times, for programs under names of their own.
    fn note(&self, sheet: &mut Sheet, what: &str, names: [&'static str; 3]) {
        let shares = [("median", 0.5), ("95 %", 0.95), ("99 %", 0.99)];
        for ((words, share), name) in shares.into_iter().zip(names) {
            let time = percentile(&self.times, share);
            sheet.note(format!("{what}, {words}"), time, "ms");
            sheet.value(name, time);
        }
    }
}

/// `kith run` on the ground's database, in a process of its own.
struct Daemon {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    /// Where it keeps its journal; gone with it.
    _state: tempfile::TempDir,
}

impl Daemon {
    async fn start(context: &Context, ground: &Ground) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let (public, admin) = (free_port()?, free_port()?);
        let mut command = Command::new(std::env::current_exe().context("where this program is")?);
        command
            .arg("run")
            .env("DATABASE_URL", ground.url())
            .env("KITH_DATABASE__DATA_DIR", state.path())
            .env("KITH_LISTEN__PUBLIC", public.to_string())
            .env("KITH_LISTEN__ADMIN", admin.to_string())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(config) = &context.config_dir {
            command.env("KITH_CONFIG", config);
        }
        let child = command.spawn().context("starting `kith run`")?;
        let daemon = Self {
            child,
            public,
            admin,
            _state: state,
        };
        let started = Instant::now();
        while reqwest::get(format!("http://{admin}/readyz"))
            .await
            .is_ok_and(|answer| answer.status().is_success())
            .then_some(())
            .is_none()
        {
            ensure!(started.elapsed() < PATIENCE, "the daemon does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(daemon)
    }

    /// Lets it end in good order.
    async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the daemon has ended")?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        ensure!(self.child.wait().await?.success(), "the daemon failed");
        Ok(())
    }
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
