//! stub
use super::StoreError;
use crate::domain::cadence::Subject;
use crate::domain::condition::Condition;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;
#[derive(Debug, Clone)]
pub struct Member {
    pub contact_id: Uuid,
    pub lead_id: Option<Uuid>,
    pub account_id: Uuid,
}
impl Member {
    pub fn cursor(&self) -> Uuid {
        self.contact_id
    }
}
pub async fn members(
    _c: &mut PgConnection,
    _: &Condition,
    _: Subject,
    _: DateTime<Utc>,
    _: Tz,
    _: Option<Uuid>,
    _: i64,
) -> Result<Vec<Member>, StoreError> {
    Ok(vec![])
}
pub async fn holding(
    _c: &mut PgConnection,
    _: &Condition,
    _: &[(Uuid, Option<Uuid>)],
    _: DateTime<Utc>,
) -> Result<HashSet<(Uuid, Option<Uuid>)>, StoreError> {
    Ok(HashSet::new())
}
