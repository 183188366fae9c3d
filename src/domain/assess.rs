//! The grade that factors give, what costs the next better one, and when to look again.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::evidence::{Evidence, Source};
use super::factor::{Factor, Setting};
use super::fold::{end_of, fold, start_of};
use super::grade::{Grade, Situation};
use super::grading::GradingRules;
use super::known::Factors;
use super::matrix::Row;

/// What the owner has to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The expected close is unknown and decides the grade: ask when.
    When,
    /// The expected close has passed: ask for a new one.
    Restate,
}

/// The grade of a lead and its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The grade; `None` = ungraded, as no factor is recorded and no grade asserted.
    pub grade: Option<Grade>,
    /// An asserted grade stands, whatever the factors say.
    pub asserted: bool,
    /// The factors it was made of.
    pub factors: Factors,
    /// The first factor that costs the next better grade.
    pub costs_next: Option<Factor>,
    /// All factors that cost the next better grade, in the order of the table.
    pub missing: Vec<Factor>,
    /// What to ask the lead.
    pub asks: Vec<Ask>,
    /// The evidence that decided.
    pub because: Vec<Uuid>,
    /// The earliest later instant at which time alone could change the result; `None` = time changes nothing.
    pub next_change_at: Option<DateTime<Utc>>,
}

impl Assessment {
    /// The reasons in one line: who asserts the grade, or the factors with their values; then what costs the next one.
    pub fn reason(&self) -> String {
        let text = match self.asserted_by() {
            Some(source) => format!("asserted by {source}"),
            None if self.grade.is_none() => "no factor recorded".to_owned(),
            None => {
                let said: Vec<String> = self
                    .decisive()
                    .map(|(f, setting)| format!("{f} {setting}"))
                    .collect();
                said.join(", ")
            }
        };
        match self.grade.and_then(Grade::next_better) {
            Some(next) if !self.missing.is_empty() => {
                let names: Vec<_> = self.missing.iter().map(|f| f.as_str()).collect();
                format!("{text}; {next} lacks {}", names.join(", "))
            }
            _ => text,
        }
    }

    /// The known factors that decide a grade.
    pub fn decisive(&self) -> impl Iterator<Item = (Factor, &Setting)> {
        let decides = |f: Factor| f.is_flag() || f.is_level() || f == Factor::ExpectedClose;
        let known = self.factors.iter().filter(move |(f, _)| decides(*f));
        known.map(|(factor, known)| (factor, &known.setting))
    }

    /// Who states the grade, where a statement stands.
    pub fn asserted_by(&self) -> Option<&Source> {
        let standing = self.factors.assertion.as_ref().filter(|_| self.asserted);
        standing.map(|assertion| &assertion.source)
    }
}

/// Folds and assesses at once.
pub fn regrade(
    evidence: &[Evidence],
    situation: Situation,
    rules: &GradingRules,
    now: DateTime<Utc>,
) -> Assessment {
    assess(fold(evidence, situation, rules, now), situation, rules, now)
}

/// Grades `factors`, which were folded with the same `now`.
pub fn assess(
    factors: Factors,
    situation: Situation,
    rules: &GradingRules,
    now: DateTime<Utc>,
) -> Assessment {
    let today = factors.closed.map_or(now, |(_, at)| at).date_naive();
    let table = Table {
        rules,
        rows: rules.rows(situation),
        factors: &factors,
        close: Close::seen(&factors, today),
        today,
    };
    let standing = factors.assertion.as_ref().filter(|a| !a.overtaken);

    let grade = standing.map(|a| a.grade).or_else(|| table.grade());
    let missing = grade
        .and_then(Grade::next_better)
        .map(|next| table.missing(next))
        .unwrap_or_default();
    let because = match (grade, standing) {
        (None, _) => Vec::new(),
        (_, Some(assertion)) => vec![assertion.id],
        _ => table.because(),
    };
    let asks = if factors.closed.is_some() {
        None
    } else {
        table.ask(standing.is_some())
    };
    let edge = if factors.closed.is_some() {
        None
    } else {
        table.next_edge(now)
    };
    Assessment {
        grade,
        asserted: standing.is_some(),
        costs_next: missing.first().copied(),
        missing,
        asks: asks.into_iter().collect(),
        because,
        next_change_at: [factors.next_change_at, edge].into_iter().flatten().min(),
        factors,
    }
}

/// The expected close, seen from today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Unknown,
    Past,
    On(NaiveDate),
}

impl Close {
    fn seen(factors: &Factors, today: NaiveDate) -> Self {
        match factors.expected_close() {
            None => Self::Unknown,
            Some(date) if date < today => Self::Past,
            Some(date) => Self::On(date),
        }
    }
}

/// The grade table laid over one lead.
struct Table<'a> {
    rules: &'a GradingRules,
    rows: &'a [Row],
    factors: &'a Factors,
    close: Close,
    today: NaiveDate,
}

impl Table<'_> {
    fn grade(&self) -> Option<Grade> {
        let recorded = |row: &Row| row.factors.keys().any(|f| self.factors.get(*f).is_some());
        if !self.rows.iter().any(recorded) {
            return None;
        }
        let row = self.best_by_factors();
        let row = match self.close {
            Close::Unknown => self.lowest_named().map_or(row, |named| row.max(named)).max(1),
            Close::Past | Close::On(_) => row.max(self.first_reached()),
        };
        self.rows.get(row).map(|row| row.grade)
    }

    /// The best row whose columns hold, the close left aside; the last one when none does.
    fn best_by_factors(&self) -> usize {
        let fits = |row: &Row| self.missing_factors(row).next().is_none();
        self.rows.iter().position(fits).unwrap_or(self.rows.len() - 1)
    }

    /// The lowest row that names all the values of the lead: of two that fit, the close would decide.
    fn lowest_named(&self) -> Option<usize> {
        let names = |row: &Row| {
            row.factors
                .iter()
                .all(|(f, allowed)| allowed.names(self.factors.setting(*f)))
        };
        self.rows.iter().rposition(names)
    }

    /// The best row whose window the expected close is in.
    fn first_reached(&self) -> usize {
        self.rows
            .iter()
            .position(|row| self.close_holds(row))
            .unwrap_or(self.rows.len() - 1)
    }

    fn close_holds(&self, row: &Row) -> bool {
        match self.close {
            Close::Unknown => row.close_within_months.is_none(),
            Close::Past => row
                .close_within_months
                .is_none_or(|months| months >= self.rules.past_close_counts_as_months),
            Close::On(date) => row.reaches(date, self.today),
        }
    }

    fn missing_factors<'r>(&'r self, row: &'r Row) -> impl Iterator<Item = Factor> + 'r {
        let columns = row
            .factors
            .iter()
            .filter(|(f, allowed)| !allowed.holds(self.factors.setting(**f)));
        let asks_power = self.rules.purchasing_power && row.grade == Grade::A;
        let has_power = self
            .factors
            .setting(Factor::PurchasingPower)
            .and_then(Setting::flag)
            == Some(true);
        columns
            .map(|(f, _)| *f)
            .chain((asks_power && !has_power).then_some(Factor::PurchasingPower))
    }

    /// What `grade` lacks.
    fn missing(&self, grade: Grade) -> Vec<Factor> {
        let Some(row) = self.rows.iter().find(|row| row.grade == grade) else {
            return Vec::new();
        };
        let close = (!self.close_holds(row)).then_some(Factor::ExpectedClose);
        self.missing_factors(row).chain(close).collect()
    }

    fn because(&self) -> Vec<Uuid> {
        let columns: BTreeSet<Factor> = self
            .rows
            .iter()
            .flat_map(|row| row.factors.keys().copied())
            .collect();
        let decided = self.factors.iter().filter(|(factor, _)| {
            columns.contains(factor)
                || *factor == Factor::ExpectedClose
                || (*factor == Factor::PurchasingPower && self.rules.purchasing_power)
        });
        let ids: BTreeSet<Uuid> = decided
            .flat_map(|(_, known)| known.because.iter().copied())
            .collect();
        ids.into_iter().collect()
    }

    /// An unknown close is asked for when the factors alone give more than the last row; a stated one that has
    /// passed is always to be restated.
    fn ask(&self, standing: bool) -> Option<Ask> {
        let assumed = self
            .factors
            .get(Factor::ExpectedClose)
            .is_some_and(|known| known.assumed);
        let decides = !standing && self.grade().is_some() && self.best_by_factors() + 1 < self.rows.len();
        match self.close {
            Close::Past if !assumed => Some(Ask::Restate),
            Close::Past | Close::Unknown if decides => Some(Ask::When),
            _ => None,
        }
    }

    /// The next instant at which the expected close enters a window or passes.
    fn next_edge(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let Close::On(date) = self.close else { return None };
        let windows = self
            .rows
            .iter()
            .filter_map(|row| row.reaches_from(date))
            .map(start_of);
        windows.chain(end_of(date)).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
