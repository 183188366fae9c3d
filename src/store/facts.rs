//! What the gate and the renderer have to know about a batch of touches, one statement each.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// What the gate judges by.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that the gate asks for"
)]
pub struct GateRow {
    /// The touch.
    pub touch_id: Uuid,
    /// Zone of the person.
    pub timezone: Option<String>,
    /// Region of the person, else of the customer.
    pub region: Option<String>,
    /// Preferred channel.
    pub preferred_channel: Option<String>,
    /// Whether the channel's address is there.
    pub has_address: bool,
    /// Address on the channel.
    pub address: Option<String>,
    /// Its keyed hash.
    pub address_hash: Option<Vec<u8>>,
    /// The queue has another hash: the address has changed since the touch was planned.
    pub moved: bool,
    /// Folded permission on the channel; `None` = never asked.
    pub consent: Option<bool>,
    /// Reason of the suppression in force, if any.
    pub suppressed: Option<String>,
    /// The person was merged into another.
    pub merged: bool,
    /// Open complaint of the customer.
    pub grievance: bool,
    /// "Leave to me until".
    pub leave_until: Option<NaiveDate>,
    /// Whether the person decides.
    pub decision_maker: bool,
    /// The lead was given up, with the reason.
    pub not_fit: Option<String>,
    /// The lead is closed.
    pub lead_closed: bool,
    /// How many contacts the customer has.
    pub colleagues: i64,
    /// State of the enrollment.
    pub enrollment_state: String,
}

/// Facts of the given touches.
pub async fn for_gate(conn: &mut PgConnection, touch_ids: &[Uuid]) -> Result<Vec<GateRow>, StoreError> {
    let rows = sqlx::query_as!(
        GateRow,
        r#"
        select q.touch_id, c.timezone, coalesce(c.region, a.region) as region, c.preferred_channel,
               (case q.channel when 'email' then c.email is not null when 'sms' then c.phone is not null else true end) as "has_address!",
               case q.channel when 'email' then c.email when 'sms' then c.phone end as address,
               h.address_hash, q.address_hash is distinct from h.address_hash as "moved!",
               case q.channel when 'email' then c.consent_email when 'sms' then c.consent_sms end as consent,
               (select s.reason from suppression s
                where s.address_hash = h.address_hash and s.channel = q.channel and (s.purpose = 'all' or q.class = 3)
                limit 1) as suppressed,
               c.merged_into is not null as "merged!",
               exists (select 1 from grievance g where g.account_id = q.account_id and g.closed_at is null) as "grievance!",
               c.leave_until, coalesce(c.decision_maker, false) as "decision_maker!", l.not_fit,
               (l.closed_at is not null) as "lead_closed!",
               (select count(*) from contact m where m.account_id = q.account_id) as "colleagues!",
               e.state as enrollment_state
        from queue q
        join contact c on c.id = q.contact_id
        cross join lateral (
            select case q.channel when 'email' then c.email_hash when 'sms' then c.phone_hash end as address_hash
        ) h
        join account a on a.id = q.account_id
        join enrollment e on e.id = q.enrollment_id
        left join lead l on l.id = q.lead_id
        where q.touch_id = any($1)
        "#,
        touch_ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Somebody of the same customer who is due too.
#[derive(Debug, Clone)]
pub struct Colleague {
    /// The customer.
    pub account_id: Uuid,
    /// The person.
    pub contact_id: Uuid,
    /// Whether he decides.
    pub decision_maker: bool,
    /// When his touch is due.
    pub due_at: DateTime<Utc>,
}

/// Marketing touches of these customers that are due before `until`.
pub async fn colleagues_due(
    conn: &mut PgConnection,
    accounts: &[Uuid],
    until: DateTime<Utc>,
) -> Result<Vec<Colleague>, StoreError> {
    let rows = sqlx::query_as!(
        Colleague,
        r#"
        select q.account_id, q.contact_id, coalesce(c.decision_maker, false) as "decision_maker!", q.due_at
        from queue q join contact c on c.id = q.contact_id
        where q.account_id = any($1) and q.class = 3 and q.channel <> 'task' and q.due_at < $2
        order by q.account_id, q.contact_id
        "#,
        accounts,
        until,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// What a message may say about a person, his customer, lead and owner.
#[derive(Debug, Clone)]
pub struct PersonRow {
    /// The person.
    pub contact_id: Uuid,
    /// The lead asked for.
    pub lead_id: Option<Uuid>,
    /// His name.
    pub name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Phone in E.164.
    pub phone: Option<String>,
    /// BCP-47.
    pub locale: Option<String>,
    /// IANA zone.
    pub timezone: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// His role.
    pub role: Option<String>,
    /// Own attributes.
    pub attrs: serde_json::Value,
    /// Next birthday.
    pub next_birthday_on: Option<NaiveDate>,
    /// Birthday as kept.
    pub birthday: Option<String>,
    /// gregorian or lunar
    pub birthday_calendar: Option<String>,
    /// External id of the oldest source.
    pub external_id: Option<String>,
    /// Of the customer.
    pub account_id: Uuid,
    /// Of the customer.
    pub account_name: String,
    /// Of the customer.
    pub industry: Option<String>,
    /// Of the customer.
    pub account_region: Option<String>,
    /// Of the customer.
    pub standing: String,
    /// Of the lead.
    pub product: Option<String>,
    /// Of the lead.
    pub value: Option<Decimal>,
    /// Of the lead.
    pub situation: Option<String>,
    /// Of the lead.
    pub grade: Option<String>,
    /// Of the lead.
    pub waiting_for: Option<String>,
    /// Of the lead.
    pub expected_on: Option<NaiveDate>,
    /// Of the lead.
    pub expected_close: Option<NaiveDate>,
    /// The rep in charge today (his deputy while he is away).
    pub owner_id: Option<Uuid>,
    /// Of the owner.
    pub owner_name: Option<String>,
    /// Of the owner.
    pub owner_email: Option<String>,
    /// Of the owner.
    pub owner_phone: Option<String>,
    /// Of the owner: the address mails may come from.
    pub owner_from: Option<String>,
    /// Of the owner.
    pub owner_signature: Option<String>,
    /// Last purchase of the customer.
    pub last_product: Option<String>,
    /// Last purchase of the customer.
    pub last_at: Option<DateTime<Utc>>,
    /// Last purchase of the customer.
    pub last_amount: Option<Decimal>,
    /// Last purchase of the customer.
    pub last_currency: Option<String>,
}

/// The persons of the given (contact, lead) pairs; today decides whether a deputy stands in.
pub async fn persons(
    conn: &mut PgConnection,
    contacts: &[Uuid],
    leads: &[Option<Uuid>],
    today: NaiveDate,
) -> Result<Vec<PersonRow>, StoreError> {
    let rows = sqlx::query_as!(
        PersonRow,
        r#"
        select c.id as contact_id, w.lead_id as "lead_id?", c.name, c.email, c.phone, c.locale, c.timezone, c.region, c.role,
               c.attrs, c.next_birthday_on, c.birthday, c.birthday_calendar,
               (select r.external_id from contact_ref r where r.contact_id = c.id order by r.source_id limit 1) as external_id,
               a.id as account_id, a.name as account_name, a.industry, a.region as account_region, a.standing,
               l.product as "product?", l.value as "value?", l.situation as "situation?", l.grade as "grade?",
               l.waiting_for as "waiting_for?", l.expected_on as "expected_on?", l.expected_close as "expected_close?",
               coalesce(d.id, o.id) as "owner_id?", coalesce(d.name, o.name) as "owner_name?",
               coalesce(d.email, o.email) as "owner_email?", coalesce(d.phone, o.phone) as "owner_phone?",
               coalesce(d.from_email, o.from_email) as "owner_from?", coalesce(d.signature, o.signature) as "owner_signature?",
               p.product as "last_product?", p.at as "last_at?", p.amount as "last_amount?", p.currency as "last_currency?"
        from unnest($1::uuid[], $2::uuid[]) as w (contact_id, lead_id)
        join contact c on c.id = w.contact_id
        join account a on a.id = c.account_id
        left join lead l on l.id = w.lead_id
        left join owner o on o.id = coalesce(l.owner_id, c.owner_id)
        left join owner d on d.source_id = o.source_id and d.external_id = o.deputy_external_id
                         and o.away_from <= $3 and $3 <= o.away_until
        left join lateral (
            select p.product, p.at, p.amount, p.currency from purchase p
            where p.account_id = a.id order by p.at desc, p.id desc limit 1
        ) p on true
        "#,
        contacts,
        leads as &[Option<Uuid>],
        today,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
