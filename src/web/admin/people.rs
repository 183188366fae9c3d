//! People: finding one, and one person's whole story.

use axum::extract::{Path, Query, State};
use axum::response::Html;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::desk::Desk;
use crate::domain::phone::PhoneNumber;
use crate::domain::zone;
use crate::engine::explain::{self, Head, Told};
use crate::store::person::{self, PersonRow};
use crate::store::story;
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// People on one page.
const MOST: i64 = 50;

/// What is looked for.
#[derive(Deserialize)]
pub struct Search {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
struct SearchView {
    q: String,
    asked: bool,
    people: Vec<Found>,
    more: bool,
}

#[derive(Serialize)]
struct Found {
    id: Uuid,
    name: String,
    account: String,
    standing: String,
    grade: Option<String>,
    address: String,
    owner: Option<String>,
}

impl From<PersonRow> for Found {
    fn from(row: PersonRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            account: row.account,
            standing: row.standing,
            grade: row.grade,
            address: row.email.or(row.phone).unwrap_or_default(),
            owner: row.owner,
        }
    }
}

#[derive(Serialize)]
struct PersonView {
    person: Head,
    leads: Vec<Lead>,
    told: Vec<Line>,
    next: Vec<Line>,
    zone: &'static str,
}

#[derive(Serialize)]
struct Lead {
    external_id: String,
    product: Option<String>,
    stage: Option<String>,
    grade: Option<String>,
    since: Option<String>,
    reason: String,
    costs_next: Option<&'static str>,
    ended: Option<String>,
}

#[derive(Serialize)]
struct Line {
    day: String,
    new_day: bool,
    time: String,
    kind: &'static str,
    text: String,
}

/// Finds people by the beginning of a name, surname, organisation, address or number, or by external id.
pub async fn search(
    State(state): State<WebState>,
    desk: Desk,
    Query(search): Query<Search>,
) -> Result<Html<String>, HttpError> {
    let asked = search.q.trim();
    let mut rows = Vec::new();
    if !asked.is_empty() {
        let mut conn = state.conn().await?;
        let phone = number(asked, &state.deps.settings.company.region);
        rows = person::search(&mut conn, asked, &phone, MOST + 1).await?;
    }
    let more = rows.len() > MOST as usize;
    let view = SearchView {
        asked: !asked.is_empty(),
        people: rows.into_iter().take(MOST as usize).map(Found::from).collect(),
        more,
        q: search.q,
    };
    desk.show(&state, "people", view)
}

/// What the numbers meant begin with: as they are kept, where the words are a number as people write it.
fn number(words: &str, region: &str) -> String {
    PhoneNumber::parse(words, Some(region))
        .map_or_else(|_| words.to_owned(), |number| number.as_str().to_owned())
}

/// One person's story, the newest first, in the person's own local time.
pub async fn person(
    State(state): State<WebState>,
    desk: Desk,
    Path(id): Path<Uuid>,
) -> Result<Html<String>, HttpError> {
    let mut conn = state.conn().await?;
    if story::names(&mut conn, &[id]).await?.is_empty() {
        return Err(HttpError::NotFound);
    }
    let story = explain::story(&mut conn, id, desk.now).await?;
    let mut told = story.told;
    told.reverse();
    let mut person = story.head;
    let leads = std::mem::take(&mut person.leads);
    let view = PersonView {
        leads: leads
            .into_iter()
            .map(|lead| Lead {
                external_id: lead.external_id,
                product: lead.product,
                stage: lead.stage,
                grade: lead.grade.map(|grade| grade.to_string()),
                since: lead.since.map(|at| zone::local_date(at, story.zone).to_string()),
                reason: lead.reason,
                costs_next: lead.costs_next,
                ended: lead.ended,
            })
            .collect(),
        person,
        told: lines(told, story.zone),
        next: lines(story.next, story.zone),
        zone: story.zone.name(),
    };
    desk.show(&state, "person", view)
}

/// Sentences with their local times; a day is written once.
fn lines(told: Vec<Told>, zone: Tz) -> Vec<Line> {
    let mut last = None;
    told.into_iter()
        .map(|one| {
            let local = zone::local(one.at, zone);
            let new_day = last.replace(local.date()) != Some(local.date());
            Line {
                day: local.date().to_string(),
                new_day,
                time: local.format("%H:%M").to_string(),
                kind: one.kind,
                text: one.text,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_looked_for_as_it_is_kept() {
        assert_eq!(number("138 0013 8000", "CN"), "+8613800138000");
        assert_eq!(number("+86138", "CN"), "+86138");
        assert_eq!(number("ann", "CN"), "ann");
    }

    #[test]
    fn a_day_is_written_once() {
        let at = |text: &str| Told {
            at: text.parse().unwrap(),
            kind: "event",
            text: String::new(),
        };
        let told = vec![
            at("2027-01-01T15:00:00Z"),
            at("2027-01-01T16:30:00Z"),
            at("2027-01-01T17:00:00Z"),
        ];
        let lines = lines(told, Tz::Asia__Shanghai);
        let days: Vec<_> = lines.iter().map(|l| (l.day.as_str(), l.new_day)).collect();
        assert_eq!(
            days,
            [("2027-01-01", true), ("2027-01-02", true), ("2027-01-02", false)]
        );
    }
}
