//! The crossing under concurrency: caps, colleagues, opt-outs, the brake and dead daemons, with two daemons on one database.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use kith::engine::dispatch::Dispatcher;
use kith::engine::enroll::{Arrival, Door, admit};
use kith::engine::ingest::{self, Answer, Incoming};
use kith::engine::sweep;
use kith::store::audience::Member;
use kith::store::{control, daemon};
use uuid::Uuid;

use crate::races::{fates, remember_crossings};
use crate::rig::{OPEN_HOURS, PROCESS, Postbox, Town, bury, one_mail, run_dry, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

async fn town(cadences: &[&str]) -> Town {
    let cadences: Vec<_> = cadences.iter().map(|name| one_mail(name)).collect();
    Town::found(OPEN_HOURS, &cadences, tuesday()).await
}

fn most_per_person(sent: &[String]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for to in sent {
        *counts.entry(to.clone()).or_default() += 1;
    }
    counts
}

/// Each contact is one trial: one daemon holds the one cadence's mail cleared and ready, the other daemon the other's, and
/// only then may they cross.
#[tokio::test(flavor = "multi_thread")]
async fn two_cadences_and_two_daemons_send_a_person_one_mail_a_day() {
    const TRIALS: i32 = 1200;
    const BATCH: i32 = 300;
    let town = town(&["first", "second"]).await;
    town.settle(TRIALS, 1).await;
    // Claims take 300 in order of their due time: a batch of the one cadence, then the same people of the other.
    for batch in 0..TRIALS / BATCH {
        let (from, to) = (batch * BATCH + 1, (batch + 1) * BATCH);
        let which = format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}");
        for (n, cadence) in ["first", "second"].into_iter().enumerate() {
            let due = town.now() - TimeDelta::hours(1) + TimeDelta::seconds(i64::from(batch) * 2 + n as i64);
            assert_eq!(town.queue(cadence, due, &which).await, BATCH as u64);
        }
    }
    let postbox = Postbox::open();
    let one = town.daemon(postbox.channel()).await;
    let other = town.daemon(postbox.channel()).await;
    let mut dispatchers = (Dispatcher::new(one.clone()), Dispatcher::new(other.clone()));
    for round in 1..=TRIALS / BATCH {
        let gate = postbox.hold_before();
        let now = town.now();
        assert_eq!(
            within(dispatchers.0.run_once(now)).await.unwrap().done,
            BATCH as u64
        );
        assert_eq!(
            within(dispatchers.1.run_once(now)).await.unwrap().done,
            BATCH as u64
        );
        within(gate.arrived(2 * BATCH as u64)).await;
        gate.open();
        within(futures::future::join(
            dispatchers.0.drain(),
            dispatchers.1.drain(),
        ))
        .await;
        assert_eq!(
            postbox.len(),
            (round * BATCH) as usize,
            "one of two in every trial"
        );
    }
    let cleared = town
        .count("select count(*) from decision where verdict = 'clear'")
        .await;
    assert_eq!(
        cleared,
        i64::from(2 * TRIALS),
        "the gate let both through: the crossing decided"
    );
    assert!(most_per_person(&postbox.sent()).values().all(|n| *n == 1));
    let by_cadence = town.count("select count(distinct cadence) from message").await;
    assert_eq!(by_cadence, 2, "each daemon won some");

    // The losers wait for tomorrow, and then come one each.
    town.clock.advance(TimeDelta::minutes(1)).unwrap();
    run_dry(&one, &mut dispatchers.0).await;
    assert_eq!(postbox.len(), TRIALS as usize);
    assert_eq!(
        town.count("select count(*) from queue where held = 'cap'").await,
        i64::from(TRIALS)
    );
    town.clock.advance(TimeDelta::days(1)).unwrap();
    Box::pin(within(futures::future::join(
        run_dry(&one, &mut dispatchers.0),
        run_dry(&other, &mut dispatchers.1),
    )))
    .await;
    assert!(most_per_person(&postbox.sent()).values().all(|n| *n == 2));
    assert_eq!(town.count("select count(*) from queue").await, 0);
    assert_eq!(
        town.count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_colleagues_the_one_who_decides_hears_today() {
    const ACCOUNTS: i32 = 150;
    let kith = OPEN_HOURS.replace("account_per_day = 0", "account_per_day = 1");
    let town = Town::found(&kith, &[one_mail("first")], tuesday()).await;
    town.settle(ACCOUNTS, 3).await;
    // The decision maker comes last, and for a third of the accounts only later that day.
    let now = town.now();
    let (early, late) = (now - TimeDelta::hours(1), now + TimeDelta::hours(4));
    town.queue("first", early, "not c.decision_maker").await;
    town.queue(
        "first",
        now,
        "c.decision_maker and right(c.account_id::text, 1) > '5'",
    )
    .await;
    town.queue(
        "first",
        late,
        "c.decision_maker and right(c.account_id::text, 1) <= '5'",
    )
    .await;
    let postbox = Postbox::open();
    let one = town.daemon(postbox.channel()).await;
    let other = town.daemon(postbox.channel()).await;
    let mut dispatchers = (Dispatcher::new(one.clone()), Dispatcher::new(other.clone()));
    for hours in [0, 4] {
        town.clock.set(now + TimeDelta::hours(hours)).unwrap();
        Box::pin(within(futures::future::join(
            run_dry(&one, &mut dispatchers.0),
            run_dry(&other, &mut dispatchers.1),
        )))
        .await;
    }
    assert_eq!(postbox.len(), ACCOUNTS as usize);
    assert!(
        postbox.sent().iter().all(|to| to.ends_with("-1@example.net")),
        "only those who decide"
    );
    let held = town
        .count("select count(*) from queue where state = 'waiting' and held = 'colleague'")
        .await;
    assert_eq!(held, i64::from(2 * ACCOUNTS));
    let told = town
        .count(
            "select count(distinct touch_id) from decision where verdict = 'hold' and reason = 'colleague'",
        )
        .await;
    assert_eq!(told, i64::from(2 * ACCOUNTS));
}

/// Without anybody who decides, two daemons that each hold one colleague cleared still send one.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_send_one_mail_to_an_account() {
    const ACCOUNTS: i32 = 300;
    let kith = OPEN_HOURS.replace("account_per_day = 0", "account_per_day = 1");
    let town = Town::found(&kith, &[one_mail("first")], tuesday()).await;
    town.settle(ACCOUNTS, 2).await;
    sqlx::query("update contact set decision_maker = false")
        .execute(&town.db.pool)
        .await
        .unwrap();
    let early = town.now() - TimeDelta::hours(1);
    town.queue("first", early, "right(c.id::text, 1) = '1'").await;
    town.queue(
        "first",
        early + TimeDelta::seconds(1),
        "right(c.id::text, 1) = '2'",
    )
    .await;
    let postbox = Postbox::open();
    let mut one = Dispatcher::new(town.daemon(postbox.channel()).await);
    let mut other = Dispatcher::new(town.daemon(postbox.channel()).await);
    let gate = postbox.hold_before();
    within(one.run_once(town.now())).await.unwrap();
    within(other.run_once(town.now())).await.unwrap();
    within(gate.arrived(2 * ACCOUNTS as u64)).await;
    gate.open();
    within(futures::future::join(one.drain(), other.drain())).await;
    assert_eq!(postbox.len(), ACCOUNTS as usize);
    let accounts = town
        .count("select count(distinct account_id) from message where outcome = 'accepted'")
        .await;
    assert_eq!(accounts, i64::from(ACCOUNTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_twice_at_once_is_one_enrollment() {
    const PEOPLE: i32 = 300;
    const AT_ONCE: usize = 4;
    let never = one_mail("first")
        .1
        .replace("on_event = \"form\"\nreentry = \"event\"", "on_event = \"form\"");
    let town = Town::found(OPEN_HOURS, &[("first".to_owned(), never)], tuesday()).await;
    town.settle(PEOPLE, 1).await;
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as("select id, account_id from contact order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let members: Vec<Member> = rows
        .into_iter()
        .map(|(contact_id, account_id)| Member {
            contact_id,
            lead_id: None,
            account_id,
        })
        .collect();
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(AT_ONCE));
    let entering = (0..AT_ONCE).map(|n| {
        let (deps, start, mut members, now) = (deps.clone(), start.clone(), members.clone(), town.now());
        tokio::spawn(async move {
            // In different orders, so that they would meet in a deadlock if the order of locks depended on it.
            members.rotate_left(n * 70);
            let rules = deps.rules();
            let in_force = &rules.cadences["first"];
            let door = Door {
                rules: &rules,
                version: in_force.version_id,
                cadence: &in_force.cadence,
                reason: "form",
            };
            let arrivals = members
                .iter()
                .map(|member| Arrival {
                    member: *member,
                    key: None,
                    base: now,
                })
                .collect();
            let mut tx = deps.pool.begin().await.unwrap();
            start.wait().await;
            let made = admit(&deps, &mut tx, &door, arrivals, now).await.unwrap();
            tx.commit().await.unwrap();
            made
        })
    });
    let made: Vec<u64> = within(futures::future::join_all(entering))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(made.iter().sum::<u64>(), PEOPLE as u64, "{made:?}");
    assert_eq!(
        town.count("select count(*) from enrollment").await,
        i64::from(PEOPLE)
    );
}

/// Each contact is one trial: an opt-out races his mail. Had the mail not crossed when the opt-out was committed, and so before
/// it was answered, it never goes out.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_after_an_opt_out_was_answered() {
    const TRIALS: i32 = 1000;
    const EDGE: usize = 50;
    let town = town(&["first"]).await;
    remember_crossings(&town.db.pool).await;
    town.settle(TRIALS, 1).await;
    town.queue("first", town.now(), "true").await;
    let people: Vec<String> = sqlx::query_scalar("select email from contact order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let other = town.daemon(postbox.channel()).await;
    let third = town.daemon(postbox.channel()).await;
    let mut dispatchers = [Dispatcher::new(deps.clone()), Dispatcher::new(other.clone())];
    let opt_out = |who: String| {
        let (deps, now) = (third.clone(), town.now());
        async move {
            let one = Incoming {
                id: format!("out:{who}"),
                event_type: "opted_out".to_owned(),
                at: None,
                contact: Some(who.clone()),
                message: None,
                data: serde_json::json!({ "channel": "email" }),
                human: true,
            };
            assert_eq!(
                ingest::accept(&deps, "test", vec![one], now).await.unwrap(),
                vec![Answer::Accepted]
            );
        }
    };
    for who in people.iter().take(EDGE) {
        within(opt_out(who.clone())).await;
    }
    let racing = people[EDGE..people.len() - EDGE].to_vec();
    let opting_out = async {
        use futures::StreamExt as _;
        futures::stream::iter(racing.into_iter().rev())
            .map(opt_out)
            .buffer_unordered(5)
            .count()
            .await
    };
    let sending = async {
        for turn in 0..4 {
            dispatchers[turn % 2].run_once(town.now()).await.unwrap();
        }
        for dispatcher in &mut dispatchers {
            dispatcher.drain().await;
        }
    };
    within(futures::future::join(opting_out, sending)).await;
    run_dry(&deps, &mut dispatchers[0]).await;
    for who in people.iter().skip(people.len() - EDGE) {
        within(opt_out(who.clone())).await;
    }
    let sent = most_per_person(&postbox.sent());
    let fates = fates(&town.db.pool).await;
    assert_eq!(fates.len(), TRIALS as usize);
    let crossed = fates.iter().filter(|fate| fate.crossed.is_some()).count();
    eprintln!("{crossed} of {TRIALS} had crossed when the opt-out was answered");
    assert!(
        crossed >= EDGE && crossed <= TRIALS as usize - EDGE,
        "both ends of the race were seen"
    );
    for fate in &fates {
        assert!(!fate.is_breach(), "{fate:?}");
        let copies = sent.get(&fate.who).copied().unwrap_or(0);
        assert_eq!(copies, u32::from(fate.crossed.is_some()), "{fate:?}");
    }
    assert_eq!(town.count("select count(*) from queue").await, 0);
    assert_eq!(
        town.count("select count(*) from touch where state = 'queued'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_with_the_brake_on() {
    let town = town(&["first"]).await;
    town.settle(200, 1).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(200)).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    control::brake(&mut conn, true, "test", "test", town.now())
        .await
        .unwrap();
    gate.open();
    within(dispatcher.drain()).await;
    town.clock.advance(TimeDelta::minutes(1)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(postbox.len(), 0, "neither what was ready nor what came later");
    assert_eq!(
        town.count("select count(*) from queue where held = 'brake'")
            .await,
        200
    );
    control::brake(&mut conn, false, "test", "test", town.now())
        .await
        .unwrap();
    town.clock.advance(TimeDelta::minutes(6)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(postbox.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_declared_dead_cannot_cross_and_its_work_goes_to_others() {
    let town = town(&["first"]).await;
    town.settle(200, 1).await;
    town.queue("first", town.now(), "true").await;
    let (slow, quick) = (Postbox::open(), Postbox::open());
    let one = town.daemon(slow.channel()).await;
    let other = town.daemon(quick.channel()).await;
    let mut stalled = Dispatcher::new(one.clone());
    let gate = slow.hold_before();
    within(stalled.run_once(town.now())).await.unwrap();
    within(gate.arrived(200)).await;
    bury(&town.db.pool, &one).await;
    let claims = within(sweep::inherit(&other, town.now())).await.unwrap().done;
    assert_eq!(claims, 200);
    // It lives on as another, as the heartbeat makes it, with its old attempts still in hand.
    let mut conn = town.db.pool.acquire().await.unwrap();
    let again = daemon::register(&mut conn, Uuid::now_v7(), &PROCESS)
        .await
        .unwrap();
    one.reincarnate(again);
    gate.open();
    within(stalled.drain()).await;
    assert_eq!(slow.len(), 0, "what it held was not its own any more");
    let mut heir = Dispatcher::new(other.clone());
    run_dry(&other, &mut heir).await;
    assert_eq!(quick.len(), 200);
    assert!(most_per_person(&quick.sent()).values().all(|n| *n == 1));
    assert_eq!(
        town.count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
}

/// The old attempt must not cross on the strength of a new claim by the same process.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_a_former_life_does_not_cross_on_a_new_claim() {
    let town = town(&["first"]).await;
    town.settle(100, 1).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let former = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(former.arrived(100)).await;
    bury(&town.db.pool, &deps).await;
    within(sweep::inherit(&deps, town.now())).await.unwrap();
    let mut conn = town.db.pool.acquire().await.unwrap();
    deps.reincarnate(
        daemon::register(&mut conn, Uuid::now_v7(), &PROCESS)
            .await
            .unwrap(),
    );
    // The same process claims the same touches again, and its new attempts are on the wire.
    let present = postbox.hold_before();
    assert_eq!(within(dispatcher.run_once(town.now())).await.unwrap().done, 100);
    within(present.arrived(100)).await;
    former.open();
    let claimed = "select count(*) from queue where state = 'claimed'";
    until("the former attempts are over", async || {
        dispatcher.run_once(town.now()).await.unwrap();
        (dispatcher.under_way() == 100).then_some(())
    })
    .await;
    assert_eq!((postbox.len(), town.count(claimed).await), (0, 100));
    present.open();
    within(dispatcher.drain()).await;
    assert!(most_per_person(&postbox.sent()).values().all(|n| *n == 1));
    assert_eq!(postbox.len(), 100);
}

/// A server that restarts may lose claims, as they do not wait for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_server_lost_starts_no_second_attempt() {
    let town = town(&["first"]).await;
    town.settle(100, 1).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let held = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(held.arrived(100)).await;
    let lose = "update queue set state = 'waiting', daemon_id = null, epoch = null";
    sqlx::query(lose).execute(&town.db.pool).await.unwrap();
    assert_eq!(within(dispatcher.run_once(town.now())).await.unwrap().done, 100);
    assert_eq!(dispatcher.under_way(), 100);
    held.open();
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 100);
    assert!(most_per_person(&postbox.sent()).values().all(|n| *n == 1));
    assert_eq!(town.count("select count(*) from queue").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_without_its_dot_comes_back_to_life_after_the_sweep() {
    let town = town(&["first"]).await;
    town.settle(60, 1).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let one = town.daemon(postbox.channel()).await;
    let other = town.daemon(postbox.channel()).await;
    let mut stalled = Dispatcher::new(one.clone());
    let gate = postbox.hold_crossed();
    within(stalled.run_once(town.now())).await.unwrap();
    within(gate.arrived(60)).await;
    bury(&town.db.pool, &one).await;
    within(sweep::inherit(&other, town.now())).await.unwrap();
    let uncertain = "select count(*) from message m join touch t on t.id = m.touch_id
                     where m.outcome = 'uncertain' and t.state = 'uncertain'";
    assert_eq!(
        town.count(uncertain).await,
        60,
        "all that can be known from outside"
    );
    assert_eq!(town.count("select count(*) from queue").await, 0);
    // The stalled one knows better: it never sent the dot.
    gate.kill();
    within(stalled.drain()).await;
    assert_eq!(town.count("select count(*) from message").await, 0);
    assert_eq!(
        town.count("select count(*) from touch where state = 'queued'")
            .await,
        60
    );
    postbox.hold_crossed().open();
    town.clock.advance(TimeDelta::minutes(1)).unwrap();
    let mut heir = Dispatcher::new(other.clone());
    run_dry(&other, &mut heir).await;
    // On the same day: what the first crossing had charged to the cap was given back.
    assert_eq!(postbox.len(), 60);
    assert!(most_per_person(&postbox.sent()).values().all(|n| *n == 1));
    assert_eq!(
        town.count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
}
