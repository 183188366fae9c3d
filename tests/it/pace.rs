//! How fast: rates counted at the server, days, senders that fail or stand still, classes, and crowds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kith::channel::{BuiltMessage, Channel, Crossed, Crossing, SendOutcome};
use kith::domain::gate::Clearance;
use kith::engine::dispatch::Dispatcher;
use kith::engine::plan;
use kith::sandbox::gate::Gate;
use kith::sandbox::smtp::{Action, Moment, Stage};
use kith::store::partition;

use crate::process::{Workshop, live};
use crate::rig::{Files, OPEN_HOURS, Postbox, Town, enroll, one_mail, run_dry, until, within};

fn monday() -> DateTime<Utc> {
    "2027-03-01T09:00:00Z".parse().unwrap()
}

/// A mail sender with more keys and tables of its own.
fn sender(name: &str, more: &str) -> String {
    format!(
        "[[senders]]\nname = \"{name}\"\nchannel = \"email\"\nfrom_name = \"Test\"\nfrom_email = \"{name}@example.com\"\n\
         smtp = {{ host = \"127.0.0.1\" }}\n{more}\n"
    )
}

async fn town(more: &str, people: i32) -> Town {
    let town = Town::found(&format!("{OPEN_HOURS}{more}"), &[one_mail("news")], monday()).await;
    town.settle(people, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, monday()).await.unwrap();
    town
}

/// A way out that notes which sender carried each mail, and refuses the connection, or stands still, for some.
#[derive(Clone, Default)]
struct Carriers {
    refused: Arc<Mutex<Vec<&'static str>>>,
    still: Arc<Mutex<BTreeMap<&'static str, Gate>>>,
    carried: Arc<Mutex<Vec<Carried>>>,
}

/// By which sender, and what.
type Carried = (String, Vec<u8>);

impl Carriers {
    fn count(&self, sender: &str) -> usize {
        self.carried
            .lock()
            .unwrap()
            .iter()
            .filter(|(by, _)| by == sender)
            .count()
    }
}

impl Channel for Carriers {
    fn send<'a>(
        &'a self,
        _clearance: Clearance,
        message: &'a BuiltMessage,
        crossing: &'a dyn Crossing,
    ) -> BoxFuture<'a, SendOutcome> {
        Box::pin(async move {
            let BuiltMessage::Email(mail) = message else {
                panic!("only mails here")
            };
            let still = self.still.lock().unwrap().get(mail.sender.as_str()).cloned();
            if let Some(gate) = still {
                gate.pass().await;
            }
            if self
                .refused
                .lock()
                .unwrap()
                .iter()
                .any(|name| *name == mail.sender)
            {
                return SendOutcome::Deferred {
                    until: None,
                    why: "connect: refused".to_owned(),
                };
            }
            if crossing.cross().await == Crossed::Stop {
                return SendOutcome::NotCrossed;
            }
            self.carried
                .lock()
                .unwrap()
                .push((mail.sender.clone(), mail.bytes.clone()));
            SendOutcome::Accepted {
                reply: "250 taken".to_owned(),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_window_at_the_server_holds_more_than_the_rate_with_two_daemons_and_a_kill() {
    const N: usize = 30;
    const WINDOW: Duration = Duration::from_secs(3);
    const PEOPLE: i32 = 100;
    let kith = |port| format!("{}[senders.pace]\nrate = \"{N}/3s\"\n", live(port));
    let workshop = Workshop::with(false, |port| Files::write(&kith(port), &[one_mail("first")])).await;
    workshop.done(&["apply"]);
    let dots: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = dots.clone();
    workshop.server.behave(move |moment: &Moment<'_>| {
        if moment.stage == Stage::Dot {
            noted.lock().unwrap().push(Instant::now());
        }
        Action::Go
    });
    let one = workshop.run("one", "one@example.com");
    let other = workshop.run("other", "other@example.com");
    let began = Instant::now();
    workshop.due(PEOPLE).await;
    until("a third has gone", async || {
        (dots.lock().unwrap().len() >= PEOPLE as usize / 3).then_some(())
    })
    .await;
    one.kill();
    let third = workshop.run("third", "third@example.com");
    workshop.all_ended().await;
    let lasted = began.elapsed();
    assert!(other.leave().await.success() && third.leave().await.success());
    let dots = dots.lock().unwrap().clone();
    let busiest = (0..dots.len())
        .map(|from| {
            dots[from..]
                .iter()
                .take_while(|at| **at - dots[from] < WINDOW)
                .count()
        })
        .max()
        .unwrap();
    eprintln!("{} dots in {lasted:?}, at most {busiest} in a window", dots.len());
    assert!(busiest <= N, "{busiest}");
    assert!(dots.len() >= PEOPLE as usize - 10, "{}", dots.len());
    assert!(
        workshop
            .count("select count(*) from decision where reason = 'pace'")
            .await
            > 0,
        "some waited"
    );
    let twice = "select count(*) from (select 1 from decision where reason in ('pace', 'clear')
                 group by touch_id, reason having count(*) > 2) d";
    assert_eq!(workshop.count(twice).await, 0, "a hold is told once");
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
}

#[tokio::test]
async fn a_new_domain_sends_what_its_day_allows() {
    let pace = "[senders.pace]\nper_day = 20\nwarm_up = { starts = \"2027-03-01\", daily = [5, 10, 40] }";
    let town = town(&sender("mail", pace), 60).await;
    let post = Postbox::open();
    let deps = town.daemon(post.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), "true").await;
    let mut days = Vec::new();
    while post.len() < 60 && days.len() < 10 {
        let before = post.len();
        // A restart in the middle of the day changes nothing.
        run_dry(&deps, &mut dispatcher).await;
        dispatcher = Dispatcher::new(deps.clone());
        town.clock.advance(TimeDelta::hours(6)).unwrap();
        run_dry(&deps, &mut dispatcher).await;
        days.push(post.len() - before);
        town.clock.advance(TimeDelta::hours(18)).unwrap();
    }
    assert_eq!(days, [5, 10, 20, 20, 5]);
    let told = "select count(*) from decision where reason = 'pace'";
    assert_eq!(town.count(told).await, 55, "once for each who waited");
    assert_eq!(
        town.count("select count(*) from decision where verdict = 'clear'")
            .await,
        60
    );
}

#[tokio::test]
async fn senders_of_one_new_domain_share_its_day_whoever_carries_and_in_whichever_daemon() {
    let warm_up = "[senders.pace]\nwarm_up = { starts = \"2027-03-01\", daily = [5, 10] }";
    let more = format!(
        "[pace.breaker]\nfailures = 1\nopen_for = \"1h\"\nlongest = \"1h\"\n{}{}{}",
        sender("mail", &format!("fallback = \"relay\"\n{warm_up}")),
        sender("other", &format!("{warm_up}\nper_day = 3")),
        sender("relay", "").replace("relay@example.com", "relay@elsewhere.example"),
    );
    let cadences = ["news", "more", "away"].map(one_mail);
    let town = Town::found(&format!("{OPEN_HOURS}{more}"), &cadences, monday()).await;
    town.settle(60, 1).await;
    let mut conn = town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, monday()).await.unwrap();
    let part = |from: u8, to: u8| {
        format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}")
    };
    let carriers = Carriers::default();
    let one = town.daemon(Arc::new(carriers.clone())).await;
    let two = town.daemon(Arc::new(carriers.clone())).await;
    let (mut first, mut second) = (Dispatcher::new(one.clone()), Dispatcher::new(two.clone()));
    let counts = || ["mail", "other", "relay"].map(|name| carriers.count(name));

    // The cap of a sender is its own, the day is the domain's; another domain has nothing to do with it.
    let by = async |cadence: &str, sender: &str, which: String| {
        town.queue(cadence, town.now(), &which).await;
        sqlx::query("update queue set sender = $2 where cadence = $1")
            .bind(cadence)
            .bind(sender)
            .execute(&town.db.pool)
            .await
            .unwrap();
    };
    by("more", "other", part(1, 10)).await;
    run_dry(&one, &mut first).await;
    assert_eq!(counts(), [0, 3, 0]);
    by("news", "mail", part(11, 30)).await;
    by("away", "relay", part(31, 40)).await;
    run_dry(&two, &mut second).await;
    assert_eq!(counts(), [2, 3, 10]);

    // The next day the one fails, and what another account carries of its domain counts as well: of ten, one is lost with the
    // failure.
    carriers.refused.lock().unwrap().push("mail");
    town.clock.set("2027-03-02T00:00:00Z".parse().unwrap()).unwrap();
    by("news", "mail", part(41, 41)).await;
    run_dry(&one, &mut first).await;
    assert_eq!(counts(), [2, 3, 10]);
    town.clock.set("2027-03-02T00:59:00Z".parse().unwrap()).unwrap();
    run_dry(&one, &mut first).await;
    let [mail, other, relay] = counts();
    assert_eq!((mail, other + relay), (2, 3 + 10 + 9));
    assert!((3..=6).contains(&other), "{other}");
    let used = "select used::bigint from pace_grant where kind = 'from' and key = 'example.com'";
    assert_eq!(town.count(used).await, 10);
}

#[tokio::test]
async fn a_sender_that_fails_is_left_alone_and_another_carries_the_same_bytes() {
    let more = format!(
        "[pace.breaker]\nfailures = 3\nopen_for = \"30s\"\n{}{}",
        sender("mail", "fallback = \"other\""),
        sender("other", "")
    );
    let town = town(&more, 40).await;
    let carriers = Carriers::default();
    carriers.refused.lock().unwrap().push("mail");
    let deps = town.daemon(Arc::new(carriers.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let part = |from: u8, to: u8| {
        format!("('x' || right(c.account_id::text, 8))::bit(32)::int between {from} and {to}")
    };
    // Three fail; while the breaker is open the other carries, as the first would have.
    town.queue("news", town.now(), &part(1, 3)).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(carriers.carried.lock().unwrap().len(), 0);
    let told = "select count(*) from task where kind = 'alert' and title = 'Sender mail fails' and body like '%refused%'";
    assert_eq!(town.count(told).await, 1);
    town.queue("news", town.now(), &part(4, 13)).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!((carriers.count("other"), carriers.count("mail")), (10, 0));
    let mail = String::from_utf8(carriers.carried.lock().unwrap()[0].1.clone()).unwrap();
    assert!(
        mail.contains("mail@example.com") && !mail.contains("other@example.com"),
        "{mail}"
    );
    assert_eq!(
        town.count("select count(*) from message where sender = 'other'")
            .await,
        10
    );
    // One alone tries when the time is over. It fails, and so the others are carried elsewhere again.
    town.clock.advance(TimeDelta::seconds(31)).unwrap();
    town.queue("news", town.now(), &part(14, 20)).await;
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(carriers.count("other"), 16);
    assert_eq!(town.count(told).await, 1, "once a day is enough");
    assert_eq!(
        town.count("select count(*) from queue where tries = 1 and held = 'deferred'")
            .await,
        4
    );
    // It works again: one tries, and from then on it carries.
    carriers.refused.lock().unwrap().clear();
    town.clock.advance(TimeDelta::seconds(61)).unwrap();
    town.queue("news", town.now(), &part(21, 25)).await;
    run_dry(&deps, &mut dispatcher).await;
    town.queue("news", town.now(), &part(26, 30)).await;
    let before = carriers.count("other");
    run_dry(&deps, &mut dispatcher).await;
    assert_eq!(carriers.count("other"), before);
    assert!(carriers.count("mail") >= 6);
}

#[tokio::test]
async fn a_sender_that_is_paused_carries_for_no_other() {
    let more = format!(
        "[pace.breaker]\nfailures = 1\nopen_for = \"10m\"\n{}{}{}",
        sender("mail", "fallback = \"other\""),
        sender("other", "fallback = \"third\""),
        sender("third", "")
    );
    let town = town(&more, 11).await;
    let carriers = Carriers::default();
    carriers.refused.lock().unwrap().push("mail");
    let deps = town.daemon(Arc::new(carriers.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    sqlx::query("insert into sender_state (sender, paused_until, reason, at, times) values ('other', $1, 'blocked', $2, 1)")
        .bind(town.now() + TimeDelta::hours(1))
        .bind(town.now())
        .execute(&town.db.pool)
        .await
        .unwrap();
    let first = "c.account_id = (select min(a.id::text)::uuid from account a)";
    assert_eq!(town.queue("news", town.now(), first).await, 1);
    run_dry(&deps, &mut dispatcher).await;
    town.queue("news", town.now(), &format!("not ({first})")).await;
    run_dry(&deps, &mut dispatcher).await;
    let carried = ["mail", "other", "third"].map(|name| carriers.count(name));
    assert_eq!(carried, [0, 0, 10]);
}

#[tokio::test]
async fn without_another_the_touches_of_a_failing_sender_wait() {
    let more = format!(
        "[pace.breaker]\nfailures = 2\nopen_for = \"30s\"\n{}",
        sender("mail", "")
    );
    let town = town(&more, 20).await;
    let carriers = Carriers::default();
    carriers.refused.lock().unwrap().push("mail");
    let deps = town.daemon(Arc::new(carriers.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    let first = "right(c.account_id::text, 1) in ('1', '2') and c.account_id::text like '%00_'";
    assert_eq!(town.queue("news", town.now(), first).await, 2);
    run_dry(&deps, &mut dispatcher).await;
    carriers.refused.lock().unwrap().clear();
    town.queue("news", town.now(), &format!("not ({first})")).await;
    run_dry(&deps, &mut dispatcher).await;
    let waiting = "select count(*) from queue where held = 'sender-down' and tries = 0 and due_at > held_until - interval '1 s'";
    assert_eq!(town.count(waiting).await, 18);
    for _ in 0..20 {
        town.clock.advance(TimeDelta::seconds(30)).unwrap();
        run_dry(&deps, &mut dispatcher).await;
    }
    assert_eq!(carriers.count("mail"), 20, "all of them in the end");
    let told = "select max(n) from (select count(*) n from decision where reason = 'sender-down' group by touch_id) d";
    assert_eq!(town.count(told).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stands_still_costs_the_others_nothing_but_its_part() {
    const OTHERS: i64 = 700;
    let town = town(&format!("{}{}", sender("mail", ""), sender("other", "")), 2000).await;
    let carriers = Carriers::default();
    let gate = Gate::shut();
    carriers.still.lock().unwrap().insert("mail", gate.clone());
    let deps = town.daemon(Arc::new(carriers.clone())).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday() - TimeDelta::minutes(1), "true").await;
    // Those that stand still were due first.
    sqlx::query(
        "update queue set sender = 'other', due_at = due_at + interval '30 s'
         where touch_id in (select touch_id from queue order by contact_id desc limit $1)",
    )
    .bind(OTHERS)
    .execute(&town.db.pool)
    .await
    .unwrap();
    let others = until("all others are carried", async || {
        town.clock.advance(TimeDelta::milliseconds(20)).unwrap();
        within(dispatcher.run_once(town.now())).await.unwrap();
        let n = carriers.count("other");
        (n as i64 == OTHERS).then_some(n)
    })
    .await;
    assert_eq!((others as i64, carriers.count("mail")), (OTHERS, 0));
    until("only its part is left", async || {
        within(dispatcher.run_once(town.now())).await.unwrap();
        (dispatcher.under_way() <= 304).then_some(())
    })
    .await;
    gate.open();
    within(dispatcher.drain()).await;
    for _ in 0..100 {
        town.clock.advance(TimeDelta::minutes(1)).unwrap();
        run_dry(&deps, &mut dispatcher).await;
    }
    assert_eq!(carriers.count("mail") as i64, 2000 - OTHERS, "none is lost");
}

#[tokio::test]
async fn a_better_class_does_not_starve_another() {
    let town = town(&sender("mail", "[senders.pace]\nrate = \"600/1m\""), 700).await;
    let post = Postbox::open();
    let deps = town.daemon(post.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), "true").await;
    sqlx::query("update queue set class = 0 where touch_id in (select touch_id from queue order by contact_id limit 600)")
        .execute(&town.db.pool)
        .await
        .unwrap();
    for _ in 0..400 {
        within(dispatcher.run_once(town.now())).await.unwrap();
        within(dispatcher.drain()).await;
        town.clock.advance(TimeDelta::milliseconds(100)).unwrap();
    }
    let of = async |class: i16| -> i64 {
        sqlx::query_scalar("select count(*) from message where class = $1 and outcome = 'accepted'")
            .bind(class)
            .fetch_one(&town.db.pool)
            .await
            .unwrap()
    };
    let (urgent, marketing) = (of(0).await, of(3).await);
    eprintln!("{urgent} urgent, {marketing} marketing");
    assert!(
        urgent > 250 && (15..=60).contains(&marketing),
        "{urgent} {marketing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_has_its_rate_and_its_number_at_once() {
    let more = "[pace.providers.net]\ndomains = [\"Example.NET\"]\nrate = \"60/1h\"\nconcurrency = 3\n";
    let town = town(&format!("{more}{}", sender("mail", "")), 30).await;
    let post = Postbox::open();
    let gate = post.hold_before();
    let deps = town.daemon(post.channel()).await;
    let mut dispatcher = Dispatcher::new(deps.clone());
    town.queue("news", monday(), "true").await;
    within(dispatcher.run_once(town.now())).await.unwrap();
    assert_eq!(
        dispatcher.under_way(),
        1,
        "what a second's worth of the rate allows"
    );
    // The grant is past its life when its mail could cross, and there is no other yet.
    town.clock.advance(TimeDelta::seconds(30)).unwrap();
    gate.open();
    within(dispatcher.drain()).await;
    assert_eq!(post.len(), 0);
    assert_eq!(
        town.count("select count(*) from queue where held = 'pace'").await,
        30
    );
    for _ in 0..60 {
        town.clock.advance(TimeDelta::minutes(1)).unwrap();
        run_dry(&deps, &mut dispatcher).await;
    }
    assert!((25..=30).contains(&post.len()), "{}", post.len());
}

/// How many are due at once: `KITH_CROWD`, or few enough for every day.
fn crowd() -> i32 {
    std::env::var("KITH_CROWD").map_or(1000, |n| n.parse().expect("KITH_CROWD is a number"))
}

#[tokio::test]
async fn a_crowd_that_is_due_at_nine_is_spread_over_its_hours() {
    let (name, text) = one_mail("news");
    let spread = (name, format!("{text}spread = \"3h\"\n"));
    let hours = OPEN_HOURS.replace("marketing = \"always\"", "marketing = \"08:00-11:00\"");
    let town = Town::found(&hours, &[spread], monday()).await;
    town.settle(crowd(), 1).await;
    enroll(&town.db.pool, "news", monday(), "true").await;
    let deps = town.daemon(Postbox::open().channel()).await;
    while plan::run_once(&deps, monday()).await.unwrap().more {}
    let by_quarter: Vec<(i32, i64)> = sqlx::query_as(
        "select (extract(epoch from due_at - $1) / 900)::int, count(*) from
         (select date_bin('15 min', due_at, $1) as due_at from queue) q group by 1 order by 1",
    )
    .bind(monday())
    .fetch_all(&town.db.pool)
    .await
    .unwrap();
    let quarters: Vec<i32> = by_quarter.iter().map(|(quarter, _)| *quarter).collect();
    assert_eq!(
        quarters,
        (0..8).collect::<Vec<_>>(),
        "two hours are left of the window"
    );
    eprintln!("{} at once, by quarters of an hour: {by_quarter:?}", crowd());
    let even = f64::from(crowd()) / 8.0;
    assert!(
        by_quarter
            .iter()
            .all(|(_, n)| (*n as f64 - even).abs() <= 3.2 * even.sqrt()),
        "{by_quarter:?}"
    );
}
