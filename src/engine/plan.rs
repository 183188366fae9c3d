//! Plan: looks at enrollments that are due, makes the touch of their step, or moves them on.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Deps, Summary, stop};
use crate::domain::cadence::{Cadence, ChannelKind, Step};
use crate::domain::chance::draw;
use crate::domain::condition::Condition;
use crate::domain::progress::{self, Action, Dates, Holds, Position, Reach, TouchState};
use crate::domain::window;
use crate::engine::rules::Rules;
use crate::store::enrollment::{Due, End, Move};
use crate::store::touch::NewTouch;
use crate::store::{audience, enrollment, touch};

/// How many enrollments one transaction looks at.
const BATCH: i64 = 1000;

/// A person and, for a lead cadence, the lead.
type Pair = (Uuid, Option<Uuid>);

/// Looks at one batch. `more` says that the batch was full.
pub async fn run_once(deps: &Deps, now: DateTime<Utc>) -> Result<Summary> {
    let rules = deps.rules();
    let mut tx = deps.pool.begin().await?;
    let due = enrollment::due(&mut tx, now, BATCH).await?;
    if due.is_empty() {
        return Ok(Summary::default());
    }
    let answers = Answers::ask(&mut tx, &rules, &due, now, deps.company_zone()).await?;
    let mut plan = Outcome::default();
    for row in &due {
        plan.take(deps, &rules, row, &answers, now);
    }
    touch::insert(&mut tx, &plan.touches, now).await?;
    enrollment::advance(&mut tx, &plan.moves).await?;
    stop::end(&mut tx, &plan.ends, now).await?;
    tx.commit().await?;
    Ok(Summary {
        done: due.len() as u64,
        more: due.len() as i64 == BATCH,
    })
}

/// What a batch comes to.
#[derive(Default)]
struct Outcome {
    touches: Vec<NewTouch>,
    moves: Vec<Move>,
    ends: Vec<End>,
}

impl Outcome {
    fn take(&mut self, deps: &Deps, rules: &Rules, row: &Due, answers: &Answers, now: DateTime<Utc>) {
        let Some(cadence) = rules.cadence(row.cadence_version_id) else {
            self.ends.push(End {
                id: row.id,
                state: "stopped",
                reason: "cadence-gone".to_owned(),
            });
            return;
        };
        let dates = Dates {
            zone: deps.zone_of(row.timezone.as_deref()),
            calendar: rules.holidays(row.region.as_deref()),
            expected_on: row.expected_on,
            expected_close: row.expected_close,
            birthday: row.next_birthday_on,
        };
        let position = Position {
            cursor: &row.cursor,
            visit: row.visit,
            next_at: row.next_at,
            control: row.state == "control",
            touch: touch_state(row),
        };
        let holds = answers.of(cadence, row);
        match progress::decide(cadence, &position, &holds, &dates, now) {
            Action::Touch { look_at } => {
                self.touches
                    .extend(new_touch(deps, rules, cadence, row, &dates, now));
                self.go(row, row.cursor.clone(), row.visit, look_at);
            }
            Action::Advance { cursor, visit, at } => self.go(row, cursor, visit, at),
            Action::Wait(at) => self.go(row, row.cursor.clone(), row.visit, at),
            Action::Finish(reason) => {
                self.ends.push(End {
                    id: row.id,
                    state: "finished",
                    reason: reason.to_owned(),
                });
            }
            Action::Stop(reason) => {
                self.ends.push(End {
                    id: row.id,
                    state: "stopped",
                    reason: reason.to_owned(),
                });
            }
        }
    }

    fn go(&mut self, row: &Due, cursor: String, visit: i16, next_at: DateTime<Utc>) {
        self.moves.push(Move {
            id: row.id,
            cursor,
            visit,
            next_at,
        });
    }
}

fn touch_state(row: &Due) -> TouchState {
    match (row.touch_state.as_deref(), row.touch_due_at) {
        (Some("queued"), Some(due)) => TouchState::Queued(due),
        (Some(_), Some(due)) => TouchState::Ended(due),
        _ => TouchState::None,
    }
}

fn new_touch(
    deps: &Deps,
    rules: &Rules,
    cadence: &Cadence,
    row: &Due,
    dates: &Dates<'_>,
    now: DateTime<Utc>,
) -> Option<NewTouch> {
    let step = cadence.step(&row.cursor)?;
    let channel = progress::choose_channel(
        &step.channel,
        &Reach {
            preferred: row.preferred_channel.as_deref(),
            email: row.has_email && row.consent_email != Some(false),
            sms: row.has_phone && row.consent_sms == Some(true),
        },
    );
    let due_at = due_at(rules, cadence, step, channel, row, dates);
    Some(NewTouch {
        id: deps.ids.next(now),
        message_id: deps.ids.next(now),
        enrollment_id: row.id,
        step_key: step.key.clone(),
        visit: row.visit,
        channel: channel.as_str(),
        class: step.function.class().number(),
        sender: step.sender.clone(),
        address_hash: match channel {
            ChannelKind::Email => row.email_hash.clone(),
            ChannelKind::Sms => row.phone_hash.clone(),
            ChannelKind::Task => None,
        },
        due_at,
        expires_at: step.expires.after(due_at, dates.zone, dates.calendar),
    })
}

/// When a touch is due: at once, or at the person's own place in the spread of its step.
fn due_at(
    rules: &Rules,
    cadence: &Cadence,
    step: &Step,
    channel: ChannelKind,
    row: &Due,
    dates: &Dates<'_>,
) -> DateTime<Utc> {
    let Some(over) = step.spread else {
        return row.next_at;
    };
    let class = step.function.class();
    let window = rules.gate.windows.of(channel).of(class).window();
    let heeded = dates
        .calendar
        .filter(|_| *rules.gate.business_days_only.of(class));
    let part = draw(
        0,
        &["spread", &cadence.name, &step.key, &row.contact_id.to_string()],
    );
    window::spread(row.next_at, over.length(), part, dates.zone, window, heeded)
}

/// Which condition of a cadence version is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question<'c> {
    Goal,
    Exit,
    Guard(&'c str),
    Branch(&'c str, usize),
}

/// Answers to all conditions that bear on a batch: one statement for each condition, none for each row.
struct Answers {
    holding: HashMap<(Uuid, String), HashSet<Pair>>,
}

impl Answers {
    async fn ask(
        conn: &mut PgConnection,
        rules: &Rules,
        due: &[Due],
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Self> {
        let mut asked: HashMap<(Uuid, String), (&Condition, Vec<Pair>)> = HashMap::new();
        for row in due {
            let Some(cadence) = rules.cadence(row.cadence_version_id) else {
                continue;
            };
            for (question, condition) in questions(cadence, row) {
                asked
                    .entry((row.cadence_version_id, format!("{question:?}")))
                    .or_insert_with(|| (condition, Vec::new()))
                    .1
                    .push((row.contact_id, row.lead_id));
            }
        }
        let mut holding = HashMap::new();
        for (key, (condition, pairs)) in asked {
            holding.insert(key, audience::holding(conn, condition, &pairs, now, zone).await?);
        }
        Ok(Self { holding })
    }

    fn holds(&self, row: &Due, question: Question<'_>) -> bool {
        self.holding
            .get(&(row.cadence_version_id, format!("{question:?}")))
            .is_some_and(|pairs| pairs.contains(&(row.contact_id, row.lead_id)))
    }

    fn of(&self, cadence: &Cadence, row: &Due) -> Holds {
        let step = cadence.step(&row.cursor);
        Holds {
            goal: self.holds(row, Question::Goal),
            exit: self.holds(row, Question::Exit),
            guard: step.is_none_or(|s| s.guard.is_none() || self.holds(row, Question::Guard(&s.key))),
            branch: step
                .and_then(|s| (0..s.branch.len()).find(|n| self.holds(row, Question::Branch(&s.key, *n)))),
        }
    }
}

/// The conditions that bear on a row now.
fn questions<'c>(cadence: &'c Cadence, row: &Due) -> Vec<(Question<'c>, &'c Condition)> {
    let mut asked = Vec::new();
    asked.extend(cadence.exit.goal.as_ref().map(|c| (Question::Goal, c)));
    asked.extend(cadence.exit.when.as_ref().map(|c| (Question::Exit, c)));
    if let Some(step) = cadence.step(&row.cursor) {
        if row.touch_state.is_none() {
            asked.extend(step.guard.as_ref().map(|c| (Question::Guard(&step.key), c)));
        }
        asked.extend(
            step.branch
                .iter()
                .enumerate()
                .map(|(n, b)| (Question::Branch(&step.key, n), &b.when)),
        );
    }
    asked
}
