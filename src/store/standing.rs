//! Where a customer stands: purchases in a period, tiers by held boundaries, lost and won back. All set-based.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// The boundaries in force.
#[derive(Debug, Clone)]
pub struct Base {
    /// When the cut was made.
    pub at: DateTime<Utc>,
    /// Start of the base period.
    pub period_from: DateTime<Utc>,
    /// End of the base period.
    pub period_until: DateTime<Utc>,
    /// VIP from this amount.
    pub vip_over: Decimal,
    /// Key from this amount.
    pub key_over: Decimal,
    /// Normal from this amount.
    pub normal_over: Decimal,
}

/// The newest cut, if there ever was one.
pub async fn base(conn: &mut PgConnection) -> Result<Option<Base>, StoreError> {
    let row = sqlx::query_as!(
        Base,
        "select at, period_from, period_until, vip_over, key_over, normal_over from pyramid_base order by at desc, id desc limit 1"
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// Puts a cut in force.
pub async fn rebase(conn: &mut PgConnection, id: Uuid, base: &Base, actor: &str) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into pyramid_base (id, at, period_from, period_until, vip_over, key_over, normal_over, actor)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        id,
        base.at,
        base.period_from,
        base.period_until,
        base.vip_over,
        base.key_over,
        base.normal_over,
        actor,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Purchases of each customer with any in the period.
#[derive(Debug, Clone)]
pub struct Spent {
    /// The customer.
    pub account_id: Uuid,
    /// Sum of amounts.
    pub amount: Decimal,
    /// Sum of profits.
    pub profit: Decimal,
}

/// What every customer spent from `from` up to, not including, `until`.
pub async fn spent(
    conn: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Spent>, StoreError> {
    let rows = sqlx::query_as!(
        Spent,
        r#"
        select account_id, sum(amount) as "amount!", coalesce(sum(profit), 0) as "profit!"
        from purchase where at >= $1 and at < $2
        group by account_id
        order by sum(amount) desc, account_id
        "#,
        from,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Sets every customer's standing by the boundaries: tiers by what was spent in the period, inactive with purchases before it
/// only, prospect with an open lead, else suspect. Without boundaries nobody bought in the period, and there are no tiers.
/// Writes only what changes, and a ledger row for each change.
/// `key` gives the ledger rows their ids: they are derived from the account, so that a repeated run makes the same.
pub async fn restand(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    base: Option<&Base>,
    reason: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        with spent as (
            select p.account_id, sum(p.amount) filter (where p.at >= $2 and p.at < $1) as amount
            from purchase p where p.at < $1
            group by p.account_id
        ), should as (
            select a.id,
                   case
                       when s.amount > $3 then 'vip'
                       when s.amount > $4 then 'key'
                       when s.amount > $5 then 'normal'
                       when s.amount > 0 then 'small'
                       when s.account_id is not null then 'inactive'
                       when exists (select 1 from lead l where l.account_id = a.id) then 'prospect'
                       else 'suspect'
                   end as standing
            from account a left join spent s on s.account_id = a.id
        ), old as materialized (
            select a.id, a.standing, should.standing as after
            from account a join should on should.id = a.id
            where a.standing <> should.standing
            order by a.id
            for update of a
        ), changed as (
            update account a set standing = old.after, standing_since = $1
            from old where a.id = old.id
            returning a.id, old.standing as before, a.standing as after
        ), noted as (
            insert into fact_change (contact_id)
            select c.id from changed join contact c on c.account_id = changed.id
        )
        insert into standing_change (account_id, at, id, before, after, reason)
        select id, $1, id, before, after, $6 from changed
        on conflict do nothing
        "#,
        now,
        from,
        base.map(|b| b.vip_over),
        base.map(|b| b.key_over),
        base.map(|b| b.normal_over),
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A customer who has just been found lost.
#[derive(Debug, Clone)]
pub struct Lost {
    /// The customer.
    pub account_id: Uuid,
    /// Tier when lost.
    pub tier: String,
}

/// Marks customers of a tier as lost who have not bought since `silent_since`.
pub async fn lose(
    conn: &mut PgConnection,
    tier: &str,
    silent_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Lost>, StoreError> {
    let rows = sqlx::query_as!(
        Lost,
        r#"
        with silent as materialized (
            select a.id from account a
            where a.standing = $1 and a.lost_at is null and a.last_purchase_at < $2
            order by a.id
            for update
        ), gone as (
            update account a set lost_at = $3, tier_at_loss = $1, won_back_at = null
            from silent where a.id = silent.id
            returning a.id, a.tier_at_loss
        ), noted as (
            insert into fact_change (contact_id) select c.id from gone join contact c on c.account_id = gone.id
        )
        select id as account_id, tier_at_loss as "tier!" from gone
        "#,
        tier,
        silent_since,
        now,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Notes purchases on their customers: last purchase, and lost ones come back. Returns who was won back.
pub async fn bought(
    conn: &mut PgConnection,
    accounts: &[Uuid],
    at: &[DateTime<Utc>],
) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query!(
        r#"
        with p as (
            select account_id, max(at) as at from unnest($1::uuid[], $2::timestamptz[]) as p (account_id, at) group by account_id
        ), old as materialized (
            select a.id, a.lost_at from account a join p on p.account_id = a.id
            order by a.id
            for update of a
        ), upd as (
            update account a
            set last_purchase_at = greatest(a.last_purchase_at, p.at),
                won_back_at = case when a.lost_at < p.at then p.at else a.won_back_at end,
                lost_at = case when a.lost_at < p.at then null else a.lost_at end
            from p join old on old.id = p.account_id
            where a.id = p.account_id
            returning a.id, old.lost_at is not null and a.lost_at is null as back
        ), noted as (
            insert into fact_change (contact_id) select c.id from upd join contact c on c.account_id = upd.id
        )
        select id, back as "back!" from upd where back
        "#,
        accounts,
        at,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| r.id).collect())
}
