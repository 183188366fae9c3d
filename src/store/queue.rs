//! The queue of live work: claim, verdicts, and giving back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::StoreError;

/// Who owns work: one run of one daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The daemon's row.
    pub id: Uuid,
    /// Its epoch; raised when others take its work away.
    pub epoch: i64,
}

/// A touch that this incarnation owns. Comes only from [`claim`] and is the key to the writes that complete it.
#[derive(Debug, Clone)]
pub struct ClaimedTouch {
    touch_id: Uuid,
    daemon_id: Uuid,
    epoch: i64,
    /// Message id, fixed when the touch was planned.
    pub message_id: Uuid,
    /// Its enrollment.
    pub enrollment_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// The lead, if the cadence is about one.
    pub lead_id: Option<Uuid>,
    /// Cadence by name.
    pub cadence: String,
    /// The version its structure is pinned to.
    pub cadence_version_id: Uuid,
    /// Step by key.
    pub step_key: String,
    /// Class number (lower first).
    pub class: i16,
    /// Channel by name.
    pub channel: String,
    /// Sender by name, if the step names one.
    pub sender: Option<String>,
    /// When it became due last.
    pub due_at: DateTime<Utc>,
    /// When it became due at first.
    pub first_due_at: DateTime<Utc>,
    /// Not to be sent after this.
    pub expires_at: DateTime<Utc>,
    /// Reason of the last hold.
    pub held: Option<String>,
    /// End of the last hold.
    pub held_until: Option<DateTime<Utc>>,
    /// Attempts so far.
    pub tries: i16,
    /// Shard of the account.
    pub shard: i16,
    /// The Date of its message: that of the first attempt.
    pub dated_at: DateTime<Utc>,
}

impl ClaimedTouch {
    /// The touch's id.
    pub fn id(&self) -> Uuid {
        self.touch_id
    }

    /// Who claimed it. Whatever completes it is written in this name, even when the process lives on as another: its old
    /// attempts must not act on a new claim of the same touch.
    pub fn owner(&self) -> Incarnation {
        Incarnation {
            id: self.daemon_id,
            epoch: self.epoch,
        }
    }
}

/// Begins a transaction whose commit does not wait for the disk: for claims, which are harmless to lose.
pub async fn begin_unwaiting(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    Ok(pool
        .begin_with("begin; set local synchronous_commit = off")
        .await?)
}

/// Of a claim, this part is each waiting class's own, whatever waits in better ones. So a claim of at least this many finds
/// something of every class that waits.
pub const SHARE: i64 = 20;

/// A place in the order of one class: when it is due, and whose it is.
pub type Place = (DateTime<Utc>, Uuid);

/// Before every row of a class.
pub const START: Place = (DateTime::UNIX_EPOCH, Uuid::nil());

/// Claims up to `limit` due touches, skipping what others hold: a small share of each class that waits, then the best class
/// first. Of each class only rows at or behind a place are looked at, [`START`] for all of them: what was sent stays in the
/// index for as long as somebody's snapshot may see it, and a claim would walk over it.
///
/// A lost claim is harmless: see [`begin_unwaiting`].
pub async fn claim(
    conn: &mut PgConnection,
    who: Incarnation,
    now: DateTime<Utc>,
    limit: i64,
    from: &[Place; 4],
) -> Result<Vec<ClaimedTouch>, StoreError> {
    let (at, contact): (Vec<DateTime<Utc>>, Vec<Uuid>) = from.iter().copied().unzip();
    let mut rows = sqlx::query_as!(
        ClaimedTouch,
        r#"
        with found as (
            select row.*, row_number() over (partition by row.class order by row.due_at, row.contact_id) as nth
            from unnest($6::timestamptz[], $7::uuid[]) with ordinality as k (at, contact, nth),
                 lateral (
                     select q.touch_id, q.class, q.due_at, q.contact_id
                     from queue q
                     where q.class = k.nth::smallint - 1::smallint and (q.due_at, q.contact_id) >= (k.at, k.contact)
                       and q.due_at <= $3 and q.state = 'waiting'
                     order by q.due_at, q.contact_id
                     limit $4
                     for update skip locked
                 ) row
            where exists (select 1 from daemon d where d.id = $1 and d.epoch = $2 and d.ended_at is null)
        ), due as materialized (
            select touch_id from found
            order by nth > $5, class, due_at, contact_id
            limit $4
        )
        update queue q
        set state = 'claimed', daemon_id = $1, epoch = $2,
            dated_at = case when q.tries = 0 or q.dated_at is null then $3 else q.dated_at end
        from due
        where q.touch_id = due.touch_id
        returning q.touch_id, q.daemon_id as "daemon_id!", q.epoch as "epoch!", q.message_id, q.enrollment_id, q.contact_id,
                  q.account_id, q.lead_id, q.cadence, q.cadence_version_id, q.step_key, q.class, q.channel, q.sender, q.due_at, q.first_due_at,
                  q.expires_at, q.held, q.held_until, q.tries, q.shard,
                  q.dated_at as "dated_at!"
        "#,
        who.id,
        who.epoch,
        now,
        limit,
        (limit / SHARE).max(1),
        &at,
        &contact,
    )
    .fetch_all(conn)
    .await?;
    // `returning` promises no order; whoever judges a batch needs the same one every time.
    rows.sort_by(|a, b| {
        (a.class, a.due_at, a.contact_id, &a.cadence, &a.step_key).cmp(&(
            b.class,
            b.due_at,
            b.contact_id,
            &b.cadence,
            &b.step_key,
        ))
    });
    Ok(rows)
}

/// A touch put back until later.
#[derive(Debug, Clone)]
pub struct Held {
    /// The touch.
    pub touch_id: Uuid,
    /// When to look again.
    pub until: DateTime<Utc>,
    /// Why, as in the decision.
    pub reason: String,
}

/// Puts claimed touches back until their hold is over; only rows still owned are written.
pub async fn hold(conn: &mut PgConnection, who: Incarnation, held: &[Held]) -> Result<u64, StoreError> {
    if held.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = held.iter().map(|h| h.touch_id).collect();
    let until: Vec<DateTime<Utc>> = held.iter().map(|h| h.until).collect();
    let reasons: Vec<String> = held.iter().map(|h| h.reason.clone()).collect();
    let done = sqlx::query!(
        r#"
        with h as (
            select * from unnest($3::uuid[], $4::timestamptz[], $5::text[]) as h (touch_id, until, reason)
        ), q as (
            update queue q
            set state = 'waiting', daemon_id = null, epoch = null, due_at = h.until, held = h.reason, held_until = h.until
            from h
            where q.touch_id = h.touch_id and q.daemon_id = $1 and q.epoch = $2 and q.state = 'claimed'
            returning q.touch_id, h.until
        )
        update touch t set due_at = q.until from q where t.id = q.touch_id
        "#,
        who.id,
        who.epoch,
        &ids,
        &until,
        &reasons,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Ends claimed touches as skipped; only rows still owned are written. One whose message is unknown, and which is not tried
/// once more, stays uncertain, with the reason.
pub async fn skip(
    conn: &mut PgConnection,
    who: Incarnation,
    now: DateTime<Utc>,
    skipped: &[(Uuid, String)],
) -> Result<u64, StoreError> {
    if skipped.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = skipped.iter().map(|s| s.0).collect();
    let reasons: Vec<String> = skipped.iter().map(|s| s.1.clone()).collect();
    let done = sqlx::query!(
        r#"
        with s as (
            select * from unnest($3::uuid[], $4::text[]) as s (touch_id, reason)
        ), q as (
            delete from queue q using s
            where q.touch_id = s.touch_id and q.daemon_id = $1 and q.epoch = $2 and q.state = 'claimed'
            returning q.touch_id, s.reason
        )
        update touch t
        set state = case when exists (select from message m where m.id = t.message_id and m.outcome = 'uncertain')
                         then 'uncertain' else 'skipped' end,
            reason = q.reason, done_at = $5
        from q where t.id = q.touch_id
        "#,
        who.id,
        who.epoch,
        &ids,
        &reasons,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The addresses of touches have changed since they were planned. What is handed over from now on goes to these, so these are
/// what an opt-out takes away and what a crossing asks for.
pub async fn readdress(
    conn: &mut PgConnection,
    who: Incarnation,
    moved: &[(Uuid, Option<&[u8]>)],
) -> Result<(), StoreError> {
    if moved.is_empty() {
        return Ok(());
    }
    let (ids, hashes): (Vec<Uuid>, Vec<Option<&[u8]>>) = moved.iter().copied().unzip();
    sqlx::query!(
        r#"
        update queue q set address_hash = m.hash
        from unnest($3::uuid[], $4::bytea[]) as m (touch_id, hash)
        where q.touch_id = m.touch_id and q.daemon_id = $1 and q.epoch = $2 and q.state = 'claimed'
        "#,
        who.id,
        who.epoch,
        &ids,
        &hashes as &[Option<&[u8]>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives claimed, not yet crossed touches back at once, but for those that are worked on. It looks through the queue, so it
/// is for after a failure.
pub async fn give_back_all_but(
    conn: &mut PgConnection,
    who: Incarnation,
    worked_on: &[Uuid],
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        update queue set state = 'waiting', daemon_id = null, epoch = null
        where daemon_id = $1 and epoch = $2 and state = 'claimed' and touch_id <> all ($3)
        "#,
        who.id,
        who.epoch,
        worked_on,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Ends live work that has not crossed, for whole enrollments. Rows that have crossed are left to their outcome; what is
/// unknown stays uncertain.
pub async fn cancel_enrollments(
    conn: &mut PgConnection,
    enrollment_ids: &[Uuid],
    reason: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if enrollment_ids.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with q as (
            delete from queue q
            using (
                select q.touch_id from queue q
                join touch t on t.id = q.touch_id
                where t.enrollment_id = any($1) and q.state <> 'crossing'
                order by q.touch_id
                for update of q
            ) mine
            where q.touch_id = mine.touch_id and q.state <> 'crossing'
            returning q.touch_id
        )
        update touch t
        set state = case when exists (select from message m where m.id = t.message_id and m.outcome = 'uncertain')
                         then 'uncertain' else 'cancelled' end,
            reason = $2, done_at = $3
        from q where t.id = q.touch_id
        "#,
        enrollment_ids,
        reason,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The second transaction of an opt-out: takes every live row of these addresses away unless it has crossed.
/// What is unknown stays uncertain.
pub async fn revoke_addresses(
    conn: &mut PgConnection,
    address_hashes: &[Vec<u8>],
    channel: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if address_hashes.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with mine as (
            select touch_id from queue
            where address_hash = any($1) and channel = $2 and state <> 'crossing'
            order by touch_id
            for update
        ), q as (
            delete from queue q using mine
            where q.touch_id = mine.touch_id and q.state <> 'crossing'
            returning q.touch_id
        )
        update touch t
        set state = case when exists (select from message m where m.id = t.message_id and m.outcome = 'uncertain')
                         then 'uncertain' else 'skipped' end,
            reason = $3, done_at = $4
        from q where t.id = q.touch_id
        "#,
        address_hashes,
        channel,
        reason,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The earliest instant at which something in the queue becomes due.
pub async fn next_due(conn: &mut PgConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at = sqlx::query_scalar!(
        r#"
        select min(row.due_at) as "at"
        from (values (0::smallint), (1::smallint), (2::smallint), (3::smallint)) as k (class),
             lateral (
                 select q.due_at from queue q where q.class = k.class and q.state = 'waiting' order by q.due_at limit 1
             ) row
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(at)
}

/// How many rows wait, are claimed and have crossed.
pub async fn depth(conn: &mut PgConnection) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query!(r#"select state, count(*) as "n!" from queue group by state order by state"#)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|r| (r.state, r.n)).collect())
}
