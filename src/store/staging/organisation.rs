//! Organisations: accounts of more than one person.

use sqlx::PgConnection;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "create temp table import_organisation (
             line bigint not null, external_id text not null, fresh_id uuid not null, fresh_shard smallint not null,
             name text, industry text, size text, region text, parent text
         ) on commit delete rows;
         create temp table import_present (
             name boolean, industry boolean, size boolean, region boolean, parent boolean
         );
         create temp table import_merge (
             line bigint not null, action text not null, field text, reason text, external_id text not null,
             id uuid not null, shard smallint, name text, industry text, size text, region text, parent text
         ) on commit delete rows",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into import_present select 'name' = any ($1), 'industry' = any ($1), 'size' = any ($1),
                                           'region' = any ($1), 'parent' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_organisation from stdin").await
}

/// Sets the copied rows beside the stored organisations.
pub async fn merge(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into import_merge
         select s.line,
                case when v.name is null then 'refused'
                     when a.id is null then 'new'
                     when (v.name, v.industry, v.size, v.region, v.parent)
                          is distinct from (a.name, a.industry, a.size, a.region, a.parent_external_id)
                     then 'changed'
                     else 'same' end,
                'name', 'a new organisation needs a name', s.external_id, coalesce(a.id, s.fresh_id),
                s.fresh_shard, v.name, v.industry, v.size, v.region, v.parent
         from import_organisation s
         cross join import_present p
         left join account a on a.source_id = $1 and a.external_id = s.external_id
         cross join lateral (
             select case when p.name then s.name else a.name end as name,
                    case when p.industry then s.industry else a.industry end as industry,
                    case when p.size then s.size else a.size end as size,
                    case when p.region then s.region else a.region end as region,
                    case when p.parent then s.parent else a.parent_external_id end as parent
         ) v",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes new organisations.
pub async fn insert(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into account (id, shard, kind, source_id, external_id, name, industry, size, region,
                              parent_external_id)
         select id, shard, 'organisation', $1, external_id, name, industry, size, region, parent
         from import_merge where action = 'new'",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the organisations that differ.
pub async fn update(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update account a
         set name = m.name, industry = m.industry, size = m.size, region = m.region, parent_external_id = m.parent
         from import_merge m where m.action = 'changed' and a.id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells the audiences whom to look at again: the people of the organisations that differ.
pub async fn note_changes(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fact_change (contact_id)
         select c.id from import_merge m join contact c on c.account_id = m.id where m.action = 'changed'",
    )
    .execute(connection)
    .await?;
    Ok(())
}
