//! What is known about a lead of each grade, so that grade and factors say the same.

use chrono::{Months, NaiveDate, TimeDelta};

use super::rng::Rng;

/// The factor columns of a lead.
#[derive(Debug, Default)]
pub(super) struct Factors {
    pub objective_need: Option<bool>,
    pub felt_need: Option<bool>,
    pub dissatisfaction: Option<&'static str>,
    pub resolve: Option<&'static str>,
    pub evaluating: Option<bool>,
    pub selecting: Option<bool>,
}

/// Draws factors that give the grade under the matrix: need and resolve for a greenfield lead, dissatisfaction and
/// resolve to switch for a replacement.
pub(super) fn draw(rng: &mut Rng, grade: &str, replacement: bool) -> Factors {
    let level = |rng: &mut Rng| match grade {
        "A" => "high",
        "B" => *rng.pick(&["high", "high", "medium"]),
        "C" => *rng.pick(&["medium", "low"]),
        _ => *rng.pick(&["low", "none"]),
    };
    let resolve = level(rng);
    let dissatisfaction = replacement.then(|| level(rng));
    Factors {
        objective_need: Some(true),
        felt_need: Some(replacement || grade != "D"),
        dissatisfaction,
        resolve: Some(resolve),
        evaluating: Some(match grade {
            "A" => true,
            "B" => rng.chance(70),
            "C" => rng.chance(25),
            _ => false,
        }),
        selecting: Some(grade == "A"),
    }
}

/// Draws an expected close inside the grade's window as seen from `start`, and off its edges: A within three months,
/// B four to six, C seven to twelve, D beyond or not at all.
pub(super) fn expected_close(rng: &mut Rng, grade: &str, start: NaiveDate) -> Option<NaiveDate> {
    let (from, to) = match grade {
        "A" => (start + TimeDelta::days(12), start + Months::new(3)),
        "B" => (start + Months::new(4), start + Months::new(6)),
        "C" => (start + Months::new(7), start + Months::new(12)),
        _ if rng.chance(25) => return None,
        _ => (start + Months::new(16), start + Months::new(26)),
    };
    let days = (to - from).num_days();
    Some(from + TimeDelta::days(rng.between(3, days - 3)))
}
