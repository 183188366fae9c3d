//! What follows from what a receiving side says: a policy pauses the sender and suppresses nobody, a dead letter has its
//! reason, and the Return-Path names the message.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kith::channel::{RefusalClass, SendOutcome};
use kith::domain::id::IdSource;
use kith::domain::return_path;
use kith::domain::token::TokenKey;
use kith::engine::dispatch::Dispatcher;
use kith::engine::explain::{self, Tongue};
use kith::engine::{senders, status};
use kith::store::control;
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Town, one_mail, run_dry};
use crate::script::Script;

const SENDER: &str = r#"
[[senders]]
name = "mail"
channel = "email"
from_email = "hello@shop.example"
return_path = "bounces.shop.example"
[senders.smtp]
host = "127.0.0.1"
"#;

fn monday() -> DateTime<Utc> {
    "2027-03-01T09:00:00Z".parse().unwrap()
}

async fn town() -> Town {
    let town = Town::found(&format!("{OPEN_HOURS}{SENDER}"), &[one_mail("news")], monday()).await;
    town.settle(4, 1).await;
    town
}

const FIRST: &str = "c.email like 'p00000001%'";
const OTHERS: &str = "c.email not like 'p00000001%'";

fn blocked(class: RefusalClass) -> SendOutcome {
    SendOutcome::Refused {
        class,
        why: "550 5.7.1 your address is on a block list".to_owned(),
    }
}

#[tokio::test]
async fn a_policy_block_pauses_the_sender_and_suppresses_nobody() {
    let town = town().await;
    let script = Script::answering([blocked(RefusalClass::PolicyBlocked)]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(town.count("select count(*) from suppression").await, 0);
    let alerts =
        "select count(*) from task where kind = 'alert' and state = 'open' and body like '%block list%'";
    assert_eq!(town.count(alerts).await, 1);

    town.queue("news", town.now(), OTHERS).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 1, "the sender is left alone");
    let held = "select count(*) from queue where held = 'sender-paused' and state = 'waiting' and due_at = held_until";
    assert_eq!(town.count(held).await, 3);
    let told = "select count(*) from decision where verdict = 'hold' and reason = 'sender-paused'";
    assert_eq!(town.count(told).await, 3);

    town.clock.advance(TimeDelta::minutes(5)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 4);
    assert_eq!(town.count("select count(*) from queue").await, 0);
    assert_eq!(town.count(alerts).await, 1);
}

#[tokio::test]
async fn a_block_for_now_pauses_too_and_an_operator_ends_the_pause() {
    let town = town().await;
    let for_now = SendOutcome::Deferred {
        until: None,
        why: "421 4.7.1 blocked, bad reputation".to_owned(),
    };
    let script = Script::answering([for_now]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    run_dry(&deps, &mut dispatcher).await;
    town.queue("news", town.now(), OTHERS).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 1);
    let paused = senders::paused(&deps.pool, town.now()).await.unwrap();
    assert_eq!((paused.len(), paused[0].sender.as_str()), (1, "mail"));
    let mut conn = deps.pool.acquire().await.unwrap();
    let told = status::status(&mut conn, &deps.settings, town.now())
        .await
        .unwrap();
    let line = "paused    sender mail until 2027-03-01 09:05: 421 4.7.1 blocked, bad reputation\n";
    assert!(told.to_string().contains(line), "{told}");
    let resume = async |name: &str| {
        senders::resume(&deps.pool, &IdSource::Random, name, "test", town.now())
            .await
            .unwrap()
    };
    assert!(!resume("other").await);
    assert!(resume("mail").await);
    assert!(!resume("mail").await, "it is over");
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 4, "those that waited go at once");
    // The one that was put off has its own, longer, wait.
    assert_eq!(
        town.count("select count(*) from queue where held = 'deferred' and due_at >= now()")
            .await,
        1
    );
}

#[tokio::test]
async fn what_is_no_policy_pauses_nobody() {
    let town = town().await;
    let script = Script::answering([
        blocked(RefusalClass::AddressBad),
        blocked(RefusalClass::MailboxFull),
        blocked(RefusalClass::Other),
    ]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), "true").await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(script.seen().len(), 4);
    assert!(senders::paused(&deps.pool, town.now()).await.unwrap().is_empty());
    assert_eq!(
        town.count("select count(*) from suppression where reason = 'address-bad'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_dead_letter_ends_with_its_reason_after_its_waits() {
    let town = town().await;
    let full = SendOutcome::Deferred {
        until: None,
        why: "452 4.2.2 the mailbox is full".to_owned(),
    };
    let script = Script::answering(vec![full; 20]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    for hour in 0..96 {
        run_dry(&deps, &mut dispatcher).await;
        if hour == 0 {
            town.clock.advance(TimeDelta::minutes(30)).unwrap();
            run_dry(&deps, &mut dispatcher).await;
            assert_eq!(script.seen().len(), 1, "nobody tidies up within half an hour");
        }
        town.clock.advance(TimeDelta::hours(1)).unwrap();
    }
    assert_eq!(script.seen().len(), 6);
    let ended = "select count(*) from message where outcome = 'refused' and tries = 6
                 and reply = 'given up, it was tried often enough: 452 4.2.2 the mailbox is full'";
    assert_eq!(town.count(ended).await, 1);
    let mut conn = town.db.pool.acquire().await.unwrap();
    let contact: Uuid = sqlx::query_scalar("select contact_id from message")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    sqlx::query("update enrollment set state = 'finished', next_at = entered_at")
        .execute(&mut *conn)
        .await
        .unwrap();
    let story = explain::story(&mut conn, contact, Tongue::English, town.now())
        .await
        .unwrap();
    let reason = "it was tried often enough: 452 4.2.2 the mailbox is full";
    assert!(
        story.told.iter().any(|told| told.text.contains(reason)),
        "{:?}",
        story.told
    );
    assert_eq!(town.count("select count(*) from queue").await, 0);
    assert_eq!(town.count("select count(*) from suppression").await, 0);
}

#[tokio::test]
async fn the_return_path_of_every_attempt_names_its_message() {
    let town = town().await;
    let later = SendOutcome::Deferred {
        until: None,
        why: "451 later".to_owned(),
    };
    let script = Script::answering([later]);
    let deps = town.daemon(Arc::new(script.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), FIRST).await;
    run_dry(&deps, &mut dispatcher).await;
    town.clock.advance(TimeDelta::hours(1)).unwrap();
    run_dry(&deps, &mut dispatcher).await;
    let message: Uuid = sqlx::query_scalar("select id from message")
        .fetch_one(&town.db.pool)
        .await
        .unwrap();
    let mut conn = town.db.pool.acquire().await.unwrap();
    let key = TokenKey::new(&control::read(&mut conn).await.unwrap().token_key);
    let seen = script.seen();
    assert_eq!(seen.len(), 2);
    for mail in seen {
        assert!(
            mail.mail_from.ends_with("@bounces.shop.example"),
            "{}",
            mail.mail_from
        );
        assert_eq!(return_path::read(&key, &mail.mail_from), Some(message));
    }
}
