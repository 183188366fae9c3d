//! What a simulated audience has to know: what reached it, and what it may close.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Message id.
    pub id: Uuid,
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// What the person is called outside.
    pub external_id: String,
    /// email, sms, task
    pub channel: String,
    /// Cadence by name.
    pub cadence: String,
    /// Step by key.
    pub step_key: String,
    /// The touch.
    pub touch_id: Uuid,
    /// Tags of the links in its template, in order.
    pub tags: Vec<String>,
}

/// Messages accepted from `since` on, in an order that does not depend on how many connections carried them.
pub async fn arrived(conn: &mut PgConnection, since: DateTime<Utc>) -> Result<Vec<Arrived>, StoreError> {
    let rows = sqlx::query_as!(
        Arrived,
        r#"
        select m.id, m.done_at as at,
               (select r.external_id from contact_ref r where r.contact_id = m.contact_id order by r.source_id limit 1) as "external_id!",
               m.channel, m.cadence as "cadence!", m.step_key as "step_key!", m.touch_id as "touch_id!",
               array(select distinct l.tag from link l where l.template_version_id = m.template_version_id and l.tag is not null order by l.tag) as "tags!: Vec<String>"
        from message m
        where m.done_at >= $1 and m.outcome = 'accepted' and m.touch_id is not null
        order by m.done_at, 3, m.cadence, m.step_key
        "#,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Closes the tasks of these touches, as the rep would after doing them.
pub async fn tasks_done(
    conn: &mut PgConnection,
    touches: &[Uuid],
    outcome: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update task set state = 'done', outcome = $2, done_by = 'simulation', done_at = $3
        where touch_id = any($1) and state in ('open', 'snoozed')
        "#,
        touches,
        outcome,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes the complaints of a person's customer and their service tasks.
pub async fn grievance_settled(
    conn: &mut PgConnection,
    external_id: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with g as (
            update grievance g set closed_at = $2, closed_by = 'simulation'
            from contact_ref r join contact c on c.id = r.contact_id
            where r.external_id = $1 and g.account_id = c.account_id and g.closed_at is null
            returning g.account_id
        )
        update task t set state = 'done', outcome = 'settled', done_by = 'simulation', done_at = $2
        from g where t.account_id = g.account_id and t.kind = 'service' and t.state in ('open', 'snoozed')
        "#,
        external_id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
