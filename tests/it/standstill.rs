//! A server that takes connections and says nothing, beside one that works: what it costs the whole way of a letter, from
//! the claim to the written outcome, once it is known to stand still and the other's letters flow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::clock::Clock;
use kith::daemon::flow_once;
use kith::engine::Deps;
use kith::engine::dispatch::Dispatcher;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandbox, SmtpSandboxOptions, Stage};
use kith::store::partition;

use crate::rig::{OPEN_HOURS, PATIENCE, Town, one_mail, within};

/// Letters of the one that works in a measurement, after those with which it gets going; and those that wait for the silent one.
const LETTERS: i32 = 1500;
const BEFORE: i32 = 1500;
const BACKLOG: i32 = 500;
/// Most pairs of measurements. One in which the other lost less than a tenth is enough: what else the machine does makes the
/// one or the other slower, but what costs a tenth each time costs it in every pair.
const PAIRS: i32 = 4;
const CONNECTIONS: usize = 8;

fn sender(name: &str) -> String {
    format!(
        "[[senders]]\nname = \"{name}\"\nchannel = \"email\"\nfrom_name = \"Test\"\nfrom_email = \"{name}@example.com\"\n\
         [senders.smtp]\nhost = \"127.0.0.1\"\nmax_connections = {CONNECTIONS}\n"
    )
}

fn options(server: &SmtpSandbox) -> SmtpOptions {
    let mut options = SmtpOptions::new("127.0.0.1", server.addr.port());
    (options.tls, options.max_connections) = (TlsMode::None, CONNECTIONS);
    options
}

/// A town with both servers.
struct Place {
    town: Town,
    working: SmtpSandbox,
    silent: SmtpSandbox,
    people: i32,
}

impl Place {
    async fn found() -> Self {
        let rules = format!("{OPEN_HOURS}{}{}", sender("mail"), sender("silent"));
        let mut town = Town::found(&rules, &[one_mail("news")], Clock::System.now()).await;
        town.clock = Clock::System;
        town.settle(PAIRS * (2 * (BEFORE + LETTERS) + BACKLOG), 1).await;
        let mut conn = town.db.pool.acquire().await.unwrap();
        partition::ensure(&mut conn, town.now()).await.unwrap();
        drop(conn);
        let server = async || {
            let options = SmtpSandboxOptions {
                keep_bytes: false,
                ..Default::default()
            };
            SmtpSandbox::start(options).await.unwrap()
        };
        Self {
            town,
            working: server().await,
            silent: server().await,
            people: 0,
        }
    }

    /// Letters to people who had none, by this sender.
    async fn queue(&mut self, sender: &str, letters: i32) {
        let (from, to) = (self.people + 1, self.people + letters);
        self.people = to;
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        self.town.queue("news", self.town.now(), &which).await;
        sqlx::query("update queue set sender = $1 where sender is null")
            .bind(sender)
            .execute(&self.town.db.pool)
            .await
            .unwrap();
        // What autovacuum does elsewhere.
        sqlx::query("vacuum analyze")
            .execute(&self.town.db.pool)
            .await
            .unwrap();
    }

    /// The rate of the server that works without the silent one and beside it, by a new daemon.
    async fn pair(&mut self) -> (f64, f64) {
        let gate = Gate::shut();
        let held = gate.clone();
        self.silent.behave(move |at: &Moment<'_>| match at.stage {
            Stage::Connect => Action::hold(&held),
            _ => Action::Go,
        });
        let ways = [("mail", &self.working), ("silent", &self.silent)];
        let channel =
            SmtpChannel::new(ways.map(|(name, server)| (name.to_owned(), options(server)))).unwrap();
        let deps = self.town.daemon(Arc::new(channel)).await;
        let mut dispatcher = Dispatcher::new(deps.clone());
        let alone = self.rate(&deps, &mut dispatcher).await;
        self.queue("silent", BACKLOG).await;
        self.flow(&deps, &mut dispatcher, async |place| {
            let soon = "select count(*) from queue where state = 'queued' or state = 'waiting' and due_at < now() + interval '3 s'";
            place.town.count(soon).await < 5
        })
        .await;
        within(gate.arrived(CONNECTIONS as u64)).await;
        let beside = self.rate(&deps, &mut dispatcher).await;
        drop(dispatcher);
        gate.kill();
        within(self.silent.disconnected()).await;
        sqlx::query("truncate queue")
            .execute(&self.town.db.pool)
            .await
            .unwrap();
        (alone, beside)
    }

    /// Letters a second to the server that works, once they flow.
    async fn rate(&mut self, deps: &Arc<Deps>, dispatcher: &mut Dispatcher) -> f64 {
        self.queue("mail", BEFORE + LETTERS).await;
        let sent = self.working.sequence();
        let until = async |place: &Self, letters: i32| place.working.sequence() >= sent + letters as u64;
        let started = Instant::now();
        self.flow(deps, dispatcher, async |place| until(place, BEFORE).await)
            .await;
        let began = Instant::now();
        self.flow(deps, dispatcher, async |place| {
            until(place, BEFORE + LETTERS).await
        })
        .await;
        eprintln!("  the first {BEFORE} in {:.1} s", (began - started).as_secs_f64());
        f64::from(LETTERS) / began.elapsed().as_secs_f64()
    }

    /// The flow of a daemon until something holds.
    async fn flow(&self, deps: &Arc<Deps>, dispatcher: &mut Dispatcher, enough: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !enough(self).await {
            assert!(Instant::now() < deadline, "waited in vain");
            if !within(flow_once(deps, dispatcher, || true)).await.unwrap() {
                looks.tick().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_costs_the_letters_of_the_others_less_than_a_tenth() {
    let mut place = Place::found().await;
    let mut best = 0.0_f64;
    for _ in 0..PAIRS {
        let (alone, beside) = place.pair().await;
        eprintln!("{alone:.0} letters/s alone, {beside:.0} beside a silent server");
        best = best.max(beside / alone);
        if best > 0.9 {
            break;
        }
    }
    assert!(best > 0.9, "at best {best:.2} of the rate alone");
}
