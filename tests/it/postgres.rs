//! The embedded Postgres: start, stop, adoption after a kill, sharing, and the accounts it runs under.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kith::postgres::{Embedded, EmbeddedOptions, PostgresError, start};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::{Connection, PgConnection};

use crate::harness::clear_at_exit;

const CHILD_DIR: &str = "KITH_TEST_CHILD_DIR";

/// A data directory under a short path, with settings for a small server.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kith-pg-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        clear_at_exit(&dir);
        Self(dir)
    }

    fn options(&self) -> EmbeddedOptions {
        let settings = vec![("shared_buffers".to_owned(), "16MB".to_owned())];
        EmbeddedOptions {
            data_dir: Some(self.0.clone()),
            settings,
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.0.join("postgres/postmaster.pid")
    }
}

async fn ask(embedded: &Embedded, question: &'static str) -> String {
    let mut connection = PgConnection::connect_with(&embedded.connect_options())
        .await
        .unwrap();
    sqlx::query_scalar(question)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn tell(embedded: &Embedded, statement: &'static str) {
    let mut connection = PgConnection::connect_with(&embedded.connect_options())
        .await
        .unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn it_starts_safe_keeps_its_data_and_ends() {
    let dir = Dir::new();
    let first = start(dir.options()).await.unwrap();
    assert_eq!(first.data_dir(), dir.0);
    assert_eq!(
        ask(&first, "select current_user || ' ' || current_database()").await,
        "kith kith"
    );
    assert_eq!(ask(&first, "show fsync").await, "on");
    assert_eq!(ask(&first, "show synchronous_commit").await, "on");
    assert_eq!(ask(&first, "show listen_addresses").await, "", "no TCP port");
    assert_eq!(
        ask(&first, "show shared_buffers").await,
        "16MB",
        "settings of the caller count"
    );
    tell(&first, "create table kept as select 7 as n").await;
    let pid = first.pid();
    first.stop().await.unwrap();
    assert!(!dir.pid_file().exists(), "the server ended in order");

    let second = start(dir.options()).await.unwrap();
    assert_ne!(second.pid(), pid);
    assert_eq!(ask(&second, "select n::text from kept").await, "7");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn two_users_share_one_server_and_the_last_one_stops_it() {
    let dir = Dir::new();
    let (one, two) = tokio::join!(start(dir.options()), start(dir.options()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.pid(), two.pid(), "one directory never has two servers");
    one.stop().await.unwrap();
    assert_eq!(ask(&two, "select 'still here'").await, "still here");
    two.stop().await.unwrap();
    assert!(!dir.pid_file().exists());
}

#[tokio::test]
async fn a_server_left_by_a_killed_process_is_adopted() {
    let dir = Dir::new();
    let mut child = Holder::start(&dir.0, None);
    let left = child.server_pid;
    child.kill();
    let adopted = start(dir.options()).await.unwrap();
    assert_eq!(adopted.pid(), left);
    assert_eq!(ask(&adopted, "select 'alive'").await, "alive");
    adopted.stop().await.unwrap();
    assert!(
        !dir.pid_file().exists(),
        "an adopted server is stopped like an own one"
    );
}

#[tokio::test]
async fn a_server_that_was_killed_is_started_again() {
    let dir = Dir::new();
    let mut child = Holder::start(&dir.0, None);
    kill(Pid::from_raw(child.server_pid), Signal::SIGKILL).unwrap();
    child.kill();
    assert!(dir.pid_file().exists(), "a stale note is left behind");
    let again = start(dir.options()).await.unwrap();
    assert_ne!(again.pid(), child.server_pid);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_note_with_the_number_of_another_process_does_not_stop_it() {
    let dir = Dir::new();
    start(dir.options()).await.unwrap().stop().await.unwrap();
    let note = format!(
        "{}\n{}\n1764000000\n5432\n/tmp\n\n",
        std::process::id(),
        dir.0.display()
    );
    std::fs::write(dir.pid_file(), note).unwrap();
    start(dir.options()).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_first_start_is_done_over() {
    let dir = Dir::new();
    let remains = dir.0.join("postgres.new/base");
    std::fs::create_dir_all(&remains).unwrap();
    start(dir.options()).await.unwrap().stop().await.unwrap();
    assert!(!remains.exists());
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let dir = Dir::new();
    let options = EmbeddedOptions {
        data_dir: Some(dir.0.join("x".repeat(120))),
        ..dir.options()
    };
    let embedded = start(options).await.unwrap();
    let socket = embedded.connect_options().get_socket().unwrap().clone();
    embedded.stop().await.unwrap();
    assert!(socket.as_os_str().len() < 60, "{}", socket.display());
    std::fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn data_of_a_version_that_is_gone_is_refused_by_name() {
    let dir = Dir::new();
    start(dir.options()).await.unwrap().stop().await.unwrap();
    std::fs::write(dir.0.join("postgres/PG_VERSION"), "9\n").unwrap();
    let refused = start(dir.options()).await.unwrap_err();
    assert!(
        matches!(refused, PostgresError::VersionGone { major: 9, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_setting_the_server_does_not_take_is_told_with_its_log() {
    let dir = Dir::new();
    let settings = vec![("shared_buffers".to_owned(), "a lot".to_owned())];
    let refused = start(EmbeddedOptions {
        settings,
        ..dir.options()
    })
    .await
    .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("invalid value for parameter \"shared_buffers\""),
        "{refused}"
    );
}

#[tokio::test]
async fn an_ordinary_user_runs_it_too() {
    if !geteuid().is_root() {
        return; // then every other test here has shown it
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let dir = Dir::new();
    std::os::unix::fs::chown(&dir.0, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let mut child = Holder::start(&dir.0, Some(&nobody));
    assert_eq!(
        std::fs::metadata(dir.0.join("postgres")).unwrap().uid(),
        nobody.uid.as_raw()
    );
    // Root meets data of an ordinary user: it keeps the owner.
    child.kill();
    let adopted = start(dir.options()).await.unwrap();
    assert_eq!(adopted.pid(), child.server_pid);
    adopted.stop().await.unwrap();
    start(dir.options()).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn root_is_told_when_the_server_cannot_get_to_its_data() {
    if !geteuid().is_root() {
        return;
    }
    let dir = Dir::new();
    let closed = dir.0.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let options = EmbeddedOptions {
        data_dir: Some(closed.join("kith")),
        ..dir.options()
    };
    let refused = start(options).await.unwrap_err();
    assert!(
        matches!(&refused, PostgresError::Unreachable { blocked, .. } if *blocked == closed),
        "{refused}"
    );
}

/// Another process (this test binary again) that holds a server until it is killed.
struct Holder {
    process: Child,
    server_pid: i32,
}

impl Holder {
    fn start(dir: &Path, user: Option<&nix::unistd::User>) -> Self {
        let mut program = std::env::current_exe().unwrap();
        if user.is_some() {
            // The build directory may be closed to that user.
            let copy = dir.join("it");
            std::fs::copy(&program, &copy).unwrap();
            program = copy;
        }
        let mut command = Command::new(program);
        command
            .args(["--exact", "postgres::hold_a_server", "--nocapture", "--ignored"])
            .env(CHILD_DIR, dir);
        command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        if let Some(user) = user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let server_pid = lines
            .find_map(|line| {
                line.unwrap()
                    .split_once("server pid ")
                    .map(|(_, pid)| pid.parse().unwrap())
            })
            .expect("the holder says which server it started");
        Self { process, server_pid }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
#[ignore = "not a test: the process that others of this file start and kill"]
async fn hold_a_server() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let options = EmbeddedOptions {
        data_dir: Some(PathBuf::from(dir)),
        ..EmbeddedOptions::default()
    };
    let embedded = start(options).await.unwrap();
    println!("server pid {}", embedded.pid());
    std::io::stdin().lines().for_each(drop); // until killed, or the parent is gone
    embedded.stop().await.unwrap();
}

#[test]
fn a_command_that_fails_leaves_no_server_behind() {
    let dir = Dir::new();
    let kith = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command
            .args(args)
            .current_dir(&dir.0)
            .env_remove("DATABASE_URL")
            .env("KITH_DATABASE__DATA_DIR", &dir.0);
        command.stdin(Stdio::null()).output().unwrap()
    };
    // No rules are in force, and nobody has that name: both are told after the server was started.
    for (args, why) in [
        (&["run", "--no-web"][..], "no rules are in force"),
        (&["explain", "nobody"], "nobody is called"),
    ] {
        let output = kith(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(!said.contains("already exists"), "{said}");
        assert!(
            dir.0.join("postgres/PG_VERSION").exists() && !dir.pid_file().exists(),
            "{args:?}"
        );
    }
}
