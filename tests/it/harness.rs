//! One Postgres server per run and one database per test.
//!
//! The server is private (an embedded one under `/tmp`, without fsync) or the one of `KITH_TEST_DATABASE_URL`, whose
//! role must be allowed to create databases, and which must have `track_commit_timestamp` on. A template is migrated once and
//! cloned for each test.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use kith::postgres::{Embedded, EmbeddedOptions};
use kith::store;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

const TEMPLATE_LOCK: i64 = 0x6b69_7468_7470_6c74;
const POOL_SIZE: u32 = 5;

/// A migrated database of one test's own, dropped with it.
pub struct TestDb {
    /// A pool of five connections to it.
    pub pool: PgPool,
    /// How to open more.
    pub options: PgConnectOptions,
}

impl TestDb {
    /// Clones the template.
    pub async fn new() -> Self {
        let server = Server::get();
        let name = unique_name();
        let mut admin = server.admin().await;
        run(
            &mut admin,
            format!("create database {name} template {}", server.template),
        )
        .await;
        admin.close().await.unwrap();
        let options = server.options.clone().database(&name);
        let pool = store::connect(options.clone(), POOL_SIZE).await.unwrap();
        // The role's search_path belongs to one database and is not cloned; the migrations find nothing to do.
        store::migrate(&pool).await.unwrap();
        Self { pool, options }
    }

    /// Its address, for `DATABASE_URL` of a process.
    pub fn url(&self) -> String {
        self.options.to_url_lossy().to_string()
    }

    /// An empty database, not migrated.
    pub async fn empty() -> Self {
        let server = Server::get();
        let name = unique_name();
        let mut admin = server.admin().await;
        run(&mut admin, format!("create database {name} template template0")).await;
        admin.close().await.unwrap();
        let options = server.options.clone().database(&name);
        let pool = store::connect(options.clone(), POOL_SIZE).await.unwrap();
        Self { pool, options }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let name = self.options.get_database().unwrap().to_owned();
        // A test's own runtime is on its way out here, so the work gets another.
        let dropped = on_own_runtime(async move || {
            let mut admin = Server::get().admin().await;
            run(&mut admin, format!("drop database if exists {name} with (force)")).await;
            admin.close().await.unwrap();
        });
        if !thread::panicking() {
            dropped.unwrap();
        }
    }
}

struct Server {
    options: PgConnectOptions,
    template: String,
    /// Kept so that the membership lock lives as long as the run.
    _embedded: Option<Embedded>,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| on_own_runtime(Self::start).unwrap())
    }

    async fn start() -> Self {
        let (options, embedded): (PgConnectOptions, _) =
            if let Ok(url) = std::env::var("KITH_TEST_DATABASE_URL") {
                (
                    url.parse().expect("KITH_TEST_DATABASE_URL is a Postgres URL"),
                    None,
                )
            } else {
                let embedded = start_private().await;
                (embedded.connect_options(), Some(embedded))
            };
        let options = options.disable_statement_logging();
        let mut server = Self {
            options,
            template: String::new(),
            _embedded: embedded,
        };
        server.template = server.make_template().await;
        server
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect_with(&self.options).await.unwrap()
    }

    /// The template is named by what the migrations say, so a server that outlives the run keeps it for the next.
    async fn make_template(&self) -> String {
        let name = format!("kith_template_{:016x}", fingerprint());
        let mut admin = self.admin().await;
        sqlx::query("select pg_advisory_lock($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut admin)
            .await
            .unwrap();
        let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if !there {
            let making = format!("{name}_new");
            run(
                &mut admin,
                format!("drop database if exists {making} with (force)"),
            )
            .await;
            run(&mut admin, format!("create database {making} template template0")).await;
            let pool = store::connect(self.options.clone().database(&making), 1)
                .await
                .unwrap();
            store::migrate(&pool).await.unwrap();
            pool.close().await;
            run(&mut admin, format!("alter database {making} rename to {name}")).await;
        }
        admin.close().await.unwrap();
        name
    }
}

/// Starts the run's server.
async fn start_private() -> Embedded {
    let dir = PathBuf::from(format!("/tmp/kith-it-{}", std::process::id()));
    clear_at_exit(&dir);
    let settings = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "300"),
        ("autovacuum", "off"),
        // Which of two commits came first is a question of the proofs.
        ("track_commit_timestamp", "on"),
    ];
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    kith::postgres::start(EmbeddedOptions {
        data_dir: Some(dir),
        settings,
    })
    .await
    .unwrap()
}

/// Ends the server of a directory and removes the directory when this process is gone, however it went: a watcher
/// reads from a pipe that only this process holds open, and the end of the file is the end of the process.
pub fn clear_at_exit(dir: &Path) {
    let script = "cat >/dev/null
        pid=$(head -n 1 \"$1/postgres/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\"
        n=0; while rm -rf \"$1\"; [ -e \"$1\" ] && [ $n -lt 100 ]; do sleep 0.05; n=$((n+1)); done";
    let watcher = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    std::mem::forget(watcher); // keeps our end of the pipe open until the process ends
}

fn fingerprint() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for migration in sqlx::migrate!("./migrations").iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    hasher.finish()
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "kith_test_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

async fn run(connection: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .unwrap();
}

/// Runs to the end on a fresh thread and runtime, so that nothing is bound to the runtime of one test.
fn on_own_runtime<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> thread::Result<T> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work())
    })
    .join()
}
