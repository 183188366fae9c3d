//! How things stand right now: daemons, queue, sends of today.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::report::Count;
use crate::config::Mode;

/// A daemon that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DaemonRow {
    /// The incarnation.
    pub id: Uuid,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// What it does: `all`, `worker`, `web`.
    pub roles: Vec<String>,
    /// Where its messages really go.
    pub mode: Mode,
    /// Since when, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Seconds since its last heartbeat, by the database's clock.
    pub silent_secs: f64,
}

impl DaemonRow {
    /// Whether it serves pages and nothing else.
    pub fn is_web_only(&self) -> bool {
        self.roles == ["web"]
    }
}

/// Daemons that have not ended, the newest heartbeat first.
pub async fn daemons(conn: &mut PgConnection) -> Result<Vec<DaemonRow>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id, host, pid, version, roles, mode, started_at,
               extract(epoch from clock_timestamp() - heartbeat_at)::float8 as "silent_secs!"
        from daemon where ended_at is null order by heartbeat_at desc
        "#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DaemonRow {
                id: row.id,
                host: row.host,
                pid: row.pid,
                version: row.version,
                roles: row.roles,
                mode: Mode::parse(&row.mode)
                    .ok_or_else(|| StoreError::Decode(format!("mode {}", row.mode)))?,
                started_at: row.started_at,
                silent_secs: row.silent_secs,
            })
        })
        .collect()
}

/// Work in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// All of it.
    pub live: i64,
    /// Due and waiting for a daemon.
    pub due: i64,
    /// Being handed over.
    pub in_hand: i64,
    /// Held by the gate until later.
    pub held: i64,
    /// When the next waiting one is due.
    pub next_due_at: Option<DateTime<Utc>>,
    /// Enrollments that go on.
    pub active: i64,
    /// When the next of them is looked at.
    pub next_look_at: Option<DateTime<Utc>>,
    /// Events that name nobody known.
    pub parked: i64,
}

/// Counts it.
pub async fn queue(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<QueueDepth, StoreError> {
    let row = sqlx::query_as!(
        QueueDepth,
        r#"
        select count(*) as "live!", count(*) filter (where state = 'waiting' and due_at <= $1) as "due!",
               count(*) filter (where state <> 'waiting') as "in_hand!",
               count(*) filter (where state = 'waiting' and held is not null and due_at > $1) as "held!",
               min(due_at) filter (where state = 'waiting') as next_due_at,
               (select count(*) from enrollment where state = 'active') as "active!",
               (select min(next_at) from enrollment where state in ('active', 'control')) as next_look_at,
               (select count(*) from event_parked) as "parked!"
        from queue
        "#,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// Work of one class in one state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Depth {
    /// Priority class, as a number.
    pub class: i16,
    /// `due`, `held` or `later` while it waits, else `claimed` or `crossing`.
    pub state: String,
    /// Why, where the gate holds it.
    pub held: Option<String>,
    /// How much.
    pub n: i64,
    /// When the oldest of it was due.
    pub oldest: DateTime<Utc>,
}

/// What a watcher of the program looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// The queue, by class, state and reason.
    pub queue: Vec<Depth>,
    /// Nothing goes out.
    pub brake: bool,
    /// Messages of which nobody knows whether they arrived.
    pub uncertain: i64,
    /// Events that name nobody known.
    pub parked: i64,
}

/// Reads them in one statement. What is in the queue is counted; nothing of history is read but the index of what is uncertain.
pub async fn gauges(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Gauges, StoreError> {
    let row = sqlx::query!(
        r#"
        with work as (
            select class,
                   case when state <> 'waiting' then state when due_at <= $1 then 'due'
                        when held is not null then 'held' else 'later' end as state,
                   case when state = 'waiting' and due_at > $1 then held end as held,
                   count(*) as n, min(due_at) as oldest
            from queue group by 1, 2, 3
        )
        select coalesce((select jsonb_agg(work) from work), '[]'::jsonb) as "queue!", brake,
               (select count(*) from message where outcome = 'uncertain') as "uncertain!",
               (select count(*) from event_parked) as "parked!"
        from control
        "#,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok(Gauges {
        queue: serde_json::from_value(row.queue).map_err(|error| StoreError::Decode(error.to_string()))?,
        brake: row.brake,
        uncertain: row.uncertain,
        parked: row.parked,
    })
}

/// Held work by reason, the commonest first.
pub async fn held(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"
        select held as "name!", count(*) as "n!" from queue
        where state = 'waiting' and held is not null and due_at > $1 group by 1 order by 2 desc, 1
        "#,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Messages since an instant, `email accepted` and so on.
pub async fn sent_since(conn: &mut PgConnection, since: DateTime<Utc>) -> Result<Vec<Count>, StoreError> {
    let rows = sqlx::query_as!(
        Count,
        r#"
        select channel || ' ' || outcome as "name!", count(*) as "n!" from message
        where done_at >= $1 group by 1 order by 1
        "#,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// When a message was accepted last.
pub async fn last_sent(conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at = sqlx::query_scalar!(r#"select max(done_at) as at from message where outcome = 'accepted'"#)
        .fetch_one(conn)
        .await?;
    Ok(at)
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Its version as a number, 150018.
    pub version_num: i32,
    /// Whether it waits for the disk.
    pub fsync: bool,
    /// Whether a commit waits for the log.
    pub synchronous_commit: String,
    /// Its clock.
    pub clock: DateTime<Utc>,
    /// Rules in force, by kind: how many.
    pub documents: serde_json::Value,
}

/// Asks it.
pub async fn server(conn: &mut PgConnection) -> Result<Server, StoreError> {
    let row = sqlx::query_as!(
        Server,
        r#"
        select current_setting('server_version') as "version!", current_setting('server_version_num')::int as "version_num!",
               current_setting('fsync') = 'on' as "fsync!", current_setting('synchronous_commit') as "synchronous_commit!",
               clock_timestamp() as "clock!",
               coalesce((select jsonb_object_agg(kind, n)
                         from (select kind, count(*) as n from document where version_id is not null group by kind) d),
                        '{}'::jsonb) as "documents!"
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}
