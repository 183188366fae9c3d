//! Regrade: folds the evidence of leads that have news, writes the grade and why, and moves them to its cadence.

use std::collections::HashMap;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Deps, Summary, enroll};
use crate::domain::assess::{self, Ask, Assessment};
use crate::domain::evidence::Evidence;
use crate::domain::grade::Situation;
use crate::store::lead::{self, Assessed, GradeChange, ToAssess};
use crate::store::task::{self, NewTask};

/// How many leads one transaction assesses.
const BATCH: i64 = 500;

/// Assesses one batch. The new grade, its ledger row, its tasks and the change of cadence commit together.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let rules = deps.rules();
    let mut tx = deps.pool.begin().await?;
    let leads = lead::to_assess(&mut tx, now, BATCH).await?;
    if leads.is_empty() {
        return Ok(Summary::default());
    }
    let ids: Vec<Uuid> = leads.iter().map(|l| l.id).collect();
    let mut evidence: HashMap<Uuid, Vec<Evidence>> = HashMap::new();
    for (lead_id, piece) in lead::evidence(&mut tx, &ids).await? {
        evidence.entry(lead_id).or_default().push(piece);
    }
    let (mut rows, mut tasks, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    for lead in &leads {
        let pieces = evidence.remove(&lead.id).unwrap_or_default();
        let situation: Situation = lead.situation.parse().context("situation of a lead")?;
        let found = assess::regrade(&pieces, situation, &rules.grading, now);
        let grade = found.grade.map(|g| g.as_str().to_owned());
        let factors = serde_json::to_value(&found.factors)?;
        let changed = grade != lead.grade;
        if changed {
            let change = change(deps, lead, &found, &pieces, grade.clone(), factors.clone(), now);
            lead::record_change(&mut tx, now, &change).await?;
            moved.push(lead.id);
        }
        tasks.extend(found.asks.iter().map(|ask| question(deps, lead, *ask, now)));
        rows.push(Assessed {
            id: lead.id,
            grade,
            changed,
            factors,
            expected_close: found.factors.expected_close(),
            expected_on: found.factors.expected_on(),
            waiting_for: found.factors.waiting_for().map(ToOwned::to_owned),
            // Never in the past, or the lead would be assessed for ever.
            again_at: found.next_change_at.map(|at| at.max(now + TimeDelta::minutes(1))),
        });
    }
    lead::assessed(&mut tx, now, &rows).await?;
    task::insert(&mut tx, &tasks).await?;
    enroll::by_grade(deps, &mut tx, &moved, now).await?;
    tx.commit().await?;
    Ok(Summary {
        done: leads.len() as u64,
        more: leads.len() as i64 == BATCH,
    })
}

fn change(
    deps: &Deps,
    lead: &ToAssess,
    found: &Assessment,
    pieces: &[Evidence],
    after: Option<String>,
    factors: serde_json::Value,
    now: DateTime<Utc>,
) -> GradeChange {
    let cited: Vec<&Evidence> = pieces.iter().filter(|p| found.because.contains(&p.id)).collect();
    let newest = pieces.iter().map(|p| p.at).max();
    // News older than the last change rewrites what was thought then.
    let corrected = lead
        .changed_at
        .is_some_and(|changed| newest.is_some_and(|at| at < changed));
    let reason = if found.asserted {
        "asserted"
    } else if corrected {
        "corrected"
    } else if newest.is_some_and(|at| now - at < TimeDelta::days(1)) {
        "evidence"
    } else {
        "time"
    };
    GradeChange {
        lead_id: lead.id,
        id: deps.ids.next(now),
        before: lead.grade.clone(),
        after,
        reason: reason.to_owned(),
        factors,
        evidence: found.because.clone(),
        events: cited.iter().filter_map(|p| p.cites).collect(),
        corrected,
    }
}

/// A question for the owner; one of a kind per lead and month.
fn question(deps: &Deps, lead: &ToAssess, ask: Ask, now: DateTime<Utc>) -> NewTask {
    let (word, title) = match ask {
        Ask::When => ("when", format!("Ask {} when they want to decide", lead.name)),
        Ask::Restate => (
            "restate",
            format!(
                "The expected close of {} has passed: ask for a new one",
                lead.name
            ),
        ),
    };
    NewTask {
        id: deps.ids.next(now),
        kind: "ask".to_owned(),
        title,
        body: "The grade of this lead hangs on the expected close.".to_owned(),
        contact_id: None,
        lead_id: Some(lead.id),
        touch_id: None,
        owner_id: None,
        created_at: now,
        due_at: now + TimeDelta::days(7),
        dedup_key: Some(format!("ask:{word}:{}:{}", lead.id, now.format("%Y-%m"))),
    }
}
