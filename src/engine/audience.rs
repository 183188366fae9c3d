//! Audience: asks who may come into a cadence by its schedule. The first pass asks everybody; every further one only whose facts
//! changed since, for whom time alone may have changed something, and who may come in again. Who fitted before and fits still was
//! taken in then.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Deps;
use super::enroll::{Arrival, CHUNK, Door, admit};
use crate::domain::cadence::{People, Reentry, Subject};
use crate::domain::condition::Condition;
use crate::store::audience::{self, Member};
use crate::store::audience_change::{self, Pass};
use crate::store::enrollment;

/// So many are always asked one by one.
const FEW: i64 = 10_000;

/// One pass of a cadence's audience; returns how many came in.
pub async fn pass(deps: &Deps, conn: &mut PgConnection, door: &Door<'_>, now: DateTime<Utc>) -> Result<u64> {
    let Some(condition) = &door.cadence.entry.audience else {
        return Ok(0);
    };
    // Before anybody is asked: what commits meanwhile is for the next pass.
    let (horizon, fifth) = audience_change::horizon(conn).await?;
    let this = Pass {
        version: door.version,
        at: now,
        horizon,
        zone: deps.company_zone().name().to_owned(),
    };
    let last = audience_change::last_pass(conn, &door.cadence.name)
        .await?
        .filter(|last| {
            last.version == this.version
                && last.zone == this.zone
                && last.at <= now
                && last.horizon <= horizon
        });
    let among = match &last {
        Some(last) => to_ask(deps, conn, door, condition, last, now, fifth.max(FEW)).await?,
        None => None,
    };
    let made = match among {
        Some(people) => some(deps, conn, door, condition, &people, now).await?,
        None => everybody(deps, conn, door, condition, now).await?,
    };
    audience_change::passed(conn, &door.cadence.name, &this).await?;
    Ok(made)
}

/// Who has to be asked since the last pass; `None` = so many that it is cheaper to ask everybody.
async fn to_ask(
    deps: &Deps,
    conn: &mut PgConnection,
    door: &Door<'_>,
    condition: &Condition,
    last: &Pass,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Option<Vec<Uuid>>> {
    let mut people = audience_change::changed(conn, last.horizon, most).await?;
    if people.len() as i64 >= most {
        return Ok(None);
    }
    let zone = deps.company_zone();
    let cadence = door.cadence;
    let either = cadence.subject == Subject::Account || cadence.people == People::Decider;
    people.extend(audience_change::come_due(conn, condition, either, last.at, now, zone).await?);
    let again = match &door.cadence.entry.reentry {
        Reentry::Never => None,
        Reentry::After(span) => Some(span.length()),
        Reentry::Event | Reentry::Occurrence => Some(chrono::TimeDelta::zero()),
    };
    if let Some(rest) = again {
        people.extend(audience_change::ended(conn, &door.cadence.name, last.at - rest, now - rest).await?);
    }
    people.sort_unstable();
    people.dedup();
    Ok((people.len() as i64 <= most).then_some(people))
}

async fn some(
    deps: &Deps,
    conn: &mut PgConnection,
    door: &Door<'_>,
    condition: &Condition,
    people: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64> {
    let mut made = 0;
    for part in people.chunks(CHUNK as usize) {
        let subject = door.cadence.subject;
        let members =
            audience::members_among(conn, condition, subject, now, deps.company_zone(), part).await?;
        made += admit(deps, conn, door, arrivals(&members, now), now).await?;
    }
    Ok(made)
}

async fn everybody(
    deps: &Deps,
    conn: &mut PgConnection,
    door: &Door<'_>,
    condition: &Condition,
    now: DateTime<Utc>,
) -> Result<u64> {
    let (mut made, mut after): (u64, Option<Member>) = (0, None);
    let mut grown_at = u64::from(CHUNK);
    loop {
        let (subject, zone) = (door.cadence.subject, deps.company_zone());
        let members = audience::members(conn, condition, subject, now, zone, after.as_ref(), CHUNK).await?;
        made += admit(deps, conn, door, arrivals(&members, now), now).await?;
        if made >= grown_at {
            enrollment::grown(conn).await?;
            grown_at = made * 4;
        }
        match members.last() {
            Some(last) if members.len() == CHUNK as usize => after = Some(*last),
            _ => return Ok(made),
        }
    }
}

fn arrivals(members: &[Member], now: DateTime<Utc>) -> Vec<Arrival> {
    members
        .iter()
        .map(|member| Arrival {
            member: *member,
            key: None,
            base: now,
        })
        .collect()
}
