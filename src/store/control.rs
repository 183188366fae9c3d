//! The one row that holds for the whole database: brake, simulated clock, identity; and the marks of recurring services.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// The row.
#[derive(Debug, Clone)]
pub struct Control {
    /// Identity of the database.
    pub database_id: Uuid,
    /// System identifier of the server last known.
    pub system_identifier: Option<String>,
    /// Timeline last known.
    pub timeline: Option<i32>,
    /// Identity that live mode is bound to.
    pub live_database_id: Option<Uuid>,
    /// Identities of the databases that this one was restored from.
    pub former_ids: Vec<Uuid>,
    /// An operator answers for what was sent before.
    pub settled_at: Option<DateTime<Utc>>,
    /// Nothing crosses while it is on.
    pub brake: bool,
    /// Why it is on.
    pub brake_reason: Option<String>,
    /// Since when.
    pub brake_at: Option<DateTime<Utc>>,
    /// Signs the tokens in links.
    pub token_key: Vec<u8>,
    /// Keys the hashes of addresses.
    pub address_key: Vec<u8>,
    /// The simulated time, while a simulated clock is in force.
    pub simulated_now: Option<DateTime<Utc>>,
    /// Where the simulated clock has been asked to go.
    pub simulated_target: Option<DateTime<Utc>>,
}

/// Reads it.
pub async fn read(conn: &mut PgConnection) -> Result<Control, StoreError> {
    let row = sqlx::query_as!(
        Control,
        r#"
        select database_id, system_identifier, timeline, live_database_id, former_ids, settled_at, brake, brake_reason,
               brake_at, token_key, address_key, simulated_now, simulated_target
        from control
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(row)
}

/// Puts the brake on or takes it off. On is only certain after [`hold_daemons`]; off says that an operator answers for
/// what was sent before.
pub async fn brake(
    conn: &mut PgConnection,
    on: bool,
    reason: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update control
        set brake = $1, brake_reason = $2, brake_by = $3, brake_at = $4,
            settled_at = case when $1 then settled_at else greatest(settled_at, $4) end
        "#,
        on,
        reason,
        by,
        now,
    )
    .execute(&mut *conn)
    .await?;
    if !on {
        sqlx::query!("update daemon set braked = false where braked")
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// The second transaction of the brake, after the first has committed: tells every daemon on the row that its crossings
/// lock. A crossing that looked at the brake before either has that lock, and this waits until it has committed, or it
/// comes later and finds the row changed. False = the brake is off again.
pub async fn hold_daemons(conn: &mut PgConnection) -> Result<bool, StoreError> {
    // In the order in which the brake is lifted: control, then daemons.
    let on = sqlx::query_scalar!("select brake from control for update")
        .fetch_one(&mut *conn)
        .await?;
    if on {
        sqlx::query!(
            r#"
            update daemon d set braked = true
            from (select id from daemon where ended_at is null order by id for update) live
            where d.id = live.id
            "#
        )
        .execute(conn)
        .await?;
    }
    Ok(on)
}

/// Notes the simulated time, or that the clock is real again.
pub async fn simulated(conn: &mut PgConnection, now: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    sqlx::query!("update control set simulated_now = $1", now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Asks the simulated clock to go somewhere.
pub async fn ask_simulated(conn: &mut PgConnection, target: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    sqlx::query!("update control set simulated_target = $1", target)
        .execute(conn)
        .await?;
    Ok(())
}

/// What the server says of itself: system identifier and timeline. `None` where the role may not ask.
pub async fn server_identity(conn: &mut PgConnection) -> Result<Option<(String, i32)>, StoreError> {
    let may = sqlx::query_scalar!(
        r#"select has_function_privilege('pg_control_system()', 'execute') and has_function_privilege('pg_control_checkpoint()', 'execute') as "may!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    if !may {
        return Ok(None);
    }
    let row = sqlx::query!(
        r#"
        select s.system_identifier::text as "system!",
               -- That of the last checkpoint is still the old one for a while after a promotion.
               case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
                    else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end as "timeline!"
        from pg_control_system() s
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok(Some((row.system, row.timeline)))
}

/// Notes the server's identity.
pub async fn note_identity(conn: &mut PgConnection, system: &str, timeline: i32) -> Result<(), StoreError> {
    sqlx::query!(
        "update control set system_identifier = $1, timeline = $2",
        system,
        timeline
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Binds live mode to this database.
pub async fn bind_live(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("update control set live_database_id = database_id")
        .execute(conn)
        .await?;
    Ok(())
}

/// How far a recurring service has come.
pub async fn mark(conn: &mut PgConnection, name: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar!("select at from mark where name = $1", name)
        .fetch_optional(conn)
        .await?)
}

/// Takes what comes after a mark, if it is still where it was read and no other daemon that lives has taken it. Who moves the mark
/// when the work is done has made sure that work which fails is done again, and that of the dead by somebody else.
pub async fn take_mark(
    conn: &mut PgConnection,
    name: &str,
    from: DateTime<Utc>,
    daemon: Uuid,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        r#"
        update mark set taken_by = $3
        where name = $1 and at = $2
          and (taken_by is null or taken_by = $3
               or not exists (select from daemon d where d.id = mark.taken_by and d.ended_at is null))
        "#,
        name,
        from,
        daemon,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Moves a mark forward, if nobody else did since it was read. False = somebody else has the occurrence.
pub async fn move_mark(
    conn: &mut PgConnection,
    name: &str,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = match from {
        Some(from) => {
            sqlx::query!(
                "update mark set at = $3, taken_by = null where name = $1 and at = $2",
                name,
                from,
                to
            )
            .execute(conn)
            .await?
        }
        None => {
            sqlx::query!(
                "insert into mark (name, at) values ($1, $2) on conflict do nothing",
                name,
                to
            )
            .execute(conn)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}

/// All marks, to find what is due without a statement each.
pub async fn marks(conn: &mut PgConnection) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
    let rows = sqlx::query!("select name, at from mark order by name")
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|r| (r.name, r.at)).collect())
}

/// Notes who did what to which object.
pub async fn audit(
    conn: &mut PgConnection,
    id: Uuid,
    at: DateTime<Utc>,
    actor: &str,
    verb: &str,
    object: &str,
    after: Option<&serde_json::Value>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into audit (id, at, actor, verb, object, after) values ($1, $2, $3, $4, $5, $6)",
        id,
        at,
        actor,
        verb,
        object,
        after,
    )
    .execute(conn)
    .await?;
    Ok(())
}
