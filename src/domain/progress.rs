//! How an enrollment moves through its cadence: when a step is due, and what comes after it.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::cadence::{Cadence, ChannelKind, Channels, DateFact, MissingDate, Step};
use super::holiday::HolidayCalendar;
use super::zone::to_instant;

/// The dates steps may hang on, and where the person lives.
#[derive(Debug, Clone, Copy)]
pub struct Dates<'a> {
    /// Zone of the person.
    pub zone: Tz,
    /// Days off where the person lives, for business days.
    pub calendar: Option<&'a HolidayCalendar>,
    /// When what the lead waits for is expected.
    pub expected_on: Option<NaiveDate>,
    /// Expected close of the lead.
    pub expected_close: Option<NaiveDate>,
    /// Next birthday.
    pub birthday: Option<NaiveDate>,
}

/// Where an enrollment is, with the touch of its cursor.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Step that is next or in flight.
    pub cursor: &'a str,
    /// Which time round.
    pub visit: i16,
    /// When it was to be looked at.
    pub next_at: DateTime<Utc>,
    /// Withheld: moves along and touches nobody.
    pub control: bool,
    /// The touch of the cursor.
    pub touch: TouchState,
}

/// The touch of the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TouchState {
    /// Not made yet.
    None,
    /// Waits in the queue, or is being handed over; due then.
    Queued(DateTime<Utc>),
    /// Came to an end; was due then.
    Ended(DateTime<Utc>),
}

/// What holds of the conditions that bear on a position.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// The goal.
    pub goal: bool,
    /// The exit condition.
    pub exit: bool,
    /// The guard of the cursor's step (true where it has none).
    pub guard: bool,
    /// Index of the first branch of the cursor's step that holds.
    pub branch: Option<usize>,
}

/// What is to be done with an enrollment now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the touch of the cursor; look again then.
    Touch {
        /// When to look again.
        look_at: DateTime<Utc>,
    },
    /// Go to another step, due then.
    Advance {
        /// Key of the step.
        cursor: String,
        /// Which time round.
        visit: i16,
        /// When it is due.
        at: DateTime<Utc>,
    },
    /// Look again then.
    Wait(DateTime<Utc>),
    /// It ran to its end, or reached its goal.
    Finish(&'static str),
    /// It ends early.
    Stop(&'static str),
}

/// A touch in the queue is looked at again this long after it was due.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);

/// When a step is due that follows something at `base`; `None` = its date is unknown or past, pass it over.
pub fn step_due(step: &Step, base: DateTime<Utc>, dates: &Dates<'_>) -> Option<DateTime<Utc>> {
    let waited = step.wait.after(base, dates.zone, dates.calendar);
    let mut at = waited;
    if let Some(on) = &step.on_date {
        let date = match on.date {
            DateFact::LeadExpectedOn => dates.expected_on,
            DateFact::LeadExpectedClose => dates.expected_close,
            DateFact::Birthday => dates.birthday,
        };
        let shifted = date.and_then(|date| shift(date, on.offset_days));
        match shifted.map(|date| to_instant(date.and_time(on.at), dates.zone)) {
            Some(instant) if instant >= base => at = waited.max(instant),
            _ if on.missing == MissingDate::Skip => return None,
            _ => {}
        }
    }
    Some(match &step.until {
        Some(moment) => moment.next_at_or_after(at, dates.zone),
        None => at,
    })
}

fn shift(date: NaiveDate, days: i32) -> Option<NaiveDate> {
    let distance = Days::new(u64::from(days.unsigned_abs()));
    if days < 0 {
        date.checked_sub_days(distance)
    } else {
        date.checked_add_days(distance)
    }
}

/// The first step that has a due time, from `step` on; steps without their date are passed over.
fn arrive<'c>(
    cadence: &'c Cadence,
    step: Option<&'c Step>,
    base: DateTime<Utc>,
    dates: &Dates<'_>,
) -> Option<(&'c Step, DateTime<Utc>)> {
    let mut step = step;
    for _ in 0..=cadence.steps.len() {
        let here = step?;
        if let Some(at) = step_due(here, base, dates) {
            return Some((here, at));
        }
        step = cadence.following(&here.key);
    }
    None
}

/// Where somebody who comes in at `base` starts, and when; `None` = no step of the cadence has a time for him.
pub fn start<'c>(
    cadence: &'c Cadence,
    base: DateTime<Utc>,
    dates: &Dates<'_>,
) -> Option<(&'c Step, DateTime<Utc>)> {
    arrive(cadence, cadence.steps.first(), base, dates)
}

/// What is to be done with an enrollment now.
pub fn decide(
    cadence: &Cadence,
    here: &Position<'_>,
    holds: &Holds,
    dates: &Dates<'_>,
    now: DateTime<Utc>,
) -> Action {
    if holds.goal {
        return Action::Finish("goal");
    }
    if holds.exit {
        return Action::Stop("exit");
    }
    let Some(step) = cadence.step(here.cursor) else {
        return Action::Stop("step-gone");
    };
    match here.touch {
        TouchState::Queued(due) => Action::Wait(due.max(now) + PATIENCE),
        TouchState::Ended(due) => go_on(cadence, step, here, holds, due, dates, now),
        TouchState::None if here.control || !holds.guard => {
            go_on(cadence, step, here, holds, here.next_at, dates, now)
        }
        TouchState::None => {
            let look = earliest_next(cadence, step, here.next_at, dates);
            Action::Touch {
                look_at: look.max(now + TimeDelta::minutes(1)),
            }
        }
    }
}

/// The earliest instant at which anything that may follow `step` is due, or the cadence may be finished.
fn earliest_next(cadence: &Cadence, step: &Step, base: DateTime<Utc>, dates: &Dates<'_>) -> DateTime<Utc> {
    let settle = cadence.exit.settle.after(base, dates.zone, dates.calendar);
    step.branch
        .iter()
        .map(|branch| cadence.step(&branch.goto))
        .chain([cadence.following(&step.key)])
        .map(|next| arrive(cadence, next, base, dates).map_or(settle, |(_, at)| at))
        .min()
        .unwrap_or(settle)
}

fn go_on(
    cadence: &Cadence,
    step: &Step,
    here: &Position<'_>,
    holds: &Holds,
    base: DateTime<Utc>,
    dates: &Dates<'_>,
    now: DateTime<Utc>,
) -> Action {
    // A branch is decided when the next step is planned, not before: responses may still come.
    let look = earliest_next(cadence, step, base, dates);
    if now < look {
        return Action::Wait(look);
    }
    let next = match holds.branch.and_then(|n| step.branch.get(n)) {
        Some(branch) => cadence.step(&branch.goto),
        None => cadence.following(&step.key),
    };
    if let Some((next, at)) = arrive(cadence, next, base, dates) {
        let back = index(cadence, &next.key) <= index(cadence, &step.key);
        return Action::Advance {
            cursor: next.key.clone(),
            visit: here.visit + i16::from(back),
            at,
        };
    }
    let settled = cadence.exit.settle.after(base, dates.zone, dates.calendar);
    if now < settled {
        Action::Wait(settled)
    } else {
        Action::Finish("done")
    }
}

fn index(cadence: &Cadence, key: &str) -> usize {
    cadence
        .steps
        .iter()
        .position(|step| step.key == key)
        .unwrap_or(usize::MAX)
}

/// What is known about how a person can be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reach<'a> {
    /// Preferred channel.
    pub preferred: Option<&'a str>,
    /// There is a mail address, and permission is not refused.
    pub email: bool,
    /// There is a number, and permission is not refused.
    pub sms: bool,
}

/// Which of a step's channels carries it: the preferred one if it is listed and usable, else the first usable, else the
/// first, for the gate to say what is missing.
pub fn choose_channel(channels: &Channels, reach: &Reach<'_>) -> ChannelKind {
    let listed = channels.as_slice();
    let usable = |kind: &ChannelKind| match kind {
        ChannelKind::Email => reach.email,
        ChannelKind::Sms => reach.sms,
        ChannelKind::Task => true,
    };
    let preferred = listed
        .iter()
        .find(|kind| Some(kind.as_str()) == reach.preferred && usable(kind));
    preferred
        .or_else(|| listed.iter().find(|kind| usable(kind)))
        .or(listed.first())
        .copied()
        .unwrap_or(ChannelKind::Task)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    const THREE: &str = r#"
        name = "three"
        title = "three"
        subject = "lead"
        entry = { on_grade = ["B"] }
        exit = { settle = "3d" }
        [[steps]]
        key = "one"
        channel = "email"
        template = "t"
        function = "information"
        branch = [{ when = { event = "clicked", within = "9d" }, goto = "three" }]
        [[steps]]
        key = "two"
        channel = "email"
        template = "t"
        function = "information"
        wait = "5d"
        on_date = { date = "lead.expected_on", at = "09:00:00" }
        [[steps]]
        key = "three"
        channel = "email"
        template = "t"
        function = "information"
        wait = "2d"
    "#;

    fn three() -> Cadence {
        toml::from_str(THREE).unwrap()
    }

    fn day(n: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2027, 3, n, 9, 0, 0).unwrap()
    }

    fn dates(expected_on: Option<u32>) -> Dates<'static> {
        let date = |n| NaiveDate::from_ymd_opt(2027, 3, n).unwrap();
        Dates {
            zone: Tz::UTC,
            calendar: None,
            expected_on: expected_on.map(date),
            expected_close: None,
            birthday: None,
        }
    }

    fn at(cursor: &str, next: u32, touch: TouchState) -> Position<'_> {
        Position {
            cursor,
            visit: 1,
            next_at: day(next),
            control: false,
            touch,
        }
    }

    fn guard() -> Holds {
        Holds {
            guard: true,
            ..Holds::default()
        }
    }

    #[test]
    fn a_touch_is_made_when_its_step_is_due_and_looked_at_when_anything_may_follow() {
        // The branch leads to a step two days later, the plain way to one that waits for the twentieth.
        let action = decide(
            &three(),
            &at("one", 1, TouchState::None),
            &guard(),
            &dates(Some(20)),
            day(1),
        );
        assert_eq!(action, Action::Touch { look_at: day(3) });
    }

    #[test]
    fn a_date_is_waited_for_and_a_step_without_its_date_is_passed_over() {
        let ended = at("one", 3, TouchState::Ended(day(1)));
        let go = decide(&three(), &ended, &guard(), &dates(Some(20)), day(3));
        assert_eq!(
            go,
            Action::Advance {
                cursor: "two".into(),
                visit: 1,
                at: day(20)
            }
        );
        let over = decide(&three(), &ended, &guard(), &dates(None), day(3));
        assert_eq!(
            over,
            Action::Advance {
                cursor: "three".into(),
                visit: 1,
                at: day(3)
            }
        );
    }

    #[test]
    fn a_branch_is_decided_when_the_next_step_is_planned() {
        let clicked = Holds {
            branch: Some(0),
            ..guard()
        };
        let early = decide(
            &three(),
            &at("one", 2, TouchState::Ended(day(1))),
            &clicked,
            &dates(Some(20)),
            day(2),
        );
        assert_eq!(early, Action::Wait(day(3)));
        let due = decide(
            &three(),
            &at("one", 3, TouchState::Ended(day(1))),
            &clicked,
            &dates(Some(20)),
            day(3),
        );
        assert_eq!(
            due,
            Action::Advance {
                cursor: "three".into(),
                visit: 1,
                at: day(3)
            }
        );
    }

    #[test]
    fn the_end_waits_for_late_answers() {
        let last = at("three", 5, TouchState::Ended(day(4)));
        assert_eq!(
            decide(&three(), &last, &guard(), &dates(None), day(5)),
            Action::Wait(day(7))
        );
        assert_eq!(
            decide(&three(), &last, &guard(), &dates(None), day(7)),
            Action::Finish("done")
        );
    }

    #[test]
    fn goal_exit_and_guard() {
        let here = at("one", 1, TouchState::None);
        let goal = Holds {
            goal: true,
            exit: true,
            ..guard()
        };
        assert_eq!(
            decide(&three(), &here, &goal, &dates(None), day(1)),
            Action::Finish("goal")
        );
        let exit = Holds {
            exit: true,
            ..guard()
        };
        assert_eq!(
            decide(&three(), &here, &exit, &dates(None), day(1)),
            Action::Stop("exit")
        );
        let unguarded = Holds::default();
        assert_eq!(
            decide(&three(), &here, &unguarded, &dates(None), day(1)),
            Action::Wait(day(3))
        );
        let control = Position {
            control: true,
            ..here
        };
        assert_eq!(
            decide(&three(), &control, &guard(), &dates(None), day(1)),
            Action::Wait(day(3))
        );
    }

    #[test]
    fn the_preferred_channel_wins_where_it_is_listed_and_usable() {
        let both = Channels::Many(vec![ChannelKind::Email, ChannelKind::Sms]);
        let reach = |preferred, email, sms| Reach {
            preferred,
            email,
            sms,
        };
        assert_eq!(
            choose_channel(&both, &reach(Some("sms"), true, true)),
            ChannelKind::Sms
        );
        assert_eq!(
            choose_channel(&both, &reach(Some("sms"), true, false)),
            ChannelKind::Email
        );
        assert_eq!(choose_channel(&both, &reach(None, false, true)), ChannelKind::Sms);
        assert_eq!(
            choose_channel(&both, &reach(None, false, false)),
            ChannelKind::Email
        );
    }
}
