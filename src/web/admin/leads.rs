//! The funnel of grades as a picture, and how leads moved.

use axum::extract::State;
use axum::response::Html;
use serde::Serialize;

use super::desk::Desk;
use crate::engine::report;
use crate::store::report::{Count, Month};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// From the mouth of the funnel to its end.
const ORDER: [&str; 5] = ["ungraded", "D", "C", "B", "A"];
/// Measures of the picture in its own units.
const WIDTH: i64 = 420;
const BAND: i64 = 52;
const GAP: i64 = 4;
const NARROWEST: i64 = 46;
/// Months that the tables show.
const MONTHS: usize = 6;

#[derive(Serialize)]
struct View {
    open: i64,
    bands: Vec<Band>,
    width: i64,
    height: i64,
    stages: Vec<Stage>,
    moves: Vec<Moved>,
    months: Vec<Month>,
}

#[derive(Serialize)]
struct Band {
    grade: &'static str,
    count: i64,
    share: i64,
    points: String,
    middle: i64,
    y: i64,
    ungraded: bool,
}

#[derive(Serialize)]
struct Stage {
    name: String,
    count: i64,
    width: i64,
}

#[derive(Serialize)]
struct Moved {
    month: String,
    before: String,
    after: String,
    leads: i64,
    up: bool,
}

/// The page.
pub async fn page(State(state): State<WebState>, desk: Desk) -> Result<Html<String>, HttpError> {
    let mut conn = state.conn().await?;
    let funnel = report::funnel(&mut conn, desk.zone).await?;
    let most = funnel.stages.iter().map(|s| s.n).max().unwrap_or(0).max(1);
    let months: Vec<Month> = funnel.months.into_iter().rev().take(MONTHS).collect();
    let since = months.last().map(|m| m.month.clone()).unwrap_or_default();
    let view = View {
        open: funnel.grades.iter().map(|g| g.n).sum(),
        bands: bands(&funnel.grades),
        width: WIDTH,
        height: (BAND + GAP) * ORDER.len() as i64,
        stages: funnel
            .stages
            .into_iter()
            .map(|s| Stage {
                width: s.n * 100 / most,
                name: s.name,
                count: s.n,
            })
            .collect(),
        moves: funnel
            .moves
            .into_iter()
            .rev()
            .filter(|m| m.month >= since)
            .map(|m| Moved {
                up: rank(&m.after) > rank(&m.before),
                month: m.month,
                before: m.before,
                after: m.after,
                leads: m.leads,
            })
            .collect(),
        months,
    };
    desk.show(&state, "leads", view)
}

fn rank(grade: &str) -> Option<usize> {
    ORDER.iter().position(|g| *g == grade)
}

/// Each band is as wide as its share of the greatest at the top and as the next one at the bottom.
fn bands(grades: &[Count]) -> Vec<Band> {
    let count = |grade: &str| grades.iter().find(|g| g.name == grade).map_or(0, |g| g.n);
    let all = ORDER.iter().map(|g| count(g)).sum::<i64>().max(1);
    let most = ORDER.iter().map(|g| count(g)).max().unwrap_or(0).max(1);
    let width = |at: usize| NARROWEST + (WIDTH - NARROWEST) * count(ORDER[at]) / most;
    let last = ORDER.len() - 1;
    (0..=last)
        .map(|at| {
            let (top, bottom) = (width(at), width((at + 1).min(last)));
            let (y, middle) = (at as i64 * (BAND + GAP), WIDTH / 2);
            Band {
                grade: ORDER[at],
                count: count(ORDER[at]),
                share: (count(ORDER[at]) * 100 + all / 2) / all,
                points: format!(
                    "{},{y} {},{y} {},{low} {},{low}",
                    middle - top / 2,
                    middle + top / 2,
                    middle + bottom / 2,
                    middle - bottom / 2,
                    low = y + BAND
                ),
                middle,
                y: y + BAND / 2,
                ungraded: at == 0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_band_fills_the_picture_and_none_vanishes() {
        let count = |name: &str, n| Count {
            name: name.to_owned(),
            n,
        };
        let bands = bands(&[count("D", 100), count("A", 10)]);
        let grades: Vec<_> = bands.iter().map(|b| (b.grade, b.count, b.share)).collect();
        assert_eq!(grades[1], ("D", 100, 91));
        assert_eq!(grades[4], ("A", 10, 9));
        assert!(bands[1].points.starts_with("0,56 420,56 "), "{}", bands[1].points);
        assert!(bands[0].points.starts_with("187,0 233,0 "), "{}", bands[0].points);
    }
}
