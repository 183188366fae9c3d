//! Campaigns: where leads came from, when, and what it cost.

use sqlx::PgConnection;

use super::CopyText;

/// Makes the session's tables, and notes which columns the file has.
pub async fn open(connection: &mut PgConnection, columns: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "create temp table import_campaign (
             line bigint not null, external_id text not null, fresh_id uuid not null, name text, kind text,
             channel text, date date, budget numeric, cost numeric
         ) on commit delete rows;
         create temp table import_present (
             name boolean, kind boolean, channel boolean, date boolean, budget boolean, cost boolean
         );
         create temp table import_merge (
             line bigint not null, action text not null, field text, reason text, external_id text not null,
             id uuid not null, name text, kind text, channel text, date date, budget numeric, cost numeric
         ) on commit delete rows",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into import_present select 'name' = any ($1), 'kind' = any ($1), 'channel' = any ($1),
                                           'date' = any ($1), 'budget' = any ($1), 'cost' = any ($1)",
    )
    .bind(columns)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies rows in.
pub async fn copy(connection: &mut PgConnection, rows: &CopyText) -> sqlx::Result<()> {
    rows.send(connection, "copy import_campaign from stdin").await
}

/// Sets the copied rows beside the stored campaigns.
pub async fn merge(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into import_merge
         select s.line,
                case when v.name is null then 'refused'
                     when c.id is null then 'new'
                     when (v.name, v.kind, v.channel, v.date, v.budget, v.cost)
                          is distinct from (c.name, c.kind, c.channel, c.date, c.budget, c.cost) then 'changed'
                     else 'same' end,
                'name', 'a new campaign needs a name', s.external_id, coalesce(c.id, s.fresh_id),
                v.name, v.kind, v.channel, v.date, v.budget, v.cost
         from import_campaign s
         cross join import_present p
         left join campaign c on c.source_id = $1 and c.external_id = s.external_id
         cross join lateral (
             select case when p.name then s.name else c.name end as name,
                    case when p.kind then s.kind else c.kind end as kind,
                    case when p.channel then s.channel else c.channel end as channel,
                    case when p.date then s.date else c.date end as date,
                    case when p.budget then s.budget else c.budget end as budget,
                    case when p.cost then s.cost else c.cost end as cost
         ) v",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes new campaigns.
pub async fn insert(connection: &mut PgConnection, source_id: i16) -> sqlx::Result<()> {
    sqlx::query(
        "insert into campaign (id, source_id, external_id, name, kind, channel, date, budget, cost)
         select id, $1, external_id, name, kind, channel, date, budget, cost
         from import_merge where action = 'new'",
    )
    .bind(source_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the campaigns that differ.
pub async fn update(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update campaign c
         set name = m.name, kind = m.kind, channel = m.channel, date = m.date, budget = m.budget, cost = m.cost
         from import_merge m where m.action = 'changed' and c.id = m.id",
    )
    .execute(connection)
    .await?;
    Ok(())
}
