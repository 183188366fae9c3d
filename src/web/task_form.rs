//! The form under a task, on the page and behind the buttons of the digest mail.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::error::HttpError;
use crate::domain::zone;
use crate::engine::tasks::Act;

/// When a snoozed task comes back in the morning.
const MORNING: NaiveTime = match NaiveTime::from_hms_opt(8, 0, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};
/// The longest an outcome may be, in characters.
const LONGEST: usize = 500;

/// What was sent.
#[derive(Debug, Default, Deserialize)]
pub struct TaskForm {
    /// done, snooze, hand-over or leave
    #[serde(rename = "do")]
    pub what: String,
    /// For done: what came of it.
    #[serde(default)]
    pub outcome: String,
    /// For snooze: days; for leave: the day itself.
    #[serde(default)]
    pub until: String,
    /// For hand-over: the new owner.
    #[serde(default)]
    pub to: String,
}

impl TaskForm {
    /// What is to be done. Days are the company's.
    pub fn read(&self, now: DateTime<Utc>, company: Tz) -> Result<Act, HttpError> {
        let wrong = |what: &str| HttpError::BadRequest(what.to_owned());
        match self.what.as_str() {
            "done" => {
                let outcome = self.outcome.trim();
                if outcome.chars().count() > LONGEST {
                    return Err(wrong("outcome: at most 500 characters"));
                }
                let outcome = if outcome.is_empty() { "done" } else { outcome };
                Ok(Act::Done {
                    outcome: outcome.to_owned(),
                })
            }
            "snooze" => {
                let days: u64 = self
                    .until
                    .trim()
                    .parse()
                    .map_err(|_| wrong("until: a number of days"))?;
                if !(1..=90).contains(&days) {
                    return Err(wrong("until: between 1 and 90 days"));
                }
                let day = zone::local_date(now, company) + Days::new(days);
                Ok(Act::Snooze {
                    until: zone::to_instant(day.and_time(MORNING), company),
                })
            }
            "hand-over" if self.to.trim().is_empty() => Err(wrong("to: whose it is now")),
            "hand-over" => Ok(Act::HandOver {
                to: self.to.trim().to_owned(),
            }),
            "leave" => {
                let until: NaiveDate = self
                    .until
                    .trim()
                    .parse()
                    .map_err(|_| wrong("until: a day such as 2027-03-31"))?;
                let today = zone::local_date(now, company);
                if until < today || until > today + Days::new(366) {
                    return Err(wrong("until: a day within a year from today"));
                }
                Ok(Act::LeaveToMe { until })
            }
            _ => Err(wrong("do: done, snooze, hand-over or leave")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(what: &str, until: &str, to: &str) -> Result<Act, HttpError> {
        let form = TaskForm {
            what: what.into(),
            until: until.into(),
            to: to.into(),
            outcome: String::new(),
        };
        form.read("2026-11-22T20:00:00Z".parse().unwrap(), Tz::Asia__Shanghai)
    }

    #[test]
    fn a_snooze_ends_in_the_companys_morning() {
        let until = "2026-11-24T00:00:00Z".parse().unwrap();
        assert_eq!(read("snooze", "1", "").unwrap(), Act::Snooze { until });
        assert!(read("snooze", "0", "").is_err() && read("snooze", "x", "").is_err());
    }

    #[test]
    fn the_other_ways() {
        assert!(matches!(read("done", "", "").unwrap(), Act::Done { outcome } if outcome == "done"));
        assert!(read("hand-over", "", " ").is_err() && read("hand-over", "", "o1").is_ok());
        assert!(read("leave", "2026-12-01", "").is_ok());
        assert!(
            read("leave", "2026-11-22", "").is_err(),
            "that was yesterday in Shanghai"
        );
        assert!(read("leave", "2099-01-01", "").is_err() && read("drop", "", "").is_err());
    }
}
