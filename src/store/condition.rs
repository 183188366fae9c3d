//! A condition as SQL over contact `c`, account `a` and lead `l`. Every constant is a bound value.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sea_query::extension::postgres::PgExpr;
use sea_query::{Expr, ExprTrait, Func, IntoColumnRef, Query, SelectStatement, SubQueryStatement};

use crate::domain::condition::{Condition, Constant, EventTest, FactTest};
use crate::domain::fact::{self, Fact, FactType, From, Of};
use crate::domain::zone::local_date;

/// The asked at which a condition is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    now: DateTime<Utc>,
    today: NaiveDate,
}

impl Asked {
    /// Business time, and the zone whose date is today's for facts that are dates.
    pub(super) fn new(now: DateTime<Utc>, zone: Tz) -> Self {
        Self {
            now,
            today: local_date(now, zone),
        }
    }

    /// Whether the condition holds, as an expression for `where`. Outside a `not` an unknown may count as "does not
    /// hold" just as it is; inside, each test is made two-valued first, so that not(unknown) holds.
    pub(super) fn holds(self, condition: &Condition) -> Expr {
        self.expression(condition, false)
    }

    fn expression(self, condition: &Condition, negated: bool) -> Expr {
        let atom = |expr: Expr| {
            if negated {
                Func::coalesce([expr, Expr::val(false)]).into()
            } else {
                expr
            }
        };
        match condition {
            Condition::All(all) => fold(all.all.iter().map(|part| self.expression(part, negated)), true),
            Condition::Any(any) => fold(any.any.iter().map(|part| self.expression(part, negated)), false),
            Condition::Not(not) => self.expression(&not.not, true).not(),
            // A fact that is gone from the program holds for nobody; `apply` refuses it beforehand.
            Condition::Fact(test) => {
                fact::fact(&test.fact).map_or_else(|| Expr::val(false), |fact| atom(self.fact(fact, test)))
            }
            Condition::Event(test) => self.events(test),
        }
    }

    fn fact(self, fact: Fact, test: &FactTest) -> Expr {
        let value = || value_of(fact, &test.fact);
        if let Some(constant) = &test.is {
            return value().eq(constant_value(constant));
        }
        if let Some(constants) = &test.is_in {
            return value().is_in(constants.iter().map(constant_value));
        }
        if let Some(known) = test.known {
            return if known {
                value().is_not_null()
            } else {
                value().is_null()
            };
        }
        if let Some(least) = test.at_least {
            return value().gte(least);
        }
        if let Some(bound) = test.below {
            return value().lt(bound);
        }
        if let Some(days) = test.days_until_at_most {
            let last = self
                .today
                .checked_add_signed(TimeDelta::days(days.into()))
                .unwrap_or(NaiveDate::MAX);
            return value().between(self.today, last);
        }
        let Some(age) = test.older_than.or(test.within) else {
            return Expr::val(false);
        };
        let old = test.older_than.is_some();
        if fact.kind == FactType::Date {
            let edge = self
                .today
                .checked_sub_signed(age.length())
                .unwrap_or(NaiveDate::MIN);
            return if old {
                value().lte(edge)
            } else {
                value().gt(edge).and(value().lte(self.today))
            };
        }
        let edge = self
            .now
            .checked_sub_signed(age.length())
            .unwrap_or(DateTime::<Utc>::MIN_UTC);
        if old {
            value().lte(edge)
        } else {
            value().gt(edge).and(value().lte(self.now))
        }
    }

    /// Human events only: what machines did says nothing about the person.
    fn events(self, test: &EventTest) -> Expr {
        let since = self
            .now
            .checked_sub_signed(test.within.length())
            .unwrap_or(DateTime::<Utc>::MIN_UTC);
        let mut events = Query::select();
        events
            .from_as("event", "e")
            .and_where(Expr::col(("e", "contact_id")).equals(("c", "id")))
            .and_where(Expr::col(("e", "occurred_at")).gt(since))
            .and_where(Expr::col(("e", "occurred_at")).lte(self.now))
            .and_where(Expr::col(("e", "type")).eq(test.event.as_str()))
            .and_where(Expr::col(("e", "human")));
        if let Some(tag) = &test.tag {
            events.and_where(Expr::col(("e", "data")).cast_json_field("tag").eq(tag.as_str()));
        }
        if test.at_least == 1 {
            events.expr(Expr::val(1));
            return Expr::exists(events);
        }
        events.expr(Func::count(Expr::col(("e", "id"))));
        scalar(events).gte(i64::from(test.at_least))
    }
}

fn value_of(fact: Fact, name: &str) -> Expr {
    let table = match fact.of {
        Of::Contact => "c",
        Of::Account => "a",
        Of::Lead => "l",
    };
    match fact.from {
        From::Column(column) => match name.strip_prefix(fact::ATTRIBUTE) {
            Some(attribute) => Expr::col((table, column).into_column_ref()).cast_json_field(attribute),
            None => Expr::col((table, column).into_column_ref()),
        },
        From::IsKnown(column) => Expr::col((table, column).into_column_ref()).is_not_null(),
        From::OpenLead => ["outcome", "closed_at", "not_fit"]
            .into_iter()
            .fold(Expr::col((table, "id")).is_not_null(), |open, column| {
                open.and(Expr::col((table, column)).is_null())
            }),
        From::PurchaseCount => {
            let mut purchases = Query::select();
            purchases
                .expr(Func::count(Expr::col(("p", "id"))))
                .from_as("purchase", "p")
                .and_where(Expr::col(("p", "account_id")).equals((table, "id")));
            scalar(purchases)
        }
    }
}

fn scalar(select: SelectStatement) -> Expr {
    SubQueryStatement::SelectStatement(select).into()
}

fn constant_value(constant: &Constant) -> Expr {
    match constant {
        Constant::Bool(value) => Expr::val(*value),
        Constant::Number(value) => Expr::val(*value),
        Constant::Text(value) => Expr::val(value.as_str()),
    }
}

fn fold(parts: impl Iterator<Item = Expr>, all: bool) -> Expr {
    parts
        .reduce(|left, right| if all { left.and(right) } else { left.or(right) })
        .unwrap_or_else(|| Expr::val(all))
}
