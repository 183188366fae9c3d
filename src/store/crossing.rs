//! The crossing: the one short statement between the content of a message and its final dot.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::queue::Incarnation;
use crate::domain::gate::Charge;

/// One attempt that wants to cross.
#[derive(Debug, Clone)]
pub struct Member {
    /// The touch.
    pub touch_id: Uuid,
    /// Its caps; every row named here is charged once when it passes.
    pub charges: Vec<Charge>,
}

/// How many instants a pace row remembers; no cap may count further than this.
pub const RING: i32 = 64;

/// The instants on the given pace rows, newest first.
pub async fn rings(
    conn: &mut PgConnection,
    keys: &[(String, String)],
) -> Result<Vec<(String, String, Vec<DateTime<Utc>>)>, StoreError> {
    let (kinds, names): (Vec<String>, Vec<String>) = keys.iter().cloned().unzip();
    let rows = sqlx::query!(
        r#"
        select p.kind, p.key, p.ring
        from pace p join unnest($1::text[], $2::text[]) as k (kind, key) on p.kind = k.kind and p.key = k.key
        "#,
        &kinds,
        &names,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.kind, r.key, r.ring)).collect())
}

/// Judges and records a group: returns the touches that may go. Nothing else in the program makes a row `crossing`.
///
/// The daemon's own row is locked first, shared: nobody else's crossings wait for it. Queue rows are locked in id order, then pace rows in key order; no two members of a group may name the same pace row.
///
/// Who is charged for the first time gets their row here. When another daemon made one of them in the same moment, nothing
/// of the group was written, and it is judged again with that row.
pub async fn cross(
    conn: &mut PgConnection,
    who: Incarnation,
    members: &[Member],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    loop {
        match cross_once(conn, who, members, now).await {
            Err(StoreError::Sql(sqlx::Error::Database(error))) if error.is_unique_violation() => {}
            done => return done,
        }
    }
}

async fn cross_once(
    conn: &mut PgConnection,
    who: Incarnation,
    members: &[Member],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = members.iter().map(|m| m.touch_id).collect();
    let mut of: Vec<Uuid> = Vec::new();
    let (mut kinds, mut keys, mut since, mut n) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for member in members {
        for charge in &member.charges {
            of.push(member.touch_id);
            kinds.push(charge.kind.to_owned());
            keys.push(charge.key.clone());
            since.push(charge.since);
            n.push(charge.n);
        }
    }
    let rows = sqlx::query_scalar!(
        r#"
        with alive as materialized (
            -- Locked, so that a burial or the brake waits for this statement, or this statement sees them.
            select d.id
            from daemon d
            where d.id = $1 and d.epoch = $2 and d.ended_at is null and not d.braked
            for share of d
        ), mine as materialized (
            select q.touch_id
            from queue q
            where q.touch_id = any($3) and q.daemon_id = $1 and q.epoch = $2 and q.state = 'claimed'
              and not exists (
                  select 1 from suppression s
                  where s.address_hash = q.address_hash and s.channel = q.channel
                    and (s.purpose = 'all' or q.class = 3)
              )
              and not (select brake from control)
              and exists (select 1 from alive)
            order by q.touch_id
            for update of q
        ), want as materialized (
            select w.touch_id, w.kind, w.key, w.since, w.n
            from unnest($4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::int[])
                 as w (touch_id, kind, key, since, n)
            join mine using (touch_id)
        ), locked as materialized (
            select p.kind, p.key, p.ring
            from pace p
            where (p.kind, p.key) in (select w.kind, w.key from want w)
            order by p.kind, p.key
            for update of p
        ), broken as (
            select w.touch_id
            from want w left join locked p on p.kind = w.kind and p.key = w.key
            where (select count(*) from unnest(p.ring) as r (at) where r.at > w.since) >= w.n
        ), pass as materialized (
            select touch_id from mine where touch_id not in (select touch_id from broken)
        ), charge as materialized (
            select distinct w.kind, w.key from want w join pass using (touch_id)
        ), charged as (
            update pace p
            set ring = (array_prepend($9::timestamptz, p.ring))[1:$10]
            from charge c
            where p.kind = c.kind and p.key = c.key
        ), first as (
            insert into pace (kind, key, ring)
            select c.kind, c.key, array[$9::timestamptz]
            from charge c
            where not exists (select 1 from locked p where p.kind = c.kind and p.key = c.key)
            order by c.kind, c.key
        )
        update queue q
        set state = 'crossing', crossing_at = $9
        from pass
        where q.touch_id = pass.touch_id
        returning q.touch_id
        "#,
        who.id,
        who.epoch,
        &ids,
        &of,
        &kinds,
        &keys,
        &since,
        &n,
        now,
        RING,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
