//! Care: people come into date cadences, a day before the day in every zone of the world.

use anyhow::Result;
use chrono::{DateTime, Days, Utc};

use super::enroll::{Arrival, Door, admit, of_audience};
use super::{Deps, Summary};
use crate::domain::birthday::{Birthday, BirthdayRules, Calendar};
use crate::domain::cadence::EntryDate;
use crate::domain::zone::day_start;
use crate::store::audience::Member;
use crate::store::contact::{self, Celebrant};

/// How many people one transaction takes.
const BATCH: i64 = 1000;

/// Takes the people in whose birthday begins within a day, and notes the coming after it.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let rules = deps.rules();
    // The day begins up to 14 hours before it does in UTC.
    let until = now.date_naive() + Days::new(1);
    let mut tx = deps.pool.begin().await?;
    let celebrants = contact::birthdays(&mut tx, until, BATCH).await?;
    if celebrants.is_empty() {
        return Ok(Summary::default());
    }
    let date_cadences: Vec<_> = rules
        .current()
        .filter(|(_, c)| c.entry.on_date == Some(EntryDate::Birthday))
        .collect();
    for (version, cadence) in date_cadences {
        let arrivals: Vec<Arrival> = celebrants
            .iter()
            .map(|one| Arrival {
                member: Member {
                    contact_id: one.contact_id,
                    lead_id: None,
                    account_id: one.account_id,
                },
                key: Some(one.key.clone()),
                base: day_start(one.on, deps.zone_of(one.timezone.as_deref())),
            })
            // A birthday that was missed by more than a day is not kept late.
            .filter(|arrival| arrival.base + Days::new(1) >= now)
            .collect();
        let arrivals = of_audience(deps, &mut tx, cadence, arrivals, now).await?;
        let door = Door {
            rules: &rules,
            version,
            cadence,
            reason: "birthday",
        };
        admit(deps, &mut tx, &door, arrivals, now).await?;
    }
    let next: Vec<_> = celebrants
        .iter()
        .map(|one| (one.contact_id, following(one)))
        .collect();
    contact::next_birthdays(&mut tx, &next).await?;
    tx.commit().await?;
    Ok(Summary {
        done: celebrants.len() as u64,
        more: celebrants.len() as i64 == BATCH,
    })
}

fn following(one: &Celebrant) -> Option<(chrono::NaiveDate, String)> {
    let calendar = if one.calendar == "lunar" {
        Calendar::Lunar
    } else {
        Calendar::Gregorian
    };
    let birthday = Birthday::parse(&one.birthday, calendar).ok()?;
    let next = birthday.occurrence_on_or_after(one.on + Days::new(1), BirthdayRules::default())?;
    Some((next.date, next.key))
}

/// When the next birthday comes within a day.
pub async fn next_at(deps: &Deps) -> Result<Option<DateTime<Utc>>> {
    let mut conn = deps.pool.acquire().await?;
    let next = contact::next_birthday(&mut conn).await?;
    Ok(next.map(|on| (on - Days::new(1)).and_time(chrono::NaiveTime::MIN).and_utc()))
}
