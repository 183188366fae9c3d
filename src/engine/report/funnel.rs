//! The funnel: leads by grade and stage now, and how they moved month by month.

use anyhow::Result;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgConnection;

use crate::store::report::{self, Count, Month, Moves};
use crate::store::tally;

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// Open leads by grade, A to D and ungraded.
    pub grades: Vec<Count>,
    /// Open leads by stage, the commonest first.
    pub stages: Vec<Count>,
    /// Changes of grade by month of the company.
    pub moves: Vec<Moves>,
    /// Leads opened, won and lost by month.
    pub months: Vec<Month>,
}

/// Adds it up; months are those of `zone`.
pub async fn funnel(conn: &mut PgConnection, zone: Tz) -> Result<Funnel> {
    let grades = tally::grades(conn).await?;
    Ok(Funnel {
        grades: grades.into_iter().map(|(name, n)| Count { name, n }).collect(),
        stages: report::stages(conn).await?,
        moves: report::moves(conn, zone.name()).await?,
        months: report::months(conn, zone.name()).await?,
    })
}
