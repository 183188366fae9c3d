//! The journal: outcomes that wait for the database, those it refuses, and a database that forgot what crossed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kith::clock::Clock;
use kith::config::Mode;
use kith::daemon::identity;
use kith::domain::id::IdSource;
use kith::engine::dispatch::Dispatcher;
use kith::engine::journal::{Journal, trail};
use kith::engine::outcomes::Ended;
use kith::engine::{Deps, recover, sweep};
use kith::store::outcome::MessageRow;
use kith::store::{control, outcome, partition};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rig::{OPEN_HOURS, Postbox, Town, bury, one_mail, run_dry, until, within};

fn tuesday() -> DateTime<Utc> {
    "2027-03-02T10:00:00Z".parse().unwrap()
}

/// A town with people whose mail is due, and a daemon with a journal.
struct Scene {
    town: Town,
    postbox: Postbox,
    deps: Arc<Deps>,
    room: TempDir,
}

impl Scene {
    async fn with(people: i32) -> Self {
        let town = Town::found(OPEN_HOURS, &[one_mail("first")], tuesday()).await;
        town.settle(people, 1).await;
        town.queue("first", town.now(), "true").await;
        let postbox = Postbox::open();
        let room = tempfile::tempdir().unwrap();
        let deps = town
            .daemon_of(postbox.channel(), Some(&room.path().join("journal")))
            .await;
        Self {
            town,
            postbox,
            deps,
            room,
        }
    }

    fn folder(&self) -> PathBuf {
        self.room.path().join("journal")
    }

    /// What a start of the daemon looks at. Returns whether it may claim, and the reason at the brake when that is on.
    async fn look(&self, mode: Mode) -> (bool, Option<String>) {
        let (pool, now) = (&self.town.db.pool, self.town.now());
        let may = identity::check(pool, mode, Some(&self.folder()), &IdSource::Random, now)
            .await
            .unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let known = control::read(&mut conn).await.unwrap();
        (may, known.brake_reason.filter(|_| known.brake))
    }

    async fn list(&self) -> recover::Findings {
        let mut conn = self.town.db.pool.acquire().await.unwrap();
        recover::list(&mut conn, &self.folder(), 100).await.unwrap()
    }

    async fn run(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.town.db.pool).await.unwrap();
    }

    /// The database forgets the crossings of some people, and what they were charged.
    async fn forget(&self, people: &str) {
        let text = forgetting(people);
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&self.town.db.pool)
            .await
            .unwrap();
        self.run("delete from pace").await;
    }
}

/// Makes the database forget the crossings of people whose address is so, as if the commits had been lost.
fn forgetting(people: &str) -> String {
    format!(
        "with m as (delete from message m using contact c where c.id = m.contact_id and c.email {people} returning m.*),
          t as (update touch t set state = 'queued', done_at = null from m where t.id = m.touch_id returning t.*)
         insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, cadence, cadence_version_id,
                            step_key, address_hash, class, channel, due_at, first_due_at, expires_at)
         select t.id, t.shard, m.id, t.enrollment_id, t.contact_id, m.account_id, m.cadence, e.cadence_version_id, t.step_key,
                c.email_hash, m.class, m.channel, t.due_at, t.due_at, t.due_at + interval '30 days'
         from t join m on m.touch_id = t.id join enrollment e on e.id = t.enrollment_id join contact c on c.id = t.contact_id"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_database_refuses_holds_up_nobody() {
    let scene = Scene::with(60).await;
    scene
        .run("alter table message add constraint picky check (address not like 'p0000000a-1@%')")
        .await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(scene.postbox.len(), 60);
    let count = async |sql| scene.town.count(sql).await;
    assert_eq!(
        count("select count(*) from message where outcome = 'accepted'").await,
        59
    );
    assert_eq!(
        count("select count(*) from queue where state = 'crossing'").await,
        1
    );
    assert_eq!(Journal::set_aside_in(&scene.folder()), 1);
    let kept = std::fs::read_to_string(scene.folder().join("refused.jsonl")).unwrap();
    assert!(
        kept.contains("picky") && kept.contains("\"outcome\":\"accepted\""),
        "{kept}"
    );
    // The next is written as if nothing had been.
    scene.run("alter table message drop constraint picky").await;
    scene.run("update enrollment set state = 'finished'").await;
    let next = "c.email like 'p0000000b-1@%'";
    scene.town.clock.advance(TimeDelta::days(2)).unwrap();
    scene.town.queue("first", scene.town.now(), next).await;
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(
        count("select count(*) from message where outcome = 'accepted'").await,
        60
    );
    // Nothing of this is forgotten: the one is still known as crossing, and as uncertain later.
    assert!(scene.list().await.forgotten.is_empty());
    bury(&scene.town.db.pool, &scene.deps).await;
    within(sweep::inherit(&scene.deps, scene.town.now()))
        .await
        .unwrap();
    assert_eq!(scene.list().await.uncertain.len(), 1);
}

fn row(touch_id: Uuid, id: Uuid, outcome: &str, reply: &str) -> Ended {
    Ended::Done {
        row: Box::new(MessageRow {
            touch_id,
            id,
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
            reply: Some(reply.to_owned()),
            done_at: tuesday(),
            crossed_at: None,
        }),
        task: None,
        body: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_outcome_does_not_keep_the_journal_from_being_replayed() {
    let scene = Scene::with(3).await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    let gate = scene.postbox.hold_crossed();
    within(dispatcher.run_once(scene.town.now())).await.unwrap();
    within(gate.arrived(3)).await;
    let crossed: Vec<(Uuid, Uuid)> = sqlx::query_as("select touch_id, message_id from queue order by 1")
        .fetch_all(&scene.town.db.pool)
        .await
        .unwrap();
    let (pool, folder) = (&scene.town.db.pool, scene.folder());
    {
        let former = Journal::at(folder.clone(), Uuid::from_u128(1), Uuid::nil());
        let (texts, other) = (
            ["250 ok", "250 \0", "250 fine"],
            Journal::at(folder.clone(), Uuid::from_u128(2), Uuid::nil()),
        );
        let ended: Vec<Ended> = crossed
            .iter()
            .zip(texts)
            .map(|((touch, message), text)| row(*touch, *message, "accepted", text))
            .collect();
        former.append(ended.iter()).unwrap();
        // What a living process owes is left to it.
        assert_eq!(other.replay(pool, &Clock::System).await.unwrap(), 0);
        assert_eq!(scene.town.count("select count(*) from message").await, 0);
    }
    let path = folder.join(format!("{}.outcomes", Uuid::from_u128(1)));
    let torn = [
        std::fs::read(&path).unwrap().as_slice(),
        b"{\"done\":{\"row\":{\"tou",
    ]
    .concat();
    std::fs::write(&path, torn).unwrap();
    assert_eq!(scene.deps.journal.replay(pool, &Clock::System).await.unwrap(), 3);
    assert_eq!(
        scene
            .town
            .count("select count(*) from message where outcome = 'accepted'")
            .await,
        2
    );
    assert_eq!(
        Journal::set_aside_in(&folder),
        2,
        "the refused one, and the torn line"
    );
    assert!(!path.exists());
    assert_eq!(scene.deps.journal.replay(pool, &Clock::System).await.unwrap(), 0);
    gate.kill();
    within(dispatcher.drain()).await;
}

/// The database goes away between the dot and the answer.
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_without_a_database_are_written_at_the_next_start() {
    let scene = Scene::with(20).await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    let gate = scene.postbox.hold_crossed();
    within(dispatcher.run_once(scene.town.now())).await.unwrap();
    within(gate.arrived(20)).await;
    scene.deps.pool.close().await;
    gate.open();
    within(dispatcher.drain()).await;
    bury(&scene.town.db.pool, &scene.deps).await;
    let next = scene
        .town
        .daemon_of(scene.postbox.channel(), Some(&scene.folder()))
        .await;
    within(sweep::inherit(&next, scene.town.now())).await.unwrap();
    assert_eq!(scene.list().await.uncertain.len(), 20, "so far nobody knows");
    drop((dispatcher, scene.deps));
    // The file is free when the process that wrote it is gone; here, when its tasks are.
    until("the journal is replayed", async || {
        let replayed = next.journal.replay(&next.pool, &next.clock).await.unwrap();
        (replayed == 20).then_some(())
    })
    .await;
    let settled = "select count(*) from message m join touch t on t.id = m.touch_id where m.outcome = 'accepted' and t.state = 'sent'";
    assert_eq!(scene.town.count(settled).await, 20);
}

/// The host is dead for a day with its journal; the others go on, and what it knew settles what they did not.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_of_a_dead_host_settles_its_unknowns_a_day_later() {
    let scene = Scene::with(20).await;
    let mut conn = scene.town.db.pool.acquire().await.unwrap();
    partition::ensure(&mut conn, tuesday()).await.unwrap();
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    let gate = scene.postbox.hold_crossed();
    within(dispatcher.run_once(scene.town.now())).await.unwrap();
    within(gate.arrived(20)).await;
    scene.deps.pool.close().await;
    gate.open();
    within(dispatcher.drain()).await;
    bury(&scene.town.db.pool, &scene.deps).await;
    // Another host, with a journal of its own.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = scene
        .town
        .daemon_of(scene.postbox.channel(), Some(elsewhere.path()))
        .await;
    within(sweep::inherit(&other, scene.town.now())).await.unwrap();
    for _ in 0..24 {
        scene.town.clock.advance(TimeDelta::hours(1)).unwrap();
        within(sweep::run_once(&other, scene.town.now())).await.unwrap();
    }
    let unknown = kith::store::uncertain::standing(&mut conn, None).await.unwrap();
    assert_eq!(unknown.n, 20, "nobody knows, all day");
    drop((dispatcher, scene.deps));
    let back = scene
        .town
        .daemon_of(scene.postbox.channel(), Some(&scene.room.path().join("journal")))
        .await;
    until("the journal is replayed", async || {
        let replayed = back.journal.replay(&back.pool, &back.clock).await.unwrap();
        (replayed == 20).then_some(())
    })
    .await;
    let settled = "select count(*) from message m join touch t on t.id = m.touch_id where m.outcome = 'accepted' and t.state = 'sent'";
    assert_eq!(scene.town.count(settled).await, 20);
    assert_eq!(scene.postbox.len(), 20, "and nobody got a second one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_forgot_crossings_starts_with_the_brake_on() {
    let scene = Scene::with(40).await;
    assert_eq!(scene.look(Mode::Live).await, (true, None), "a first start");
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(scene.look(Mode::Live).await, (true, None), "it knows all");
    scene.forget("< 'p00000006'").await;
    let (may, why) = scene.look(Mode::Live).await;
    assert!(may && why.as_ref().unwrap().contains("is behind"), "{why:?}");
    assert!(why.unwrap().contains("does not know 5 messages"));
    // Somebody had put the brake on for reasons of his own: he is told too, and once.
    scene.run("update control set brake_reason = 'maintenance'").await;
    for _ in 0..2 {
        let (_, why) = scene.look(Mode::Live).await;
        let why = why.unwrap();
        assert!(
            why.starts_with("maintenance; ") && why.matches("is behind").count() == 1,
            "{why}"
        );
    }
    // Nothing is sent; then the operator looks, has it written down, and lifts the brake: nobody gets a second one.
    let found = scene.list().await;
    assert_eq!(found.forgotten.len(), 5);
    assert!(
        found.brake
            && found
                .forgotten
                .iter()
                .all(|one| one.seen == "accepted" && one.database == "would be sent")
    );
    scene.town.clock.advance(TimeDelta::minutes(10)).unwrap();
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(scene.postbox.len(), 40);
    let mut conn = scene.town.db.pool.acquire().await.unwrap();
    assert_eq!(recover::remember(&mut conn, &scene.folder()).await.unwrap(), 5);
    assert_eq!(
        recover::remember(&mut conn, &scene.folder()).await.unwrap(),
        0,
        "once"
    );
    assert!(scene.list().await.forgotten.is_empty());
    control::brake(&mut conn, false, "looked", "test", scene.town.now())
        .await
        .unwrap();
    scene.town.clock.advance(TimeDelta::minutes(10)).unwrap();
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(scene.postbox.len(), 40);
    assert_eq!(
        scene
            .town
            .count("select count(*) from touch where state <> 'sent'")
            .await,
        0
    );
    assert_eq!(
        scene
            .town
            .count("select count(*) from message where outcome = 'accepted'")
            .await,
        40
    );
    assert_eq!(scene.look(Mode::Live).await, (true, None));
}

/// An operator who lifts the brake answers for what was sent before: it is not asked about again, and what the database
/// holds to be due is sent.
#[tokio::test(flavor = "multi_thread")]
async fn lifting_the_brake_answers_for_what_was_forgotten() {
    let scene = Scene::with(10).await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    run_dry(&scene.deps, &mut dispatcher).await;
    scene.forget("< 'p00000004'").await;
    scene.town.clock.advance(TimeDelta::minutes(1)).unwrap();
    assert!(scene.look(Mode::Live).await.1.is_some());
    let mut conn = scene.town.db.pool.acquire().await.unwrap();
    control::brake(
        &mut conn,
        false,
        "they may get it twice",
        "test",
        scene.town.now(),
    )
    .await
    .unwrap();
    assert_eq!(scene.look(Mode::Live).await, (true, None));
    assert!(scene.list().await.forgotten.is_empty());
    run_dry(&scene.deps, &mut dispatcher).await;
    assert_eq!(scene.postbox.len(), 13);
}

/// What is open when a daemon dies, and what it took back, is nothing that the database forgot.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_or_a_withdrawal_is_no_reason_for_the_brake() {
    let scene = Scene::with(30).await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    let gate = scene.postbox.hold_crossed();
    within(dispatcher.run_once(scene.town.now())).await.unwrap();
    within(gate.arrived(30)).await;
    assert_eq!(scene.look(Mode::Live).await, (true, None), "crossing");
    gate.kill();
    within(dispatcher.drain()).await;
    assert_eq!(
        scene
            .town
            .count("select count(*) from queue where state = 'waiting'")
            .await,
        30
    );
    assert_eq!(scene.look(Mode::Live).await, (true, None), "withdrawn");
    let again = scene.postbox.hold_crossed();
    scene.town.clock.advance(TimeDelta::minutes(1)).unwrap();
    within(dispatcher.run_once(scene.town.now())).await.unwrap();
    within(again.arrived(30)).await;
    bury(&scene.town.db.pool, &scene.deps).await;
    let heir = scene.town.daemon(Postbox::open().channel()).await;
    within(sweep::inherit(&heir, scene.town.now())).await.unwrap();
    assert_eq!(scene.look(Mode::Live).await, (true, None), "uncertain");
    assert_eq!(scene.list().await.uncertain.len(), 30);
    again.open();
    within(dispatcher.drain()).await;
    assert_eq!(scene.look(Mode::Live).await, (true, None), "settled");
    let files = trail::files(&scene.folder()).unwrap();
    assert_eq!(files.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_or_copied_server_starts_with_the_brake_on() {
    let scene = Scene::with(1).await;
    assert_eq!(scene.look(Mode::Live).await, (true, None));
    scene.run("update control set timeline = timeline + 1").await;
    let (may, why) = scene.look(Mode::Live).await;
    assert!(may && why.unwrap().contains("promoted"));
    scene
        .run("update control set brake = false, system_identifier = '7'")
        .await;
    let (may, why) = scene.look(Mode::Live).await;
    assert!(may && why.unwrap().contains("another than before"));
    scene.run("update control set brake = false").await;
    assert_eq!(scene.look(Mode::Live).await, (true, None), "noted once");
    // A copy that live mode is not bound to claims nothing, even with the brake off.
    scene
        .run("update control set live_database_id = gen_random_uuid()")
        .await;
    let (may, why) = scene.look(Mode::Live).await;
    assert!(!may && why.unwrap().contains("kith brake off --live"));
    assert!(scene.look(Mode::Sandbox).await.0);
}

/// The second try of an unknown one may die as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_that_dies_too_is_still_one_uncertain_message() {
    let scene = Scene::with(2).await;
    let mut conn = scene.town.db.pool.acquire().await.unwrap();
    for tries in 1..=2 {
        let postbox = Postbox::open();
        let deps = scene
            .town
            .daemon_of(postbox.channel(), Some(&scene.folder()))
            .await;
        let gate = postbox.hold_crossed();
        let mut dispatcher = Dispatcher::new(deps.clone());
        within(dispatcher.run_once(scene.town.now())).await.unwrap();
        within(gate.arrived(2)).await;
        bury(&scene.town.db.pool, &deps).await;
        within(sweep::inherit(&scene.deps, scene.town.now()))
            .await
            .unwrap();
        let rows: Vec<i16> = sqlx::query_scalar("select tries from message where outcome = 'uncertain'")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        assert_eq!(rows, [tries, tries]);
        scene.town.clock.advance(TimeDelta::days(2)).unwrap();
        let again = outcome::retry_uncertain(&mut conn, 3, scene.town.now(), scene.town.now())
            .await
            .unwrap();
        assert_eq!(again, if tries == 1 { 2 } else { 0 });
        std::mem::forget(dispatcher);
    }
}

/// Only for the eyes of its owner.
#[tokio::test(flavor = "multi_thread")]
async fn the_trail_names_nobody() {
    let scene = Scene::with(5).await;
    let mut dispatcher = Dispatcher::new(scene.deps.clone());
    run_dry(&scene.deps, &mut dispatcher).await;
    let file = trail::files(&scene.folder()).unwrap().remove(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"first\"") && !text.contains('@'), "{text}");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&scene.folder()), 0o700);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// A running daemon: the database goes away under it, comes back, and has lost its last commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_looks_again_after_the_database_was_away() {
    let scene = Scene::with(40).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(kith::daemon::run(
        scene.deps.clone(),
        kith::daemon::Role::Worker,
        stop.clone(),
    ));
    until("all were sent", async || {
        (scene.postbox.len() == 40).then_some(())
    })
    .await;
    let accepted = "select count(*) from message where outcome = 'accepted'";
    until("and written", async || {
        (scene.town.count(accepted).await == 40).then_some(())
    })
    .await;
    // Nobody gets in while it is changed.
    let name = scene.town.db.options.get_database().unwrap().to_owned();
    let server = sqlx::PgPool::connect_with(scene.town.db.options.clone().database("postgres"))
        .await
        .unwrap();
    let door = async |open: bool| {
        let text = format!("alter database {name} allow_connections {open}");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&server)
            .await
            .unwrap();
    };
    let mut own = scene.town.db.pool.acquire().await.unwrap();
    let me: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *own)
        .await
        .unwrap();
    door(false).await;
    let others =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1 and pid <> $2";
    let gone: i64 = sqlx::query_scalar(others)
        .bind(&name)
        .bind(me)
        .fetch_one(&server)
        .await
        .unwrap();
    assert!(gone > 0);
    sqlx::query(sqlx::AssertSqlSafe(forgetting("< 'p00000006'")))
        .execute(&mut *own)
        .await
        .unwrap();
    sqlx::query("delete from pace").execute(&mut *own).await.unwrap();
    drop(own);
    // Long enough that the daemon, which looks at its work four times a second, has found the door shut.
    let knocks = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
    tokio::time::sleep_until(knocks).await;
    door(true).await;
    let reason = until("the brake is on", async || {
        let said: Result<Option<String>, _> =
            sqlx::query_scalar("select brake_reason from control where brake")
                .fetch_optional(&scene.town.db.pool)
                .await;
        said.ok().flatten()
    })
    .await;
    assert!(reason.contains("is behind"), "{reason}");
    until("it claims again, and the gate holds them", async || {
        (scene
            .town
            .count("select count(*) from queue where held = 'brake'")
            .await
            == 5)
            .then_some(())
    })
    .await;
    assert_eq!(scene.postbox.len(), 40);
    stop.cancel();
    within(running).await.unwrap().unwrap();
}
