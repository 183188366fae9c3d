//! Who a message went to, as the pages behind its links need it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// Who a message went to.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The person.
    pub contact_id: Uuid,
    /// The person's language.
    pub locale: Option<String>,
    /// email or sms
    pub channel: String,
    /// Whether everything to the address is suppressed by the person already.
    pub stopped: bool,
}

/// The recipient of a message that was handed over or is just being so.
pub async fn of_message(conn: &mut PgConnection, message_id: Uuid) -> Result<Option<Recipient>, StoreError> {
    let row = sqlx::query_as!(
        Recipient,
        r#"
        select c.id as "contact_id!", c.locale, m.channel as "channel!",
               exists (
                   select from suppression s
                   where s.address_hash = case m.channel when 'sms' then c.phone_hash else c.email_hash end
                     and s.channel = m.channel and s.brand = '' and s.purpose = 'all'
                     and s.reason in ('opted-out', 'spam-report')
               ) as "stopped!"
        from (
            select contact_id, channel from message where id = $1
            union all
            select contact_id, channel from touch where message_id = $1
            limit 1
        ) m
        join contact c on c.id = m.contact_id
        "#,
        message_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}
