//! Enroll: people come into cadences, by schedule, by grade, by event or on a date.

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Deps, Summary};
use crate::domain::cadence::{Cadence, Class, People, Reentry, Subject};
use crate::domain::chance;
use crate::domain::event::EventType;
use crate::domain::progress::{self, Dates};
use crate::store::audience::{self, Member};
use crate::engine::rules::Rules;
use crate::store::enrollment::{self, NewEnrollment};
use crate::store::{control, entrant};

/// How many candidates one transaction takes.
const CHUNK: i64 = 5000;

/// Why somebody comes in, and what makes this entry different from the next one.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// For people.
    pub reason: String,
    /// Event id or occurrence, for cadences that may be entered again.
    pub key: Option<String>,
    /// The instant the first step counts from.
    pub base: DateTime<Utc>,
}

/// Runs every audience whose schedule has come round since it last ran. A missed occurrence is made up once.
pub async fn by_schedule(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let rules = deps.rules();
    let scheduled: Vec<(Uuid, &Cadence)> = rules
        .current()
        .filter(|(_, cadence)| cadence.entry.schedule.is_some())
        .collect();
    if scheduled.is_empty() {
        return Ok(Summary::default());
    }
    let mut conn = deps.pool.acquire().await?;
    let marks = control::marks(&mut conn).await?;
    let mut done = 0;
    for (version, cadence) in scheduled {
        let Some(schedule) = &cadence.entry.schedule else {
            continue;
        };
        let name = format!("audience:{}", cadence.name);
        let last = marks.iter().find(|(mark, _)| *mark == name).map(|(_, at)| *at);
        let zone = cadence.entry.zone.unwrap_or(deps.company_zone());
        let due = match last {
            Some(last) => schedule.next_after(last, zone).is_some_and(|at| at <= now),
            // Never ran: it starts with the next occurrence after the cadence was applied.
            None => {
                control::move_mark(&mut conn, &name, None, now).await?;
                false
            }
        };
        if due && control::move_mark(&mut conn, &name, last, now).await? {
            done += by_audience(deps, &mut conn, &rules, version, cadence, now).await?;
        }
    }
    Ok(Summary { done, more: false })
}

/// The next instant at which a schedule comes round.
pub async fn next_schedule(deps: &Deps, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let rules = deps.rules();
    rules
        .current()
        .filter_map(|(_, cadence)| {
            let zone = cadence.entry.zone.unwrap_or(deps.company_zone());
            cadence.entry.schedule.as_ref()?.next_after(now, zone)
        })
        .min()
}

async fn by_audience(
    deps: &Deps,
    conn: &mut PgConnection,
    rules: &Rules,
    version: Uuid,
    cadence: &Cadence,
    now: DateTime<Utc>,
) -> Result<u64> {
    let Some(condition) = &cadence.entry.audience else {
        return Ok(0);
    };
    let trigger = Trigger {
        reason: "audience".to_owned(),
        key: None,
        base: now,
    };
    let (mut made, mut after) = (0, None);
    loop {
        let members = audience::members(
            conn,
            condition,
            cadence.subject,
            now,
            deps.company_zone(),
            after.as_ref(),
            CHUNK as u32,
        )
        .await?;
        made += admit(deps, conn, rules, version, cadence, &members, &trigger, now).await?;
        match members.last() {
            Some(last) if members.len() as i64 == CHUNK => after = Some(*last),
            _ => return Ok(made),
        }
    }
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
        let wanted: Vec<Member> = graded
            .iter()
            .filter(|lead| {
                lead.grade
                    .as_deref()
                    .is_some_and(|g| cadence.entry.on_grade.iter().any(|w| w.as_str() == g))
            })
            .map(|lead| Member {
                contact_id: lead.contact_id,
                lead_id: Some(lead.lead_id),
                account_id: lead.account_id,
            })
            .collect();
        let members = of_audience(deps, conn, cadence, wanted, now).await?;
        let trigger = Trigger {
            reason: "grade".to_owned(),
            key: None,
            base: now,
        };
        made += admit(deps, conn, &rules, version, cadence, &members, &trigger, now).await?;
    }
    Ok(made)
}

/// Stops live enrollments of cadences that are for another grade than the lead has now.
async fn leave_old_grade(
    conn: &mut PgConnection,
    rules: &Rules,
    graded: &[entrant::GradedContact],
    now: DateTime<Utc>,
) -> Result<()> {
    let leads: Vec<Uuid> = graded.iter().map(|g| g.lead_id).collect();
    let live = enrollment::live_of(conn, &[], &leads).await?;
    let ends: Vec<enrollment::End> = live
        .iter()
        .filter(|live| {
            let grade = graded
                .iter()
                .find(|g| Some(g.lead_id) == live.lead_id)
                .and_then(|g| g.grade.as_deref());
            rules.cadence(live.cadence_version_id).is_some_and(|cadence| {
                let of = &cadence.entry.on_grade;
                !of.is_empty() && !grade.is_some_and(|g| of.iter().any(|w| w.as_str() == g))
            })
        })
        .map(|live| enrollment::End {
            id: live.id,
            state: "stopped",
            reason: "grade".to_owned(),
        })
        .collect();
    super::stop::end(conn, &ends, now).await
}

/// Takes people in at once on an event.
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
        for (member, event) in who {
            let members = of_audience(deps, conn, cadence, vec![member.clone()], now).await?;
            let trigger = Trigger {
                reason: kind.as_str().to_owned(),
                key: Some(event.to_string()),
                base: now,
            };
            made += admit(deps, conn, &rules, version, cadence, &members, &trigger, now).await?;
        }
    }
    Ok(made)
}

/// Those of `members` for whom the entry's audience holds.
async fn of_audience(
    deps: &Deps,
    conn: &mut PgConnection,
    cadence: &Cadence,
    members: Vec<Member>,
    now: DateTime<Utc>,
) -> Result<Vec<Member>> {
    let Some(condition) = &cadence.entry.audience else {
        return Ok(members);
    };
    let pairs: Vec<(Uuid, Option<Uuid>)> = members.iter().map(|m| (m.contact_id, m.lead_id)).collect();
    let holding = audience::holding(conn, condition, &pairs, now, deps.company_zone()).await?;
    Ok(members
        .into_iter()
        .filter(|m| holding.contains(&(m.contact_id, m.lead_id)))
        .collect())
}

/// Enrolls members; who is in already, was in under the same key, or left too recently stays out.
pub async fn admit(
    deps: &Deps,
    conn: &mut PgConnection,
    rules: &Rules,
    version: Uuid,
    cadence: &Cadence,
    members: &[Member],
    trigger: &Trigger,
    now: DateTime<Utc>,
) -> Result<u64> {
    if members.is_empty() {
        return Ok(0);
    }
    let contacts: Vec<Uuid> = members.iter().map(|m| m.contact_id).collect();
    let leads: Vec<Option<Uuid>> = members.iter().map(|m| m.lead_id).collect();
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
        .filter_map(|person| {
            let dates = Dates {
                zone: deps.zone_of(person.timezone.as_deref()),
                calendar: rules.holidays(person.region.as_deref()),
                expected_on: person.expected_on,
                expected_close: person.expected_close,
                birthday: person.next_birthday_on,
            };
            let (step, at) = progress::start(cadence, trigger.base, &dates)?;
            Some(NewEnrollment {
                id: deps.ids.next(now),
                shard: person.shard,
                contact_id: person.contact_id,
                account_id: person.account_id,
                lead_id: person.lead_id.filter(|_| cadence.subject == Subject::Lead),
                entry_key: entry_key(cadence, person.lead_id, trigger),
                state: if withheld(cadence, person) {
                    "control"
                } else {
                    "active"
                },
                cursor: step.key.clone(),
                next_at: at,
                reason: trigger.reason.clone(),
            })
        })
        .collect();
    Ok(enrollment::insert(conn, &cadence.name, version, now, &rows)
        .await?
        .len() as u64)
}

/// What makes this entry different from the next one, by the rule of re-entry.
fn entry_key(cadence: &Cadence, lead: Option<Uuid>, trigger: &Trigger) -> String {
    match (&cadence.entry.reentry, &trigger.key) {
        (Reentry::Never, _) => match lead.filter(|_| cadence.subject == Subject::Lead) {
            Some(lead) => lead.to_string(),
            None => "once".to_owned(),
        },
        (_, Some(key)) => key.clone(),
        (_, None) => trigger.base.date_naive().to_string(),
    }
}

/// Whether the account is control: a stable draw, and never those who must not be withheld.
fn withheld(cadence: &Cadence, person: &entrant::Candidate) -> bool {
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

/// After new rules came into force: leads that have a grade already come into the cadences that are for it.
pub async fn catch_up(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let (mut done, mut after) = (0, None);
    loop {
        let mut tx = deps.pool.begin().await?;
        let leads = entrant::graded_leads(&mut tx, after, CHUNK).await?;
        done += by_grade(deps, &mut tx, &leads, now).await?;
        tx.commit().await?;
        match leads.last() {
            Some(last) if leads.len() as i64 == CHUNK => after = Some(*last),
            _ => return Ok(Summary { done, more: false }),
        }
    }
}
