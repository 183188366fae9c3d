//! The end of an attempt: one statement per group moves queue row, message and touch together.

use std::collections::HashSet;

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
    /// Variables it was rendered with, as JSON.
    pub vars: String,
    /// Hash of the unsigned bytes.
    pub hash: String,
    /// accepted, refused, uncertain
    pub outcome: String,
    /// Last reply, or what was seen instead.
    pub reply: Option<String>,
    /// When it ended.
    pub done_at: DateTime<Utc>,
    /// When its attempt asked to cross, if it did: it says which attempt this is.
    #[serde(default)]
    pub crossed_at: Option<DateTime<Utc>>,
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
pub async fn finish(conn: &mut PgConnection, rows: &[&MessageRow]) -> Result<Vec<Uuid>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut ended = end(conn, rows).await?;
    if ended.len() < rows.len() {
        let known: HashSet<Uuid> = ended.iter().copied().collect();
        let late: Vec<&MessageRow> = rows
            .iter()
            .copied()
            .filter(|r| !known.contains(&r.touch_id))
            .collect();
        ended.extend(settle(conn, &late).await?);
    }
    Ok(ended)
}

/// Ends the attempts whose queue rows are there.
async fn end(conn: &mut PgConnection, rows: &[&MessageRow]) -> Result<Vec<Uuid>, StoreError> {
    let c = Columns::of(rows);
    let ended = sqlx::query_scalar!(
        r#"
        with r as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                                 $9::text[], $10::text[], $11::smallint[], $12::text[], $13::text[], $14::text[],
                                 $15::text[], $16::text[], $17::timestamptz[], $18::text[])
                 as r (touch_id, id, daemon_id, epoch, template, template_version_id, locale, sender, address, subject,
                       segments, encoding, vars, hash, outcome, reply, done_at, state)
        ), gone as (
            delete from queue q using r
            where q.touch_id = r.touch_id and q.message_id = r.id
              -- Accepted is accepted, whoever has the work now. Any other end is that of one's own attempt only.
              and (r.outcome = 'accepted' or q.daemon_id = r.daemon_id and q.epoch = r.epoch)
            returning r.id, q.shard, q.contact_id, q.account_id, q.lead_id, r.touch_id, q.channel, q.class, q.cadence, q.step_key,
                      r.template, r.template_version_id, r.locale, r.sender, r.address, r.subject, r.segments, r.encoding,
                      r.vars::json, r.hash, r.outcome, r.reply, q.tries + 1 as tries, q.crossing_at, r.done_at, r.state
        ), made as (
            -- Nobody has a row of a message that was never tried before, so none is looked for.
            insert into message (id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                                 template, template_version_id, locale, sender, address, subject, segments, encoding,
                                 vars, hash, outcome, reply, tries, crossing_at, done_at)
            select id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                   template, template_version_id, locale, sender, address, subject, segments, encoding,
                   vars, hash, outcome, reply, tries, crossing_at, done_at
            from gone where tries = 1
        ), again as (
            insert into message (id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                                 template, template_version_id, locale, sender, address, subject, segments, encoding,
                                 vars, hash, outcome, reply, tries, crossing_at, done_at)
            select id, shard, contact_id, account_id, lead_id, touch_id, channel, class, cadence, step_key,
                   template, template_version_id, locale, sender, address, subject, segments, encoding,
                   vars, hash, outcome, reply, tries, crossing_at, done_at
            from gone where tries > 1
            -- Tried once more after it was unknown: the one row then tells the last outcome and both tries.
            on conflict (id) do update
            set outcome = excluded.outcome, reply = excluded.reply, tries = message.tries + 1, done_at = excluded.done_at,
                crossing_at = excluded.crossing_at, template = excluded.template, subject = excluded.subject,
                template_version_id = excluded.template_version_id, locale = excluded.locale, vars = excluded.vars,
                hash = excluded.hash
        )
        update touch t
        set state = g.state, reason = case when g.state = 'sent' then null else g.reply end, done_at = g.done_at
        from gone g
        where t.id = g.touch_id
        returning t.id
        "#,
        &c.touch_ids,
        &c.ids,
        &c.daemon_ids,
        &c.epochs,
        &c.templates as &[&str],
        &c.template_version_ids as &[Option<Uuid>],
        &c.locales as &[&str],
        &c.senders as &[&str],
        &c.addresses as &[&str],
        &c.subjects as &[Option<&str>],
        &c.segments as &[Option<i16>],
        &c.encodings as &[Option<&str>],
        &c.vars as &[&str],
        &c.hashes as &[&str],
        &c.outcomes as &[&str],
        &c.replies as &[Option<&str>],
        &c.done_at,
        &c.states as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(ended)
}

/// Settles what a sweep had called uncertain before its outcome was known. Accepted is so for good; a refusal is about its own
/// attempt alone, and there may have been a later one.
async fn settle(conn: &mut PgConnection, rows: &[&MessageRow]) -> Result<Vec<Uuid>, StoreError> {
    let c = Columns::of(rows);
    let settled = sqlx::query_scalar!(
        r#"
        with r as (
            select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::smallint[],
                                 $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::text[],
                                 $15::timestamptz[])
                 as r (touch_id, id, template, template_version_id, locale, subject, segments, encoding, vars, hash, outcome,
                       reply, done_at, state, crossed_at)
        ), settled as (
            update message m
            set outcome = r.outcome, reply = r.reply, done_at = r.done_at, template = r.template,
                template_version_id = r.template_version_id, locale = r.locale, subject = r.subject,
                segments = r.segments, encoding = r.encoding, vars = r.vars::json, hash = r.hash
            from r
            where m.id = r.id and m.outcome = 'uncertain'
              and (r.outcome = 'accepted' or r.outcome = 'refused' and m.crossing_at = r.crossed_at)
            returning r.touch_id, r.state, r.reply, r.done_at
        )
        update touch t
        set state = s.state, reason = case when s.state = 'sent' then null else s.reply end, done_at = s.done_at
        from settled s
        where t.id = s.touch_id
        returning t.id
        "#,
        &c.touch_ids,
        &c.ids,
        &c.templates as &[&str],
        &c.template_version_ids as &[Option<Uuid>],
        &c.locales as &[&str],
        &c.subjects as &[Option<&str>],
        &c.segments as &[Option<i16>],
        &c.encodings as &[Option<&str>],
        &c.vars as &[&str],
        &c.hashes as &[&str],
        &c.outcomes as &[&str],
        &c.replies as &[Option<&str>],
        &c.done_at,
        &c.states as &[&str],
        &c.crossed_at as &[Option<DateTime<Utc>>],
    )
    .fetch_all(conn)
    .await?;
    Ok(settled)
}

/// Rows by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'r> {
    touch_ids: Vec<Uuid>,
    ids: Vec<Uuid>,
    daemon_ids: Vec<Uuid>,
    epochs: Vec<i64>,
    templates: Vec<&'r str>,
    template_version_ids: Vec<Option<Uuid>>,
    locales: Vec<&'r str>,
    senders: Vec<&'r str>,
    addresses: Vec<&'r str>,
    subjects: Vec<Option<&'r str>>,
    segments: Vec<Option<i16>>,
    encodings: Vec<Option<&'r str>>,
    vars: Vec<&'r str>,
    hashes: Vec<&'r str>,
    outcomes: Vec<&'r str>,
    replies: Vec<Option<&'r str>>,
    done_at: Vec<DateTime<Utc>>,
    states: Vec<&'static str>,
    crossed_at: Vec<Option<DateTime<Utc>>>,
}

impl<'r> Columns<'r> {
    fn of(rows: &[&'r MessageRow]) -> Self {
        let mut c = Self::default();
        for r in rows {
            c.touch_ids.push(r.touch_id);
            c.ids.push(r.id);
            c.daemon_ids.push(r.daemon_id);
            c.epochs.push(r.epoch);
            c.templates.push(&r.template);
            c.template_version_ids.push(r.template_version_id);
            c.locales.push(&r.locale);
            c.senders.push(&r.sender);
            c.addresses.push(&r.address);
            c.subjects.push(r.subject.as_deref());
            c.segments.push(r.segments);
            c.encodings.push(r.encoding.as_deref());
            c.vars.push(&r.vars);
            c.hashes.push(&r.hash);
            c.outcomes.push(&r.outcome);
            c.replies.push(r.reply.as_deref());
            c.done_at.push(r.done_at);
            c.states.push(touch_state(&r.outcome));
            c.crossed_at.push(r.crossed_at);
        }
        c
    }
}

/// An attempt to be made again.
#[derive(Debug, Clone)]
pub struct Again {
    /// The touch.
    pub touch_id: Uuid,
    /// Who claimed it for the attempt.
    pub owner: Incarnation,
    /// When it was due for the attempt: it says which claim this is, should the same daemon have claimed it again since.
    pub due_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, as in the decision.
    pub reason: String,
    /// Whether it counts as a try.
    pub counts: bool,
    /// When that attempt asked to cross, if it did.
    pub crossed: Option<DateTime<Utc>>,
    /// The key of the cap of its number, if that was to be charged.
    pub number: Option<String>,
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
    let due: Vec<DateTime<Utc>> = rows.iter().map(|r| r.due_at).collect();
    let numbers: Vec<Option<&str>> = rows.iter().map(|r| r.number.as_deref()).collect();
    let crossed: Vec<Option<DateTime<Utc>>> = rows.iter().map(|r| r.crossed).collect();
    let done = sqlx::query!(
        r#"
        with r as (
            select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::smallint[], $5::uuid[], $6::bigint[],
                                 $7::timestamptz[], $8::text[], $9::timestamptz[])
                 as r (touch_id, at, reason, counts, daemon_id, epoch, due_at, number, crossed)
        ), mine as materialized (
            select q.touch_id, q.contact_id, q.account_id, q.crossing_at, r.number
            from queue q join r using (touch_id)
            where q.daemon_id = r.daemon_id and q.epoch = r.epoch and q.due_at = r.due_at
              -- A crossing is undone by its own attempt alone, however late that says so.
              and (q.state = 'claimed' or q.state = 'crossing' and q.crossing_at = r.crossed)
            order by q.touch_id
            for update of q
        ), charged as materialized (
            select k.kind, k.key, array_agg(m.crossing_at) as at
            from mine m, lateral (
                values ('contact', m.contact_id::text), ('account', m.account_id::text), ('number', m.number)
            ) as k (kind, key)
            where m.crossing_at is not null and k.key is not null
            group by k.kind, k.key
        ), locked as materialized (
            -- In the order in which crossings lock them.
            select p.kind, p.key, c.at from pace p join charged c using (kind, key)
            where p.ring && c.at
            order by p.kind, p.key
            for update of p
        ), refunded as (
            update pace p
            set ring = array(select at from unnest(p.ring) with ordinality as r (at, n) where at <> all (l.at) order by n)
            from locked l
            where (p.kind, p.key) = (l.kind, l.key)
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
        &due,
        &numbers as &[Option<&str>],
        &crossed as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// An attempt that had crossed, and that surely reached nobody.
#[derive(Debug, Clone)]
pub struct Returned {
    /// The message.
    pub message_id: Uuid,
    /// When that attempt crossed.
    pub crossed: DateTime<Utc>,
    /// When to try again.
    pub at: DateTime<Utc>,
    /// Why, as in the decision.
    pub reason: String,
    /// Whether it counts as a try.
    pub counts: bool,
    /// The key of the cap of its number, if that was charged.
    pub number: Option<String>,
}

impl Returned {
    /// That of an attempt to be made again; `None` = it never asked to cross, so there is nothing of it to revive.
    pub fn of(again: &Again, message_id: Uuid) -> Option<Self> {
        Some(Self {
            message_id,
            crossed: again.crossed?,
            at: again.at,
            reason: again.reason.clone(),
            counts: again.counts,
            number: again.number.clone(),
        })
    }
}

/// Attempts that surely reached nobody, but whose rows were swept as uncertain meanwhile: they come back to life, and what
/// their crossing charged to the caps is given back. Where an earlier try is unknown, it stays so. Returns how many.
pub async fn revive(
    conn: &mut PgConnection,
    rows: &[Returned],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.message_id).collect();
    let crossed: Vec<DateTime<Utc>> = rows.iter().map(|r| r.crossed).collect();
    let at: Vec<DateTime<Utc>> = rows.iter().map(|r| r.at).collect();
    let reasons: Vec<&str> = rows.iter().map(|r| r.reason.as_str()).collect();
    let counts: Vec<i16> = rows.iter().map(|r| i16::from(r.counts)).collect();
    let numbers: Vec<Option<&str>> = rows.iter().map(|r| r.number.as_deref()).collect();
    let done = sqlx::query!(
        r#"
        with r as (
            select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::smallint[], $7::text[])
                 as r (message_id, crossed, at, reason, counts, number)
        ), m as (
            delete from message m using r
            where m.id = any($1) and m.id = r.message_id and m.outcome = 'uncertain'
              -- Of this very try: a row of an earlier one is the only record that it may have arrived.
              and not m.retried and m.crossing_at = r.crossed
              and not exists (select 1 from queue q where q.touch_id = m.touch_id)
            returning m.*, r.at, r.reason, r.counts, r.number
        ), charged as materialized (
            select k.kind, k.key, array_agg(m.crossing_at) as at
            from m, lateral (
                values ('contact', m.contact_id::text), ('account', m.account_id::text), ('number', m.number)
            ) as k (kind, key)
            where k.key is not null
            group by k.kind, k.key
        ), locked as materialized (
            select p.kind, p.key, c.at from pace p join charged c using (kind, key)
            where p.ring && c.at
            order by p.kind, p.key
            for update of p
        ), refunded as (
            update pace p
            set ring = array(select at from unnest(p.ring) with ordinality as r (at, n) where at <> all (l.at) order by n)
            from locked l
            where (p.kind, p.key) = (l.kind, l.key)
        ), t as (
            update touch t set state = 'queued', reason = null, done_at = null, due_at = m.at
            from m where t.id = m.touch_id
            returning t.*
        )
        insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, lead_id, cadence,
                           cadence_version_id, step_key, class, channel, sender, due_at, first_due_at, expires_at, held,
                           address_hash, tries)
        select t.id, t.shard, m.id, t.enrollment_id, t.contact_id, m.account_id, m.lead_id, e.cadence,
               e.cadence_version_id, t.step_key, m.class, m.channel, nullif(m.sender, ''), m.at, $6::timestamptz,
               $6::timestamptz + interval '3 days', m.reason,
               case m.channel when 'email' then c.email_hash when 'sms' then c.phone_hash end, m.tries - 1 + m.counts
        from t join m on m.touch_id = t.id join enrollment e on e.id = t.enrollment_id join contact c on c.id = t.contact_id
        on conflict do nothing
        "#,
        &ids,
        &crossed,
        &at,
        &reasons as &[&str],
        &counts,
        now,
        &numbers as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Puts unknown messages of a class back for one more try with the same id, where nothing settled them since `before`: once
/// each, however often they had been put off before they became unknown. The row stays as the record of the first try. Mails only: a text message would come twice. Returns how many.
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
            where m.outcome = 'uncertain' and m.class = $1 and not m.retried and m.done_at <= $2 and m.touch_id is not null
              and m.channel = 'email'
            order by m.id limit 1000
            for update skip locked
        ), marked as (
            update message set retried = true from m where message.id = m.id
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
               'uncertain', case m.channel when 'email' then c.email_hash when 'sms' then c.phone_hash end, m.tries
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
