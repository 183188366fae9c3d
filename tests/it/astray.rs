//! What goes wrong between a daemon and its database costs no message and makes none twice: answers that are lost, words that
//! come again, work that fails beside other work.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use kith::engine::dispatch::Dispatcher;
use kith::engine::sweep;
use kith::store::outcome::{self, Again, MessageRow};
use kith::store::{daemon, partition};
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Postbox, Town, bury, one_mail, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

async fn town(people: i32) -> Town {
    let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
    town.settle(people, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    town
}

async fn run(town: &Town, statement: &'static str) {
    sqlx::query(statement).execute(&town.db.pool).await.unwrap();
}

/// A claim is committed and its answer is lost: nobody works on what was claimed, until the next round gives it back. What is
/// worked on stays claimed.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_given_back() {
    let town = town(3).await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let at_work = postbox.hold_before();
    town.queue("first", town.now(), "c.email = 'p00000001-1@example.net'")
        .await;
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(at_work.arrived(1)).await;
    postbox.hold_before().open();

    town.queue("first", town.now(), "c.email <> 'p00000001-1@example.net'")
        .await;
    sqlx::query(
        "update queue set state = 'claimed', daemon_id = $1, epoch = $2
         where touch_id = (select touch_id from queue where state = 'waiting' limit 1)",
    )
    .bind(deps.incarnation().id)
    .bind(deps.incarnation().epoch)
    .execute(&town.db.pool)
    .await
    .unwrap();
    within(dispatcher.run_once(town.now())).await.unwrap();
    until("the other is sent", async || (postbox.len() == 1).then_some(())).await;
    assert_eq!(
        town.count("select count(*) from queue where state = 'claimed'")
            .await,
        2
    );
    // A round that fails, whatever for, is what a lost answer looks like from here.
    run(&town, "alter table queue rename to elsewhere").await;
    assert!(within(dispatcher.run_once(town.now())).await.is_err());
    run(&town, "alter table elsewhere rename to queue").await;
    within(dispatcher.run_once(town.now())).await.unwrap();
    until("the astray one is sent", async || {
        (postbox.len() == 2).then_some(())
    })
    .await;
    assert_eq!(
        town.count("select count(*) from queue where state = 'claimed'")
            .await,
        1
    );
    at_work.open();
    within(dispatcher.drain()).await;
    let sent: BTreeMap<String, usize> = postbox.sent().into_iter().fold(BTreeMap::new(), |mut sent, to| {
        *sent.entry(to).or_default() += 1;
        sent
    });
    assert_eq!(sent.values().copied().collect::<Vec<_>>(), [1, 1, 1], "{sent:?}");
}

/// "To be tried again" is written twice, as its first answer was lost; the daemon has claimed the touch anew in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_comes_again_moves_no_later_claim() {
    let town = town(1).await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_crossed();
    town.queue("first", town.now(), "true").await;
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(1)).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let (touch_id, due_at, crossing_at): (Uuid, DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select touch_id, due_at, crossing_at from queue")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    let again = |due_at, crossed| Again {
        touch_id,
        owner: deps.incarnation(),
        due_at,
        at: tuesday() + TimeDelta::hours(1),
        reason: "deferred".to_owned(),
        counts: true,
        crossed,
        number: None,
    };
    let minute = TimeDelta::minutes(1);
    for earlier in [
        again(due_at - minute, Some(crossing_at)),
        // Given back and claimed again when the same was due.
        again(due_at, Some(crossing_at - minute)),
        again(due_at, None),
    ] {
        assert_eq!(outcome::again(&mut conn, &[earlier]).await.unwrap(), 0);
    }
    assert_eq!(
        town.count("select count(*) from queue where state = 'crossing'")
            .await,
        1
    );
    let own = again(due_at, Some(crossing_at));
    assert_eq!(outcome::again(&mut conn, &[own]).await.unwrap(), 1);
    gate.kill();
    within(dispatcher.drain()).await;
}

/// Two colleagues are put off in one group, and a number: all that their crossings charged is given back.
#[tokio::test(flavor = "multi_thread")]
async fn caps_of_all_who_are_put_off_are_given_back() {
    let town = town(1).await;
    run(
        &town,
        "insert into contact (id, shard, account_id, name, email)
         select gen_random_uuid(), shard, account_id, 'Colleague', 'colleague@example.net' from contact",
    )
    .await;
    town.queue("first", town.now(), "true").await;
    let deps = town.daemon(Postbox::open().channel()).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let own = deps.incarnation();
    let touches: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "update queue q set state = 'crossing', daemon_id = $1, epoch = $2,
                crossing_at = q.due_at + interval '1 s' * (select count(*) from queue o where o.touch_id < q.touch_id)
         returning touch_id, due_at, crossing_at",
    )
    .bind(own.id)
    .bind(own.epoch)
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    run(
        &town,
        "insert into pace (kind, key, ring)
         select 'contact', contact_id::text, array[crossing_at, crossing_at - interval '1 day'] from queue
         union all select 'number', 'text:h', array_agg(crossing_at order by crossing_at desc) from queue
         union all select 'account', account_id::text, array_agg(crossing_at order by crossing_at desc) from queue group by account_id",
    )
    .await;
    let again: Vec<Again> = touches
        .iter()
        .map(|(touch_id, due_at, crossing_at)| Again {
            touch_id: *touch_id,
            owner: own,
            due_at: *due_at,
            at: tuesday() + TimeDelta::hours(1),
            reason: "deferred".to_owned(),
            counts: true,
            crossed: Some(*crossing_at),
            number: Some("text:h".to_owned()),
        })
        .collect();
    assert_eq!(outcome::again(&mut conn, &again).await.unwrap(), 2);
    let left: Vec<(String, i32)> =
        sqlx::query_as("select kind, cardinality(ring) from pace order by kind, cardinality(ring)")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    let left: Vec<(&str, i32)> = left.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
    assert_eq!(
        left,
        [("account", 0), ("contact", 1), ("contact", 1), ("number", 0)]
    );
}

/// A task that had crossed when its daemon died was never made: its row is written with the outcome.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_dead_daemon_is_no_unknown_message() {
    let town = town(1).await;
    town.queue("first", town.now(), "true").await;
    let deps = town.daemon(Postbox::open().channel()).await;
    sqlx::query(
        "update queue set channel = 'task', state = 'crossing', daemon_id = $1, epoch = $2, crossing_at = due_at",
    )
    .bind(deps.incarnation().id)
    .bind(deps.incarnation().epoch)
    .execute(&town.db.pool)
    .await
    .unwrap();
    bury(&town.db.pool, &deps).await;
    let other = town.daemon(Postbox::open().channel()).await;
    within(sweep::inherit(&other, town.now())).await.unwrap();
    assert_eq!(town.count("select count(*) from message").await, 0);
    let waits =
        "select count(*) from queue where state = 'waiting' and crossing_at is null and daemon_id is null";
    assert_eq!(town.count(waits).await, 1);
}

/// Grades cannot be worked out; mails go out all the same, and the round says what failed.
#[tokio::test(flavor = "multi_thread")]
async fn grading_that_fails_holds_up_no_mail() {
    let town = town(1).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    run(&town, "alter table lead rename column grade_since to elsewhere").await;
    let round = within(kith::daemon::flow_once(&deps, &mut dispatcher, || true)).await;
    assert!(round.is_err());
    within(dispatcher.drain()).await;
    assert_eq!(postbox.len(), 1);
}

/// The address changes while the touch waits. An opt-out of the new one, acknowledged just before the crossing, counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_counts_for_the_address_that_the_mail_goes_to() {
    let town = town(2).await;
    town.queue("first", town.now(), "true").await;
    run(
        &town,
        "update contact set email = 'new-' || email, email_hash = decode(md5('new' || email), 'hex')",
    )
    .await;
    let postbox = Postbox::open();
    let deps = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let gate = postbox.hold_before();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(2)).await;
    run(
        &town,
        "insert into suppression (address_hash, channel, brand, purpose, reason, at)
         select email_hash, 'email', '', 'marketing', 'opted-out', now() from contact where email like 'new-p00000001%'",
    )
    .await;
    gate.open();
    within(dispatcher.drain()).await;
    assert_eq!(postbox.sent(), ["new-p00000002-1@example.net"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_monotone_however_often_and_late_they_come() {
    let town = town(4).await;
    town.queue("first", town.now(), "true").await;
    let postbox = Postbox::open();
    let one = town.daemon(postbox.channel()).await;
    let mut dispatcher = Dispatcher::new(one.clone());
    let gate = postbox.hold_crossed();
    within(dispatcher.run_once(town.now())).await.unwrap();
    within(gate.arrived(4)).await;
    bury(&town.db.pool, &one).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    let swept = daemon::inherit_crossings(&mut conn, town.now()).await.unwrap();
    assert_eq!(swept.len(), 4);
    let touches: Vec<Uuid> = sqlx::query_scalar("select touch_id from message order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from message order by id")
        .fetch_all(&town.db.pool)
        .await
        .unwrap();
    let crossed: Vec<Option<DateTime<Utc>>> =
        sqlx::query_scalar("select crossing_at from message order by id")
            .fetch_all(&town.db.pool)
            .await
            .unwrap();
    let row = |n: usize, outcome: &str| MessageRow {
        touch_id: touches[n],
        id: ids[n],
        daemon_id: Uuid::nil(),
        epoch: 1,
        template: "note".to_owned(),
        template_version_id: None,
        locale: "en".to_owned(),
        sender: "mail".to_owned(),
        address: "p@example.net".to_owned(),
        subject: None,
        segments: None,
        encoding: None,
        vars: "{}".to_owned(),
        hash: String::new(),
        outcome: outcome.to_owned(),
        reply: Some(outcome.to_owned()),
        done_at: town.now(),
        crossed_at: crossed[n],
    };
    let of_an_earlier_attempt = MessageRow {
        crossed_at: crossed[0].map(|at| at - TimeDelta::seconds(1)),
        ..row(0, "refused")
    };
    outcome::finish(&mut conn, &[&of_an_earlier_attempt])
        .await
        .unwrap();
    assert_eq!(
        town.count("select count(*) from message where outcome = 'uncertain'")
            .await,
        4,
        "a refusal says nothing of a later attempt"
    );
    // What comes in, in order, and what stands in the end.
    let stories: [(&[&str], &str, &str); 4] = [
        (
            &["accepted", "accepted", "refused", "uncertain"],
            "accepted",
            "sent",
        ),
        (&["refused", "accepted"], "refused", "failed"),
        (&["uncertain", "accepted", "uncertain"], "accepted", "sent"),
        (&["uncertain", "uncertain"], "uncertain", "uncertain"),
    ];
    for (n, (words, outcome, state)) in stories.into_iter().enumerate() {
        for word in words {
            outcome::finish(&mut conn, &[&row(n, word)]).await.unwrap();
        }
        let stands: (String, String) = sqlx::query_as(
            "select m.outcome, t.state from message m join touch t on t.id = m.touch_id where m.id = $1",
        )
        .bind(ids[n])
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        assert_eq!(
            (stands.0.as_str(), stands.1.as_str()),
            (outcome, state),
            "{words:?}"
        );
    }
    assert_eq!(
        town.count("select count(*) from message").await,
        4,
        "never a second row"
    );
    gate.kill();
}
