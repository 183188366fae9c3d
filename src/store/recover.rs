//! What a host's trail knows and the database does not, and how that is settled.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// One crossing of the trail.
#[derive(Debug, Clone)]
pub struct Crossing {
    /// Its message.
    pub message_id: Uuid,
    /// Its touch; nil for a digest.
    pub touch_id: Uuid,
    /// Its enrollment.
    pub enrollment_id: Uuid,
    /// Step by key.
    pub step_key: String,
    /// Channel by name.
    pub channel: String,
    /// Class number.
    pub class: i16,
    /// When it crossed.
    pub at: DateTime<Utc>,
    /// accepted, refused, uncertain
    pub outcome: String,
}

/// Those of which the database has neither a crossing nor an outcome, by message and crossing.
pub async fn unknown(
    conn: &mut PgConnection,
    crossings: &[(Uuid, Uuid, DateTime<Utc>)],
) -> Result<Vec<(Uuid, DateTime<Utc>)>, StoreError> {
    let messages: Vec<Uuid> = crossings.iter().map(|c| c.0).collect();
    let touches: Vec<Uuid> = crossings.iter().map(|c| c.1).collect();
    let at: Vec<DateTime<Utc>> = crossings.iter().map(|c| c.2).collect();
    let rows = sqlx::query!(
        r#"
        with r as materialized (
            select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as r (message_id, touch_id, at)
        )
        select distinct r.message_id as "message_id!", r.at as "at!" from r
        where not exists (
                  -- A second try of an unknown one keeps the message's row and moves its crossing.
                  select from message m
                  where m.id = r.message_id and (m.crossing_at is null or m.crossing_at >= r.at - interval '1 ms')
              )
          and not exists (
                  select from queue q
                  where q.touch_id = r.touch_id and q.message_id = r.message_id and q.state = 'crossing'
              )
          and not exists (select from digest d where d.message_id = r.message_id and d.crossing_at is not null)
        "#,
        &messages,
        &touches,
        &at,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.message_id, row.at)).collect())
}

/// How the database stands to a crossing that it does not know.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The message.
    pub message_id: Uuid,
    /// The person, by external id.
    pub contact: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// Whether the person is known.
    pub contact_known: bool,
    /// Whether the enrollment is known.
    pub enrollment_known: bool,
    /// State of the touch of that step, whatever its id.
    pub touch_state: Option<String>,
}

/// Looks them up: message, contact, enrollment, step.
pub async fn standing(
    conn: &mut PgConnection,
    crossings: &[(Uuid, Uuid, Uuid, String)],
) -> Result<Vec<Standing>, StoreError> {
    let messages: Vec<Uuid> = crossings.iter().map(|c| c.0).collect();
    let contacts: Vec<Uuid> = crossings.iter().map(|c| c.1).collect();
    let enrollments: Vec<Uuid> = crossings.iter().map(|c| c.2).collect();
    let steps: Vec<&str> = crossings.iter().map(|c| c.3.as_str()).collect();
    let rows = sqlx::query_as!(
        Standing,
        r#"
        select r.message_id as "message_id!",
               coalesce((select min(cr.external_id) from contact_ref cr where cr.contact_id = c.id), o.external_id) as contact,
               coalesce(c.name, o.name) as name, (c.id is not null or o.id is not null) as "contact_known!",
               (e.id is not null) as "enrollment_known!",
               (select t.state from touch t where t.enrollment_id = e.id and t.step_key = r.step_key
                order by t.visit desc limit 1) as touch_state
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) as r (message_id, contact_id, enrollment_id, step_key)
        left join contact c on c.id = r.contact_id
        left join owner o on o.id = r.contact_id
        left join enrollment e on e.id = r.enrollment_id
        "#,
        &messages,
        &contacts,
        &enrollments,
        &steps as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Writes crossings down that the database had forgotten: the touch of their step ends as the host saw it, or uncertain, with
/// the id of the message that may have arrived, so that later evidence still settles it, and the step is not made again.
/// Only where the enrollment is known and the step not settled. Returns the messages.
pub async fn remember(conn: &mut PgConnection, crossings: &[Crossing]) -> Result<Vec<Uuid>, StoreError> {
    let messages: Vec<Uuid> = crossings.iter().map(|c| c.message_id).collect();
    let touches: Vec<Uuid> = crossings.iter().map(|c| c.touch_id).collect();
    let enrollments: Vec<Uuid> = crossings.iter().map(|c| c.enrollment_id).collect();
    let steps: Vec<&str> = crossings.iter().map(|c| c.step_key.as_str()).collect();
    let channels: Vec<&str> = crossings.iter().map(|c| c.channel.as_str()).collect();
    let classes: Vec<i16> = crossings.iter().map(|c| c.class).collect();
    let at: Vec<DateTime<Utc>> = crossings.iter().map(|c| c.at).collect();
    let outcomes: Vec<&str> = crossings.iter().map(|c| c.outcome.as_str()).collect();
    let states: Vec<&str> = crossings
        .iter()
        .map(|c| super::outcome::touch_state(&c.outcome))
        .collect();
    let rows = sqlx::query_scalar!(
        r#"
        with k as materialized (
            select r.*, e.shard, e.contact_id, e.account_id, e.lead_id, e.cadence,
                   coalesce((select t.visit from touch t where t.id = r.touch_id),
                            case when e.cursor = r.step_key then e.visit else 1 end) as visit
            from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[],
                        $8::text[], $9::text[])
                 as r (message_id, touch_id, enrollment_id, step_key, channel, class, at, outcome, state)
            join enrollment e on e.id = r.enrollment_id
        ), t as (
            insert into touch (id, enrollment_id, shard, contact_id, step_key, visit, channel, due_at, state, reason,
                               message_id, done_at)
            select k.touch_id, k.enrollment_id, k.shard, k.contact_id, k.step_key, k.visit, k.channel, k.at, k.state,
                   'remembered from the journal', k.message_id, k.at
            from k
            on conflict (enrollment_id, step_key, visit) do update
            set state = excluded.state, reason = excluded.reason, message_id = excluded.message_id, done_at = excluded.done_at
            where touch.state in ('queued', 'skipped', 'cancelled')
            returning id, message_id
        ), gone as (
            delete from queue q using t where q.touch_id = t.id returning q.sender, q.touch_id
        )
        insert into message (id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                             template, locale, sender, address, outcome, reply, crossing_at, done_at)
        select k.message_id, k.shard, k.contact_id, k.account_id, k.lead_id, t.id, k.channel, k.class, k.cadence,
               k.step_key, '', coalesce(c.locale, ''), coalesce(g.sender, ''),
               coalesce(case k.channel when 'email' then c.email when 'sms' then c.phone end, ''),
               k.outcome, 'remembered from the journal', k.at, k.at
        from k join t on t.message_id = k.message_id join contact c on c.id = k.contact_id
        left join gone g on g.touch_id = t.id
        on conflict do nothing
        returning id
        "#,
        &messages,
        &touches,
        &enrollments,
        &steps as &[&str],
        &channels as &[&str],
        &classes,
        &at,
        &outcomes as &[&str],
        &states as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
