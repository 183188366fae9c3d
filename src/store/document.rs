//! Documents: what is in force, and every version that ever was.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::document::DocumentKind;

/// A document that is in force, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Text form of its kind.
    pub kind: String,
    /// Its name, unique within its kind.
    pub name: String,
    /// The version in force.
    pub version_id: Uuid,
    /// Hash of its body.
    pub hash: String,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Text form of its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub version_id: Uuid,
    /// Whether it is the one in force.
    pub in_force: bool,
    /// What it says.
    pub body: Value,
}

/// A version to be put in force.
#[derive(Debug, Clone)]
pub struct NewVersion<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its kind.
    pub kind: DocumentKind,
    /// Its name.
    pub name: &'a str,
    /// Hash of its body.
    pub hash: &'a str,
    /// What it says.
    pub body: &'a Value,
}

/// Keeps other applies out until the transaction ends; readers are not held.
pub async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("lock table document in share row exclusive mode")
        .execute(connection)
        .await?;
    Ok(())
}

/// What is in force, by kind and name.
pub async fn in_force(connection: &mut PgConnection) -> Result<Vec<InForce>, StoreError> {
    let rows = sqlx::query_as!(
        InForce,
        "select d.kind, d.name, v.id as version_id, v.hash
         from document d join document_version v on v.id = d.version_id
         order by d.kind, d.name"
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The bodies of what is in force, and of every cadence version that ever was: enrollments stay on theirs.
pub async fn versions(connection: &mut PgConnection) -> Result<Vec<Version>, StoreError> {
    let rows = sqlx::query_as!(
        Version,
        r#"select v.kind, v.name, v.id as version_id, d.version_id is not null as "in_force!", v.body
           from document_version v
           left join document d on d.version_id = v.id
           where d.version_id is not null or v.kind = 'cadence'
           order by v.kind, v.name, v.version"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The body of one version.
pub async fn body(connection: &mut PgConnection, version_id: Uuid) -> Result<Option<Value>, StoreError> {
    Ok(
        sqlx::query_scalar!("select body from document_version where id = $1", version_id)
            .fetch_optional(connection)
            .await?,
    )
}

/// A text that changes whenever anything in force does.
pub async fn rules_stamp(connection: &mut PgConnection) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(md5(string_agg(version_id::text, ',' order by kind, name)), '') as "stamp!"
           from document where version_id is not null"#
    )
    .fetch_one(connection)
    .await?)
}

/// Writes versions and puts them in force.
pub async fn put_in_force(
    connection: &mut PgConnection,
    versions: &[NewVersion<'_>],
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = versions.iter().map(|version| version.id).collect();
    let kinds: Vec<String> = versions
        .iter()
        .map(|version| version.kind.as_str().to_owned())
        .collect();
    let names: Vec<String> = versions.iter().map(|version| version.name.to_owned()).collect();
    let hashes: Vec<String> = versions.iter().map(|version| version.hash.to_owned()).collect();
    let bodies: Vec<Value> = versions.iter().map(|version| version.body.clone()).collect();
    sqlx::query!(
        "insert into document_version (id, kind, name, version, hash, body, applied_at, applied_by)
         select n.id, n.kind, n.name,
                1 + coalesce((select max(version) from document_version v where v.kind = n.kind and v.name = n.name), 0),
                n.hash, n.body, $6, $7
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[]) as n (id, kind, name, hash, body)",
        &ids,
        &kinds,
        &names,
        &hashes,
        &bodies,
        now,
        actor,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into document (kind, name, version_id)
         select * from unnest($1::text[], $2::text[], $3::uuid[])
         on conflict (kind, name) do update set version_id = excluded.version_id",
        &kinds,
        &names,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes documents out of force; their versions stay.
pub async fn retire(
    connection: &mut PgConnection,
    documents: &[(DocumentKind, String)],
) -> Result<(), StoreError> {
    let kinds: Vec<String> = documents
        .iter()
        .map(|(kind, _)| kind.as_str().to_owned())
        .collect();
    let names: Vec<String> = documents.iter().map(|(_, name)| name.clone()).collect();
    sqlx::query!(
        "update document d set version_id = null
         from unnest($1::text[], $2::text[]) as r (kind, name)
         where d.kind = r.kind and d.name = r.name",
        &kinds,
        &names,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The days of all calendars, replaced as a whole: calendar, date, kind, name.
pub async fn replace_holidays(
    connection: &mut PgConnection,
    days: &[(String, NaiveDate, &'static str, String)],
) -> Result<(), StoreError> {
    let calendars: Vec<String> = days.iter().map(|day| day.0.clone()).collect();
    let dates: Vec<NaiveDate> = days.iter().map(|day| day.1).collect();
    let kinds: Vec<String> = days.iter().map(|day| day.2.to_owned()).collect();
    let names: Vec<String> = days.iter().map(|day| day.3.clone()).collect();
    sqlx::query!("delete from holiday")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into holiday (calendar, date, kind, name)
         select * from unnest($1::text[], $2::date[], $3::text[], $4::text[])",
        &calendars,
        &dates,
        &kinds,
        &names,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Live enrollments by cadence.
pub async fn live_by_cadence(connection: &mut PgConnection) -> Result<HashMap<String, u64>, StoreError> {
    let rows = sqlx::query!(
        r#"select cadence, count(*) as "live!" from enrollment
           where state in ('active', 'control') group by cadence"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.cadence, row.live as u64))
        .collect())
}

/// How many people and customers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Contacts that are not merged into others.
    pub contacts: u64,
    /// Accounts that ever bought.
    pub customers: u64,
    /// Leads that are open.
    pub open_leads: u64,
}

/// How many people and customers there are.
pub async fn census(connection: &mut PgConnection) -> Result<Census, StoreError> {
    let row = sqlx::query!(
        r#"select (select count(*) from contact where merged_into is null) as "contacts!",
                  (select count(*) from account where last_purchase_at is not null) as "customers!",
                  (select count(*) from lead where closed_at is null and outcome is null and not_fit is null) as "leads!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(Census {
        contacts: row.contacts as u64,
        customers: row.customers as u64,
        open_leads: row.leads as u64,
    })
}

/// Contacts by region; unknown regions count as the empty one.
pub async fn contacts_by_region(connection: &mut PgConnection) -> Result<HashMap<String, u64>, StoreError> {
    let rows = sqlx::query!(
        r#"select coalesce(region, '') as "region!", count(*) as "contacts!" from contact
           where merged_into is null group by 1"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.region, row.contacts as u64))
        .collect())
}

/// Those of the names that at least one contact has as an attribute. Empty where there are no contacts yet.
pub async fn known_attributes(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select n.name as "name!" from unnest($1::text[]) as n (name)
           where exists (select from contact c where c.attrs ? n.name)"#,
        names,
    )
    .fetch_all(connection)
    .await?)
}

/// A live enrollment that is not on the newest version of its cadence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The enrollment.
    pub enrollment_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// The step that is next.
    pub cursor: String,
}

/// Moves the live enrollments of a cadence to a version, where their step is among `steps`; how many.
pub async fn move_enrollments(
    connection: &mut PgConnection,
    cadence: &str,
    version_id: Uuid,
    steps: &[String],
) -> Result<u64, StoreError> {
    let moved = sqlx::query!(
        "update enrollment set cadence_version_id = $2
         where cadence = $1 and state in ('active', 'control') and cadence_version_id <> $2
           and cursor = any ($3)",
        cadence,
        version_id,
        steps,
    )
    .execute(&mut *connection)
    .await?;
    // What waits in the queue goes along; what is being handed over ends as it began.
    sqlx::query!(
        "update queue set cadence_version_id = $2
         where cadence = $1 and state = 'waiting' and cadence_version_id <> $2 and step_key = any ($3)",
        cadence,
        version_id,
        steps,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

/// The live enrollments of a cadence that are on another version; the first `limit` of them.
pub async fn behind(
    connection: &mut PgConnection,
    cadence: &str,
    version_id: Uuid,
    limit: i64,
) -> Result<Vec<Behind>, StoreError> {
    Ok(sqlx::query_as!(
        Behind,
        "select id as enrollment_id, contact_id, cursor from enrollment
         where cadence = $1 and state in ('active', 'control') and cadence_version_id <> $2
         order by id limit $3",
        cadence,
        version_id,
        limit,
    )
    .fetch_all(connection)
    .await?)
}
