//! The end of an attempt: one statement per group moves queue row, message and touch together.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::queue::Incarnation;

/// The history row of a message, and how it ended. Serialisable, since it may have to wait in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageRow {
    /// The touch it carried.
    pub touch_id: Uuid,
    /// Message id.
    pub id: Uuid,
    /// The daemon that claimed it for the attempt.
    pub daemon_id: Uuid,
    /// The epoch it was claimed in.
    pub epoch: i64,
    /// Template by name.
    pub template: String,
    /// Version of the template.
    pub template_version_id: Option<Uuid>,
    /// Locale it was written in.
    pub locale: String,
    /// Sender by name.
    pub sender: String,
    /// Address it went to.
    pub address: String,
    /// Subject, for a mail; title, for a task.
    pub subject: Option<String>,
    /// Segments, for a text message.
    pub segments: Option<i16>,
    /// Encoding, for a text message.
    pub encoding: Option<String>,
    /// Variables it was rendered with.
    pub vars: serde_json::Value,
    /// Hash of the unsigned bytes.
    pub hash: String,
    /// accepted, refused, uncertain
    pub outcome: String,
    /// Last reply, or what was seen instead.
    pub reply: Option<String>,
    /// When it ended.
    pub done_at: DateTime<Utc>,
}

/// What an outcome makes of the touch.
pub(super) fn touch_state(outcome: &str) -> &'static str {
    match outcome {
        "accepted" => "sent",
        "uncertain" => "uncertain",
        _ => "failed",
    }
}

/// Ends attempts: deletes the queue rows, inserts the messages, updates the touches. Keyed by message, so that an outcome
/// that comes twice, or after a sweep called it uncertain, settles the one row instead of making another.
/// Returns the touches that were ended or settled.
pub async fn finish(conn: &mut PgConnection, rows: &[MessageRow]) -> Result<Vec<Uuid>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<&str> = rows.iter().map(|r| touch_state(&r.outcome)).collect();
    let body = serde_json::to_value(rows).map_err(|e| StoreError::Decode(e.to_string()))?;
    let ids: Vec<Uuid> = rows.iter().map(|r| r.touch_id).collect();
    let ended = sqlx::query_scalar!(
        r#"
        with r as (
            select r.*, s.state
            from jsonb_to_recordset($1::jsonb) as r (
                touch_id uuid, id uuid, daemon_id uuid, epoch bigint, template text, template_version_id uuid, locale text, sender text, address text,
                subject text, segments smallint, encoding text, vars jsonb, hash text, outcome text, reply text,
                done_at timestamptz)
            join unnest($2::uuid[], $3::text[]) as s (touch_id, state) using (touch_id)
        ), gone as (
            delete from queue q using r
            where q.touch_id = r.touch_id and q.message_id = r.id
              -- Accepted is accepted, whoever has the work now. Any other end is that of one's own attempt only.
              and (r.outcome = 'accepted' or q.daemon_id = r.daemon_id and q.epoch = r.epoch)
            returning q.touch_id, q.shard, q.contact_id, q.account_id, q.lead_id, q.channel, q.class, q.cadence,
                      q.step_key, q.tries, q.crossing_at
        ), settled as (
            update message m
            set outcome = r.outcome, reply = r.reply, done_at = r.done_at, template = r.template,
                template_version_id = r.template_version_id, locale = r.locale, subject = r.subject,
                segments = r.segments, encoding = r.encoding, vars = r.vars, hash = r.hash
            from r
            where m.id = r.id and m.outcome = 'uncertain' and r.outcome in ('accepted', 'refused')
              and not exists (select 1 from gone g where g.touch_id = r.touch_id)
            returning m.touch_id
        ), made as (
            insert into message (id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                                 template, template_version_id, locale, sender, address, subject, segments, encoding,
                                 vars, hash, outcome, reply, tries, crossing_at, done_at)
            select r.id, g.shard, g.contact_id, g.account_id, g.lead_id, g.touch_id, g.channel, g.class, g.cadence,
                   g.step_key, r.template, r.template_version_id, r.locale, r.sender, r.address, r.subject, r.segments,
                   r.encoding, r.vars, r.hash, r.outcome, r.reply, g.tries + 1, g.crossing_at, r.done_at
            from gone g join r using (touch_id)
            -- Tried once more after it was unknown: the one row then tells the last outcome and both tries.
            on conflict (id) do update
            set outcome = excluded.outcome, reply = excluded.reply, tries = message.tries + 1, done_at = excluded.done_at,
                crossing_at = excluded.crossing_at, template = excluded.template, subject = excluded.subject,
                template_version_id = excluded.template_version_id, locale = excluded.locale, vars = excluded.vars,
                hash = excluded.hash
            returning touch_id
        ), ended as (
            select touch_id from made union select touch_id from settled
        )
        update touch t
        set state = r.state, reason = case when r.state = 'sent' then null else r.reply end, done_at = r.done_at
        from r join ended using (touch_id)
        where t.id = r.touch_id
        returning t.id
        "#,
        body,
        &ids,
        &states as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(ended)
}

/// An attempt to be made again.
#[derive(Debug, Clone)]
pub struct Again {
    /// The touch.
    pub touch_id: Uuid,
    /// Who claimed it for the attempt.
    pub owner: Incarnation,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, as in the decision.
    pub reason: String,
    /// Whether it counts as a try.
    pub counts: bool,
}

/// Puts attempts back that surely were not sent; only rows still owned, claimed or crossing. What a crossing charged to
/// the caps is given back: the person got nothing.
pub async fn again(conn: &mut PgConnection, rows: &[Again]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.touch_id).collect();
    let at: Vec<DateTime<Utc>> = rows.iter().map(|r| r.at).collect();
    let reasons: Vec<String> = rows.iter().map(|r| r.reason.clone()).collect();
    let counts: Vec<i16> = rows.iter().map(|r| i16::from(r.counts)).collect();
    let owners: Vec<Uuid> = rows.iter().map(|r| r.owner.id).collect();
    let epochs: Vec<i64> = rows.iter().map(|r| r.owner.epoch).collect();
    let done = sqlx::query!(
        r#"
        with r as (
            select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::smallint[], $5::uuid[], $6::bigint[])
                 as r (touch_id, at, reason, counts, daemon_id, epoch)
        ), mine as materialized (
            select q.touch_id, q.contact_id, q.account_id, q.crossing_at
            from queue q join r using (touch_id)
            where q.daemon_id = r.daemon_id and q.epoch = r.epoch and q.state in ('claimed', 'crossing')
            order by q.touch_id
            for update of q
        ), refunded as (
            update pace p
            set ring = p.ring[:array_position(p.ring, m.crossing_at) - 1] || p.ring[array_position(p.ring, m.crossing_at) + 1:]
            from mine m
            where p.ring @> array[m.crossing_at]
              and (p.kind, p.key) in (('contact', m.contact_id::text), ('account', m.account_id::text))
        )
        update queue q
        set state = 'waiting', daemon_id = null, epoch = null, crossing_at = null, due_at = r.at, held = r.reason,
            held_until = r.at, tries = q.tries + r.counts
        from r join mine using (touch_id)
        where q.touch_id = r.touch_id
        "#,
        &ids,
        &at,
        &reasons,
        &counts,
        &owners,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A withdrawn attempt whose row was swept as uncertain meanwhile: it surely was not sent, so it comes back to life, and
/// what its crossing charged to the caps is given back. Where an earlier try is unknown, it stays so.
pub async fn revive_withdrawn(
    conn: &mut PgConnection,
    message_ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if message_ids.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with m as (
            delete from message m
            where m.id = any($1) and m.outcome = 'uncertain'
              -- Of this very try: a row of an earlier one is the only record that it may have arrived.
              and m.tries = 1 and not exists (select 1 from queue q where q.touch_id = m.touch_id)
            returning m.*
        ), refunded as (
            update pace p
            set ring = p.ring[:array_position(p.ring, m.crossing_at) - 1] || p.ring[array_position(p.ring, m.crossing_at) + 1:]
            from m
            where p.ring @> array[m.crossing_at]
              and (p.kind, p.key) in (('contact', m.contact_id::text), ('account', m.account_id::text))
        ), t as (
            update touch t set state = 'queued', reason = null, done_at = null, due_at = $2
            from m where t.id = m.touch_id
            returning t.*
        )
        insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, lead_id, cadence,
                           cadence_version_id, step_key, class, channel, sender, due_at, first_due_at, expires_at, held,
                           address_hash)
        select t.id, t.shard, m.id, t.enrollment_id, t.contact_id, m.account_id, m.lead_id, e.cadence,
               e.cadence_version_id, t.step_key, m.class, m.channel, nullif(m.sender, ''), $2, $2, $2 + interval '3 days', 'withdrawn',
               case m.channel when 'email' then c.email_hash when 'sms' then c.phone_hash end
        from t join m on m.touch_id = t.id join enrollment e on e.id = t.enrollment_id join contact c on c.id = t.contact_id
        on conflict do nothing
        "#,
        message_ids,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Puts unknown messages of a class back for one more try with the same id, where nothing settled them since `before`.
/// The row stays as the record of the first try. Mails only: a text message would come twice. Returns how many.
pub async fn retry_uncertain(
    conn: &mut PgConnection,
    class: i16,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        with m as materialized (
            select m.* from message m
            where m.outcome = 'uncertain' and m.class = $1 and m.tries = 1 and m.done_at <= $2 and m.touch_id is not null
              and m.channel = 'email'
            order by m.id limit 1000
            for update skip locked
        ), t as (
            update touch t set state = 'queued', due_at = $3, done_at = null
            from m where t.id = m.touch_id and t.state = 'uncertain'
            returning t.*
        )
        insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, lead_id, cadence,
                           cadence_version_id, step_key, class, channel, sender, due_at, first_due_at, expires_at, held,
                           address_hash, tries)
        select t.id, t.shard, m.id, t.enrollment_id, t.contact_id, m.account_id, m.lead_id, e.cadence,
               e.cadence_version_id, t.step_key, m.class, m.channel, nullif(m.sender, ''), $3, $3, $3 + interval '1 day',
               'uncertain', case m.channel when 'email' then c.email_hash when 'sms' then c.phone_hash end, 1
        from t join m on m.touch_id = t.id join enrollment e on e.id = t.enrollment_id join contact c on c.id = t.contact_id
        on conflict do nothing
        "#,
        class,
        before,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
