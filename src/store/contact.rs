//! People: what the engine notes on them. Whoever changes a fact that an audience may ask about says so in
//! `fact_change`, in the same statement.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Notes that a colleague spoke with people.
pub async fn spoken_with(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    at: &[DateTime<Utc>],
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with spoken as (
            update contact c set last_human_at = greatest(c.last_human_at, s.at)
            from (select id, max(at) as at from unnest($1::uuid[], $2::timestamptz[]) as s (id, at) group by id) s
            where c.id = s.id
            returning c.id
        )
        insert into fact_change (contact_id) select id from spoken
        "#,
        contacts,
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps a person to his owner until a date; `None` lifts it.
pub async fn leave_until(
    conn: &mut PgConnection,
    contact: Uuid,
    until: Option<NaiveDate>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with left_alone as (update contact set leave_until = $2 where id = $1 returning id)
         insert into fact_change (contact_id) select id from left_alone",
        contact,
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Somebody whose birthday comes up.
#[derive(Debug, Clone)]
pub struct Celebrant {
    /// The person.
    pub contact_id: Uuid,
    /// The customer.
    pub account_id: Uuid,
    /// Birthday as kept.
    pub birthday: String,
    /// gregorian or lunar
    pub calendar: String,
    /// When it is kept this time.
    pub on: NaiveDate,
    /// Name of this coming.
    pub key: String,
    /// Zone of the person.
    pub timezone: Option<String>,
}

/// People whose next birthday is up to and with `until`, in order of the day.
pub async fn birthdays(
    conn: &mut PgConnection,
    until: NaiveDate,
    limit: i64,
) -> Result<Vec<Celebrant>, StoreError> {
    let rows = sqlx::query_as!(
        Celebrant,
        r#"
        select id as contact_id, account_id, birthday as "birthday!", coalesce(birthday_calendar, 'gregorian') as "calendar!",
               next_birthday_on as "on!", coalesce(next_birthday_key, next_birthday_on::text) as "key!", timezone
        from contact
        where next_birthday_on <= $1 and birthday is not null and merged_into is null
        order by next_birthday_on, id
        limit $2
        for update skip locked
        "#,
        until,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Notes the coming after this one.
pub async fn next_birthdays(
    conn: &mut PgConnection,
    rows: &[(Uuid, Option<(NaiveDate, String)>)],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.0).collect();
    let on: Vec<Option<NaiveDate>> = rows.iter().map(|r| r.1.as_ref().map(|n| n.0)).collect();
    let keys: Vec<Option<&str>> = rows.iter().map(|r| r.1.as_ref().map(|n| n.1.as_str())).collect();
    sqlx::query!(
        r#"
        with moved as (
            update contact c set next_birthday_on = n.day, next_birthday_key = n.key
            from unnest($1::uuid[], $2::date[], $3::text[]) as n (id, day, key)
            where c.id = n.id
            returning c.id
        )
        insert into fact_change (contact_id) select id from moved
        "#,
        &ids,
        &on as &[Option<NaiveDate>],
        &keys as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The earliest coming birthday.
pub async fn next_birthday(conn: &mut PgConnection) -> Result<Option<NaiveDate>, StoreError> {
    let on = sqlx::query_scalar!(
        r#"select min(next_birthday_on) as "on" from contact where next_birthday_on is not null"#
    )
    .fetch_one(conn)
    .await?;
    Ok(on)
}
