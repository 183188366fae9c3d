//! A server that takes connections and says nothing, beside one that works: what it costs the whole way of a letter, from
//! the claim to the written outcome, from the first letter to the last, with the silent one's letters due first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::clock::Clock;
use kith::daemon::flow_once;
use kith::engine::Deps;
use kith::engine::dispatch::Dispatcher;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandbox, SmtpSandboxOptions, Stage};
use kith::store::partition;

use crate::rig::{OPEN_HOURS, PATIENCE, Town, one_mail, within};

/// Letters of the one that works in a measurement, and those for the silent one.
const LETTERS: i32 = 6000;
const BACKLOG: i32 = 800;
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
        town.settle(PAIRS * (2 * LETTERS + BACKLOG), 1).await;
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
    async fn queue(&mut self, sender: &str, letters: i32, due_for: TimeDelta) {
        let (from, to) = (self.people + 1, self.people + letters);
        self.people = to;
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        self.town.queue("news", self.town.now() - due_for, &which).await;
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

    /// Letters a second to the server that works, by a new daemon, with so many due before them for the silent one.
    async fn rate(&mut self, backlog: i32) -> f64 {
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
        if backlog > 0 {
            self.queue("silent", backlog, TimeDelta::minutes(1)).await;
        }
        self.queue("mail", LETTERS, TimeDelta::zero()).await;
        let last = self.working.sequence() + LETTERS as u64;
        let began = Instant::now();
        self.flow(&deps, &mut dispatcher, async |place| {
            place.working.sequence() >= last
        })
        .await;
        let rate = f64::from(LETTERS) / began.elapsed().as_secs_f64();
        if backlog > 0 {
            within(gate.arrived(CONNECTIONS as u64)).await;
        }
        drop(dispatcher);
        gate.kill();
        within(self.silent.disconnected()).await;
        sqlx::query("truncate queue")
            .execute(&self.town.db.pool)
            .await
            .unwrap();
        rate
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
        let (alone, beside) = (place.rate(0).await, place.rate(BACKLOG).await);
        eprintln!("{alone:.0} letters/s alone, {beside:.0} beside a silent server");
        best = best.max(beside / alone);
        if best > 0.9 {
            break;
        }
    }
    assert!(best > 0.9, "at best {best:.2} of the rate alone");
}
