//! Daemons behind PgBouncer in transaction mode: a session's state is nobody's, and a connection changes under every transaction.
//!
//! `KITH_PGBOUNCER` names another program than the one that is found.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::process::Workshop;
use crate::rig::until;

/// The first version that keeps prepared statements in transaction mode. Older ones lose them between two transactions.
const FIRST: (u32, u32) = (1, 21);
/// Fewer than one daemon opens, so that they have to share.
const SERVERS: usize = 4;
const MESSAGES: i32 = 1000;

/// The program, or why there is none that will do.
fn pgbouncer() -> Result<String, String> {
    let named = std::env::var("KITH_PGBOUNCER").ok();
    let candidates = named.map_or_else(
        || vec!["pgbouncer".to_owned(), "/usr/sbin/pgbouncer".to_owned()],
        |program| vec![program],
    );
    let found = candidates
        .into_iter()
        .find_map(|program| Some((Command::new(&program).arg("--version").output().ok()?, program)));
    let Some((output, program)) = found else {
        return Err("pgbouncer is not installed".to_owned());
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= FIRST => Ok(program),
        _ => Err(format!(
            "PgBouncer {version} keeps no prepared statements in transaction mode; 1.21 does"
        )),
    }
}

struct Pooler {
    child: Child,
    port: u16,
    _room: tempfile::TempDir,
}

impl Pooler {
    async fn start(program: &str, to: &PgConnectOptions) -> Self {
        let room = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let place = to
            .get_socket()
            .map_or_else(|| to.get_host().to_owned(), |s| s.display().to_string());
        // It refuses to be root; whoever runs Postgres may reach its socket.
        let user = to
            .get_socket()
            .filter(|_| geteuid().is_root())
            .map(|socket| fs::metadata(socket).unwrap().uid())
            .map(|uid| User::from_uid(Uid::from_raw(uid)).unwrap().unwrap().name)
            .map_or_else(String::new, |name| format!("user = {name}\n"));
        let ini = format!(
            "[databases]\n* = host={place} port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVERS}\n\
             max_prepared_statements = 200\nignore_startup_parameters = extra_float_digits\n{user}",
            to.get_port(),
            to.get_username(),
        );
        let file = room.path().join("pgbouncer.ini");
        fs::write(&file, ini).unwrap();
        fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let log = fs::File::create(room.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pooler = Self {
            child,
            port,
            _room: room,
        };
        let options = pooler.options(to);
        until("the pooler answers", async || {
            PgConnection::connect_with(&options).await.ok()
        })
        .await
        .close()
        .await
        .unwrap();
        pooler
    }

    fn options(&self, to: &PgConnectOptions) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(to.get_username())
            .database(to.get_database().unwrap())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_four_connections_of_a_pooler_in_transaction_mode() {
    let program = match pgbouncer() {
        Ok(program) => program,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let mut workshop = Workshop::open(&["first"]).await;
    let pooler = Pooler::start(&program, &workshop.db.options).await;
    let options = &workshop.db.options;
    workshop.address = Some(format!(
        "postgres://{}@127.0.0.1:{}/{}",
        options.get_username(),
        pooler.port,
        options.get_database().unwrap()
    ));
    let daemons = [workshop.run_as("one", "all"), workshop.run_as("other", "worker")];
    until("both daemons are registered", async || {
        (workshop
            .count("select count(*) from daemon where ended_at is null")
            .await
            == 2)
            .then_some(())
    })
    .await;
    workshop.due(MESSAGES).await;
    workshop.all_ended().await;
    let rows: serde_json::Value =
        serde_json::from_str(&workshop.done(&["daemons", "--format", "json"])).unwrap();
    assert_eq!(
        rows.as_array().unwrap().len(),
        2,
        "the command line goes through it too"
    );
    for daemon in daemons {
        let (status, log) = daemon.left().await;
        assert!(status.success(), "{log}");
        assert!(!log.contains("prepared statement"), "{log}");
        assert!(!log.contains("failed"), "{log}");
    }
    let taken = workshop
        .server
        .log()
        .iter()
        .filter(|record| record.stored)
        .count();
    assert_eq!(taken, MESSAGES as usize, "each message once");
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
}
