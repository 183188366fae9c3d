//! Opt-outs against letters that are ready to cross: who was answered before the crossing never gets the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use kith::domain::token::Purpose;
use kith::engine::Deps;
use kith::engine::dispatch::Dispatcher;
use kith::engine::ingest::{self, Answer, Incoming};
use kith::web::{self, WebState};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail, within};
use crate::web::site::listen;

/// Letters that are held together just before their crossing, and let go while their people opt out.
const AT_ONCE: i32 = 60;

/// How many races: some hundreds, or as many as `KITH_RACES` says.
fn races() -> i32 {
    std::env::var("KITH_RACES").map_or(600, |races| races.parse().unwrap())
}

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

/// Makes the database remember each crossing: the row is of the same transaction, so its `xmin` says when that was committed.
/// Fails when the server does not keep that.
pub async fn remember_crossings(pool: &PgPool) {
    let kept: String = sqlx::query_scalar("show track_commit_timestamp")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(kept, "on", "the server has to keep the times of commits");
    for statement in [
        "create table crossed (contact uuid not null)",
        "create function note_crossing() returns trigger language plpgsql as $$
         begin
             insert into crossed values (new.contact_id);
             return null;
         end $$",
        "create trigger note_crossing after update on queue for each row
         when (new.state = 'crossing' and old.state <> 'crossing') execute function note_crossing()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

/// The two doors that an opt-out comes in by.
struct Doors {
    taker: Arc<Deps>,
    web: String,
    http: reqwest::Client,
}

impl Doors {
    async fn open(taker: Arc<Deps>, stop: &CancellationToken) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let web = listen(web::public_router(WebState::new(taker.clone(), None)), stop).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { taker, web, http }
    }

    /// Opts somebody out by the link in his letter, as his mail program does. Returns with the answer.
    async fn by_link(&self, letter: Uuid) {
        let token = self.taker.links.key().sign(Purpose::Unsubscribe, letter, 0);
        let form = [("List-Unsubscribe", "One-Click")];
        let request = self.http.post(format!("{}/u/{token}", self.web)).form(&form);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// Opts somebody out by an event. Returns with the answer.
    async fn by_event(&self, who: &str) {
        let one = Incoming {
            id: format!("out:{who}"),
            event_type: "opted_out".to_owned(),
            at: None,
            contact: Some(who.to_owned()),
            message: None,
            data: serde_json::json!({ "channel": "email" }),
            human: true,
        };
        let answer = ingest::accept(&self.taker, "test", vec![one], self.taker.clock.now())
            .await
            .unwrap();
        assert_eq!(answer, [Answer::Accepted]);
    }
}

/// What is committed of one person.
#[derive(Debug, sqlx::FromRow)]
pub struct Fate {
    /// Whom the letter is for.
    pub who: String,
    /// When the crossing of the letter was committed, by the server's clock.
    pub crossed: Option<DateTime<Utc>>,
    /// When the opt-out was.
    pub out: DateTime<Utc>,
}

impl Fate {
    /// Crossed although the opt-out was committed. Its answer comes after that commit, so a letter that crossed before it had
    /// crossed when it was answered, and no other had: none is excused for what came between commit, answer and a look at the
    /// database.
    pub fn is_breach(&self) -> bool {
        self.crossed.is_some_and(|crossed| crossed >= self.out)
    }
}

/// Of everybody who opted out.
pub async fn fates(pool: &PgPool) -> Vec<Fate> {
    sqlx::query_as(
        "select c.email as who, pg_xact_commit_timestamp(x.xmin) as crossed, pg_xact_commit_timestamp(s.xmin) as out
         from contact c
         join suppression s on s.address_hash = c.email_hash and s.channel = 'email'
         left join crossed x on x.contact = c.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The full figure is `KITH_RACES=10000 cargo test --test it races::`.
#[tokio::test(flavor = "multi_thread")]
async fn of_all_races_no_letter_crosses_after_its_opt_out_was_answered() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    remember_crossings(&town.db.pool).await;
    let postbox = Postbox::open();
    let sender = town.daemon(postbox.channel()).await;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let doors = Doors::open(town.daemon(postbox.channel()).await, &stop).await;
    town.settle(races(), 1).await;
    let people: Vec<String> = sqlx::query_scalar("select email from contact order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let mut dispatcher = Dispatcher::new(sender.clone());
    let mut answered = 0;
    for (nth, batch) in people.chunks(AT_ONCE as usize).enumerate() {
        let (from, to) = (nth as i32 * AT_ONCE + 1, (nth as i32 + 1) * AT_ONCE);
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        town.queue("first", town.now(), &which).await;
        let letters: BTreeMap<String, Uuid> =
            sqlx::query_as("select c.email, q.message_id from queue q join contact c on c.id = q.contact_id")
                .fetch_all(&town.db.pool)
                .await
                .unwrap()
                .into_iter()
                .collect();
        let gate = postbox.hold_before();
        within(dispatcher.run_once(town.now())).await.unwrap();
        within(gate.arrived(batch.len() as u64)).await;
        // Some are answered before the gate opens, most while the letters cross; every third comes by the web.
        let (doors, letters) = (&doors, &letters);
        let opting_out = futures::stream::iter(batch.iter().enumerate())
            .map(|(n, who)| {
                let gate = gate.clone();
                async move {
                    if n % 3 == 0 {
                        doors.by_link(letters[who]).await;
                    } else {
                        doors.by_event(who).await;
                    }
                    if n == nth % 12 {
                        gate.open();
                    }
                }
            })
            .buffer_unordered(4)
            .count();
        answered += within(opting_out).await;
        within(dispatcher.drain()).await;
    }
    let sent: BTreeSet<String> = postbox.sent().into_iter().collect();
    assert_eq!(sent.len(), postbox.len(), "nobody got two");
    let fates = fates(&town.db.pool).await;
    assert_eq!((answered, fates.len()), (races() as usize, races() as usize));
    let crossed = fates.iter().filter(|fate| fate.crossed.is_some()).count();
    let closest = fates
        .iter()
        .filter_map(|fate| Some(fate.out - fate.crossed?))
        .min();
    eprintln!(
        "{answered} races, a third by the link: {crossed} had crossed when the opt-out was committed, the last {} us before it",
        closest
            .and_then(|closest| closest.num_microseconds())
            .unwrap_or(0)
    );
    let after: Vec<&Fate> = fates.iter().filter(|fate| fate.is_breach()).collect();
    assert!(after.is_empty(), "crossed after the opt-out: {after:?}");
    assert!(
        fates
            .iter()
            .all(|fate| sent.contains(&fate.who) == fate.crossed.is_some()),
        "what had crossed was sent, and nothing else"
    );
    assert!(
        crossed > 0 && crossed < answered,
        "both ends of the race were seen"
    );
    assert_eq!(town.count("select count(*) from queue").await, 0);
}
