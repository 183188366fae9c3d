//! The fold: evidence in, factors out, each with the evidence that made it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, Duration, Months, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use super::evidence::{Evidence, EvidenceKind, Source, Step};
use super::factor::{Factor, Level, Setting};
use super::grade::{Grade, Situation};
use super::grading::GradingRules;
use super::known::{Assertion, Factors, Known};
use super::matrix::Row;
use super::pressure::Pressure;

/// Folds evidence into factors as of `now`. Order and duplicates of the evidence do not matter; evidence later than
/// `now` waits. A closed lead is seen as of its end. Dates are days in UTC.
///
/// An asserted grade stands until later evidence moves a factor. From then on the factors decide, and where nothing
/// (or, at the time, less) was recorded, the least counts that a lead of the asserted grade must have: a lead of which
/// only "B" is known and that then asks for a price is a B with more resolve, not a lead without needs.
pub fn fold(
    evidence: &[Evidence],
    situation: Situation,
    rules: &GradingRules,
    now: DateTime<Utc>,
) -> Factors {
    let mut seen = BTreeSet::new();
    let mut ordered: Vec<&Evidence> = evidence.iter().collect();
    ordered.sort_by_key(|e| (e.at, e.id));
    ordered.retain(|e| seen.insert(e.id));

    let future = ordered.iter().map(|e| e.at).find(|at| *at > now);
    ordered.retain(|e| e.at <= now);
    let closed = ordered.iter().rev().find_map(|e| match &e.kind {
        EvidenceKind::Closed { outcome } => Some(Some((*outcome, e.at))),
        EvidenceKind::Reopened => Some(None),
        _ => None,
    });
    let closed = closed.flatten();
    let as_of = closed.map_or(now, |(_, at)| at);

    let mut lead = Lead::new(rules, rules.rows(situation));
    for e in ordered.into_iter().filter(|e| e.at <= as_of) {
        lead.take(e, as_of);
    }
    lead.settle(as_of);

    let next_change_at = if closed.is_some() {
        future
    } else {
        [future, lead.next_change(now)].into_iter().flatten().min()
    };
    let known = Factor::ALL
        .into_iter()
        .filter_map(|f| Some((f, lead.seen(f, as_of)?)))
        .collect();
    Factors {
        known,
        assertion: lead.assertion,
        closed,
        heard_at: lead.heard_at,
        next_change_at,
    }
}

/// The state of the fold.
struct Lead<'a> {
    rules: &'a GradingRules,
    rows: &'a [Row],
    tracks: BTreeMap<Factor, Track>,
    assertion: Option<Assertion>,
    /// When the first assertion expires, overlaid by a later one or not: without it the others may count differently.
    expiry: Option<DateTime<Utc>>,
    heard_at: Option<DateTime<Utc>>,
    /// Until when what responses raised is held, and what they lowered.
    hold_up: Option<DateTime<Utc>>,
    hold_down: Option<DateTime<Utc>>,
}

#[derive(Default)]
struct Track {
    stated: Option<Stated>,
    up: Pressure,
    down: Pressure,
}

struct Stated {
    setting: Setting,
    at: DateTime<Utc>,
    id: Uuid,
}

impl<'a> Lead<'a> {
    fn new(rules: &'a GradingRules, rows: &'a [Row]) -> Self {
        Self {
            rules,
            rows,
            tracks: BTreeMap::new(),
            assertion: None,
            expiry: None,
            heard_at: None,
            hold_up: None,
            hold_down: None,
        }
    }

    fn take(&mut self, e: &Evidence, as_of: DateTime<Utc>) {
        self.settle(e.at);
        match &e.kind {
            EvidenceKind::Stated { setting, source } => self.state(e, setting, source),
            EvidenceKind::Withdrawn { factor, .. } => {
                let before = self.value(*factor);
                self.tracks.remove(factor);
                self.overtake(*factor, before.as_ref(), e.at);
            }
            EvidenceKind::Step(step) => self.step(e, step),
            EvidenceKind::Heard | EvidenceKind::Reopened => self.heard_at = Some(e.at),
            EvidenceKind::Asserted {
                grade,
                source,
                expires,
                ..
            } => {
                if expires.is_none_or(|until| until > as_of) {
                    self.expiry = [self.expiry, *expires].into_iter().flatten().min();
                    self.assert(e, *grade, source, *expires);
                }
            }
            EvidenceKind::Closed { .. } => {}
        }
    }

    fn state(&mut self, e: &Evidence, setting: &Setting, source: &Source) {
        let factor = setting.factor();
        let before = self.value(factor);
        let track = self.tracks.entry(factor).or_default();
        let repeated = track
            .stated
            .as_ref()
            .is_some_and(|stated| stated.setting == *setting);
        if repeated && matches!(source, Source::Import(_)) {
            return;
        }
        track.stated = Some(Stated {
            setting: setting.clone(),
            at: e.at,
            id: e.id,
        });
        track.up.clear();
        track.down.clear();
        self.heard_at = Some(e.at);
        self.overtake(factor, before.as_ref(), e.at);
    }

    fn step(&mut self, e: &Evidence, step: &Step) {
        let before = self.value(step.factor);
        let rules = &self.rules.hysteresis;
        let most = if step.factor.is_level() { 3 } else { 1 };
        let up = step.weight > 0.0;
        let Track {
            up: raising,
            down: lowering,
            ..
        } = self.tracks.entry(step.factor).or_default();
        let (with, against) = if up {
            (raising, lowering)
        } else {
            (lowering, raising)
        };
        if with.push(e.id, e.at, step, most, rules) {
            // Strong enough to move the factor: what spoke to the contrary before is overcome.
            against.clear();
            let until = Some(e.at + Duration::days(rules.hold_days.into()));
            (self.hold_up, self.hold_down) = if up { (until, None) } else { (None, until) };
        }
        self.heard_at = Some(e.at);
        self.overtake(step.factor, before.as_ref(), e.at);
    }

    fn assert(&mut self, e: &Evidence, grade: Grade, source: &Source, expires: Option<DateTime<Utc>>) {
        let last = self.assertion.as_ref();
        let repeated = last.is_some_and(|last| last.grade == grade && last.source == *source);
        if repeated && matches!(source, Source::Import(_)) {
            return;
        }
        for track in self.tracks.values_mut() {
            track.up.clear();
            track.down.clear();
        }
        (self.hold_up, self.hold_down) = (None, None);
        self.heard_at = Some(e.at);
        self.assertion = Some(Assertion {
            grade,
            id: e.id,
            at: e.at,
            source: source.clone(),
            overtaken: false,
            expires,
        });
    }

    /// The assertion no longer stands when evidence later than it changed the value of a factor of the grade.
    fn overtake(&mut self, factor: Factor, before: Option<&Known>, at: DateTime<Utc>) {
        let moves_grades = factor.is_flag() || factor.is_level() || factor == Factor::ExpectedClose;
        let changed = self.value(factor).map(|k| k.setting) != before.map(|k| k.setting.clone());
        if let Some(assertion) = &mut self.assertion
            && moves_grades
            && changed
            && at > assertion.at
        {
            assertion.overtaken = true;
        }
    }

    /// Lets fade what time has worn down by `at`.
    fn settle(&mut self, at: DateTime<Utc>) {
        for track in self.tracks.values_mut() {
            if self.hold_up.is_none_or(|until| at >= until) {
                track.up.fade(at, &self.rules.hysteresis);
            }
            if self.hold_down.is_none_or(|until| at >= until) {
                track.down.fade(at, &self.rules.hysteresis);
            }
        }
    }

    /// What is stated, or assumed from the asserted grade.
    fn base(&self, factor: Factor) -> Option<Known> {
        let stated = self.tracks.get(&factor).and_then(|track| track.stated.as_ref());
        let assumed = self
            .assertion
            .as_ref()
            .and_then(|a| Some((a, self.assumed(a, factor)?)));
        match (stated, assumed) {
            (Some(s), Some((a, setting))) if s.at <= a.at && self.falls_short(a, &s.setting) => Some(Known {
                setting,
                because: vec![a.id],
                assumed: true,
            }),
            (Some(s), _) => Some(Known {
                setting: s.setting.clone(),
                because: vec![s.id],
                assumed: false,
            }),
            (None, Some((a, setting))) => Some(Known {
                setting,
                because: vec![a.id],
                assumed: true,
            }),
            (None, None) => None,
        }
    }

    fn row(&self, grade: Grade) -> Option<&'a Row> {
        self.rows.iter().find(|row| row.grade == grade)
    }

    fn assumed(&self, assertion: &Assertion, factor: Factor) -> Option<Setting> {
        let row = self.row(assertion.grade)?;
        if factor == Factor::ExpectedClose {
            let months = Months::new(row.close_within_months?);
            return assertion
                .at
                .date_naive()
                .checked_add_months(months)
                .map(Setting::ExpectedClose);
        }
        row.factors.get(&factor)?.least(factor)
    }

    /// Whether a value stated before the assertion contradicts the asserted grade.
    fn falls_short(&self, assertion: &Assertion, stated: &Setting) -> bool {
        let Some(row) = self.row(assertion.grade) else {
            return false;
        };
        match stated {
            Setting::ExpectedClose(close) => !row.reaches(*close, assertion.at.date_naive()),
            _ => row
                .factors
                .get(&stated.factor())
                .is_some_and(|allowed| !allowed.names(Some(stated))),
        }
    }

    /// The value of `factor` with what responses moved, before silence.
    fn value(&self, factor: Factor) -> Option<Known> {
        let base = self.base(factor);
        let Some(track) = self.tracks.get(&factor) else {
            return base;
        };
        let (up, down) = (track.up.levels(), track.down.levels());
        if up == 0 && down == 0 {
            return base;
        }
        let steps = up as i32 - down as i32;
        let value = base.as_ref().map(|known| &known.setting);
        let moved = if factor == Factor::ExpectedClose {
            moved_close(value.and_then(Setting::date), track)
        } else if factor.is_level() {
            let start = if steps > 0 { Level::Low } else { Level::Medium };
            Setting::of_level(
                factor,
                value.and_then(Setting::level).unwrap_or(start).moved(steps),
            )
        } else {
            Setting::of_flag(factor, steps > 0)
        };
        let pushes = if up > 0 { &track.up } else { &track.down };
        let mut because = base.map_or(Vec::new(), |known| known.because);
        because.extend(pushes.ids());
        Some(Known {
            setting: moved?,
            because,
            assumed: false,
        })
    }

    /// The value of `factor` at `at`, silence counted.
    fn seen(&self, factor: Factor, at: DateTime<Utc>) -> Option<Known> {
        let mut known = self.value(factor)?;
        if let Setting::Resolve(level) = &mut known.setting {
            *level = self.after_silence(*level, at);
        }
        Some(known)
    }

    /// When the silence began that runs at `at`.
    fn silent_since(&self) -> Option<DateTime<Utc>> {
        let heard = self.heard_at?;
        let stated = |factor| {
            self.tracks
                .get(&factor)
                .and_then(|t| t.stated.as_ref())
                .map(|s| &s.setting)
        };
        let waits = self.rules.silence.pause_while_waiting && stated(Factor::WaitingFor).is_some();
        let done = stated(Factor::ExpectedOn)
            .and_then(Setting::date)
            .filter(|_| waits);
        Some(heard.max(done.map_or(heard, start_of)))
    }

    fn after_silence(&self, level: Level, at: DateTime<Utc>) -> Level {
        let silence = &self.rules.silence;
        let held = self.hold_up.is_some_and(|until| at < until);
        let Some(since) = self.silent_since() else {
            return level;
        };
        if level <= silence.floor || silence.drop_after_days == 0 || held {
            return level;
        }
        let drops = (at - since).num_days() / i64::from(silence.drop_after_days);
        level.moved(-drops.clamp(0, 3) as i32).max(silence.floor)
    }

    /// The earliest instant after `now` at which time alone changes anything here.
    fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let rules = &self.rules.hysteresis;
        let up = self
            .tracks
            .values()
            .filter_map(|t| t.up.falls_at(now, rules))
            .min();
        let down = self
            .tracks
            .values()
            .filter_map(|t| t.down.falls_at(now, rules))
            .min();
        let not_before =
            |at: Option<DateTime<Utc>>, hold: Option<DateTime<Utc>>| at.max(hold.filter(|_| at.is_some()));
        let changes = [
            not_before(up, self.hold_up),
            not_before(down, self.hold_down),
            not_before(self.next_drop(now), self.hold_up),
            self.expiry,
        ];
        changes.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// When silence next drops resolve, a hold left aside.
    fn next_drop(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let silence = &self.rules.silence;
        let every = i64::from(silence.drop_after_days);
        let level = self.seen(Factor::Resolve, now)?.setting.level()?;
        if level <= silence.floor || every == 0 {
            return None;
        }
        let since = self.silent_since()?;
        let done = if self.hold_up.is_some_and(|until| now < until) {
            0
        } else {
            ((now - since).num_days() / every).max(0)
        };
        Some(since + Duration::days((done + 1) * every))
    }
}

/// The expected close with what responses say: brought nearer when it was unknown, later, or past when they came;
/// put off when it was sooner.
fn moved_close(stated: Option<NaiveDate>, track: &Track) -> Option<Setting> {
    let date = if track.up.levels() > 0 {
        let (said, near) = track.up.close()?;
        stated
            .filter(|date| *date >= said && *date <= near)
            .unwrap_or(near)
    } else {
        let (_, late) = track.down.close()?;
        stated.map_or(late, |date| date.max(late))
    };
    Some(Setting::ExpectedClose(date))
}

/// The first instant of a day.
pub(super) fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The first instant after a day; `None` at the end of the calendar.
pub(super) fn end_of(day: NaiveDate) -> Option<DateTime<Utc>> {
    day.checked_add_days(Days::new(1)).map(start_of)
}

#[cfg(test)]
mod tests;
