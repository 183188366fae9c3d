//! A second attempt hands over what the first one did, and what a mail says about the way out.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kith::channel::SendOutcome;
use kith::engine::dispatch::Dispatcher;
use kith::engine::explain::{self, Tongue};
use kith::engine::ingest::{self, Incoming};
use kith::engine::{sweep, uncertain};
use kith::store::{partition, queue};
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Town, one_mail, run_dry};
use crate::script::Script;

fn monday() -> DateTime<Utc> {
    "2027-03-01T09:00:00Z".parse().unwrap()
}

async fn town() -> Town {
    let town = Town::found(OPEN_HOURS, &[one_mail("news")], monday()).await;
    town.settle(3, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, monday()).await.unwrap();
    town
}

const FIRST: &str = "c.id = (select min(id::text)::uuid from contact)";

#[tokio::test]
async fn after_a_4xx_the_same_bytes_go_out_whatever_became_of_the_template() {
    let town = town().await;
    let put_off = SendOutcome::Deferred {
        until: None,
        why: "451 later".to_owned(),
    };
    let script = Script::answering(vec![put_off]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(town.count("select count(*) from message_body").await, 1);
    sweep::run_once(&deps, town.now()).await.unwrap();
    assert_eq!(
        town.count("select count(*) from message_body").await,
        1,
        "still needed"
    );

    town.clock.advance(TimeDelta::hours(2)).unwrap();
    town.rewrite("<p>Something else.</p>").await;
    assert!(deps.refresh_rules().await.unwrap());
    run_dry(&deps, &mut dispatcher).await;
    let seen = script.bytes();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        String::from_utf8_lossy(&seen[0]),
        String::from_utf8_lossy(&seen[1])
    );
    let told = "select count(*) from message where outcome = 'accepted' and tries = 2 and length(hash) = 43";
    assert_eq!(town.count(told).await, 1);
    sweep::run_once(&deps, town.now()).await.unwrap();
    assert_eq!(
        town.count("select count(*) from message_body").await,
        0,
        "it has its end"
    );

    // The new text is for new messages; and for whoever has another address by now.
    town.queue("news", town.now(), "c.email like 'p00000002%'").await;
    run_dry(&deps, &mut dispatcher).await;
    assert!(String::from_utf8_lossy(&script.bytes()[2]).contains("Something else."));
}

#[tokio::test]
async fn another_address_gets_a_letter_of_its_own() {
    let town = town().await;
    let put_off = SendOutcome::Deferred {
        until: None,
        why: "451 later".to_owned(),
    };
    let script = Script::answering(vec![put_off]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    run_dry(&deps, &mut dispatcher).await;
    sqlx::query("update contact set email = 'moved@example.net' where email like 'p00000001%'")
        .execute(&town.db.pool)
        .await
        .unwrap();
    town.clock.advance(TimeDelta::hours(2)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    let seen = script.bytes();
    assert_eq!(seen.len(), 2);
    assert!(String::from_utf8_lossy(&seen[1]).contains("moved@example.net"));
}

#[tokio::test]
async fn what_is_owed_and_unknown_is_tried_again_with_the_same_bytes() {
    let town = town().await;
    let unknown = SendOutcome::Uncertain {
        why: "cut".to_owned(),
    };
    let script = Script::answering(vec![unknown]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    sqlx::query("update queue set class = 0")
        .execute(&town.db.pool)
        .await
        .unwrap();
    run_dry(&deps, &mut dispatcher).await;
    town.rewrite("<p>Something else.</p>").await;
    deps.refresh_rules().await.unwrap();
    town.clock.advance(TimeDelta::minutes(20)).unwrap();
    sweep::run_once(&deps, town.now()).await.unwrap();
    run_dry(&deps, &mut dispatcher).await;
    let seen = script.bytes();
    assert_eq!(seen.len(), 2, "once more");
    assert_eq!(seen[0], seen[1]);
}

/// Being put off is no second try of an unknown one: it has that still before it, and only that.
#[tokio::test]
async fn what_was_put_off_before_it_was_unknown_is_tried_once_more_too() {
    let town = town().await;
    let unknown = || SendOutcome::Uncertain {
        why: "cut".to_owned(),
    };
    let put_off = SendOutcome::Deferred {
        until: None,
        why: "451 4.3.0 later".to_owned(),
    };
    let script = Script::answering(vec![put_off, unknown(), unknown()]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    sqlx::query("update queue set class = 0")
        .execute(&town.db.pool)
        .await
        .unwrap();
    run_dry(&deps, &mut dispatcher).await;
    for (attempts, tries) in [(2, 2), (3, 3), (3, 3)] {
        town.clock.advance(TimeDelta::minutes(20)).unwrap();
        sweep::run_once(&deps, town.now()).await.unwrap();
        run_dry(&deps, &mut dispatcher).await;
        assert_eq!(script.seen().len(), attempts);
        let told: i16 = sqlx::query_scalar("select tries from message where outcome = 'uncertain'")
            .fetch_one(&town.db.pool)
            .await
            .unwrap();
        assert_eq!(told, tries);
    }
    assert_eq!(town.count("select count(*) from queue").await, 0);
}

/// The gate forbids the one more try, or its cadence ends: that says nothing about the first.
#[tokio::test]
async fn what_is_unknown_stays_so_when_it_may_not_be_tried_once_more() {
    let town = town().await;
    let unknown = || SendOutcome::Uncertain {
        why: "cut".to_owned(),
    };
    let script = Script::answering(vec![unknown(), unknown(), unknown()]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), "true").await;
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&town.db.pool).await.unwrap();
    };
    run("update queue set class = 0").await;
    run_dry(&deps, &mut dispatcher).await;
    town.clock.advance(TimeDelta::minutes(20)).unwrap();
    sweep::run_once(&deps, town.now()).await.unwrap();
    let owed: Vec<(Uuid, Uuid, Vec<u8>)> = sqlx::query_as(
        "select q.enrollment_id, q.contact_id, q.address_hash from queue q order by q.touch_id",
    )
    .fetch_all(&town.db.pool)
    .await
    .unwrap();
    assert_eq!(owed.len(), 3);
    let mut conn = town.db.pool.acquire().await.unwrap();
    queue::cancel_enrollments(&mut conn, &[owed[1].0], "goal", town.now())
        .await
        .unwrap();
    queue::revoke_addresses(&mut conn, &[owed[2].2.clone()], "email", "opted-out", town.now())
        .await
        .unwrap();
    run("update queue set expires_at = due_at - interval '1 minute'").await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 3, "nobody got a second one");
    assert_eq!(town.count("select count(*) from queue").await, 0);
    let touches: Vec<(String, String)> = sqlx::query_as("select state, reason from touch order by id")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    let told = ["expired", "goal", "opted-out"].map(|reason| ("uncertain".to_owned(), reason.to_owned()));
    assert_eq!(touches, told);
    let listed = uncertain::list(&mut conn, 10, town.now()).await.unwrap();
    assert_eq!(listed.len(), 3);
    run("update enrollment set state = 'finished', next_at = entered_at").await;
    let story = explain::story(&mut conn, owed[0].1, Tongue::English, town.now())
        .await
        .unwrap();
    for said in ["nobody knows whether it arrived", "too late"] {
        assert!(
            story.told.iter().any(|told| told.text.contains(said)),
            "{said}: {:?}",
            story.told
        );
    }
    // And it does not come back.
    town.clock.advance(TimeDelta::minutes(20)).unwrap();
    sweep::run_once(&deps, town.now()).await.unwrap();
    assert_eq!(town.count("select count(*) from queue").await, 0);
}

/// The dot of the second try never went out; that says nothing about the first.
#[tokio::test]
async fn a_withdrawn_second_try_does_not_forget_that_the_first_is_unknown() {
    let town = town().await;
    let unknown = SendOutcome::Uncertain {
        why: "cut".to_owned(),
    };
    let script = Script::answering(vec![unknown, SendOutcome::Withdrawn]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    sqlx::query("update queue set class = 0")
        .execute(&town.db.pool)
        .await
        .unwrap();
    run_dry(&deps, &mut dispatcher).await;
    town.clock.advance(TimeDelta::minutes(20)).unwrap();
    sweep::run_once(&deps, town.now()).await.unwrap();
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.bytes().len(), 2);
    let unknown = "select count(*) from message where outcome = 'uncertain'";
    assert_eq!(town.count(unknown).await, 1, "the first may have arrived");
    assert_eq!(
        town.count("select count(*) from queue").await,
        1,
        "and is still owed once more"
    );
    town.clock.advance(TimeDelta::minutes(1)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    let told = "select count(*) from message where outcome = 'accepted' and tries = 2";
    assert_eq!(town.count(told).await, 1);
}

#[tokio::test]
async fn a_sign_of_life_ends_what_waits_for_another_try() {
    let town = town().await;
    let unknown = || SendOutcome::Uncertain {
        why: "cut".to_owned(),
    };
    let script = Script::answering(vec![unknown(), unknown()]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    for early in [false, true] {
        let who = if early { "c.email like 'p00000002%'" } else { FIRST };
        town.queue("news", town.now(), who).await;
        sqlx::query("update queue set class = 0")
            .execute(&town.db.pool)
            .await
            .unwrap();
        let message: Uuid = sqlx::query_scalar("select message_id from queue")
            .fetch_one(&town.db.pool)
            .await
            .unwrap();
        let delivered = || -> Incoming {
            serde_json::from_value(serde_json::json!({
                "id": format!("d-{message}"), "type": "delivered", "message": message, "human": false
            }))
            .unwrap()
        };
        // The report may be faster than the end of the attempt it is about.
        if early {
            ingest::accept(&deps, "test", vec![delivered()], town.now())
                .await
                .unwrap();
        }
        run_dry(&deps, &mut dispatcher).await;
        town.clock.advance(TimeDelta::minutes(20)).unwrap();
        sweep::run_once(&deps, town.now()).await.unwrap();
        if !early {
            assert_eq!(
                town.count("select count(*) from queue").await,
                1,
                "owed once more"
            );
            ingest::accept(&deps, "test", vec![delivered()], town.now())
                .await
                .unwrap();
        }
        run_dry(&deps, &mut dispatcher).await;
        assert_eq!(town.count("select count(*) from queue").await, 0);
        assert_eq!(
            town.count("select count(*) from message where outcome = 'uncertain'")
                .await,
            0
        );
    }
    assert_eq!(script.bytes().len(), 2, "nobody got a second one");
}

#[tokio::test]
async fn the_function_decides_about_header_and_text_alike() {
    let town = town().await;
    let script = Script::default();
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let people = [
        "c.email like 'p00000001%'",
        "c.email like 'p00000002%'",
        "c.email like 'p00000003%'",
    ];
    for ((class, offers), who) in [(0, false), (2, true), (3, true)].into_iter().zip(people) {
        town.queue("news", town.now(), who).await;
        sqlx::query("update queue set class = $1")
            .bind(class)
            .execute(&town.db.pool)
            .await
            .unwrap();
        run_dry(&deps, &mut dispatcher).await;
        let mail = String::from_utf8(script.bytes().pop().unwrap()).unwrap();
        assert_eq!(mail.contains("List-Unsubscribe: <"), offers, "{mail}");
        assert_eq!(mail.contains("List-Unsubscribe-Post:"), offers, "{mail}");
        assert_eq!(mail.contains("Unsubscribe</a>"), offers, "{mail}");
    }
    assert_eq!(script.bytes().len(), 3);
}
