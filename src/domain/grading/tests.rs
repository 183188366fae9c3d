use serde_json::json;

use super::*;
use crate::domain::grade::Grade;

fn shipped() -> GradingRules {
    GradingRules::shipped().unwrap()
}

/// The table as the sales practice states it; `-` = no column of that situation.
const TABLE: [(Situation, Grade, [&str; 7]); 8] = [
    // close within, objective, felt, dissatisfaction, resolve, evaluating, selecting
    (
        Situation::Greenfield,
        Grade::A,
        ["3", "yes", "yes", "-", "high", "yes", "yes"],
    ),
    (
        Situation::Greenfield,
        Grade::B,
        ["6", "yes", "yes", "-", "high or medium", "either", "no"],
    ),
    (
        Situation::Greenfield,
        Grade::C,
        ["12", "yes", "yes", "-", "medium or low", "either", "no"],
    ),
    (
        Situation::Greenfield,
        Grade::D,
        ["-", "yes", "no", "-", "low or none", "no", "no"],
    ),
    (
        Situation::Replacement,
        Grade::A,
        ["3", "yes", "yes", "high", "high", "-", "yes"],
    ),
    (
        Situation::Replacement,
        Grade::B,
        ["6", "yes", "yes", "high or medium", "high or medium", "-", "no"],
    ),
    (
        Situation::Replacement,
        Grade::C,
        ["12", "yes", "yes", "medium or low", "medium or low", "-", "no"],
    ),
    (
        Situation::Replacement,
        Grade::D,
        ["-", "yes", "yes", "low or none", "low or none", "-", "no"],
    ),
];

#[test]
fn the_shipped_file_is_the_table_row_by_row() {
    let rules = shipped();
    for (situation, grade, want) in TABLE {
        let row = rules
            .rows(situation)
            .iter()
            .find(|row| row.grade == grade)
            .unwrap();
        let close = row.close_within_months.map_or("-".to_owned(), |m| m.to_string());
        let column = |factor| {
            row.factors
                .get(&factor)
                .map_or("-".to_owned(), ToString::to_string)
        };
        let got = [
            close,
            column(Factor::ObjectiveNeed),
            column(Factor::FeltNeed),
            column(Factor::Dissatisfaction),
            column(Factor::Resolve),
            column(Factor::Evaluating),
            column(Factor::Selecting),
        ];
        assert_eq!(got, want.map(str::to_owned), "{situation} {grade}");
    }
    assert!(!rules.purchasing_power);
}

#[test]
fn rules_keep_their_meaning_in_json() {
    let rules = shipped();
    let json = serde_json::to_value(&rules).unwrap();
    assert_eq!(serde_json::from_value::<GradingRules>(json).unwrap(), rules);
}

#[test]
fn bad_rules_are_refused_with_their_place() {
    for (from, to, want) in [
        (
            "purchasing_power = false",
            "purchasing_powr = false",
            "purchasing_powr",
        ),
        ("fall_at = 0.5", "fall_at = 1.5", "hysteresis"),
        (
            "close_within_months = 6",
            "close_within_months = 2",
            "greenfield: row B",
        ),
        ("grade = \"B\"", "grade = \"C\"", "A, B, C and D"),
        (
            "resolve = \"high\"",
            "resolve = \"yes\"",
            "resolve cannot be `yes`",
        ),
        ("felt_need = \"yes\"", "felt_nede = \"yes\"", "felt_nede"),
        (
            "evaluating = \"either\"",
            "evaluating = \"sometimes\"",
            "sometimes",
        ),
        ("on = \"clicked\"", "on = \"clickd\"", "clickd"),
        (
            "name = \"click\"",
            "name = \"pricing-click\"",
            "the name is taken",
        ),
        ("close_within_days = 75\n", "", "needs close_within_days"),
        ("half_life_days = 30", "half_life_days = 0", "half_life_days"),
        (
            "moves = { felt_need = 0.15,",
            "moves = { waiting_for = 0.15,",
            "no up and down",
        ),
        (
            "intents = [\"waiting\"]",
            "tags = [\"waiting\"]",
            "only clicks have them",
        ),
        (
            "moves = { felt_need = 0.15,",
            "set = { resolve = \"hihg\" }\nmoves = { felt_need = 0.15,",
            "hihg",
        ),
    ] {
        let text = SHIPPED.replacen(from, to, 1);
        assert_ne!(text, SHIPPED, "`{from}` is not in the shipped file");
        let error = GradingRules::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(want), "{from}: {error}");
    }
    let error = GradingRules::from_toml(&SHIPPED.replacen("raise_at =", "rais_at =", 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("line"), "{error}");
}

fn rule_of(kinds: &[EvidenceKind]) -> Option<&str> {
    kinds.iter().find_map(|kind| match kind {
        EvidenceKind::Step(step) => Some(step.rule.as_str()),
        _ => None,
    })
}

#[test]
fn the_first_rule_that_fits_an_event_counts() {
    let rules = shipped();
    let none = json!({});
    let event = |event_type, tag, intent| EventFacts {
        event_type,
        human: true,
        tag,
        intent,
        data: &none,
    };
    for (facts, rule) in [
        (
            event(EventType::Clicked, Some("pricing"), None),
            Some("pricing-click"),
        ),
        (event(EventType::Clicked, Some("blog"), None), Some("click")),
        (event(EventType::Clicked, None, None), Some("click")),
        (
            event(EventType::Replied, None, Some(Intent::Price)),
            Some("reply-of-interest"),
        ),
        (
            event(EventType::Replied, None, Some(Intent::NotNow)),
            Some("reply-not-now"),
        ),
        (event(EventType::Replied, None, Some(Intent::Thanks)), None),
        (event(EventType::Replied, None, None), Some("reply-unread")),
        (event(EventType::Call, None, None), None),
    ] {
        let kinds = rules.evidence_for(&facts);
        assert_eq!(rule_of(&kinds), rule, "{facts:?}");
        assert_eq!(kinds[0], EvidenceKind::Heard);
    }
}

#[test]
fn machines_say_nothing_and_an_unanswered_call_is_no_sign_of_life() {
    let rules = shipped();
    let none = json!({});
    let scanner = EventFacts {
        event_type: EventType::Clicked,
        human: false,
        tag: Some("pricing"),
        intent: None,
        data: &none,
    };
    assert_eq!(rules.evidence_for(&scanner), []);
    let data = json!({"outcome": "no_answer"});
    let call = EventFacts {
        event_type: EventType::Call,
        human: true,
        tag: None,
        intent: None,
        data: &data,
    };
    assert_eq!(rules.evidence_for(&call), []);
    let data = json!({"outcome": "interested"});
    assert_eq!(
        rule_of(&rules.evidence_for(&EventFacts { data: &data, ..call })),
        Some("call-interested")
    );
    let opened = EventFacts {
        event_type: EventType::Opened,
        ..scanner
    };
    assert_eq!(
        rules.evidence_for(&EventFacts {
            human: true,
            ..opened
        }),
        []
    );
}

#[test]
fn a_rule_may_state_a_value_outright() {
    let text = SHIPPED.replacen(
        "moves = { felt_need = 0.15,",
        "set = { resolve = \"none\" }\nmoves = { felt_need = 0.15,",
        1,
    );
    let rules = GradingRules::from_toml(&text).unwrap();
    let none = json!({});
    let click = EventFacts {
        event_type: EventType::Clicked,
        human: true,
        tag: None,
        intent: None,
        data: &none,
    };
    assert!(rules.evidence_for(&click).contains(&EvidenceKind::Stated {
        setting: Setting::Resolve(Level::None),
        source: Source::Rule("click".into()),
    }));
    let json = serde_json::to_value(&rules).unwrap();
    assert_eq!(serde_json::from_value::<GradingRules>(json).unwrap(), rules);
}
