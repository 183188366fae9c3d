//! `kith chaos`: daemons, database and links are broken on purpose, and what came of it is judged.

mod fleet;
mod ground;
mod judge;
mod opt_out;
mod script;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::fleet::Fleet;
use self::ground::{FAR, Ground, MORE, NOTE, OWED, STEP};
use self::judge::{Case, Verdict, judge};
use self::opt_out::{OptOut, opt_out};
use self::script::{BadLinks, Blow, Cycle, Kind, Moods, cycle};
use self::wire::{Cost, Wire};
use super::Context;
use super::output::grouped;
use crate::clock::Clock;
use crate::domain::cadence::Class;
use crate::domain::token::TokenKey;
use crate::sandbox::proxy::Proxy;
use crate::sandbox::smtp::{SmtpSandbox, SmtpSandboxOptions};
use crate::store::chaos::{self, Progress};
use crate::store::control;

/// How long a cycle waits for its letters before the blow comes anyway.
const MOMENT: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(5);
/// One letter in so many has an owed one beside it, and one in so many a second one of marketing.
const EVERY: i64 = 10;

/// Break daemons, database and links on purpose, and judge what was lost, doubled or forgotten
#[derive(Debug, Args)]
#[command(after_help = "\
It makes a Postgres of its own in a temporary directory (which syncs every commit), a recording mail server behind a proxy
that breaks links, and real `kith run` processes in live mode that send to nobody but it, all on this machine. Each cycle
lets some letters become due and, while they go out, kills a daemon or all of them (-9), stops one for less or more than
its lease, ends Postgres without a farewell, resets or silences every link, or takes the mail server away; people opt out
meanwhile. In the end
everything is put right, the work drains, and the mail server's history is held against the database.

From the seed are drawn: the blows, their order, victims, moments (by the share of letters that were out) and lengths, what
the mail server answers to whom, which link breaks at which byte, who opts out. Not from the seed: which letter is where when
the blow comes, as that is the machine's scheduling. So a seed that failed brings the same storm again, not the same instant.

Exit code 1 says that a promise was broken; its lines say which, and the directory is kept.

Examples:
  kith chaos --cycles 10 --messages 1000 --seed 7
  kith chaos --cycles 100 --messages 50000 --daemons 5 --only freeze
  kith chaos --cycles 200 --messages 50000 --seed 1 --json 2>chaos.log")]
pub struct ChaosArgs {
    /// How many blows
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    cycles: u16,
    /// How many letters, over all cycles
    #[arg(long, value_name = "M", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(10..=10_000_000))]
    messages: i64,
    /// What everything is drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many daemons
    #[arg(long, value_name = "D", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    daemons: u8,
    /// Which blows, with commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    only: Vec<Kind>,
    /// Print the verdict as one JSON object
    #[arg(long)]
    json: bool,
}

/// Breaks things, and prints the verdict.
pub async fn run(args: ChaosArgs, context: &Context) -> Result<ExitCode> {
    let server = Arc::new(
        SmtpSandbox::start(SmtpSandboxOptions {
            keep_bytes: false,
            ..SmtpSandboxOptions::default()
        })
        .await
        .context("starting the mail server")?,
    );
    let moods = Moods::new(args.seed);
    server.behave(moods.clone());
    let proxy = Proxy::start(server.addr, BadLinks(args.seed)).await?;
    let wire = Wire::default();
    proxy.overhear(wire.clone());
    let ground = Ground::make(context, proxy.addr.port(), Clock::System.now()).await?;
    let mut storm = Storm::begin(args, server, moods, (proxy, wire), ground).await?;
    let cycles = storm.cycles;
    for number in 0..cycles {
        storm.cycle(number).await?;
    }
    storm.drain().await?;
    let (verdict, wrong) = storm.judge().await?;
    for line in wrong.iter().take(50) {
        eprintln!("BROKEN {line}");
    }
    if storm.json {
        println!("{}", serde_json::to_string(&verdict)?);
    } else {
        print!("{}", text(&verdict));
    }
    if verdict.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    storm.ground.keep = true;
    eprintln!("kept: {}", storm.ground.dir.display());
    Ok(ExitCode::FAILURE)
}

/// A run under way.
struct Storm {
    cycles: usize,
    messages: i64,
    seed: u64,
    json: bool,
    kinds: Vec<Kind>,
    server: Arc<SmtpSandbox>,
    moods: Moods,
    proxy: Proxy,
    wire: Wire,
    /// The blows so far, in words.
    blows: Vec<String>,
    // Before the ground: the daemons end first.
    fleet: Fleet,
    ground: Ground,
    key: TokenKey,
    versions: HashMap<&'static str, Uuid>,
    /// The people who have had their letter made due, from 1.
    people: i64,
    opting_out: JoinSet<Result<Option<OptOut>>>,
    opted_out: Vec<OptOut>,
    /// Everybody who began to, answered or not.
    asked: BTreeSet<String>,
    last: Progress,
}

impl Storm {
    async fn begin(
        args: ChaosArgs,
        server: Arc<SmtpSandbox>,
        moods: Moods,
        (proxy, wire): (Proxy, Wire),
        ground: Ground,
    ) -> Result<Self> {
        ground.load(notes(args.messages), Clock::System.now()).await?;
        let mut versions = HashMap::new();
        for cadence in [NOTE, MORE, OWED] {
            versions.insert(cadence, ground.version(cadence).await?);
        }
        let mut conn = ground.pool.acquire().await?;
        let key = TokenKey::new(&control::read(&mut conn).await?.token_key);
        drop(conn);
        let fleet = Fleet::start(&ground, usize::from(args.daemons))?;
        Ok(Self {
            cycles: usize::from(args.cycles),
            messages: args.messages,
            seed: args.seed,
            json: args.json,
            kinds: if args.only.is_empty() {
                Kind::value_variants().to_vec()
            } else {
                args.only
            },
            server,
            moods,
            proxy,
            wire,
            blows: Vec::new(),
            fleet,
            ground,
            key,
            versions,
            people: 0,
            opting_out: JoinSet::new(),
            opted_out: Vec::new(),
            asked: BTreeSet::new(),
            last: Progress::default(),
        })
    }

    /// Lets the cycle's letters become due, strikes while they go out, and puts right what can be put right.
    async fn cycle(&mut self, number: usize) -> Result<()> {
        let plan = cycle(self.seed, number, self.fleet.len(), &self.kinds);
        let upto = notes(self.messages) * (number as i64 + 1) / self.cycles as i64;
        let (dots, letters) = (self.moods.dots(), self.release(upto).await?);
        for nth in 0..plan.opt_outs {
            self.let_opt_out(number, nth, upto);
        }
        self.people = upto;
        let wanted = dots + (letters as f64 * plan.after) as u64;
        let began = Instant::now();
        while self.moods.dots() < wanted && began.elapsed() < MOMENT {
            tokio::time::sleep(LOOK).await;
        }
        let held = self.moods.unanswered();
        let struck = Clock::System.now();
        self.strike(plan).await?;
        self.wire.blow(struck, Clock::System.now());
        self.blows.push(word(plan.blow));
        self.look().await;
        eprintln!(
            "cycle {:>4} of {}: {:<22} {held:>3} between dot and reply; so far {} accepted, {} unknown, {} opted out",
            number + 1,
            self.cycles,
            word(plan.blow),
            grouped(self.last.accepted),
            grouped(self.last.uncertain),
            self.opted_out.len(),
        );
        Ok(())
    }

    /// Makes the letters of the people up to that one due. Returns how many letters that are.
    async fn release(&self, upto: i64) -> Result<u64> {
        let now = Clock::System.now();
        let (from, mut letters) = (self.people + 1, 0);
        let mut tx = self.ground.pool.begin().await?;
        let most = (self.messages - notes(self.messages)) / 2;
        for (cadence, last) in [
            (NOTE, upto),
            (OWED, upto.min(most)),
            (MORE, upto.min(self.messages - notes(self.messages) - most)),
        ] {
            letters += chaos::enroll(&mut tx, from, last, cadence, self.versions[cadence], STEP, now).await?;
        }
        tx.commit().await?;
        Ok(letters)
    }

    /// Somebody of the cycle's people opts out, beside everything else.
    fn let_opt_out(&mut self, number: usize, nth: usize, upto: i64) {
        let of = upto - self.people;
        if of <= 0 {
            return;
        }
        let (cycle, nth) = (number.to_string(), nth.to_string());
        let share = crate::domain::chance::draw(self.seed, &["opt-out", &cycle, &nth]);
        let n = self.people + 1 + ((share * of as f64) as i64).min(of - 1);
        let address = format!("person{n}@example{}.com", n % 500);
        self.asked.insert(address.clone());
        let (pool, key, doors) = (self.ground.pool.clone(), self.key.clone(), self.fleet.doors());
        let server = self.server.clone();
        self.opting_out
            .spawn(async move { opt_out(&pool, &key, &doors, &server, address).await });
    }

    async fn strike(&mut self, plan: Cycle) -> Result<()> {
        match plan.blow {
            Blow::Kill(who) => {
                self.fleet.kill(who).await?;
                tokio::time::sleep(plan.rest).await;
            }
            Blow::KillAll => {
                for who in 0..self.fleet.len() {
                    self.fleet.kill(who).await?;
                }
                tokio::time::sleep(plan.rest).await;
            }
            Blow::Freeze(who, time) => {
                self.fleet.freeze(who, true)?;
                tokio::time::sleep(time).await;
                self.fleet.freeze(who, false)?;
            }
            Blow::Database(time) => {
                self.ground.crash().await?;
                tokio::time::sleep(time).await;
                self.ground.start_again().await?;
            }
            Blow::Reset => self.proxy.reset_all(),
            Blow::Server(time) => {
                self.proxy.refuse(true);
                self.proxy.reset_all();
                tokio::time::sleep(time).await;
                self.proxy.refuse(false);
            }
            Blow::Silence(time) => {
                self.proxy.silence(true);
                tokio::time::sleep(time).await;
                self.proxy.reset_all();
                self.proxy.silence(false);
            }
        }
        self.fleet.start_missing(&self.ground)
    }

    /// Looks how far the work has come; what cannot be seen now is seen later.
    async fn look(&mut self) {
        while let Some(Ok(done)) = self.opting_out.try_join_next() {
            self.opted_out.extend(done.unwrap_or(None));
        }
        if let Ok(mut conn) = self.ground.pool.acquire().await
            && let Ok(progress) = chaos::progress(
                &mut conn,
                Clock::System.now() + FAR,
                Class::Transactional.number(),
            )
            .await
        {
            self.last = progress;
        }
    }

    /// Puts everything right and lets the work come to its end; what was put off for minutes need not wait for them.
    async fn drain(&mut self) -> Result<()> {
        self.proxy.plan(|_| None);
        self.fleet.start_missing(&self.ground)?;
        let began = Instant::now();
        let most = Duration::from_secs(90) + Duration::from_millis(u64::try_from(self.messages)? * 20);
        let mut told = Instant::now();
        while began.elapsed() < most {
            let now = Clock::System.now();
            if let Ok(mut conn) = self.ground.pool.acquire().await {
                chaos::hurry(&mut conn, now, now + FAR).await?;
            }
            self.look().await;
            if self.last.open == 0 && self.opting_out.is_empty() {
                break;
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                eprintln!(
                    "draining: {} open, {} accepted",
                    grouped(self.last.open),
                    grouped(self.last.accepted)
                );
            }
            self.fleet.start_missing(&self.ground)?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // Late answers are read, or their links are given up; nobody sends any more.
        for who in 0..self.fleet.len() {
            self.fleet.kill(who).await?;
        }
        self.proxy.reset_all();
        let _ = tokio::time::timeout(Duration::from_secs(30), self.server.quiet()).await;
        Ok(())
    }

    async fn judge(&self) -> Result<(Verdict, Vec<String>)> {
        let mut conn = self.ground.pool.acquire().await?;
        let control = control::read(&mut conn).await?;
        let accounts = chaos::accounts(&mut conn).await?;
        let unknowns = chaos::unknowns(&mut conn).await?.into_iter().collect();
        let unknown_now: Vec<(Uuid, DateTime<Utc>)> = accounts
            .iter()
            .filter(|one| one.outcome.as_deref() == Some("uncertain"))
            .filter_map(|one| Some((one.message_id?, one.crossing_at?)))
            .collect();
        let costs = self.wire.costs(&unknown_now);
        self.tell_costs(&costs);
        let case = Case {
            costs: &costs,
            records: &self.server.log(),
            accounts: &accounts,
            unknowns: &unknowns,
            opt_outs: &self.opted_out,
            asked: &self.asked,
            brake: control
                .brake
                .then(|| control.brake_reason.as_deref().unwrap_or_default()),
            messages: self.messages,
            now: Clock::System.now() - TimeDelta::minutes(1),
        };
        Ok(judge(&case, self.cycles, self.seed))
    }

    /// What each blow cost, beside what it may have cost.
    fn tell_costs(&self, costs: &[Cost]) {
        for (number, cost) in costs.iter().enumerate() {
            let blow = self
                .blows
                .get(number)
                .map_or("after the last blow", String::as_str);
            eprintln!(
                "blow {:>5}, {blow:<22} {:>3} really between dot and reply; {:>3} unknown in the end, {} of them without a dot, {} answered",
                number + 1,
                cost.between,
                cost.unknown,
                cost.without_dot,
                cost.answered,
            );
        }
    }
}

/// How many people there are for so many letters: some have a second and a third.
fn notes(messages: i64) -> i64 {
    messages - 2 * (messages / EVERY)
}

fn word(blow: Blow) -> String {
    match blow {
        Blow::Kill(who) => format!("kill -9 daemon {who}"),
        Blow::KillAll => "kill -9 all daemons".to_owned(),
        Blow::Freeze(who, time) => format!("stop daemon {who} for {:.1} s", time.as_secs_f64()),
        Blow::Database(time) => format!("database gone {:.1} s", time.as_secs_f64()),
        Blow::Reset => "links reset".to_owned(),
        Blow::Server(time) => format!("mail server gone {:.1} s", time.as_secs_f64()),
        Blow::Silence(time) => format!("links silent {:.1} s", time.as_secs_f64()),
    }
}

fn text(verdict: &Verdict) -> String {
    let value = serde_json::to_value(verdict).unwrap_or_default();
    let lines: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, number)| format!("{:<22} {number}\n", name.replace('_', " ")))
        .collect();
    let end = if verdict.is_clean() {
        "every promise was kept\n"
    } else {
        "A PROMISE WAS BROKEN\n"
    };
    lines.concat() + end
}
