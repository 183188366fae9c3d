//! A standby made by `pg_basebackup` and promoted under load. What a synchronous one took over is whole: nobody hears twice.
//! One that lagged has forgotten what was sent: the brake comes on before anything is claimed there.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use kith::postgres::{Embedded, EmbeddedOptions};
use kith::store;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

use crate::harness::{TestDb, clear_at_exit};
use crate::process::Workshop;
use crate::rig::until;

const DATABASE: &str = "kith_failover";
const MESSAGES: i32 = 3000;
const BEFORE: usize = 300;

/// The address that stays while the servers change.
struct Door {
    port: u16,
    to: Arc<Mutex<PathBuf>>,
}

impl Door {
    async fn open(to: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = Arc::new(Mutex::new(to));
        let place = to.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let socket = place.lock().unwrap().clone();
                tokio::spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(socket).await {
                        // Either end may be cut at any time.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { port, to }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join(".s.PGSQL.5432")
}

/// A server and its standby.
struct Pair {
    primary: Embedded,
    standby: PgConnectOptions,
    standby_socket: PathBuf,
}

impl Pair {
    async fn start(name: &str) -> Self {
        let base = PathBuf::from(format!("/tmp/kith-{name}-{}", std::process::id()));
        clear_at_exit(&base);
        let primary = kith::postgres::start(EmbeddedOptions {
            data_dir: Some(base.clone()),
            settings: [("fsync", "off"), ("wal_keep_size", "512MB")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        })
        .await
        .unwrap();
        let options = primary.connect_options();
        let mut conn = PgConnection::connect_with(&options).await.unwrap();
        let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();

        let other = base.with_extension("standby");
        clear_at_exit(&other);
        let owner = fs::metadata(base.join("postgres")).unwrap();
        fs::create_dir(&other).unwrap();
        chown(&other, Some(owner.uid()), Some(owner.gid())).unwrap();
        let data = other.join("postgres");
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(Path::new(&bin).join(program));
            command.args(args).current_dir("/").stdin(Stdio::null());
            if nix::unistd::geteuid().is_root() {
                command.uid(owner.uid()).gid(owner.gid());
            }
            // Not piped: the server that `pg_ctl` leaves behind would hold the pipe open.
            let log = fs::File::options()
                .create(true)
                .append(true)
                .open(base.with_extension("log"))
                .unwrap();
            let status = command
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .status()
                .unwrap();
            assert!(
                status.success(),
                "{program}: {}",
                fs::read_to_string(base.with_extension("log")).unwrap()
            );
        };
        let from = options.get_socket().unwrap().display().to_string();
        let port = options.get_port().to_string();
        let data = data.to_str().unwrap();
        run(
            "pg_basebackup",
            &[
                "-h", &from, "-p", &port, "-U", "kith", "-D", data, "-R", "-X", "stream", "-c", "fast",
            ],
        );
        let settings = format!(
            "-k {} -p 5432 -c listen_addresses= -c hot_standby=on -c fsync=off",
            other.display()
        );
        let log = other.join("log");
        run(
            "pg_ctl",
            &[
                "-D",
                data,
                "-l",
                log.to_str().unwrap(),
                "-o",
                &settings,
                "-w",
                "start",
            ],
        );
        let standby = PgConnectOptions::new_without_pgpass()
            .socket(&other)
            .port(5432)
            .username("kith")
            .database("postgres");
        Self {
            primary,
            standby,
            standby_socket: socket(&other),
        }
    }

    async fn on_primary(&self, sql: &'static str) {
        let mut conn = PgConnection::connect_with(&self.primary.connect_options())
            .await
            .unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    async fn on_standby(&self, sql: &'static str) {
        let mut conn = PgConnection::connect_with(&self.standby).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    async fn replicating(&self, sql: &'static str, wanted: i64) {
        let options = self.primary.connect_options();
        until("the standby follows as it should", async || {
            let mut conn = PgConnection::connect_with(&options).await.ok()?;
            let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut conn).await.ok()?;
            (found == wanted).then_some(())
        })
        .await;
    }
}

struct Scene {
    pair: Pair,
    door: Door,
    workshop: Workshop,
}

impl Scene {
    async fn set(name: &str) -> Self {
        let pair = Pair::start(name).await;
        pair.on_primary("create database kith_failover").await;
        let from = pair.primary.connect_options();
        let file = format!(".s.PGSQL.{}", from.get_port());
        let door = Door::open(from.get_socket().unwrap().join(file)).await;
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(door.port)
            .username("kith")
            .database(DATABASE);
        let pool = store::connect(options.clone(), 5).await.unwrap();
        store::migrate(&pool).await.unwrap();
        let workshop = Workshop::on(TestDb { pool, options }, &["first"]).await;
        pair.replicating(
            "select count(*) from pg_stat_replication where state = 'streaming'",
            1,
        )
        .await;
        Self { pair, door, workshop }
    }

    fn stored(&self) -> usize {
        self.workshop
            .server
            .log()
            .iter()
            .filter(|record| record.stored)
            .count()
    }

    /// Kills the server under load and promotes the other in its place. Waits for the brake.
    async fn fail_over(&self) {
        self.workshop.due(MESSAGES).await;
        until("the load is on", async || (self.stored() >= BEFORE).then_some(())).await;
        kill(Pid::from_raw(self.pair.primary.pid()), Signal::SIGQUIT).unwrap();
        self.pair
            .standby_socket
            .clone_into(&mut self.door.to.lock().unwrap());
        self.pair.on_standby("select pg_promote(true, 60)").await;
        until("the brake is on", async || {
            let brake: bool = sqlx::query_scalar("select brake from control")
                .fetch_one(&self.workshop.db.pool)
                .await
                .ok()?;
            brake.then_some(())
        })
        .await;
    }

    fn forgotten(&self) -> usize {
        let output = self
            .workshop
            .command("one")
            .args(["recover", "--format", "json"])
            .output()
            .unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        found["forgotten"].as_array().unwrap().len()
    }

    /// Messages that the server took more than once.
    fn twins(&self) -> usize {
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for record in self.workshop.server.log().iter().filter(|record| record.stored) {
            *copies.entry(record.message_id.clone()).or_default() += 1;
        }
        copies.values().filter(|n| **n > 1).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_takes_over_without_twins() {
    let scene = Scene::set("sync").await;
    scene
        .pair
        .on_primary("alter system set synchronous_standby_names = '*'")
        .await;
    scene.pair.on_primary("select pg_reload_conf()").await;
    let synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    scene.pair.replicating(synchronous, 1).await;
    let daemon = scene.workshop.run("one", "hello@example.com");
    scene.fail_over().await;
    assert_eq!(scene.forgotten(), 0, "what was answered is known there");
    scene.workshop.done(&["brake", "off"]);
    scene.workshop.all_ended().await;
    scene.workshop.server.quiet().await;
    assert_eq!(scene.twins(), 0);
    let ends = "select count(*) from message where outcome in ('accepted', 'uncertain')";
    assert_eq!(
        scene.workshop.count(ends).await,
        i64::from(MESSAGES),
        "none is lost"
    );
    let uncertain = scene
        .workshop
        .count("select count(*) from message where outcome = 'uncertain'")
        .await;
    assert!(scene.stored() as i64 >= i64::from(MESSAGES) - uncertain);
    assert!(daemon.leave().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lagged_gets_the_brake_and_sends_nothing() {
    let scene = Scene::set("async").await;
    scene
        .pair
        .on_standby("alter system set primary_conninfo = ''")
        .await;
    scene.pair.on_standby("select pg_reload_conf()").await;
    scene
        .pair
        .replicating("select count(*) from pg_stat_replication", 0)
        .await;
    let daemon = scene.workshop.run("one", "hello@example.com");
    scene.fail_over().await;
    scene.workshop.server.quiet().await;
    let sent = scene.stored();
    let beats =
        "select count(*) from daemon where ended_at is null and heartbeat_at - started_at > interval '3 s'";
    until("the daemon lives on there", async || {
        (scene.workshop.count(beats).await > 0).then_some(())
    })
    .await;
    assert_eq!(scene.stored(), sent, "the brake holds");
    assert_eq!(scene.twins(), 0);
    let why: String = sqlx::query_scalar("select brake_reason from control")
        .fetch_one(&scene.workshop.db.pool)
        .await
        .unwrap();
    assert!(
        why.contains("behind"),
        "its control row never saw the first server: {why}"
    );
    assert!(
        scene.forgotten() >= BEFORE.min(sent),
        "{} of {sent}",
        scene.forgotten()
    );
    assert!(daemon.leave().await.success());
}
