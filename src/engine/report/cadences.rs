//! Cadences: who is in them, what was sent, and what came back.

use anyhow::Result;
use serde::Serialize;
use sqlx::PgConnection;

use crate::store::report::{self, CameBack, Enrolled, StepSent, Stops};

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cadences {
    /// Enrollments by cadence.
    pub enrolled: Vec<Enrolled>,
    /// Early ends by cadence and reason.
    pub stops: Vec<Stops>,
    /// Messages by cadence, step and channel.
    pub sent: Vec<StepSent>,
    /// Responses by cadence and type.
    pub came_back: Vec<CameBack>,
}

/// Adds it up.
pub async fn cadences(conn: &mut PgConnection) -> Result<Cadences> {
    Ok(Cadences {
        enrolled: report::enrolled(conn).await?,
        stops: report::stops(conn).await?,
        sent: report::sent_by_step(conn).await?,
        came_back: report::came_back(conn).await?,
    })
}
