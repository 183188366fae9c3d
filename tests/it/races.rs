//! Opt-outs against letters that are ready to cross: who was answered before the crossing never gets the letter.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use kith::engine::Deps;
use kith::engine::dispatch::Dispatcher;
use kith::engine::ingest::{self, Answer, Incoming};

use crate::rig::{OPEN_HOURS, Postbox, Town, one_mail, within};

/// Letters that are held together just before their crossing, and let go while their people opt out.
const AT_ONCE: i32 = 60;

/// How many races: some hundreds, or as many as `KITH_RACES` says.
fn races() -> i32 {
    std::env::var("KITH_RACES").map_or(600, |races| races.parse().unwrap())
}

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

/// Opts somebody out. Returns whether the letter had crossed when the answer was there.
async fn opt_out(deps: &Deps, who: &str) -> bool {
    let one = Incoming {
        id: format!("out:{who}"),
        event_type: "opted_out".to_owned(),
        at: None,
        contact: Some(who.to_owned()),
        message: None,
        data: serde_json::json!({ "channel": "email" }),
        human: true,
    };
    let answer = ingest::accept(deps, "test", vec![one], deps.clock.now())
        .await
        .unwrap();
    assert_eq!(answer, [Answer::Accepted]);
    sqlx::query_scalar(
        "select exists (select from contact c join touch t on t.contact_id = c.id left join queue q on q.touch_id = t.id
                        where c.email = $1 and (q.state = 'crossing' or t.state = 'sent'))",
    )
    .bind(who)
    .fetch_one(&deps.pool)
    .await
    .unwrap()
}

/// The full figure is `KITH_RACES=10000 cargo test --test it races::`.
#[tokio::test(flavor = "multi_thread")]
async fn of_all_races_no_letter_crosses_after_its_opt_out_was_answered() {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    let postbox = Postbox::open();
    let sender = town.daemon(postbox.channel()).await;
    let taker = town.daemon(postbox.channel()).await;
    town.settle(races(), 1).await;
    let people: Vec<String> = sqlx::query_scalar("select email from contact order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let mut dispatcher = Dispatcher::new(sender.clone());
    let mut fates = BTreeMap::new();
    for (nth, batch) in people.chunks(AT_ONCE as usize).enumerate() {
        let (from, to) = (nth as i32 * AT_ONCE + 1, (nth as i32 + 1) * AT_ONCE);
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        town.queue("first", town.now(), &which).await;
        let gate = postbox.hold_before();
        within(dispatcher.run_once(town.now())).await.unwrap();
        within(gate.arrived(batch.len() as u64)).await;
        // Some are answered before the gate opens, most while the letters cross.
        let taker = &taker;
        let opting_out = futures::stream::iter(batch.iter().enumerate())
            .map(|(n, who)| {
                let gate = gate.clone();
                async move {
                    let crossed = opt_out(taker, who).await;
                    if n == nth % 12 {
                        gate.open();
                    }
                    (who.clone(), crossed)
                }
            })
            .buffer_unordered(4)
            .collect::<Vec<_>>();
        fates.extend(within(opting_out).await);
        within(dispatcher.drain()).await;
    }
    let sent: BTreeSet<String> = postbox.sent().into_iter().collect();
    assert_eq!(sent.len(), postbox.len(), "nobody got two");
    let crossed = fates.values().filter(|crossed| **crossed).count();
    let after: Vec<&String> = fates
        .iter()
        .filter(|(who, crossed)| sent.contains(*who) && !**crossed)
        .map(|(who, _)| who)
        .collect();
    eprintln!(
        "{} races: {crossed} had crossed when the opt-out was answered",
        fates.len()
    );
    assert!(after.is_empty(), "sent after the answer: {after:?}");
    assert_eq!(fates.len(), races() as usize);
    assert!(
        crossed > 0 && crossed < fates.len(),
        "both ends of the race were seen"
    );
    assert_eq!(sent.len(), crossed, "what had crossed was sent");
    assert_eq!(town.count("select count(*) from queue").await, 0);
}
