//! Waiting for a connection: whoever finds none free in time, or is not wanted any more when one is, goes back to the queue and has
//! tried nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use kith::channel::smtp::{SmtpChannel, SmtpOptions, TlsMode};
use kith::engine::dispatch::Dispatcher;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, SmtpSandbox, SmtpSandboxOptions, Stage};
use kith::store::partition;

use crate::rig::{OPEN_HOURS, Town, one_mail, run_dry, until, within};

const PEOPLE: i32 = 20;

/// Twenty letters that are due, and a server with two connections that holds whoever comes to a stage.
struct Stalled {
    town: Town,
    server: SmtpSandbox,
    gate: Gate,
    channel: Arc<SmtpChannel>,
}

impl Stalled {
    async fn at(stage: Stage, free: Duration) -> Self {
        let kith = format!(
            "{OPEN_HOURS}[[senders]]\nname = \"mail\"\nchannel = \"email\"\nfrom_name = \"Test\"\n\
             from_email = \"mail@example.com\"\nsmtp = {{ host = \"127.0.0.1\" }}\n[pace.breaker]\nfailures = 1\n"
        );
        let now: DateTime<Utc> = "2027-03-01T09:00:00Z".parse().unwrap();
        let town = Town::found(&kith, &[one_mail("news")], now).await;
        town.settle(PEOPLE, 1).await;
        let mut conn = town.db.pool.acquire().await.unwrap();
        partition::ensure(&mut conn, now).await.unwrap();
        town.queue("news", now, "true").await;

        let server = SmtpSandbox::start(SmtpSandboxOptions::default()).await.unwrap();
        let gate = Gate::shut();
        let held = gate.clone();
        server.behave(move |at: &Moment<'_>| {
            if at.stage == stage {
                Action::hold(&held)
            } else {
                Action::Go
            }
        });
        let mut options = SmtpOptions::new("127.0.0.1", server.addr.port());
        options.tls = TlsMode::None;
        options.max_connections = 2;
        options.deadlines.free = free;
        let channel = Arc::new(SmtpChannel::new([("mail".to_owned(), options)]).unwrap());
        Self {
            town,
            server,
            gate,
            channel,
        }
    }

    /// Claims all of them, and waits until two have a connection.
    async fn begin(&self) -> Dispatcher {
        let deps = self.town.daemon(self.channel.clone()).await;
        let mut dispatcher = Dispatcher::new(deps);
        within(dispatcher.run_once(self.town.now())).await.unwrap();
        within(self.gate.arrived(2)).await;
        assert_eq!(dispatcher.under_way(), PEOPLE as usize);
        dispatcher
    }

    /// How many wait in the queue, untried, for their turn.
    async fn put_back(&self) -> i64 {
        let untried = "select count(*) from queue where state = 'waiting' and daemon_id is null and tries = 0 and held = 'pace'
                       and crossing_at is null and due_at > '2027-03-01 09:00:00Z'";
        self.town.count(untried).await
    }
}

#[tokio::test]
async fn nobody_waits_for_a_connection_for_longer_than_his_deadline() {
    let free = Duration::from_secs(1);
    let stalled = Stalled::at(Stage::Dot, free).await;
    let began = Instant::now();
    let mut dispatcher = stalled.begin().await;
    until("all but two are back", async || {
        (stalled.put_back().await == i64::from(PEOPLE - 2)).then_some(())
    })
    .await;
    let waited = began.elapsed();
    assert!(waited >= free && waited < free * 15, "{waited:?}");

    stalled.gate.open();
    within(dispatcher.drain()).await;
    assert_eq!(stalled.server.log().len(), 2, "nobody else was begun");
    // They are no failures of the sender, whose breaker opens at the first one.
    stalled.town.clock.advance(TimeDelta::seconds(2)).unwrap();
    let deps = stalled.town.daemon(stalled.channel.clone()).await;
    run_dry(&deps, &mut dispatcher).await;
    let sent = "select count(*) from message where outcome = 'accepted' and tries = 1";
    assert_eq!(stalled.town.count(sent).await, i64::from(PEOPLE));
    assert_eq!(stalled.server.log().len(), PEOPLE as usize);
}

#[tokio::test]
async fn who_waits_for_a_connection_does_not_begin_with_a_sender_that_has_failed() {
    let stalled = Stalled::at(Stage::Mail, Duration::from_mins(1)).await;
    let mut dispatcher = stalled.begin().await;
    stalled.gate.kill();
    within(dispatcher.drain()).await;
    assert_eq!(stalled.put_back().await, i64::from(PEOPLE - 2));
    let failed = "select count(*) from queue where state = 'waiting' and tries = 1 and held = 'deferred'";
    assert_eq!(stalled.town.count(failed).await, 2);
}

#[tokio::test]
async fn who_waits_for_a_connection_when_the_daemon_ends_is_not_begun() {
    let stalled = Stalled::at(Stage::Dot, Duration::from_mins(1)).await;
    let mut dispatcher = stalled.begin().await;
    let gate = stalled.gate.clone();
    let ((), ()) = tokio::join!(within(dispatcher.end()), async move { gate.open() });
    assert_eq!(stalled.put_back().await, i64::from(PEOPLE - 2));
    let sent = "select count(*) from message where outcome = 'accepted'";
    assert_eq!(stalled.town.count(sent).await, 2, "what had begun was finished");
    assert_eq!(stalled.server.log().len(), 2, "nobody else was begun");
}
