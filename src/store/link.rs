//! Tracked links: their targets live here, never in the address the recipient sees.

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A link of a template version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewLink {
    /// Version of the template.
    pub template_version_id: Uuid,
    /// Where it leads.
    pub target: String,
    /// What a click on it says, for grading.
    pub tag: Option<String>,
}

/// Gives links their numbers; a link that has one keeps it.
pub async fn number(conn: &mut PgConnection, links: &[NewLink]) -> Result<Vec<(NewLink, i64)>, StoreError> {
    let versions: Vec<Uuid> = links.iter().map(|l| l.template_version_id).collect();
    let targets: Vec<&str> = links.iter().map(|l| l.target.as_str()).collect();
    let tags: Vec<Option<&str>> = links.iter().map(|l| l.tag.as_deref()).collect();
    let rows = sqlx::query!(
        r#"
        with made as (
            insert into link (template_version_id, target, tag)
            select l.version, l.target, l.tag from unnest($1::uuid[], $2::text[], $3::text[]) as l (version, target, tag)
            order by 1, 2, 3
            on conflict (template_version_id, target, tag) do update set target = excluded.target
            returning id, template_version_id, target, tag
        )
        select id as "id!", template_version_id as "template_version_id!", target as "target!", tag from made
        "#,
        &versions,
        &targets as &[&str],
        &tags as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            (
                NewLink {
                    template_version_id: r.template_version_id,
                    target: r.target,
                    tag: r.tag,
                },
                r.id,
            )
        })
        .collect())
}

/// Where a link leads, and its tag.
pub async fn target(
    conn: &mut PgConnection,
    id: i64,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    let row = sqlx::query!("select target, tag from link where id = $1", id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|r| (r.target, r.tag)))
}
