//! The first page: what happened today and what waits.

use axum::extract::State;
use axum::response::Html;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::desk::Desk;
use crate::domain::zone;
use crate::store::report::Count;
use crate::store::{status, today};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// How many days the row of bars shows.
const DAYS: i64 = 28;
/// Height of the picture of the days, in its own units.
const HEIGHT: i64 = 48;

#[derive(Serialize)]
struct View {
    day: String,
    sent: Vec<Named>,
    sent_all: i64,
    held: Vec<Named>,
    held_all: i64,
    replies: i64,
    opt_outs: i64,
    clicks: i64,
    events: Vec<Named>,
    tasks: i64,
    overdue: i64,
    uncertain: i64,
    parked: i64,
    moves: Vec<Moved>,
    bars: Vec<Bar>,
    most: i64,
}

#[derive(Serialize)]
struct Named {
    name: String,
    count: i64,
    /// Share of the greatest, in percent.
    width: i64,
}

#[derive(Serialize)]
struct Moved {
    at: String,
    account: String,
    person: Option<String>,
    person_id: Option<Uuid>,
    before: String,
    after: String,
    reason: String,
    up: bool,
}

#[derive(Serialize)]
struct Bar {
    x: i64,
    y: i64,
    height: i64,
    title: String,
    today: bool,
}

fn named(counts: Vec<Count>) -> Vec<Named> {
    let most = counts.iter().map(|c| c.n).max().unwrap_or(0).max(1);
    counts
        .into_iter()
        .map(|c| Named {
            name: c.name,
            count: c.n,
            width: c.n * 100 / most,
        })
        .collect()
}

/// The least id an event or message made at an instant can have: ids begin with their time.
fn first_id(at: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The page.
pub async fn page(State(state): State<WebState>, desk: Desk) -> Result<Html<String>, HttpError> {
    let today = zone::local_date(desk.now, desk.zone);
    let from = zone::day_start(today, desk.zone);
    let until = desk.now + TimeDelta::seconds(1);
    let first = today - TimeDelta::days(DAYS - 1);
    let mut conn = state.conn().await?;
    let sent = today::sent_by_channel(&mut conn, from, until).await?;
    let held = status::held(&mut conn, desk.now).await?;
    let events = today::events_by_type(&mut conn, from, until, first_id(from)).await?;
    let waiting = today::waiting(&mut conn, desk.now, first_id(desk.now - TimeDelta::days(90))).await?;
    let moves = today::moves(&mut conn, desk.now - TimeDelta::days(7), until, 12).await?;
    let begin = zone::day_start(first, desk.zone);
    let by_day = today::sent_by_day(&mut conn, begin, until, desk.zone.name()).await?;
    let count = |name: &str| events.iter().find(|e| e.name == name).map_or(0, |e| e.n);
    let most = by_day.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let bars = (0..DAYS)
        .map(|at| {
            let day = first + TimeDelta::days(at);
            let n = by_day.iter().find(|(d, _)| *d == day).map_or(0, |(_, n)| *n);
            let height = if n == 0 {
                1
            } else {
                (n * HEIGHT / most.max(1)).max(2)
            };
            Bar {
                x: at * 10,
                y: HEIGHT - height,
                height,
                title: format!("{day}: {n}"),
                today: day == today,
            }
        })
        .collect();
    let view = View {
        day: today.to_string(),
        sent_all: sent.iter().map(|c| c.n).sum(),
        held_all: held.iter().map(|c| c.n).sum(),
        replies: count("replied"),
        opt_outs: count("opted_out"),
        clicks: count("clicked"),
        sent: named(sent),
        held: named(held),
        tasks: waiting.tasks,
        overdue: waiting.overdue,
        uncertain: waiting.uncertain,
        parked: waiting.parked,
        moves: moves
            .into_iter()
            .map(|m| {
                let letter = |grade: Option<String>| grade.unwrap_or_else(|| "–".to_owned());
                let (before, after) = (letter(m.before), letter(m.after));
                Moved {
                    at: desk.time(m.at),
                    account: m.account,
                    person: m.contact_name,
                    person_id: m.contact_id,
                    up: before == "–" || (after != "–" && after < before),
                    before,
                    after,
                    reason: m.reason,
                }
            })
            .collect(),
        events: named(events),
        bars,
        most,
    };
    desk.show(&state, "today", view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::IdSource;

    #[test]
    fn no_id_of_an_instant_is_less_than_its_first() {
        let at: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().unwrap();
        let before = IdSource::Random.next(at - TimeDelta::milliseconds(1));
        assert!(before < first_id(at) && first_id(at) <= IdSource::Random.next(at));
    }
}
