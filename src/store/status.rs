//! How things stand right now: daemons, queue, sends of today.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::report::Count;

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
    /// Since when, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Seconds since its last heartbeat, by the database's clock.
    pub silent_secs: f64,
}

/// Daemons that have not ended, the newest heartbeat first.
pub async fn daemons(conn: &mut PgConnection) -> Result<Vec<DaemonRow>, StoreError> {
    let rows = sqlx::query_as!(
        DaemonRow,
        r#"
        select id, host, pid, version, started_at,
               extract(epoch from clock_timestamp() - heartbeat_at)::float8 as "silent_secs!"
        from daemon where ended_at is null order by heartbeat_at desc
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
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
