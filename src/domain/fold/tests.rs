use proptest::prelude::*;

use super::*;
use crate::domain::assess::regrade;
use crate::domain::evidence::Outcome;

fn rules() -> GradingRules {
    GradingRules::shipped().unwrap()
}

fn setting() -> impl Strategy<Value = Setting> {
    let level = prop::sample::select(vec![Level::None, Level::Low, Level::Medium, Level::High]);
    let date = (0u64..500).prop_map(|n| start_of(day_zero()).date_naive() + Days::new(n));
    prop_oneof![
        any::<bool>().prop_map(Setting::ObjectiveNeed),
        any::<bool>().prop_map(Setting::FeltNeed),
        any::<bool>().prop_map(Setting::Evaluating),
        any::<bool>().prop_map(Setting::Selecting),
        level.clone().prop_map(Setting::Resolve),
        level.prop_map(Setting::Dissatisfaction),
        date.clone().prop_map(Setting::ExpectedClose),
        date.prop_map(Setting::ExpectedOn),
        Just(Setting::WaitingFor("the budget".into())),
    ]
}

fn day_zero() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap()
}

fn kind() -> impl Strategy<Value = EvidenceKind> {
    let source = prop::sample::select(vec![Source::Import("crm".into()), Source::Owner("li".into())]);
    let pushed = prop::sample::select(vec![
        Factor::FeltNeed,
        Factor::Dissatisfaction,
        Factor::Resolve,
        Factor::Evaluating,
        Factor::Selecting,
        Factor::ExpectedClose,
    ]);
    let weight = prop::sample::select(vec![-3.0, -1.0, -0.5, 0.25, 0.5, 0.75, 1.0, 2.0]);
    let half_life = prop::option::of(prop::sample::select(vec![5.0, 30.0, 90.0]));
    let step = (pushed, weight, half_life).prop_map(|(factor, weight, half_life_days)| {
        EvidenceKind::Step(Step {
            factor,
            weight,
            rule: format!("{weight}"),
            cap: 2.0,
            half_life_days,
            close_days: (factor == Factor::ExpectedClose).then_some(75),
        })
    });
    let grade = prop::sample::select(Grade::ALL.to_vec());
    let expires = prop::option::of((0i64..400).prop_map(|n| start_of(day_zero()) + Duration::days(n)));
    prop_oneof![
        8 => (setting(), source.clone()).prop_map(|(setting, source)| EvidenceKind::Stated { setting, source }),
        8 => step,
        2 => Just(EvidenceKind::Heard),
        2 => (grade, source.clone(), expires).prop_map(|(grade, source, expires)| EvidenceKind::Asserted {
            grade, source, reason: None, expires
        }),
        1 => (prop::sample::select(Factor::ALL.to_vec()), source)
            .prop_map(|(factor, source)| EvidenceKind::Withdrawn { factor, source }),
        1 => Just(EvidenceKind::Closed { outcome: Outcome::Lost }),
        1 => Just(EvidenceKind::Reopened),
    ]
}

/// Evidence of some months, several pieces at one instant now and then.
fn evidence() -> impl Strategy<Value = Vec<Evidence>> {
    prop::collection::vec((0i64..200, kind()), 0..25).prop_map(|pieces| {
        let piece = |(n, (day, kind)): (usize, (i64, EvidenceKind))| Evidence {
            id: Uuid::from_u128(n as u128 * 7 % 23 + 1 + n as u128 * 100),
            at: start_of(day_zero()) + Duration::days(day),
            kind,
            cites: None,
        };
        pieces.into_iter().enumerate().map(piece).collect()
    })
}

fn situation() -> impl Strategy<Value = Situation> {
    prop::sample::select(vec![Situation::Greenfield, Situation::Replacement])
}

proptest! {
    #[test]
    fn order_of_arrival_and_duplicates_do_not_matter(
        (kept, shuffled) in evidence().prop_flat_map(|kept| {
            let twice: Vec<_> = kept.iter().chain(&kept).cloned().collect();
            (Just(kept), Just(twice).prop_shuffle())
        }),
        situation in situation(),
        days in 0i64..400,
    ) {
        let rules = rules();
        let now = start_of(day_zero()) + Duration::days(days);
        prop_assert_eq!(
            regrade(&kept, situation, &rules, now),
            regrade(&shuffled, situation, &rules, now)
        );
    }

    /// Between now and the foretold instant nothing changes; looking only then loses nothing.
    #[test]
    fn nothing_changes_before_the_foretold_instant(
        evidence in evidence(),
        situation in situation(),
        days in 0i64..400,
        part in 0.0f64..1.0,
    ) {
        let rules = rules();
        let now = start_of(day_zero()) + Duration::days(days);
        let seen = |at| {
            let a = regrade(&evidence, situation, &rules, at);
            let values: Vec<_> = a.factors.iter().map(|(_, known)| known.setting.clone()).collect();
            (a.grade, a.asserted, a.asks, a.missing, values)
        };
        let next = regrade(&evidence, situation, &rules, now).next_change_at;
        let until = next.unwrap_or(now + Duration::days(3000));
        prop_assert!(until > now);
        let span = (until - now).num_seconds() - 1;
        let between = now + Duration::seconds((span as f64 * part) as i64);
        prop_assert_eq!(seen(now), seen(between), "at {}", between);
        prop_assert_eq!(seen(now), seen(until - Duration::seconds(1)));
    }
}

#[test]
fn provenance_names_statement_and_responses() {
    let at = |n| start_of(day_zero()) + Duration::days(n);
    let piece = |n: i64, kind| Evidence {
        id: Uuid::from_u128(n as u128),
        at: at(n),
        kind,
        cites: None,
    };
    let step = Step {
        factor: Factor::Resolve,
        weight: 0.5,
        rule: "r".into(),
        cap: 2.0,
        half_life_days: None,
        close_days: None,
    };
    let stated = EvidenceKind::Stated {
        setting: Setting::Resolve(Level::Low),
        source: Source::Import("crm".into()),
    };
    let evidence = [
        piece(1, stated),
        piece(2, EvidenceKind::Step(step.clone())),
        piece(3, EvidenceKind::Step(step)),
    ];
    let resolve = |now| {
        fold(&evidence, Situation::Greenfield, &rules(), now)
            .get(Factor::Resolve)
            .cloned()
            .unwrap()
    };
    assert_eq!(resolve(at(2)).because, [Uuid::from_u128(1)]);
    assert_eq!(resolve(at(2)).setting, Setting::Resolve(Level::Low));
    assert_eq!(resolve(at(3)).because, [1, 2, 3].map(Uuid::from_u128));
    assert_eq!(resolve(at(3)).setting, Setting::Resolve(Level::Medium));
}

#[test]
fn factors_keep_their_form_in_json() {
    let kind = EvidenceKind::Asserted {
        grade: Grade::B,
        source: Source::Owner("li".into()),
        reason: Some("met him".into()),
        expires: None,
    };
    let evidence = [Evidence {
        id: Uuid::from_u128(1),
        at: start_of(day_zero()),
        kind,
        cites: None,
    }];
    let factors = fold(&evidence, Situation::Greenfield, &rules(), start_of(day_zero()));
    assert!(factors.get(Factor::FeltNeed).unwrap().assumed);
    let json = serde_json::to_value(&factors).unwrap();
    assert_eq!(serde_json::from_value::<Factors>(json).unwrap(), factors);
}

/// An import that restates its grade is no news, unless an assertion between the two expires and never was.
#[test]
fn the_expiry_of_an_overlaid_assertion_is_foretold_too() {
    let at = |n| start_of(day_zero()) + Duration::days(n);
    let asserted = |n: i64, day, grade, expires| Evidence {
        id: Uuid::from_u128(n as u128),
        at: at(day),
        kind: EvidenceKind::Asserted {
            grade,
            source: Source::Import("crm".into()),
            reason: None,
            expires,
        },
        cites: None,
    };
    let evidence = [
        asserted(1, 0, Grade::D, None),
        asserted(2, 1, Grade::A, Some(at(300))),
        asserted(3, 2, Grade::D, None),
    ];
    let seen = |now| regrade(&evidence, Situation::Greenfield, &rules(), now);
    assert_eq!(seen(at(2)).because, [Uuid::from_u128(3)]);
    assert_eq!(seen(at(2)).next_change_at, Some(at(300)));
    assert_eq!(seen(at(300)).because, [Uuid::from_u128(1)]);
}
