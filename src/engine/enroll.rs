//! Enroll: people come into cadences, by schedule, by grade, by event or on a date.

use std::collections::HashMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::Rules;
use super::{Deps, Summary, audience};
use crate::domain::cadence::{Cadence, Class, People, Reentry, Subject};
use crate::domain::chance;
use crate::domain::event::EventType;
use crate::domain::progress::{self, Dates};
use crate::store::audience::{Member, holding};
use crate::store::enrollment::{self, NewEnrollment};
use crate::store::entrant::Candidate;
use crate::store::{control, entrant};

/// How many candidates one statement takes.
pub const CHUNK: u32 = 5000;

/// The way into one cadence version.
pub struct Door<'a> {
    /// Rules in force.
    pub rules: &'a Rules,
    /// Version of the cadence.
    pub version: Uuid,
    /// The cadence.
    pub cadence: &'a Cadence,
    /// Why people come in, for people.
    pub reason: &'a str,
}

/// Somebody at a door.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who.
    pub member: Member,
    /// Event id or occurrence, for cadences that may be entered again.
    pub key: Option<String>,
    /// The instant the first step counts from.
    pub base: DateTime<Utc>,
}

/// Runs every audience whose schedule has come round since it last ran. A missed occurrence is made up once, and one that failed
/// is run again.
pub async fn by_schedule(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let rules = deps.rules();
    if rules
        .current()
        .all(|(_, cadence)| cadence.entry.schedule.is_none())
    {
        return Ok(Summary::default());
    }
    let mut conn = deps.pool.acquire().await?;
    let marks: HashMap<String, DateTime<Utc>> = control::marks(&mut conn).await?.into_iter().collect();
    let (mut done, mut failed) = (0, None);
    for (version, cadence) in rules.current() {
        let Some(schedule) = &cadence.entry.schedule else {
            continue;
        };
        let name = format!("audience:{}", cadence.name);
        let Some(last) = marks.get(&name).copied() else {
            // Never ran: it starts with the next occurrence after it was applied.
            control::move_mark(&mut conn, &name, None, now).await?;
            continue;
        };
        let zone = cadence.entry.zone.unwrap_or(deps.company_zone());
        let due = schedule.next_after(last, zone).is_some_and(|at| at <= now);
        if !due {
            continue;
        }
        let daemon = deps.incarnation().id;
        if !control::take_mark(&mut conn, &name, last, daemon).await? {
            continue;
        }
        let door = Door {
            rules: &rules,
            version,
            cadence,
            reason: "audience",
        };
        match audience::pass(deps, &mut conn, &door, now).await {
            Ok(entered) => {
                done += entered;
                control::move_mark(&mut conn, &name, Some(last), now).await?;
            }
            // The others have their turn all the same.
            Err(error) => failed = failed.or(Some(error.context(name))),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(Summary { done, more: false })
}

/// The next instant at which a schedule comes round.
pub fn next_schedule(deps: &Deps, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let rules = deps.rules();
    rules
        .current()
        .filter_map(|(_, cadence)| {
            let zone = cadence.entry.zone.unwrap_or(deps.company_zone());
            cadence.entry.schedule.as_ref()?.next_after(now, zone)
        })
        .min()
}

/// Takes leads whose grade has changed into the cadences of the new grade, and out of those of the old.
pub async fn by_grade(
    deps: &Deps,
    conn: &mut PgConnection,
    leads: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64> {
    if leads.is_empty() {
        return Ok(0);
    }
    let rules = deps.rules();
    let graded = entrant::of_leads(conn, leads).await?;
    leave_old_grade(conn, &rules, &graded, now).await?;
    let mut made = 0;
    for (version, cadence) in rules.current().filter(|(_, c)| !c.entry.on_grade.is_empty()) {
        let arrivals = graded
            .iter()
            .filter(|lead| is_for(cadence, lead.grade.as_deref()))
            .map(|lead| Arrival {
                member: Member {
                    contact_id: lead.contact_id,
                    lead_id: Some(lead.lead_id),
                    account_id: lead.account_id,
                },
                key: None,
                base: now,
            })
            .collect();
        let door = Door {
            rules: &rules,
            version,
            cadence,
            reason: "grade",
        };
        let arrivals = of_audience(deps, conn, cadence, arrivals, now).await?;
        made += admit(deps, conn, &door, arrivals, now).await?;
    }
    Ok(made)
}

fn is_for(cadence: &Cadence, grade: Option<&str>) -> bool {
    grade.is_some_and(|grade| {
        cadence
            .entry
            .on_grade
            .iter()
            .any(|wanted| wanted.as_str() == grade)
    })
}

/// Stops live enrollments of cadences that are for another grade than the lead has now.
async fn leave_old_grade(
    conn: &mut PgConnection,
    rules: &Rules,
    people: &[entrant::GradedContact],
    now: DateTime<Utc>,
) -> Result<()> {
    let grades: HashMap<Uuid, Option<&str>> =
        people.iter().map(|p| (p.lead_id, p.grade.as_deref())).collect();
    let leads: Vec<Uuid> = grades.keys().copied().collect();
    let live = enrollment::live_of(conn, &[], &leads).await?;
    let ends: Vec<enrollment::End> = live
        .iter()
        .filter(|live| {
            let grade = live.lead_id.and_then(|lead| grades.get(&lead).copied().flatten());
            rules
                .cadence(live.cadence_version_id)
                .is_some_and(|cadence| !cadence.entry.on_grade.is_empty() && !is_for(cadence, grade))
        })
        .map(|live| enrollment::End {
            id: live.id,
            state: "stopped",
            reason: "grade".to_owned(),
        })
        .collect();
    super::stop::end(conn, &ends, now).await
}

/// After new rules came into force: leads that have a grade already come into the cadences that are for it.
pub async fn catch_up(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let (mut done, mut after) = (0, None);
    loop {
        let mut tx = deps.pool.begin().await?;
        let leads = entrant::graded_leads(&mut tx, after, i64::from(CHUNK)).await?;
        done += by_grade(deps, &mut tx, &leads, now).await?;
        tx.commit().await?;
        match leads.last() {
            Some(last) if leads.len() == CHUNK as usize => after = Some(*last),
            _ => return Ok(Summary { done, more: false }),
        }
    }
}

/// Takes people in at once on events of one type; each event is an entry of its own.
pub async fn by_event(
    deps: &Deps,
    conn: &mut PgConnection,
    kind: EventType,
    who: &[(Member, Uuid)],
    now: DateTime<Utc>,
) -> Result<u64> {
    let rules = deps.rules();
    let mut made = 0;
    for (version, cadence) in rules.current().filter(|(_, c)| c.entry.on_event == Some(kind)) {
        let arrivals = who
            .iter()
            .map(|(member, event)| Arrival {
                member: *member,
                key: Some(event.to_string()),
                base: now,
            })
            .collect();
        let arrivals = of_audience(deps, conn, cadence, arrivals, now).await?;
        let door = Door {
            rules: &rules,
            version,
            cadence,
            reason: kind.as_str(),
        };
        made += admit(deps, conn, &door, arrivals, now).await?;
    }
    Ok(made)
}

/// Those for whom the entry's audience holds.
pub async fn of_audience(
    deps: &Deps,
    conn: &mut PgConnection,
    cadence: &Cadence,
    arrivals: Vec<Arrival>,
    now: DateTime<Utc>,
) -> Result<Vec<Arrival>> {
    let Some(condition) = &cadence.entry.audience else {
        return Ok(arrivals);
    };
    let pair = |arrival: &Arrival| (arrival.member.contact_id, arrival.member.lead_id);
    let pairs: Vec<(Uuid, Option<Uuid>)> = arrivals.iter().map(pair).collect();
    let holding = holding(conn, condition, &pairs, now, deps.company_zone()).await?;
    Ok(arrivals
        .into_iter()
        .filter(|arrival| holding.contains(&pair(arrival)))
        .collect())
}

/// Enrolls who arrives; who is in already, was in under the same key, or left too recently stays out.
pub async fn admit(
    deps: &Deps,
    conn: &mut PgConnection,
    door: &Door<'_>,
    arrivals: Vec<Arrival>,
    now: DateTime<Utc>,
) -> Result<u64> {
    if arrivals.is_empty() {
        return Ok(0);
    }
    let cadence = door.cadence;
    let contacts: Vec<Uuid> = arrivals.iter().map(|a| a.member.contact_id).collect();
    let leads: Vec<Option<Uuid>> = arrivals.iter().map(|a| a.member.lead_id).collect();
    let again_before = match &cadence.entry.reentry {
        Reentry::After(span) => Some(now - span.length()),
        _ => None,
    };
    let one_per_lead = cadence.subject == Subject::Lead && cadence.people == People::Decider;
    let mut candidates =
        entrant::candidates(conn, &contacts, &leads, &cadence.name, again_before, one_per_lead).await?;
    if one_per_lead {
        candidates.sort_by_key(|c| (c.lead_id, -c.influence, c.contact_id));
        candidates.dedup_by_key(|c| c.lead_id);
    }
    let rows: Vec<NewEnrollment> = candidates
        .iter()
        .filter_map(|person| enter(deps, door, person, arrivals.get(person.place())?, now))
        .collect();
    Ok(enrollment::insert(conn, &cadence.name, door.version, now, &rows)
        .await?
        .len() as u64)
}

fn enter(
    deps: &Deps,
    door: &Door<'_>,
    person: &Candidate,
    arrival: &Arrival,
    now: DateTime<Utc>,
) -> Option<NewEnrollment> {
    let cadence = door.cadence;
    let dates = Dates {
        zone: deps.zone_of(person.timezone.as_deref()),
        calendar: door.rules.holidays(person.region.as_deref()),
        expected_on: person.expected_on,
        expected_close: person.expected_close,
        birthday: person.next_birthday_on,
    };
    let (step, at) = progress::start(cadence, arrival.base, &dates)?;
    Some(NewEnrollment {
        id: deps.ids.next(now),
        shard: person.shard,
        contact_id: person.contact_id,
        account_id: person.account_id,
        lead_id: person.lead_id.filter(|_| cadence.subject == Subject::Lead),
        entry_key: entry_key(cadence, person.lead_id, arrival),
        state: if withheld(cadence, person) {
            "control"
        } else {
            "active"
        },
        cursor: step.key.clone(),
        next_at: at,
        reason: door.reason.to_owned(),
    })
}

/// What makes this entry different from the next one, by the rule of re-entry.
fn entry_key(cadence: &Cadence, lead: Option<Uuid>, arrival: &Arrival) -> String {
    match (&cadence.entry.reentry, &arrival.key) {
        (Reentry::Never, _) => match lead.filter(|_| cadence.subject == Subject::Lead) {
            Some(lead) => lead.to_string(),
            None => "once".to_owned(),
        },
        (_, Some(key)) => key.clone(),
        (_, None) => arrival.base.date_naive().to_string(),
    }
}

/// Whether the account is control: a stable draw, and never those who must not be withheld.
fn withheld(cadence: &Cadence, person: &Candidate) -> bool {
    let share = cadence.hold_out();
    if share <= 0.0 {
        return false;
    }
    let exempt = person.grade.as_deref() == Some("A")
        || matches!(person.standing.as_str(), "vip" | "key")
        || person.open_task
        || cadence
            .steps
            .iter()
            .any(|step| step.function.class() == Class::Transactional);
    !exempt && chance::draw(0, &["hold-out", &cadence.name, &person.account_key]) < share
}
