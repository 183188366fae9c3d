use chrono::{Duration, Months};
use serde_json::json;

use super::*;
use crate::domain::event::{EventType, Intent};
use crate::domain::evidence::{EvidenceKind, Outcome, Source};
use crate::domain::grading::EventFacts;

fn day(text: &str) -> DateTime<Utc> {
    start_of(text.parse().unwrap())
}

/// The day on which all these leads were recorded.
fn start() -> DateTime<Utc> {
    day("2026-01-15")
}

fn months(n: u32) -> String {
    start()
        .date_naive()
        .checked_add_months(Months::new(n))
        .unwrap()
        .to_string()
}

fn rules() -> GradingRules {
    GradingRules::shipped().unwrap()
}

/// A lead under test: evidence that grows.
struct Case {
    situation: Situation,
    rules: GradingRules,
    evidence: Vec<Evidence>,
}

impl Case {
    fn new(situation: Situation, settings: &[(Factor, &str)]) -> Self {
        let mut case = Self {
            situation,
            rules: rules(),
            evidence: Vec::new(),
        };
        for (factor, text) in settings {
            case.state(start(), *factor, text);
        }
        case
    }

    /// Factors in the order of the table: needs, dissatisfaction, resolve, evaluating, selecting, close; `?` = unknown.
    fn of(situation: Situation, row: [&str; 7]) -> Self {
        let factors = [
            Factor::ObjectiveNeed,
            Factor::FeltNeed,
            Factor::Dissatisfaction,
            Factor::Resolve,
            Factor::Evaluating,
            Factor::Selecting,
            Factor::ExpectedClose,
        ];
        let known: Vec<_> = factors
            .into_iter()
            .zip(row)
            .filter(|(_, text)| *text != "?")
            .collect();
        Self::new(situation, &known)
    }

    fn typical_b() -> Self {
        Self::of(
            Situation::Greenfield,
            ["yes", "yes", "?", "medium", "?", "no", &months(5)],
        )
    }

    fn add(&mut self, at: DateTime<Utc>, kind: EvidenceKind) -> Uuid {
        let id = Uuid::from_u128(self.evidence.len() as u128 + 1);
        self.evidence.push(Evidence {
            id,
            at,
            kind,
            cites: None,
        });
        id
    }

    fn state(&mut self, at: DateTime<Utc>, factor: Factor, text: &str) -> Uuid {
        let setting = Setting::parse(factor, text).unwrap();
        self.add(
            at,
            EvidenceKind::Stated {
                setting,
                source: Source::Import("crm".into()),
            },
        )
    }

    fn assert(&mut self, at: DateTime<Utc>, grade: Grade, expires: Option<DateTime<Utc>>) -> Uuid {
        let source = Source::Owner("li".into());
        self.add(
            at,
            EvidenceKind::Asserted {
                grade,
                source,
                reason: None,
                expires,
            },
        )
    }

    fn event(&mut self, at: DateTime<Utc>, event_type: EventType, tag: Option<&str>, intent: Option<Intent>) {
        let data = json!({});
        let facts = EventFacts {
            event_type,
            human: true,
            tag,
            intent,
            data: &data,
        };
        for kind in self.rules.evidence_for(&facts) {
            self.add(at, kind);
        }
    }

    fn click(&mut self, at: DateTime<Utc>) {
        self.event(at, EventType::Clicked, Some("pricing"), None);
    }

    fn reply(&mut self, at: DateTime<Utc>, intent: Option<Intent>) {
        self.event(at, EventType::Replied, None, intent);
    }

    fn at(&self, now: DateTime<Utc>) -> Assessment {
        regrade(&self.evidence, self.situation, &self.rules, now)
    }

    fn grade(&self, now: DateTime<Utc>) -> Option<Grade> {
        self.at(now).grade
    }
}

const GREEN: Situation = Situation::Greenfield;
const REPL: Situation = Situation::Replacement;

#[test]
fn every_row_of_the_table_gives_its_grade() {
    let (near, mid, far, beyond) = (&*months(2), &*months(5), &*months(9), &*months(20));
    for (situation, row, want) in [
        (GREEN, ["yes", "yes", "?", "high", "yes", "yes", near], Grade::A),
        (GREEN, ["yes", "yes", "?", "high", "yes", "no", mid], Grade::B),
        (GREEN, ["yes", "yes", "?", "high", "no", "no", mid], Grade::B),
        (GREEN, ["yes", "yes", "?", "medium", "?", "no", mid], Grade::B),
        (GREEN, ["yes", "yes", "?", "medium", "no", "no", far], Grade::C),
        (GREEN, ["yes", "yes", "?", "low", "yes", "no", far], Grade::C),
        (GREEN, ["yes", "no", "?", "low", "no", "no", beyond], Grade::D),
        (GREEN, ["yes", "no", "?", "none", "no", "no", beyond], Grade::D),
        (REPL, ["yes", "yes", "high", "high", "?", "yes", near], Grade::A),
        (REPL, ["yes", "yes", "high", "medium", "?", "no", mid], Grade::B),
        (REPL, ["yes", "yes", "medium", "high", "?", "no", mid], Grade::B),
        (REPL, ["yes", "yes", "medium", "medium", "?", "no", far], Grade::C),
        (REPL, ["yes", "yes", "low", "low", "?", "no", far], Grade::C),
        (REPL, ["yes", "yes", "low", "none", "?", "no", beyond], Grade::D),
        (REPL, ["yes", "yes", "none", "low", "?", "no", beyond], Grade::D),
    ] {
        assert_eq!(
            Case::of(situation, row).grade(start()),
            Some(want),
            "{situation} {row:?}"
        );
    }
}

#[test]
fn where_two_rows_fit_the_expected_close_decides_and_unknown_takes_the_lower_and_asks() {
    let medium = |close: &str| Case::of(GREEN, ["yes", "yes", "?", "medium", "no", "no", close]).at(start());
    assert_eq!(medium(&months(5)).grade, Some(Grade::B));
    assert_eq!(medium(&months(10)).grade, Some(Grade::C));
    let unknown = medium("?");
    assert_eq!(
        (unknown.grade, unknown.costs_next),
        (Some(Grade::C), Some(Factor::ExpectedClose))
    );
    assert_eq!(unknown.asks, [Ask::When]);

    let low = |close: &str| Case::of(REPL, ["yes", "yes", "low", "low", "?", "no", close]).at(start());
    assert_eq!(low(&months(10)).grade, Some(Grade::C));
    assert_eq!(low(&months(14)).grade, Some(Grade::D));
    assert_eq!((low("?").grade, low("?").asks), (Some(Grade::D), vec![Ask::When]));
}

#[test]
fn without_an_expected_close_no_lead_is_an_a() {
    let open = Case::of(GREEN, ["yes", "yes", "?", "high", "yes", "yes", "?"]).at(start());
    assert_eq!(
        (open.grade, open.missing, open.asks),
        (Some(Grade::B), vec![Factor::ExpectedClose], vec![Ask::When])
    );
}

#[test]
fn an_unknown_does_not_hold_and_is_named() {
    let near = months(2);
    for (row, want, costs) in [
        (
            ["yes", "yes", "?", "?", "yes", "yes", &*near],
            Grade::D,
            Factor::Resolve,
        ),
        (
            ["yes", "yes", "?", "high", "?", "yes", &*near],
            Grade::B,
            Factor::Evaluating,
        ),
        (
            ["yes", "yes", "?", "high", "yes", "?", &*near],
            Grade::D,
            Factor::Selecting,
        ),
        (
            ["?", "yes", "?", "high", "yes", "yes", &*near],
            Grade::D,
            Factor::ObjectiveNeed,
        ),
    ] {
        let got = Case::of(GREEN, row).at(start());
        assert_eq!((got.grade, got.costs_next), (Some(want), Some(costs)), "{row:?}");
    }
}

#[test]
fn no_factor_is_no_grade_and_a_click_alone_makes_none() {
    let mut case = Case::new(GREEN, &[]);
    assert_eq!(case.grade(start()), None);
    case.state(start(), Factor::ExpectedClose, &months(2));
    case.state(start(), Factor::WaitingFor, "the budget");
    case.click(start());
    let got = case.at(start());
    assert_eq!((got.grade, got.because.len(), got.asks.len()), (None, 0, 0));
    case.reply(start() + Duration::days(1), Some(Intent::Price));
    assert_eq!(case.grade(start() + Duration::days(1)), Some(Grade::B));
}

#[test]
fn time_alone_promotes_at_the_very_instant_foretold() {
    let case = Case::of(GREEN, ["yes", "yes", "?", "high", "yes", "yes", "2026-06-15"]);
    let mut case = case;
    case.rules.silence.drop_after_days = 0;
    let before = case.at(start());
    assert_eq!(
        (before.grade, before.costs_next),
        (Some(Grade::B), Some(Factor::ExpectedClose))
    );
    let edge = before.next_change_at.unwrap();
    assert_eq!(edge, day("2026-03-15"));
    assert_eq!(case.grade(edge - Duration::seconds(1)), Some(Grade::B));
    assert_eq!(case.grade(edge), Some(Grade::A));
}

#[test]
fn a_close_in_the_past_counts_as_seven_to_twelve_months_and_asks() {
    let mut case = Case::of(GREEN, ["yes", "yes", "?", "high", "yes", "yes", "2026-02-01"]);
    assert_eq!(case.grade(day("2026-02-01")), Some(Grade::A));
    assert_eq!(case.at(day("2026-02-01")).next_change_at, Some(day("2026-02-02")));
    let past = case.at(day("2026-02-02"));
    assert_eq!((past.grade, past.asks), (Some(Grade::C), vec![Ask::Restate]));
    case.state(day("2026-02-03"), Factor::ExpectedClose, "2026-04-01");
    let restated = case.at(day("2026-02-03"));
    assert_eq!((restated.grade, restated.asks), (Some(Grade::A), vec![]));
}

#[test]
fn a_pricing_click_alone_leaves_a_b_and_with_a_reply_makes_an_a() {
    let (monday, tuesday) = (day("2026-02-02"), day("2026-02-03"));
    for row in [
        ["yes", "yes", "?", "medium", "?", "no", &*months(5)],
        ["yes", "yes", "?", "medium", "no", "no", &*months(6)],
        ["yes", "yes", "?", "high", "yes", "no", &*months(4)],
    ] {
        for intent in [None, Some(Intent::Interested), Some(Intent::Price)] {
            let mut case = Case::of(GREEN, row);
            assert_eq!(case.grade(monday), Some(Grade::B));
            case.click(monday);
            assert_eq!(case.grade(monday), Some(Grade::B));
            case.reply(tuesday, intent);
            let got = case.at(tuesday);
            assert_eq!(got.grade, Some(Grade::A), "{row:?} {intent:?}: {:?}", got.missing);
            assert!(got.because.len() > 6, "the responses are among the reasons");
        }
    }
    let mut case = Case::of(REPL, ["yes", "yes", "medium", "medium", "?", "no", &months(5)]);
    case.click(monday);
    assert_eq!(case.grade(monday), Some(Grade::B));
    case.reply(tuesday, None);
    assert_eq!(case.grade(tuesday), Some(Grade::A));
}

#[test]
fn clicks_never_make_an_a_however_many() {
    let mut case = Case::typical_b();
    for n in 0..50 {
        let at = start() + Duration::hours(n);
        case.click(at);
        assert_eq!(case.grade(at), Some(Grade::B), "click {n}");
    }
}

#[test]
fn what_responses_reached_holds_and_then_fades_once() {
    let mut case = Case::typical_b();
    let said = day("2026-02-03");
    case.click(said);
    case.reply(said, None);
    for days in 0..30 {
        assert_eq!(
            case.grade(said + Duration::days(days)),
            Some(Grade::A),
            "day {days}"
        );
    }
    let mut grades = Vec::new();
    for days in 0..300 {
        grades.push(case.grade(said + Duration::days(days)));
    }
    grades.dedup();
    assert!(
        grades.len() > 1 && grades.len() <= 4,
        "one way down, no flapping: {grades:?}"
    );
    assert!(grades.is_sorted(), "{grades:?}");
}

#[test]
fn contrary_responses_end_a_hold_at_once() {
    let mut case = Case::typical_b();
    let said = day("2026-02-03");
    case.reply(said, Some(Intent::Interested));
    assert_eq!(case.grade(said), Some(Grade::A));
    let next = said + Duration::days(2);
    case.reply(next, Some(Intent::NotNow));
    assert_eq!(case.grade(next), Some(Grade::C));
    case.reply(next + Duration::days(1), Some(Intent::Competitor));
    assert_eq!(case.grade(next + Duration::days(1)), Some(Grade::D));
}

#[test]
fn silence_drops_resolve_to_the_floor_and_a_word_ends_it() {
    let mut case = Case::of(GREEN, ["yes", "yes", "?", "high", "yes", "no", &months(6)]);
    let resolve = |case: &Case, days| {
        case.at(start() + Duration::days(days))
            .factors
            .setting(Factor::Resolve)
            .cloned()
    };
    let level = |text: &str| Some(Setting::Resolve(text.parse().unwrap()));
    assert_eq!(resolve(&case, 59), level("high"));
    assert_eq!(resolve(&case, 60), level("medium"));
    assert_eq!(resolve(&case, 120), level("low"));
    assert_eq!(resolve(&case, 5000), level("low"));
    assert_eq!(
        case.at(start() + Duration::days(60)).next_change_at,
        Some(day("2026-04-15"))
    );
    assert_eq!(case.grade(start() + Duration::days(120)), Some(Grade::C));
    case.add(start() + Duration::days(121), EvidenceKind::Heard);
    assert_eq!(resolve(&case, 121), level("high"));
}

#[test]
fn a_lead_that_waits_is_not_silent() {
    let mut case = Case::typical_b();
    case.state(start(), Factor::WaitingFor, "the budget");
    case.state(start(), Factor::ExpectedOn, "2026-04-15");
    assert_eq!(case.grade(day("2026-06-13")), Some(Grade::B));
    assert_eq!(case.grade(day("2026-06-14")), Some(Grade::C));
}

#[test]
fn an_asserted_grade_stands_until_later_evidence_moves_a_factor() {
    let mut case = Case::of(GREEN, ["yes", "yes", "?", "low", "no", "no", "?"]);
    assert_eq!(case.grade(start()), Some(Grade::C));
    let id = case.assert(start(), Grade::B, None);
    let got = case.at(start());
    assert_eq!(
        (got.grade, got.asserted, got.because),
        (Some(Grade::B), true, vec![id])
    );
    assert_eq!(case.grade(start() + Duration::days(400)), Some(Grade::B));

    let later = day("2026-02-03");
    case.click(later);
    assert!(case.at(later).asserted, "a click moves no factor");
    case.state(later, Factor::Likelihood, "20");
    case.state(later, Factor::Resolve, "low");
    assert!(
        case.at(later).asserted,
        "restating what an import said is no news"
    );
    case.reply(later, None);
    let moved = case.at(later);
    assert_eq!((moved.grade, moved.asserted), (Some(Grade::A), false));
    assert!(moved.because.contains(&id));
}

#[test]
fn a_bare_asserted_b_becomes_an_a_by_click_and_reply() {
    for situation in [GREEN, REPL] {
        let mut case = Case::new(situation, &[]);
        case.assert(start(), Grade::B, None);
        let later = day("2026-02-03");
        case.click(later);
        case.reply(later, None);
        assert_eq!(case.grade(later), Some(Grade::A), "{:?}", case.at(later).missing);
    }
}

#[test]
fn an_assertion_expires_and_then_never_was() {
    let mut case = Case::typical_b();
    let until = day("2026-02-15");
    case.assert(start(), Grade::A, Some(until));
    let now = case.at(start());
    assert_eq!((now.grade, now.next_change_at), (Some(Grade::A), Some(until)));
    assert_eq!(case.grade(until), Some(Grade::B));
}

#[test]
fn purchasing_power_counts_when_switched_on() {
    let mut case = Case::of(GREEN, ["yes", "yes", "?", "high", "yes", "yes", &months(2)]);
    case.rules.purchasing_power = true;
    let without = case.at(start());
    assert_eq!(
        (without.grade, without.costs_next),
        (Some(Grade::B), Some(Factor::PurchasingPower))
    );
    case.state(start(), Factor::PurchasingPower, "yes");
    assert_eq!(case.grade(start()), Some(Grade::A));
}

#[test]
fn a_closed_lead_keeps_its_grade_and_comes_back_with_a_word() {
    let mut case = Case::typical_b();
    let end = day("2026-02-01");
    case.add(
        end,
        EvidenceKind::Closed {
            outcome: Outcome::Lost,
        },
    );
    let long_after = case.at(day("2028-01-01"));
    assert_eq!(
        (long_after.grade, long_after.next_change_at),
        (Some(Grade::B), None)
    );
    assert_eq!(long_after.asks, []);
    case.add(day("2026-03-01"), EvidenceKind::Reopened);
    case.reply(day("2026-03-01"), Some(Intent::Price));
    assert_eq!(case.grade(day("2026-03-01")), Some(Grade::A));
}

#[test]
fn an_owners_word_does_away_with_what_responses_moved() {
    let mut case = Case::typical_b();
    let said = day("2026-02-03");
    case.reply(said, Some(Intent::Price));
    assert_eq!(case.grade(said), Some(Grade::A));
    let source = Source::Owner("li".into());
    case.add(
        said + Duration::hours(1),
        EvidenceKind::Stated {
            setting: Setting::Selecting(false),
            source,
        },
    );
    let got = case.at(said + Duration::hours(1));
    assert_eq!(
        (got.grade, got.missing),
        (Some(Grade::B), vec![Factor::Selecting])
    );
}

#[test]
fn the_reason_is_one_line_and_names_what_the_next_grade_lacks() {
    let mut case = Case::of(GREEN, ["yes", "yes", "?", "medium", "?", "no", "2026-06-15"]);
    assert_eq!(
        case.at(start()).reason(),
        "objective_need yes, felt_need yes, resolve medium, selecting no, expected_close 2026-06-15; \
         A lacks resolve, evaluating, selecting, expected_close"
    );
    case.assert(start(), Grade::A, None);
    assert_eq!(case.at(start()).reason(), "asserted by owner li");
    assert_eq!(Case::new(GREEN, &[]).at(start()).reason(), "no factor recorded");
}
