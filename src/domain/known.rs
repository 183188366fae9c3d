//! What is known about a lead at one instant, and which evidence made it so.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::evidence::{Outcome, Source};
use super::factor::{Factor, Setting};
use super::grade::Grade;

/// What is known about one factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Factor and value.
    #[serde(flatten)]
    pub setting: Setting,
    /// The evidence that made it, the oldest first.
    pub because: Vec<Uuid>,
    /// Nobody said so: it is the least a lead of the asserted grade must have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
}

/// A grade given from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The grade.
    pub grade: Grade,
    /// The evidence that says so.
    pub id: Uuid,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// Who says so.
    pub source: Source,
    /// Later evidence moved a factor, so the factors decide again.
    pub overtaken: bool,
    /// From when on it counts for nothing.
    pub expires: Option<DateTime<Utc>>,
}

/// What is known about a lead at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    pub(super) known: BTreeMap<Factor, Known>,
    /// The newest asserted grade that has not expired.
    pub assertion: Option<Assertion>,
    /// How and when the lead ended; it is seen as of then.
    pub closed: Option<(Outcome, DateTime<Utc>)>,
    /// The last sign of life.
    pub heard_at: Option<DateTime<Utc>>,
    /// The earliest instant at which time alone changes a factor or lets the assertion expire.
    pub next_change_at: Option<DateTime<Utc>>,
}

impl Factors {
    /// What is known about `factor`.
    pub fn get(&self, factor: Factor) -> Option<&Known> {
        self.known.get(&factor)
    }

    /// The value of `factor`.
    pub fn setting(&self, factor: Factor) -> Option<&Setting> {
        self.known.get(&factor).map(|known| &known.setting)
    }

    /// Everything known, in the order of the matrix.
    pub fn iter(&self) -> impl Iterator<Item = (Factor, &Known)> {
        self.known.iter().map(|(factor, known)| (*factor, known))
    }

    /// The expected close.
    pub fn expected_close(&self) -> Option<NaiveDate> {
        self.setting(Factor::ExpectedClose).and_then(Setting::date)
    }

    /// When the matter waited for is expected to be done.
    pub fn expected_on(&self) -> Option<NaiveDate> {
        self.setting(Factor::ExpectedOn).and_then(Setting::date)
    }

    /// The matter waited for.
    pub fn waiting_for(&self) -> Option<&str> {
        match self.setting(Factor::WaitingFor) {
            Some(Setting::WaitingFor(text)) => Some(text),
            _ => None,
        }
    }

    /// The owner's estimate in percent.
    pub fn likelihood(&self) -> Option<u8> {
        match self.setting(Factor::Likelihood) {
            Some(Setting::Likelihood(percent)) => Some(*percent),
            _ => None,
        }
    }
}
