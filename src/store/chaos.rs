//! What a run of chaos needs of its own database: people enrolled in a batch, a memory of every unknown and every crossing, and at the end
//! all that the database says about every touch.
//!
//! The people are those of [`super::bench::people`]: person n has n in the id.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Makes the database remember each crossing, and each time a message is called uncertain, whatever becomes of it later.
pub async fn remember(conn: &mut PgConnection) -> Result<(), StoreError> {
    // These tables are of the run's own database only and no part of the schema, so the queries on them are not checked.
    for statement in [
        "create table unknown_seen (message uuid not null)",
        "create function note_unknown() returns trigger language plpgsql as $$
         begin
             insert into unknown_seen (message) values (new.id);
             return null;
         end $$",
        "create trigger note_unknown after insert or update of outcome on message for each row
         when (new.outcome = 'uncertain') execute function note_unknown()",
        "create table crossing_seen (message uuid not null)",
        "create function note_crossing() returns trigger language plpgsql as $$
         begin
             insert into crossing_seen (message) values (new.message_id);
             return null;
         end $$",
        "create trigger note_crossing after update on queue for each row
         when (new.state = 'crossing' and old.state <> 'crossing') execute function note_crossing()",
    ] {
        sqlx::query(statement).execute(&mut *conn).await?;
    }
    Ok(())
}

/// How often each message was called uncertain.
pub async fn unknowns(conn: &mut PgConnection) -> Result<Vec<(Uuid, i64)>, StoreError> {
    Ok(
        sqlx::query_as("select message, count(*) from unknown_seen group by message")
            .fetch_all(conn)
            .await?,
    )
}

/// Enrolls the people `from..=to` in a cadence, due at once.
pub async fn enroll(
    conn: &mut PgConnection,
    from: i64,
    to: i64,
    cadence: &str,
    version: Uuid,
    step: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state, cursor,
                                next_at, entered_at, entry_reason)
        select gen_random_uuid(), n % 1024, person, person, $3, $4, 'once', 'active', $5, $6, $6, 'audience'
        from generate_series($1::bigint, $2::bigint) as n,
             lateral (select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as person) as of
        "#,
        from,
        to,
        cadence,
        version,
        step,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The message of a person in a cadence, once it is planned.
pub async fn message_of(
    conn: &mut PgConnection,
    address: &str,
    cadence: &str,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        select t.message_id
        from contact c join enrollment e on e.contact_id = c.id join touch t on t.enrollment_id = e.id
        where c.email = $1 and e.cadence = $2
        "#,
        address,
        cadence,
    )
    .fetch_optional(conn)
    .await?)
}

/// The messages to an address that had crossed by then: a crossing counts from its commit, by the server's clock (which has to
/// keep those times), not from when it was asked for.
pub async fn crossed(
    conn: &mut PgConnection,
    address: &str,
    by: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(
        "select t.message_id
         from contact c join touch t on t.contact_id = c.id left join queue q on q.touch_id = t.id
         where c.email = $1
           and (q.state = 'crossing' or exists (select from message m where m.id = t.message_id and m.outcome <> 'refused'))
           and (select max(pg_xact_commit_timestamp(s.xmin)) from crossing_seen s where s.message = t.message_id) <= $2",
    )
    .bind(address)
    .bind(by)
    .fetch_all(conn)
    .await?)
}

/// What was put off for minutes or hours is due now. What waits until after `until` goes on waiting.
pub async fn hurry(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update queue set due_at = $1 where state = 'waiting' and due_at > $1 and due_at < $2",
        now,
        until,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// How far the work has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Accepted messages.
    pub accepted: i64,
    /// Messages that are uncertain now.
    pub uncertain: i64,
    /// Enrollments without a touch, touches that are not ended and do not wait until after the instant, and unknown ones
    /// that are owed one more try.
    pub open: i64,
}

/// Looks. Rows that wait until after `until` are not open; `owed` is the class that is tried again when it is unknown.
pub async fn progress(
    conn: &mut PgConnection,
    until: DateTime<Utc>,
    owed: i16,
) -> Result<Progress, StoreError> {
    let row = sqlx::query_as!(
        Progress,
        r#"
        select (select count(*) from message where outcome = 'accepted') as "accepted!",
               (select count(*) from message where outcome = 'uncertain') as "uncertain!",
               (select count(*) from enrollment e
                where e.state = 'active' and not exists (select from touch t where t.enrollment_id = e.id))
               + (select count(*) from queue where state <> 'waiting' or due_at < $1)
               + (select count(*) from message m join touch t on t.id = m.touch_id
                  where m.outcome = 'uncertain' and m.class = $2 and not m.retried and t.state = 'uncertain') as "open!"
        "#,
        until,
        owed,
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// What the database says about one enrollment of a run and the one touch it makes.
#[derive(Debug, Clone)]
pub struct Account {
    /// Address of the person.
    pub address: String,
    /// Cadence by name.
    pub cadence: String,
    /// The enrollment goes on.
    pub active: bool,
    /// The message, once it is planned.
    pub message_id: Option<Uuid>,
    /// State of the touch.
    pub touch: Option<String>,
    /// State of the queue row.
    pub queued: Option<String>,
    /// When the queue row is looked at again.
    pub due_at: Option<DateTime<Utc>>,
    /// Outcome of the message.
    pub outcome: Option<String>,
    /// Tries of the message.
    pub tries: Option<i16>,
    /// Last reply, or what was seen instead.
    pub reply: Option<String>,
    /// When it crossed last.
    pub crossing_at: Option<DateTime<Utc>>,
}

/// All of them.
pub async fn accounts(conn: &mut PgConnection) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query_as!(
        Account,
        r#"
        select c.email as "address!", e.cadence, e.state = 'active' as "active!", t.message_id as "message_id?",
               t.state as "touch?", q.state as "queued?", q.due_at as "due_at?", m.outcome as "outcome?", m.tries as "tries?",
               m.reply, m.crossing_at
        from enrollment e
        join contact c on c.id = e.contact_id
        left join touch t on t.enrollment_id = e.id
        left join queue q on q.touch_id = t.id
        left join message m on m.id = t.message_id
        "#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
