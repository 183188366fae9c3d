//! Who has to be asked again: whose facts changed since the last pass of an audience, for whom time alone changed something, and
//! who may come in again. Each is a range of an index; together they cost what has happened, not what exists.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sea_query::{Expr, ExprTrait, JoinType, PostgresQueryBuilder, Query, SelectStatement, UnionType, Values};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::StoreError;
use super::audience::arguments;
use crate::domain::condition::{Condition, EventTest, FactTest};
use crate::domain::fact::{self, FactType, From, Of};
use crate::domain::zone::local_date;

/// How far an audience has been asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The version of the cadence.
    pub version: Uuid,
    /// Business time of the pass.
    pub at: DateTime<Utc>,
    /// Every transaction below this number had ended when it began.
    pub horizon: i64,
    /// The zone whose dates it took.
    pub zone: String,
}

/// The last pass of a cadence's audience.
pub async fn last_pass(conn: &mut PgConnection, cadence: &str) -> Result<Option<Pass>, StoreError> {
    let row = sqlx::query_as!(
        Pass,
        r#"select cadence_version_id as version, at, horizon::text::bigint as "horizon!", zone from audience_pass where cadence = $1"#,
        cadence,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// Notes a pass that is over.
pub async fn passed(conn: &mut PgConnection, cadence: &str, pass: &Pass) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into audience_pass (cadence, cadence_version_id, at, horizon, zone)
        values ($1, $2, $3, ($4::bigint)::text::xid8, $5)
        on conflict (cadence) do update
        set cadence_version_id = excluded.cadence_version_id, at = excluded.at, horizon = excluded.horizon, zone = excluded.zone
        "#,
        cadence,
        pass.version,
        pass.at,
        pass.horizon,
        pass.zone,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The horizon now: changes by transactions from this number on may still be to come. And about a fifth of all contacts, above
/// which it is cheaper to ask everybody.
pub async fn horizon(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query!(
        r#"
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!",
               (select greatest(reltuples, 0)::bigint / 5 from pg_class where oid = 'contact'::regclass) as "fifth!"
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.horizon, row.fifth))
}

/// Whose facts were changed by transactions from a horizon on, each as often as they were; at most `limit`.
pub async fn changed(conn: &mut PgConnection, horizon: i64, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"
        select contact_id from fact_change where xid >= ($1::bigint)::text::xid8 order by xid limit $2
        "#,
        horizon,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Whose enrollment in a cadence ended after `from` and until `until`.
pub async fn ended(
    conn: &mut PgConnection,
    cadence: &str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_scalar!(
        "select distinct contact_id from enrollment where cadence = $1 and ended_at > $2 and ended_at <= $3",
        cadence,
        from,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// For whom time alone may have made a condition true between two moments; with `either`, true or false: where one person stands
/// for others, they come in for him.
pub async fn come_due(
    conn: &mut PgConnection,
    condition: &Condition,
    either: bool,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    zone: Tz,
) -> Result<Vec<Uuid>, StoreError> {
    let days = (local_date(from, zone), local_date(until, zone));
    let Some((sql, values)) = select_come_due(condition, either, &Between { from, until, days }) else {
        return Ok(Vec::new());
    };
    Ok(sqlx::query_scalar_with(AssertSqlSafe(sql), arguments(values)?)
        .persistent(false)
        .fetch_all(conn)
        .await?)
}

fn select_come_due(condition: &Condition, either: bool, between: &Between) -> Option<(String, Values)> {
    let mut found = Vec::new();
    between.walk(condition, false, &mut found);
    if either {
        between.walk(condition, true, &mut found);
    }
    let mut found = found.into_iter();
    let mut all = found.next()?;
    for next in found {
        all.union(UnionType::Distinct, next);
    }
    Some(all.build(PostgresQueryBuilder))
}

/// Takes away up to `limit` changes that every audience has seen, and those of a server that this database was moved from.
pub async fn trim(conn: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        r#"
        with seen as (
            select least(pg_snapshot_xmin(pg_current_snapshot()),
                         (select p.horizon from audience_pass p
                          join document d on d.kind = 'cadence' and d.version_id = p.cadence_version_id
                          order by p.horizon limit 1)) as until
        )
        delete from fact_change where seq in (
            (select f.seq from fact_change f, seen where f.xid < seen.until order by f.xid limit $1)
            union all
            (select f.seq from fact_change f where f.xid >= pg_snapshot_xmax(pg_current_snapshot()) order by f.xid limit $1)
        )
        "#,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Two moments, and their dates in the company's zone.
struct Between {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    days: (NaiveDate, NaiveDate),
}

impl Between {
    /// The tests that time can make true: inside a `not`, those that it makes false.
    fn walk(&self, condition: &Condition, negated: bool, found: &mut Vec<SelectStatement>) {
        match condition {
            Condition::All(all) => all.all.iter().for_each(|part| self.walk(part, negated, found)),
            Condition::Any(any) => any.any.iter().for_each(|part| self.walk(part, negated, found)),
            Condition::Not(not) => self.walk(&not.not, !negated, found),
            Condition::Fact(test) => self.fact(test, negated, found),
            Condition::Event(test) => found.push(self.event(test, negated)),
        }
    }

    fn fact(&self, test: &FactTest, negated: bool, found: &mut Vec<SelectStatement>) {
        let Some(fact) = fact::fact(&test.fact) else {
            return;
        };
        let From::Column(column) = fact.from else { return };
        let mut range = |back: TimeDelta, since: bool| {
            let (mut select, table) = contacts_by(fact.of);
            let value = || Expr::col((table, column));
            if fact.kind == FactType::Date {
                let edge = |day: NaiveDate| day.checked_sub_signed(back).unwrap_or(day);
                let (low, high) = (edge(self.days.0), edge(self.days.1));
                // What leaves a span that begins today is yesterday's; what enters a span is on its new days.
                let hit = if since {
                    value().gt(low).and(value().lte(high))
                } else {
                    value().gte(low).and(value().lt(high))
                };
                select.and_where(hit);
            } else {
                let edge =
                    |at: DateTime<Utc>| at.checked_sub_signed(back).unwrap_or(DateTime::<Utc>::MIN_UTC);
                select.and_where(value().gt(edge(self.from)).and(value().lte(edge(self.until))));
            }
            found.push(select);
        };
        let days = |n: i32| TimeDelta::days(n.into());
        match (test.older_than, test.within, test.days_until_at_most, negated) {
            (Some(age), _, _, false) | (_, Some(age), _, true) => range(age.length(), true),
            // A moment that lay ahead has come.
            (_, Some(_), _, false) => range(TimeDelta::zero(), true),
            (_, _, Some(n), false) => range(-days(n), true),
            (_, _, Some(_), true) => range(TimeDelta::zero(), false),
            _ => {}
        }
    }

    /// Events that became too old to count; or, as they came with a time ahead of ours, that count only now.
    fn event(&self, test: &EventTest, negated: bool) -> SelectStatement {
        let back = if negated {
            test.within.length()
        } else {
            TimeDelta::zero()
        };
        let edge = |at: DateTime<Utc>| at.checked_sub_signed(back).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let mut select = Query::select();
        select
            .column(("e", "contact_id"))
            .from_as("event", "e")
            .and_where(Expr::col(("e", "occurred_at")).gt(edge(self.from)))
            .and_where(Expr::col(("e", "occurred_at")).lte(edge(self.until)))
            .and_where(Expr::col(("e", "type")).eq(test.event.as_str()))
            .and_where(Expr::col(("e", "human")))
            .and_where(Expr::col(("e", "contact_id")).is_not_null());
        if !negated {
            select.and_where(Expr::col(("e", "occurred_at")).gt(Expr::col(("e", "received_at"))));
        }
        select
    }
}

/// Contacts, found by a row of the table that a fact stands in.
fn contacts_by(of: Of) -> (SelectStatement, &'static str) {
    let mut select = Query::select();
    let table = match of {
        Of::Contact => {
            select
                .expr_as(Expr::col(("c", "id")), "contact_id")
                .from_as("contact", "c");
            "c"
        }
        Of::Account => {
            select
                .expr_as(Expr::col(("c", "id")), "contact_id")
                .from_as("account", "a")
                .join_as(
                    JoinType::InnerJoin,
                    "contact",
                    "c",
                    Expr::col(("c", "account_id")).equals(("a", "id")),
                );
            "a"
        }
        Of::Lead => {
            select.column(("lc", "contact_id")).from_as("lead", "l").join_as(
                JoinType::InnerJoin,
                "lead_contact",
                "lc",
                Expr::col(("lc", "lead_id")).equals(("l", "id")),
            );
            "l"
        }
    };
    (select, table)
}
