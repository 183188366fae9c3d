//! What happened with one person, for telling it.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A person as a list of several shows him.
#[derive(Debug, Clone)]
pub struct Named {
    /// The person.
    pub contact_id: Uuid,
    /// His name.
    pub name: String,
    /// His customer.
    pub account_name: String,
    /// What sources call him: `source:id`, by comma.
    pub external_ids: String,
}

/// The names of these people.
pub async fn names(conn: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Named>, StoreError> {
    let rows = sqlx::query_as!(
        Named,
        r#"
        select c.id as contact_id, c.name, a.name as account_name,
               coalesce((select string_agg(s.name || ':' || r.external_id, ', ' order by s.id)
                         from contact_ref r join source s on s.id = r.source_id where r.contact_id = c.id), '')
                   as "external_ids!"
        from contact c join account a on a.id = c.account_id
        where c.id = any($1)
        order by c.name, c.id
        "#,
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A person, his customer and his owner, as they stand.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The person.
    pub contact_id: Uuid,
    /// His name.
    pub name: String,
    /// Mail address.
    pub email: Option<String>,
    /// Phone in E.164.
    pub phone: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA zone.
    pub timezone: Option<String>,
    /// His role.
    pub role: Option<String>,
    /// Whether he decides.
    pub decision_maker: Option<bool>,
    /// Channel he prefers.
    pub preferred_channel: Option<String>,
    /// The record he was merged into.
    pub merged_into: Option<Uuid>,
    /// Folded permission; `None` = never asked.
    pub consent_email: Option<bool>,
    /// Folded permission; `None` = never asked.
    pub consent_sms: Option<bool>,
    /// "Leave to me until", said by the owner.
    pub leave_until: Option<NaiveDate>,
    /// What sources call him: `source:id`, by comma.
    pub external_ids: String,
    /// The customer.
    pub account_id: Uuid,
    /// The customer.
    pub account_name: String,
    /// Where the customer stands.
    pub account_standing: String,
    /// The owner.
    pub owner_name: Option<String>,
    /// The owner's mail address.
    pub owner_email: Option<String>,
    /// Suppressions of his addresses: channel, reason, since.
    pub suppressions: serde_json::Value,
    /// Complaints of the customer that are open.
    pub grievances: i64,
    /// His leads.
    pub leads: Vec<Uuid>,
}

/// How a person stands; `None` = nobody has that id.
pub async fn standing(conn: &mut PgConnection, contact: Uuid) -> Result<Option<Standing>, StoreError> {
    let row = sqlx::query_as!(
        Standing,
        r#"
        select c.id as contact_id, c.name, c.email, c.phone, c.locale, c.timezone, c.role, c.decision_maker,
               c.preferred_channel, c.merged_into, c.consent_email, c.consent_sms, c.leave_until,
               coalesce((select string_agg(s.name || ':' || r.external_id, ', ' order by s.id)
                         from contact_ref r join source s on s.id = r.source_id where r.contact_id = c.id), '')
                   as "external_ids!",
               a.id as account_id, a.name as account_name, a.standing as account_standing,
               o.name as "owner_name?", o.email as "owner_email?",
               coalesce((select jsonb_agg(jsonb_build_object('channel', s.channel, 'reason', s.reason, 'at', s.at)
                                          order by s.channel, s.reason)
                         from suppression s
                         where (s.channel = 'email' and s.address_hash = c.email_hash)
                            or (s.channel = 'sms' and s.address_hash = c.phone_hash)), '[]'::jsonb) as "suppressions!",
               (select count(*) from grievance g where g.account_id = a.id and g.closed_at is null) as "grievances!",
               array(select lc.lead_id from lead_contact lc where lc.contact_id = c.id order by lc.lead_id) as "leads!"
        from contact c
        join account a on a.id = c.account_id
        left join owner o on o.id = coalesce(
            (select l.owner_id from lead_contact lc join lead l on l.id = lc.lead_id
             where lc.contact_id = c.id and l.closed_at is null and l.owner_id is not null
             order by l.id desc limit 1),
            c.owner_id)
        where c.id = $1
        "#,
        contact,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row)
}

/// The documents in force that a story is told by: `grading` and `company`, with their bodies.
pub async fn rules(conn: &mut PgConnection) -> Result<Vec<(String, serde_json::Value)>, StoreError> {
    let rows = sqlx::query!(
        "select d.kind, v.body from document d join document_version v on v.id = d.version_id
         where d.kind in ('grading', 'company')"
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.kind, r.body)).collect())
}

/// A lead of the person.
#[derive(Debug, Clone)]
pub struct LeadRow {
    /// The lead.
    pub id: Uuid,
    /// What its source calls it.
    pub external_id: String,
    /// greenfield or replacement
    pub situation: String,
    /// Its grade.
    pub grade: Option<String>,
    /// Since when.
    pub grade_since: Option<DateTime<Utc>>,
    /// What it is about.
    pub product: Option<String>,
    /// Its stage.
    pub stage: Option<String>,
    /// When it ended.
    pub closed_at: Option<DateTime<Utc>>,
    /// won or lost
    pub outcome: Option<String>,
    /// Why it was given up.
    pub not_fit: Option<String>,
}

/// These leads.
pub async fn leads(conn: &mut PgConnection, leads: &[Uuid]) -> Result<Vec<LeadRow>, StoreError> {
    let rows = sqlx::query_as!(
        LeadRow,
        r#"
        select id, external_id, situation, grade, grade_since, product, stage, closed_at, outcome, not_fit
        from lead where id = any($1) order by closed_at is not null, opened_at, id
        "#,
        leads,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// An event that a change of grade goes back to.
#[derive(Debug, Clone, Deserialize)]
pub struct Cause {
    /// Its type by name.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The person who did it.
    pub who: Option<String>,
    /// It is the person whose story is told.
    pub own: Option<bool>,
    /// Intent, tag and the like.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// One thing that happened. Texts are as stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are the columns they come from")]
pub enum Fact {
    /// Came into a cadence.
    Entered {
        cadence: String,
        why: String,
        key: String,
        control: bool,
        lead: Option<String>,
    },
    /// Left a cadence.
    Left {
        cadence: String,
        state: String,
        reason: Option<String>,
    },
    /// The gate held or skipped a touch.
    Decided {
        cadence: Option<String>,
        step: Option<String>,
        channel: Option<String>,
        verdict: String,
        reason: String,
        until: Option<DateTime<Utc>>,
    },
    /// A touch ended without a message.
    Dropped {
        cadence: String,
        step: String,
        channel: String,
        state: String,
        reason: Option<String>,
    },
    /// A message was handed over, or was not.
    Message {
        channel: String,
        cadence: Option<String>,
        step: Option<String>,
        template: String,
        sender: String,
        address: String,
        subject: Option<String>,
        segments: Option<i16>,
        outcome: String,
        reply: Option<String>,
        tries: i16,
    },
    /// Something came in.
    Event {
        #[serde(rename = "type")]
        event_type: String,
        human: bool,
        source: String,
        data: serde_json::Value,
        cadence: Option<String>,
        step: Option<String>,
        late: bool,
    },
    /// The grade of a lead changed.
    Graded {
        lead: String,
        before: Option<String>,
        after: Option<String>,
        reason: String,
        corrected: bool,
        factors: serde_json::Value,
        events: Vec<Cause>,
    },
    /// The customer's standing changed.
    Stood { before: String, after: String },
    /// The customer was found lost.
    Lost { tier: Option<String> },
    /// The customer came back.
    WonBack { tier: Option<String> },
    /// The customer bought.
    Purchase {
        amount: Decimal,
        currency: String,
        product: Option<String>,
        own: bool,
    },
    /// A task was made.
    Task {
        title: String,
        about: String,
        owner: Option<String>,
        due: DateTime<Utc>,
    },
    /// A task was closed.
    TaskDone {
        title: String,
        outcome: Option<String>,
        by: Option<String>,
    },
    /// The customer complained.
    Grievance { text: Option<String>, own: bool },
    /// The complaint was settled.
    GrievanceClosed { by: Option<String> },
    /// A permission was given or taken.
    Consent {
        channel: String,
        granted: bool,
        basis: String,
        source: String,
    },
}

impl Fact {
    /// What kind of thing it is, as pages mark it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entered { .. } => "entered",
            Self::Left { .. } => "left",
            Self::Decided { .. } | Self::Dropped { .. } => "decided",
            Self::Message { .. } => "message",
            Self::Event { .. } => "event",
            Self::Graded { .. } => "graded",
            Self::Stood { .. } => "standing",
            Self::Lost { .. } => "lost",
            Self::WonBack { .. } => "won_back",
            Self::Purchase { .. } => "purchase",
            Self::Task { .. } | Self::TaskDone { .. } => "task",
            Self::Grievance { .. } | Self::GrievanceClosed { .. } => "grievance",
            Self::Consent { .. } => "consent",
        }
    }
}

/// All that happened with a person, his customer and his leads, in order of time.
pub async fn history(
    conn: &mut PgConnection,
    contact: Uuid,
    account: Uuid,
    leads: &[Uuid],
) -> Result<Vec<(DateTime<Utc>, Fact)>, StoreError> {
    let rows = sqlx::query_file!("src/store/story/history.sql", contact, account, leads)
        .fetch_all(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let fact =
                serde_json::from_value(row.fact).map_err(|e| StoreError::Decode(format!("a fact: {e}")))?;
            Ok((row.at, fact))
        })
        .collect()
}

/// What is to come in a cadence.
#[derive(Debug, Clone)]
pub struct Coming {
    /// Cadence by name.
    pub cadence: String,
    /// active or control
    pub state: String,
    /// Step that is next or in flight.
    pub step: String,
    /// When the enrollment is looked at.
    pub next_at: DateTime<Utc>,
    /// State of that step's touch; `None` = not made yet.
    pub touch_state: Option<String>,
    /// Channel of the touch that waits.
    pub channel: Option<String>,
    /// When that touch is looked at.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it is held.
    pub held: Option<String>,
    /// After which it is not sent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is to come for a person.
pub async fn coming(conn: &mut PgConnection, contact: Uuid) -> Result<Vec<Coming>, StoreError> {
    let rows = sqlx::query_as!(
        Coming,
        r#"
        select e.cadence, e.state, e.cursor as step, e.next_at, t.state as "touch_state?", q.channel as "channel?",
               q.due_at as "due_at?", q.held as "held?", q.expires_at as "expires_at?"
        from enrollment e
        left join touch t on t.enrollment_id = e.id and t.step_key = e.cursor and t.visit = e.visit
        left join queue q on q.touch_id = t.id
        where e.contact_id = $1 and e.state in ('active', 'control')
        order by coalesce(q.due_at, e.next_at), e.id
        "#,
        contact,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
