//! Incarnations: who is alive, and what becomes of the work of those who are not. All times here are the database's.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::queue::Incarnation;
use crate::config::Mode;

/// What a daemon says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// Where it runs.
    pub host: &'a str,
    /// Its process.
    pub pid: i32,
    /// What it does: `all`, `worker`, `web`.
    pub roles: &'a [String],
    /// Its version.
    pub version: &'a str,
    /// Where its messages really go.
    pub mode: Mode,
}

/// Registers a new incarnation.
pub async fn register(
    conn: &mut PgConnection,
    id: Uuid,
    process: &Process<'_>,
) -> Result<Incarnation, StoreError> {
    let epoch = sqlx::query_scalar!(
        r#"
        insert into daemon (id, host, pid, roles, version, mode, started_at, heartbeat_at)
        values ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp())
        returning epoch
        "#,
        id,
        process.host,
        process.pid,
        process.roles,
        process.version,
        process.mode.as_str(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Incarnation { id, epoch })
}

/// Renews the lease. `None` = this incarnation was declared dead and owns nothing any more.
/// Otherwise the database's clock, to compare one's own with.
pub async fn heartbeat(
    conn: &mut PgConnection,
    who: Incarnation,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at = sqlx::query_scalar!(
        r#"
        update daemon set heartbeat_at = clock_timestamp()
        where id = $1 and epoch = $2 and ended_at is null
        returning heartbeat_at
        "#,
        who.id,
        who.epoch,
    )
    .fetch_optional(conn)
    .await?;
    Ok(at)
}

/// Whether there ever was this incarnation.
pub async fn is_known(conn: &mut PgConnection, id: Uuid) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar!(
        r#"select exists (select from daemon where id = $1) as "known!""#,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(known)
}

/// Whether an incarnation is to be buried, or one that ended may have left work behind.
pub async fn leaves_work(conn: &mut PgConnection, dead_after_secs: f64) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        select exists (
            select from daemon
            where not inherited and (ended_at is not null or heartbeat_at < clock_timestamp() - make_interval(secs => $1))
        ) as "leaves!"
        "#,
        dead_after_secs,
    )
    .fetch_one(conn)
    .await?)
}

/// Notes that nothing is left of those that ended a minute ago or more: a claim that they began may still commit, but no
/// transaction stays open for so long.
pub async fn inherited(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!(
        "update daemon set inherited = true where not inherited and ended_at < clock_timestamp() - interval '1 minute'"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Declares incarnations dead whose last heartbeat is older than `dead_after_secs`, and raises their epoch so that
/// nothing of theirs can cross any more. Returns them.
pub async fn bury(conn: &mut PgConnection, dead_after_secs: f64) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        update daemon d set epoch = d.epoch + 1, ended_at = clock_timestamp()
        from (
            select id from daemon
            where ended_at is null and heartbeat_at < clock_timestamp() - make_interval(secs => $1)
            order by id
            for update
        ) late
        where d.id = late.id
        returning d.id
        "#,
        dead_after_secs,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Ends an incarnation in good order.
pub async fn leave(conn: &mut PgConnection, who: Incarnation) -> Result<(), StoreError> {
    sqlx::query!(
        "update daemon set ended_at = clock_timestamp() where id = $1 and epoch = $2 and ended_at is null",
        who.id,
        who.epoch,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the claims of ended incarnations back, due now: whoever claims may have gone past them. Tasks too that had crossed:
/// a task comes into being with its outcome, in one transaction, so there is none. Returns how many.
pub async fn inherit_claims(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        with lost as (
            select q.touch_id from queue q join daemon d on d.id = q.daemon_id
            where (q.state = 'claimed' or q.channel = 'task') and (d.ended_at is not null or d.epoch <> q.epoch)
            order by q.touch_id
            limit 10000
            for update of q skip locked
        )
        update queue q
        set state = 'waiting', daemon_id = null, epoch = null, crossing_at = null, due_at = greatest(q.due_at, $1)
        from lost where q.touch_id = lost.touch_id
        "#,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What is said of a crossing whose daemon ended.
pub(super) const LEFT_BEHIND: &str = "the daemon ended between crossing and reply";

/// Records the crossings of ended incarnations as uncertain: the message row is made from what the queue knows.
/// Returns the message ids.
pub async fn inherit_crossings(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        with lost as (
            select q.touch_id from queue q join daemon d on d.id = q.daemon_id
            where q.state = 'crossing' and q.channel <> 'task' and (d.ended_at is not null or d.epoch <> q.epoch)
            order by q.touch_id
            limit 10000
            for update of q skip locked
        ), gone as (
            delete from queue q using lost where q.touch_id = lost.touch_id
            returning q.*
        ), made as (
            insert into message (id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                                 template, locale, sender, address, outcome, reply, tries, crossing_at, done_at)
            select g.message_id, g.shard, g.contact_id, g.account_id, g.lead_id, g.touch_id, g.channel, g.class, g.cadence,
                   g.step_key, '', coalesce(c.locale, ''), coalesce(g.sender, ''),
                   coalesce(case g.channel when 'email' then c.email when 'sms' then c.phone end, ''),
                   'uncertain', $2, g.tries + 1, g.crossing_at, $1
            from gone g join contact c on c.id = g.contact_id
            -- It was the second try of an unknown one: still the one row, with both tries.
            on conflict (id) do update
            set outcome = excluded.outcome, reply = excluded.reply, tries = excluded.tries, crossing_at = excluded.crossing_at,
                done_at = excluded.done_at
            returning id, touch_id
        )
        update touch t set state = 'uncertain', reason = $2, done_at = $1
        from made where t.id = made.touch_id
        returning made.id
        "#,
        now,
        LEFT_BEHIND,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// An incarnation as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// The incarnation.
    pub id: Uuid,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// What it does: `all`, `worker`, `web`.
    pub roles: Vec<String>,
    /// Its version.
    pub version: String,
    /// Where its messages really go.
    pub mode: String,
    /// `alive`; `silent` = dead to the others, as soon as one looks; `ended`.
    pub state: String,
    /// Seconds since its last heartbeat, by the database's clock.
    pub silent_secs: f64,
    /// Touches that it claimed.
    pub claimed: i64,
    /// Touches that it is handing over.
    pub crossing: i64,
    /// Since when, by the database's clock.
    pub started_at: DateTime<Utc>,
}

/// The incarnations that have not ended, the newest heartbeat first; with `ended`, those of the last day too.
pub async fn list(
    conn: &mut PgConnection,
    dead_after_secs: f64,
    ended: bool,
) -> Result<Vec<Listed>, StoreError> {
    let rows = sqlx::query_as!(
        Listed,
        r#"
        with held as (
            select q.daemon_id, count(*) filter (where q.state = 'claimed') as claimed,
                   count(*) filter (where q.state = 'crossing') as crossing
            from queue q where q.daemon_id is not null group by 1
        )
        select d.id, d.host, d.pid, d.roles, d.version, d.mode,
               (case when d.ended_at is not null then 'ended'
                     when d.heartbeat_at < clock_timestamp() - make_interval(secs => $1) then 'silent'
                     else 'alive' end) as "state!",
               extract(epoch from clock_timestamp() - d.heartbeat_at)::float8 as "silent_secs!",
               coalesce(h.claimed, 0) as "claimed!", coalesce(h.crossing, 0) as "crossing!", d.started_at
        from daemon d left join held h on h.daemon_id = d.id
        where d.ended_at is null or ($2 and d.ended_at > clock_timestamp() - interval '1 day')
        order by d.ended_at is not null, d.heartbeat_at desc
        "#,
        dead_after_secs,
        ended,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
