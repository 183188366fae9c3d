//! Leads. What a row says about factors, grade and outcome becomes evidence as far as it is news.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use super::cell::{Cells, LONG, Refusal, SHORT, When};
use super::feed::Columns;
use super::{Load, Reading};
use crate::domain::evidence::{EvidenceKind, Outcome, Source};
use crate::domain::factor::{Factor, Setting};
use crate::domain::grade::{Grade, Situation};
use crate::store::staging::{CopyText, lead as staging};

/// The columns that state a factor.
const FACTORS: [Factor; 10] = [
    Factor::ObjectiveNeed,
    Factor::FeltNeed,
    Factor::Dissatisfaction,
    Factor::Resolve,
    Factor::Evaluating,
    Factor::Selecting,
    Factor::ExpectedClose,
    Factor::WaitingFor,
    Factor::ExpectedOn,
    Factor::Likelihood,
];
/// Further columns of which it matters whether the file says something else than the last time.
const REMEMBERED: [&str; 6] = [
    "contact",
    "closed_at",
    "grade_at",
    "lost_reason",
    "not_fit",
    "stage",
];

/// Reads rows of `leads.csv`.
pub struct LeadColumns {
    reading: Reading,
    contact: Option<Uuid>,
}

impl LeadColumns {
    /// Reads rows of a file.
    pub fn new(reading: Reading) -> Self {
        Self {
            reading,
            contact: None,
        }
    }

    /// Whose lead the next row is, where no cell says so.
    pub fn tell(&mut self, contact: Uuid) {
        self.contact = Some(contact);
    }
}

impl Columns for LeadColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        row.plain(Some(self.reading.id()));
        for column in ["contact", "organisation", "owner", "campaign", "source_channel"] {
            row.text(cells.text(column, SHORT)?);
        }
        row.plain(cells.parse("situation", str::parse::<Situation>)?);
        row.text(cells.text("product", SHORT)?);
        row.text(cells.text("stage", SHORT)?);
        row.text(cells.text("lost_reason", LONG)?);
        row.text(cells.text("not_fit", LONG)?);
        row.plain(cells.amount("value")?);
        let outcome = cells.choice("outcome", &["won", "lost"])?;
        row.plain(outcome);

        let settings = settings(cells)?;
        let of = |factor| settings.iter().find(|s| s.factor() == factor);
        row.plain(of(Factor::Likelihood));
        row.text(of(Factor::WaitingFor).map(ToString::to_string).as_deref());
        row.plain(of(Factor::ExpectedOn));
        row.plain(of(Factor::ExpectedClose));

        let times = [
            cells.when("opened_at")?,
            cells.when("closed_at")?,
            cells.when("grade_at")?,
        ];
        self.check_times(times, outcome)?;
        for when in times {
            row.plain(when.map(|w| w.in_zone(self.reading.zone).to_rfc3339()));
            row.plain(when.and_then(When::local));
        }
        row.text(Some(&imported(cells, &settings, outcome)?));
        row.plain(self.contact);
        Ok(())
    }
}

impl LeadColumns {
    fn check_times(&self, times: [Option<When>; 3], outcome: Option<&str>) -> Result<(), Refusal> {
        let [opened, closed, _] = times.map(|when| when.map(|w| w.in_zone(self.reading.zone)));
        if closed.is_some() && outcome.is_none() {
            return Err(Refusal::new(
                "outcome",
                "empty, but the lead has a closed_at: say won or lost",
            ));
        }
        if closed.zip(opened).is_some_and(|(closed, opened)| closed < opened) {
            return Err(Refusal::new("closed_at", "before opened_at"));
        }
        Ok(())
    }
}

fn settings(cells: &Cells<'_>) -> Result<Vec<Setting>, Refusal> {
    // The dates first by the door that every date goes through.
    cells.date("expected_on")?;
    cells.date("expected_close")?;
    let mut settings = Vec::new();
    for factor in FACTORS {
        settings.extend(cells.parse(factor.as_str(), |text| Setting::parse(factor, text))?);
    }
    Ok(settings)
}

/// What the row says, by column; null for a cell that is empty, nothing for a column that is absent.
fn imported(cells: &Cells<'_>, settings: &[Setting], outcome: Option<&str>) -> Result<String, Refusal> {
    let mut said = Map::new();
    let mut say = |column: &str, value: Option<String>| {
        if cells.has(column) {
            said.insert(column.to_owned(), value.map_or(Value::Null, Value::from));
        }
    };
    for factor in FACTORS {
        let setting = settings.iter().find(|s| s.factor() == factor);
        say(factor.as_str(), setting.map(ToString::to_string));
    }
    for column in REMEMBERED {
        say(column, cells.text(column, LONG)?.map(str::to_owned));
    }
    say(
        "grade",
        cells.parse("grade", str::parse::<Grade>)?.map(|g| g.to_string()),
    );
    say("outcome", outcome.map(str::to_owned));
    serde_json::to_string(&said).map_err(|error| Refusal::row(error.to_string()))
}

/// Brings a chunk of leads into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> anyhow::Result<()> {
    staging::copy(db, load.rows).await?;
    settle_times(db, load).await?;
    staging::merge(db, load.source_id, load.now).await?;
    if load.dry_run {
        return Ok(());
    }
    staging::insert(db, load.source_id, load.now).await?;
    staging::update(db, load.now).await?;
    staging::delete_left_contacts(db).await?;
    staging::insert_contacts(db).await?;
    let mut rows = CopyText::default();
    for lead in staging::restated(db).await? {
        add_evidence(&mut rows, &lead, load)?;
    }
    staging::copy_evidence(db, &rows).await?;
    staging::note_changes(db).await?;
    Ok(())
}

/// Reads wall times in the zone of the lead's contact.
async fn settle_times(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    let (mut lines, mut opened, mut closed, mut grade) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in staging::foreign_times(db, load.source_id, load.zone.name()).await? {
        let Ok(zone) = row.timezone.parse::<Tz>() else {
            continue;
        };
        let in_zone = |local| When::Local(local).in_zone(zone);
        lines.push(row.line);
        opened.push(row.opened_local.map(in_zone));
        closed.push(row.closed_local.map(in_zone));
        grade.push(row.grade_local.map(in_zone));
    }
    if lines.is_empty() {
        return Ok(());
    }
    staging::set_times(db, &lines, &opened, &closed, &grade).await
}

fn add_evidence(rows: &mut CopyText, restated: &staging::Restated, load: &Load<'_>) -> anyhow::Result<()> {
    let said_at = said_at(restated, load.now);
    let mut news: Vec<(DateTime<Utc>, EvidenceKind)> =
        statements(&restated.before, &restated.after, load.source)
            .into_iter()
            .map(|kind| (said_at, kind))
            .collect();
    if let Some(ending) = ending(&restated.before, &restated.after) {
        news.push((
            restated.closed_at.unwrap_or(load.now).min(load.now).max(said_at),
            ending,
        ));
    }
    // Of one instant, the order is that of the ids: a grade stands over the factors that came with it.
    let mut ids: Vec<Uuid> = news.iter().map(|_| load.ids.next(load.now)).collect();
    ids.sort_unstable();
    for ((at, kind), id) in news.into_iter().zip(ids) {
        rows.plain(Some(restated.id));
        rows.plain(Some(at.to_rfc3339()));
        rows.plain(Some(id));
        rows.plain(None::<Uuid>);
        rows.text(Some(&serde_json::to_string(&kind)?));
        rows.end_row();
    }
    Ok(())
}

/// Since when what the row says is so. A change to a known lead is news of today, unless it is dated itself.
fn said_at(lead: &staging::Restated, now: DateTime<Utc>) -> DateTime<Utc> {
    let dated_anew = lead.before.get("grade_at") != lead.after.get("grade_at");
    let at = if lead.is_new {
        lead.grade_at.or(lead.opened_at)
    } else {
        lead.grade_at.filter(|_| dated_anew)
    };
    at.unwrap_or(now).min(now)
}

/// What is news about factors and grade, the grade last.
fn statements(before: &Map<String, Value>, after: &Map<String, Value>, source: &str) -> Vec<EvidenceKind> {
    let source = || Source::Import(source.to_owned());
    let mut news = Vec::new();
    for factor in FACTORS {
        let now = after.get(factor.as_str());
        if before.get(factor.as_str()) == now {
            continue;
        }
        let setting = now
            .and_then(Value::as_str)
            .and_then(|text| Setting::parse(factor, text).ok());
        news.push(match setting {
            Some(setting) => EvidenceKind::Stated {
                setting,
                source: source(),
            },
            None => EvidenceKind::Withdrawn {
                factor,
                source: source(),
            },
        });
    }
    let differs = ["grade", "grade_at"]
        .iter()
        .any(|column| before.get(*column) != after.get(*column));
    let grade = after
        .get("grade")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<Grade>().ok());
    if let (true, Some(grade)) = (differs, grade) {
        news.push(EvidenceKind::Asserted {
            grade,
            source: source(),
            reason: None,
            expires: None,
        });
    }
    news
}

/// What is news about how the lead ended.
fn ending(before: &Map<String, Value>, after: &Map<String, Value>) -> Option<EvidenceKind> {
    let now = after.get("outcome").and_then(Value::as_str);
    if before.get("outcome").and_then(Value::as_str) == now {
        return None;
    }
    Some(match now {
        Some("won") => EvidenceKind::Closed {
            outcome: Outcome::Won,
        },
        Some(_) => EvidenceKind::Closed {
            outcome: Outcome::Lost,
        },
        None => EvidenceKind::Reopened,
    })
}
