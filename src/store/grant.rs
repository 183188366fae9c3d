//! Grants: what has been taken of each rate and daily number. Read, judged by `domain::pace`, and written if nobody else has
//! written meanwhile; no lock is held in between, so a daemon that stands still holds up nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::StoreError;
use crate::domain::pace::{Key, Meter};

/// A meter with the version that was read; 0 = there is no row yet.
pub type Read = (i64, Meter);

/// The meters of these keys.
pub async fn read(conn: &mut PgConnection, keys: &[Key]) -> Result<BTreeMap<Key, Read>, StoreError> {
    let (kinds, names): (Vec<&str>, Vec<&str>) = keys.iter().map(|(kind, key)| (*kind, key.as_str())).unzip();
    let rows = sqlx::query!(
        r#"
        select g.kind, g.key, g.version, g.level, g.line as "line: Vec<Option<DateTime<Utc>>>", g.day, g.used
        from pace_grant g join unnest($1::text[], $2::text[]) as k (kind, key) on g.kind = k.kind and g.key = k.key
        "#,
        &kinds as &[&str],
        &names as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let mut found: BTreeMap<Key, Read> = keys.iter().map(|key| (key.clone(), Read::default())).collect();
    for row in rows {
        let Some(key) = keys
            .iter()
            .find(|(kind, key)| *kind == row.kind && *key == row.key)
        else {
            continue;
        };
        let meter = Meter {
            level: row.level,
            line: std::array::from_fn(|class| row.line.get(class).copied().flatten()),
            day: row.day,
            used: u32::try_from(row.used).unwrap_or(0),
        };
        found.insert(key.clone(), (row.version, meter));
    }
    Ok(found)
}

/// Writes meters whose row is still the one that was read, in key order; returns the keys of those. What was granted under any
/// other key was not granted.
pub async fn write(conn: &mut PgConnection, meters: &BTreeMap<Key, Read>) -> Result<Vec<Key>, StoreError> {
    let (mut kinds, mut keys, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut levels, mut days, mut used) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines: [Vec<Option<DateTime<Utc>>>; 4] = Default::default();
    for ((kind, key), (version, meter)) in meters {
        kinds.push(*kind);
        keys.push(key.as_str());
        versions.push(*version);
        levels.push(meter.level);
        days.push(meter.day);
        used.push(i32::try_from(meter.used).unwrap_or(i32::MAX));
        for (line, end) in lines.iter_mut().zip(meter.line) {
            line.push(end);
        }
    }
    let rows = sqlx::query!(
        r#"
        with w as (
            select w.kind, w.key, w.version, w.level, array[w.a, w.b, w.c, w.d] as line, w.day, w.used
            from unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::date[], $6::int[],
                        $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
                 as w (kind, key, version, level, day, used, a, b, c, d)
        ), locked as materialized (
            select g.kind, g.key, g.version from pace_grant g join w on w.kind = g.kind and w.key = g.key
            order by g.kind, g.key
            for update of g
        ), moved as (
            update pace_grant g
            set version = g.version + 1, level = w.level, line = w.line, day = w.day, used = w.used
            from w join locked l on l.kind = w.kind and l.key = w.key and l.version = w.version
            where g.kind = w.kind and g.key = w.key
            returning g.kind, g.key
        ), made as (
            insert into pace_grant (kind, key, version, level, line, day, used)
            select w.kind, w.key, 1, w.level, w.line, w.day, w.used from w where w.version = 0
            order by w.kind, w.key
            on conflict do nothing
            returning kind, key
        )
        select kind as "kind!", key as "key!" from moved union all select kind, key from made
        "#,
        &kinds as &[&str],
        &keys as &[&str],
        &versions,
        &levels as &[Option<DateTime<Utc>>],
        &days as &[Option<NaiveDate>],
        &used,
        &lines[0] as &[Option<DateTime<Utc>>],
        &lines[1] as &[Option<DateTime<Utc>>],
        &lines[2] as &[Option<DateTime<Utc>>],
        &lines[3] as &[Option<DateTime<Utc>>],
    )
    .fetch_all(conn)
    .await?;
    Ok(meters
        .keys()
        .filter(|(kind, key)| rows.iter().any(|row| row.kind == *kind && row.key == *key))
        .cloned()
        .collect())
}
