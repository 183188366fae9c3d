//! Who a condition picks, and for whom it holds: each one statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_query::{
    ArrayType, CommonTableExpression, Expr, ExprTrait, Func, JoinType, Order, PostgresQueryBuilder, Query,
    SelectStatement, Value, Values, WithClause,
};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::StoreError;
use super::condition::Asked;
use crate::domain::cadence::Subject;
use crate::domain::condition::Condition;

/// Somebody whom an audience picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::FromRow)]
pub struct Member {
    /// The person.
    pub contact_id: Uuid,
    /// The sale, for a cadence about leads.
    pub lead_id: Option<Uuid>,
    /// The customer the person belongs to.
    pub account_id: Uuid,
}

/// The next members after one, in a stable order; at most `limit`. For accounts the person of most influence among those
/// who fit: decision makers first, then who can be reached, then by id. Merged contacts and leads given up never fit.
pub async fn members(
    connection: &mut PgConnection,
    condition: &Condition,
    subject: Subject,
    now: DateTime<Utc>,
    zone: Tz,
    after: Option<&Member>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let (sql, values) = select_members(condition, subject, Asked::new(now, zone), after, limit);
    // Not kept prepared: the text differs by condition, and a plan kept from when a table was small would scan it whole.
    Ok(sqlx::query_as_with(AssertSqlSafe(sql), arguments(values)?)
        .persistent(false)
        .fetch_all(connection)
        .await?)
}

/// The members among these people: with everybody of their leads, for a cadence about leads, and of their accounts, for one about
/// accounts.
pub async fn members_among(
    connection: &mut PgConnection,
    condition: &Condition,
    subject: Subject,
    now: DateTime<Utc>,
    zone: Tz,
    people: &[Uuid],
) -> Result<Vec<Member>, StoreError> {
    let (sql, values) = select_among(condition, subject, Asked::new(now, zone), people);
    Ok(sqlx::query_as_with(AssertSqlSafe(sql), arguments(values)?)
        .persistent(false)
        .fetch_all(connection)
        .await?)
}

/// Those of the pairs of contact and lead for which the condition holds now: a guard for a whole batch. A merged contact
/// holds nothing.
pub async fn holding(
    connection: &mut PgConnection,
    condition: &Condition,
    pairs: &[(Uuid, Option<Uuid>)],
    now: DateTime<Utc>,
    zone: Tz,
) -> Result<HashSet<(Uuid, Option<Uuid>)>, StoreError> {
    if pairs.is_empty() {
        return Ok(HashSet::new());
    }
    let (sql, values) = select_holding(condition, pairs, Asked::new(now, zone));
    let rows: Vec<(Uuid, Option<Uuid>)> = sqlx::query_as_with(AssertSqlSafe(sql), arguments(values)?)
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// How many members there are.
pub async fn count(
    connection: &mut PgConnection,
    condition: &Condition,
    subject: Subject,
    now: DateTime<Utc>,
    zone: Tz,
) -> Result<u64, StoreError> {
    let mut count = Query::select();
    let all = members_of(condition, subject, Asked::new(now, zone));
    count.expr(Func::count(Expr::val(1))).from_subquery(all, "member");
    let (sql, values) = count.build(PostgresQueryBuilder);
    let count: i64 = sqlx::query_scalar_with(AssertSqlSafe(sql), arguments(values)?)
        .fetch_one(connection)
        .await?;
    Ok(count.unsigned_abs())
}

fn select_members(
    condition: &Condition,
    subject: Subject,
    asked: Asked,
    after: Option<&Member>,
    limit: u32,
) -> (String, Values) {
    let mut select = members_of(condition, subject, asked);
    select.limit(limit.into());
    match (subject, after) {
        (_, None) => {}
        (Subject::Lead, Some(member)) => {
            select.and_where(
                Expr::tuple([Expr::col(("c", "id")), Expr::col(("l", "id"))]).gt(Expr::tuple([
                    Expr::val(member.contact_id),
                    Expr::val(member.lead_id.unwrap_or_default()),
                ])),
            );
        }
        (Subject::Contact, Some(member)) => {
            select.and_where(Expr::col(("c", "id")).gt(member.contact_id));
        }
        (Subject::Account, Some(member)) => {
            select.and_where(Expr::col(("a", "id")).gt(member.account_id));
        }
    }
    select.build(PostgresQueryBuilder)
}

fn select_among(condition: &Condition, subject: Subject, asked: Asked, people: &[Uuid]) -> (String, Values) {
    let mut select = members_of(condition, subject, asked);
    let ids = people.iter().map(|id| Value::Uuid(Some(*id))).collect();
    let among = Func::cust("any").arg(Expr::val(Value::Array(ArrayType::Uuid, Some(Box::new(ids)))));
    match subject {
        Subject::Contact => {
            select.and_where(Expr::col(("c", "id")).eq(among));
        }
        Subject::Lead => {
            let mut theirs = Query::select();
            theirs
                .column("lead_id")
                .from("lead_contact")
                .and_where(Expr::col("contact_id").eq(among));
            select.and_where(Expr::col(("l", "id")).in_subquery(theirs));
        }
        Subject::Account => {
            let mut theirs = Query::select();
            theirs
                .column("account_id")
                .from("contact")
                .and_where(Expr::col("id").eq(among));
            select.and_where(Expr::col(("a", "id")).in_subquery(theirs));
        }
    }
    select.build(PostgresQueryBuilder)
}

/// All members, in their order.
fn members_of(condition: &Condition, subject: Subject, asked: Asked) -> SelectStatement {
    let mut select = people(asked, condition);
    match subject {
        Subject::Lead => {
            select
                .expr_as(Expr::col(("l", "id")), "lead_id")
                .join_as(
                    JoinType::InnerJoin,
                    "lead_contact",
                    "lc",
                    Expr::col(("lc", "contact_id")).equals(("c", "id")),
                )
                .join_as(
                    JoinType::InnerJoin,
                    "lead",
                    "l",
                    Expr::col(("l", "id")).equals(("lc", "lead_id")),
                )
                .and_where(Expr::col(("l", "not_fit")).is_null())
                .order_by(("c", "id"), Order::Asc)
                .order_by(("l", "id"), Order::Asc);
        }
        Subject::Contact => {
            select
                .expr_as(null_uuid(), "lead_id")
                .order_by(("c", "id"), Order::Asc);
        }
        Subject::Account => {
            let decides = Expr::col(("c", "decision_maker"));
            let reachable = Expr::col(("c", "email"))
                .is_not_null()
                .or(Expr::col(("c", "phone")).is_not_null());
            select
                .expr_as(null_uuid(), "lead_id")
                .distinct_on([("a", "id")])
                .order_by(("a", "id"), Order::Asc)
                .order_by_expr(Func::coalesce([decides, Expr::val(false)]).into(), Order::Desc)
                .order_by_expr(reachable, Order::Desc)
                .order_by(("c", "id"), Order::Asc);
        }
    }
    select
}

/// Contacts with their accounts for whom the condition holds. The caller brings `l` in.
fn people(asked: Asked, condition: &Condition) -> SelectStatement {
    let mut select = Query::select();
    select
        .expr_as(Expr::col(("c", "id")), "contact_id")
        .expr_as(Expr::col(("c", "account_id")), "account_id")
        .from_as("contact", "c")
        .join_as(
            JoinType::InnerJoin,
            "account",
            "a",
            Expr::col(("a", "id")).equals(("c", "account_id")),
        )
        .and_where(Expr::col(("c", "merged_into")).is_null())
        .and_where(asked.holds(condition));
    select
}

fn null_uuid() -> Expr {
    Expr::val(None::<Uuid>)
}

fn select_holding(condition: &Condition, pairs: &[(Uuid, Option<Uuid>)], asked: Asked) -> (String, Values) {
    let contacts = pairs
        .iter()
        .map(|(contact, _)| Value::Uuid(Some(*contact)))
        .collect();
    let leads = pairs.iter().map(|(_, lead)| Value::Uuid(*lead)).collect();
    let list = |ids: Vec<Value>| {
        Expr::from(Func::cust("unnest").arg(Expr::val(Value::Array(ArrayType::Uuid, Some(Box::new(ids))))))
    };
    let mut unnested = Query::select();
    unnested.expr(list(contacts)).expr(list(leads));
    let mut pairs = CommonTableExpression::new();
    pairs
        .table_name("pair")
        .columns(["contact_id", "lead_id"])
        .query(unnested);
    let mut select = Query::select();
    select
        .column(("pair", "contact_id"))
        .column(("pair", "lead_id"))
        .from("pair")
        .join_as(
            JoinType::InnerJoin,
            "contact",
            "c",
            Expr::col(("c", "id")).equals(("pair", "contact_id")),
        )
        .join_as(
            JoinType::InnerJoin,
            "account",
            "a",
            Expr::col(("a", "id")).equals(("c", "account_id")),
        )
        .join_as(
            JoinType::LeftJoin,
            "lead",
            "l",
            Expr::col(("l", "id")).equals(("pair", "lead_id")),
        )
        .and_where(Expr::col(("c", "merged_into")).is_null())
        .and_where(asked.holds(condition));
    let mut with = WithClause::new();
    with.cte(pairs);
    select.with(with).build(PostgresQueryBuilder)
}

/// Binds what the builder collected. Only kinds of values that conditions make are known.
pub(super) fn arguments(values: Values) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Bool(value) => arguments.add(value),
            Value::Int(value) => arguments.add(value),
            Value::BigInt(value) => arguments.add(value),
            Value::BigUnsigned(value) => arguments.add(value.map(|value| value as i64)),
            Value::Double(value) => arguments.add(value),
            Value::String(value) => arguments.add(value),
            Value::Uuid(value) => arguments.add(value),
            Value::ChronoDate(value) => arguments.add(value),
            Value::ChronoDateTimeUtc(value) => arguments.add(value),
            Value::Array(ArrayType::Uuid, Some(values)) => {
                let ids = values.into_iter().map(|value| match value {
                    Value::Uuid(id) => id,
                    _ => None,
                });
                arguments.add(ids.collect::<Vec<Option<Uuid>>>())
            }
            other => Err(format!("a condition made a value that cannot be bound: {other:?}").into()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Asia::Shanghai;

    use super::*;
    use crate::domain::condition::{Constant, FactTest};

    #[test]
    fn no_constant_stands_in_the_text() {
        let condition = Condition::Fact(FactTest {
            fact: "contact.attr.it's".to_owned(),
            is: Some(Constant::Text("'; drop table contact; --".to_owned())),
            ..FactTest::default()
        });
        let asked = Asked::new(DateTime::UNIX_EPOCH, Shanghai);
        for subject in [Subject::Lead, Subject::Contact, Subject::Account] {
            let (sql, values) = select_members(&condition, subject, asked, None, 7);
            assert!(
                !sql.contains("drop") && !sql.contains("it's") && !sql.contains('7'),
                "{sql}"
            );
            assert!(
                values
                    .into_iter()
                    .any(|value| value == Value::from("'; drop table contact; --"))
            );
        }
    }
}
