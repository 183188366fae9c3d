//! The digest: who gets his daily mail today, what stands in it, and what became of it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::queue::Incarnation;

/// The moment of the digest in one zone.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The zone, as owners name it; `None` = those who name none.
    pub timezone: Option<String>,
    /// The day there.
    pub day: NaiveDate,
    /// The instant on that day.
    pub at: DateTime<Utc>,
}

/// An owner who has work and no mail about it yet.
#[derive(Debug, Clone)]
pub struct Due {
    /// The owner.
    pub owner_id: Uuid,
    /// His name.
    pub owner_name: String,
    /// His day.
    pub day: NaiveDate,
    /// The instant of the digest; what was made later stands in the next.
    pub at: DateTime<Utc>,
    /// Whether his deputy reads it.
    pub away: bool,
    /// Who reads it.
    pub reader_name: String,
    /// The reader's address.
    pub reader_email: String,
    /// The reader's zone.
    pub reader_zone: Option<String>,
}

/// A task as the digest shows it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose it is.
    pub owner_id: Uuid,
    /// The task.
    pub task_id: Uuid,
    /// One line.
    pub title: String,
    /// What to do and why.
    pub body: String,
    /// Deadline.
    pub due_at: DateTime<Utc>,
    /// The person.
    pub contact: Option<String>,
    /// The customer, where that is not the person.
    pub account: Option<String>,
    /// How many tasks the owner has in all,
    pub total: i64,
    /// and how many of them are past their deadline.
    pub overdue: i64,
}

/// One day's mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Copy {
    /// Whose tasks.
    pub owner_id: Uuid,
    /// His day.
    pub day: NaiveDate,
    /// The same in every attempt.
    pub message_id: Uuid,
    /// Where it goes.
    pub address: String,
    /// How many tasks it lists.
    pub tasks: i32,
}

/// Zones of the owners, each once.
pub async fn zones(conn: &mut PgConnection) -> Result<Vec<Option<String>>, StoreError> {
    let zones = sqlx::query_scalar!("select distinct timezone from owner order by 1")
        .fetch_all(conn)
        .await?;
    Ok(zones)
}

/// Owners in these zones with open tasks and no mail of the day; one put off is due again at its time.
pub async fn due(
    conn: &mut PgConnection,
    moments: &[Moment],
    now: DateTime<Utc>,
) -> Result<Vec<Due>, StoreError> {
    let zones: Vec<Option<String>> = moments.iter().map(|m| m.timezone.clone()).collect();
    let days: Vec<NaiveDate> = moments.iter().map(|m| m.day).collect();
    let at: Vec<DateTime<Utc>> = moments.iter().map(|m| m.at).collect();
    let rows = sqlx::query_as!(
        Due,
        r#"
        select o.id as owner_id, o.name as owner_name, w.day as "day!", w.at as "at!", d.id is not null as "away!",
               coalesce(d.name, o.name) as "reader_name!", coalesce(d.email, o.email) as "reader_email!",
               case when d.id is null then o.timezone else d.timezone end as reader_zone
        from unnest($1::text[], $2::date[], $3::timestamptz[]) as w (timezone, day, at)
        join owner o on o.timezone is not distinct from w.timezone
        left join owner d on d.source_id = o.source_id and d.external_id = o.deputy_external_id
                         and o.away_from <= w.day and w.day <= o.away_until and d.email is not null
        left join digest g on g.owner_id = o.id and g.day = w.day
        where coalesce(d.email, o.email) is not null
          and (g.owner_id is null or (g.state = 'deferred' and g.again_at <= $4))
          and exists (
              select from task t
              where t.owner_id = o.id and t.state in ('open', 'snoozed') and t.created_at <= w.at
                and (t.state = 'open' or t.snoozed_until <= w.at)
          )
        order by o.id
        "#,
        &zones as &[Option<String>],
        &days,
        &at,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// What stands in the mails of these owners: the first `most` of each by deadline, so the most overdue first.
pub async fn lines(
    conn: &mut PgConnection,
    due: &[Due],
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Line>, StoreError> {
    let owners: Vec<Uuid> = due.iter().map(|d| d.owner_id).collect();
    let at: Vec<DateTime<Utc>> = due.iter().map(|d| d.at).collect();
    let rows = sqlx::query_as!(
        Line,
        r#"
        select r.owner_id as "owner_id!", r.id as task_id, r.title, r.body, r.due_at, c.name as "contact?",
               case when a.name is distinct from c.name then a.name end as account,
               r.total as "total!", r.overdue as "overdue!"
        from (
            select t.*, row_number() over (partition by t.owner_id order by t.due_at, t.id) as place,
                   count(*) over (partition by t.owner_id) as total,
                   count(*) filter (where t.due_at < $3) over (partition by t.owner_id) as overdue
            from unnest($1::uuid[], $2::timestamptz[]) as w (owner_id, at)
            join task t on t.owner_id = w.owner_id and t.state in ('open', 'snoozed') and t.created_at <= w.at
                       and (t.state = 'open' or t.snoozed_until <= w.at)
        ) r
        left join contact c on c.id = r.contact_id
        left join account a on a.id = r.account_id
        where r.place <= $4
        order by r.owner_id, r.place
        "#,
        &owners,
        &at,
        now,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The crossing: at most one daemon gets true, once for an owner and day. False also with the brake on, for an address
/// that must not be written to, and for an incarnation that was declared dead.
pub async fn cross(
    conn: &mut PgConnection,
    who: Incarnation,
    copy: &Copy,
    address_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        insert into digest (owner_id, day, state, message_id, address, tasks, daemon_id, epoch, crossing_at)
        select $3, $4, 'crossing', $5, $6, $7, d.id, d.epoch, $8
        from daemon d
        where d.id = $1 and d.epoch = $2 and d.ended_at is null
          and not (select brake from control)
          and not d.braked
          and not exists (
              select from suppression s where s.address_hash = $9 and s.channel = 'email' and s.purpose = 'all'
          )
        for share of d
        on conflict (owner_id, day) do update
        set state = 'crossing', address = excluded.address, tasks = excluded.tasks, daemon_id = excluded.daemon_id,
            epoch = excluded.epoch, crossing_at = excluded.crossing_at, again_at = null
        where digest.state = 'deferred'
        "#,
        who.id,
        who.epoch,
        copy.owner_id,
        copy.day,
        copy.message_id,
        copy.address,
        copy.tasks,
        now,
        address_hash,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How one that had crossed ended. It may have to wait in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct End {
    /// Whose crossing it was.
    pub who: Incarnation,
    /// The mail.
    pub copy: Copy,
    /// accepted, refused, uncertain, deferred
    pub state: String,
    /// What the server said, or what was seen.
    pub reply: String,
    /// When a deferred one is tried again.
    pub again_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub at: DateTime<Utc>,
}

/// Writes an end. One that was declared uncertain meanwhile is still settled by a reply.
pub async fn end(conn: &mut PgConnection, end: &End) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update digest set state = $5, reply = $6, again_at = $7, done_at = $8
        where owner_id = $3 and day = $4 and daemon_id = $1 and epoch = $2
          and (state = 'crossing' or (state = 'uncertain' and $5 in ('accepted', 'refused')))
        "#,
        end.who.id,
        end.who.epoch,
        end.copy.owner_id,
        end.copy.day,
        end.state,
        end.reply,
        end.again_at,
        end.at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes one that ended before any crossing: refused for good, or to be tried again. Never touches another's crossing.
pub async fn note(
    conn: &mut PgConnection,
    copy: &Copy,
    state: &str,
    reply: &str,
    again_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into digest (owner_id, day, state, message_id, address, tasks, reply, again_at, done_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (owner_id, day) do update
        set state = excluded.state, reply = excluded.reply, again_at = excluded.again_at, done_at = excluded.done_at
        where digest.state = 'deferred'
        "#,
        copy.owner_id,
        copy.day,
        state,
        copy.message_id,
        copy.address,
        copy.tasks,
        reply,
        again_at,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Crossings of ended incarnations: nobody knows whether they arrived, so they are not sent again. Returns how many.
pub async fn inherit(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        update digest g
        set state = 'uncertain', reply = 'the daemon ended between crossing and reply', done_at = $1
        from daemon d
        where g.state = 'crossing' and d.id = g.daemon_id and (d.ended_at is not null or d.epoch <> g.epoch)
        "#,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// When one that was put off is due again.
pub async fn next_again(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select min(again_at) from digest where state in ('crossing', 'deferred') and again_at > $1",
        now,
    )
    .fetch_one(conn)
    .await?)
}
