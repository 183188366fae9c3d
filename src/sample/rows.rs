//! The rows of the six import files. The order of the fields is the order of the columns, the names are the headers.

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// A sales rep: a row of `owners.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct OwnerRow {
    /// `own-01` and so on.
    pub external_id: String,
    /// As the recipient reads it.
    pub name: String,
    /// Where tasks and digests go.
    pub email: String,
    /// E.164.
    pub phone: String,
    /// Where the rep works.
    pub timezone: Tz,
    /// The From of personal mails.
    pub from_email: String,
    /// The line under personal mails.
    pub signature: String,
    /// External id of the rep who stands in.
    pub deputy: Option<String>,
    /// First day of leave.
    pub away_from: Option<NaiveDate>,
    /// Last day of leave.
    pub away_until: Option<NaiveDate>,
}

/// A customer, prospect or suspect that is a company: a row of `organisations.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct OrganisationRow {
    /// `org-0001` and so on.
    pub external_id: String,
    /// Invented, unique.
    pub name: String,
    /// One word.
    pub industry: &'static str,
    /// Head count as a range.
    pub size: &'static str,
    /// Country, or ISO 3166-2 with a province or state.
    pub region: &'static str,
    /// External id of the mother company.
    pub parent: Option<String>,
}

/// An activity that brings leads: a row of `campaigns.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct CampaignRow {
    /// `cmp-01` and so on.
    pub external_id: String,
    /// As people call it.
    pub name: &'static str,
    /// What sort of activity: exhibition, seminar, advert...
    pub kind: &'static str,
    /// The source channel of the leads it brings.
    pub channel: &'static str,
    /// The day, or the first day.
    pub date: NaiveDate,
    /// Planned, in yuan.
    pub budget: u32,
    /// Spent, in yuan; none while it lies ahead.
    pub cost: Option<u32>,
}

/// A person: a row of `contacts.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct ContactRow {
    /// `c-00001` and so on.
    pub external_id: String,
    /// In the person's own script.
    pub name: String,
    /// Under an `.example` domain, unique.
    pub email: Option<String>,
    /// E.164, unique.
    pub phone: Option<String>,
    /// BCP 47.
    pub locale: &'static str,
    /// IANA.
    pub timezone: Tz,
    /// As for organisations.
    pub region: &'static str,
    /// `1990-08-15`, `08-15`, or `1990-L06-10` in a leap month; the year is that of the calendar.
    pub birthday: Option<String>,
    /// `gregorian` or `lunar`.
    pub birthday_calendar: Option<&'static str>,
    /// External id of the organisation; none for a person standing alone.
    pub organisation: Option<String>,
    /// decision maker, buyer, user...
    pub role: Option<&'static str>,
    /// None when nobody has asked.
    #[serde(serialize_with = "yes_no")]
    pub decision_maker: Option<bool>,
    /// External id of the rep.
    pub owner: Option<String>,
    /// email, sms or phone.
    pub preferred_channel: Option<&'static str>,
    /// Local time of day.
    pub best_time: Option<&'static str>,
    /// External id of the contact who sent this one.
    pub referred_by: Option<String>,
    /// None when never asked.
    #[serde(serialize_with = "yes_no")]
    pub consent_email: Option<bool>,
    /// None when never asked.
    #[serde(serialize_with = "yes_no")]
    pub consent_sms: Option<bool>,
    /// Where the permission was given or refused.
    pub consent_source: Option<&'static str>,
    /// What they like to read about.
    #[serde(rename = "attr.industry_interest")]
    pub industry_interest: Option<&'static str>,
    /// Head count as a range.
    #[serde(rename = "attr.company_size")]
    pub company_size: Option<&'static str>,
}

/// One possible sale: a row of `leads.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct LeadRow {
    /// `l-0001` and so on.
    pub external_id: String,
    /// External id of the contact it is talked over with.
    pub contact: String,
    /// External id of the organisation.
    pub organisation: Option<String>,
    /// External id of the rep.
    pub owner: String,
    /// How it came.
    pub source_channel: &'static str,
    /// External id of the campaign.
    pub campaign: Option<&'static str>,
    /// greenfield or replacement.
    pub situation: &'static str,
    /// A to D, as the CRM had it; none when nothing is known yet.
    pub grade: Option<&'static str>,
    /// The day of that grade.
    pub grade_at: Option<NaiveDate>,
    /// The need is there, seen from outside.
    #[serde(serialize_with = "yes_no")]
    pub objective_need: Option<bool>,
    /// They feel it themselves.
    #[serde(serialize_with = "yes_no")]
    pub felt_need: Option<bool>,
    /// With the system in place: high, medium, low, none. Replacement only.
    pub dissatisfaction: Option<&'static str>,
    /// To buy, or to switch: high, medium, low, none.
    pub resolve: Option<&'static str>,
    /// Looking into feasibility.
    #[serde(serialize_with = "yes_no")]
    pub evaluating: Option<bool>,
    /// Choosing among vendors.
    #[serde(serialize_with = "yes_no")]
    pub selecting: Option<bool>,
    /// The matter a B lead waits for, in the contact's language.
    pub waiting_for: Option<&'static str>,
    /// When that is expected to be settled.
    pub expected_on: Option<NaiveDate>,
    /// When they are expected to buy.
    pub expected_close: Option<NaiveDate>,
    /// Percent.
    pub likelihood: Option<u8>,
    /// Yuan.
    pub value: Option<u32>,
    /// What it is about.
    pub product: &'static str,
    /// target, prospect, opportunity, customer or lost.
    pub stage: &'static str,
    /// First record.
    pub opened_at: NaiveDate,
    /// Won or lost on that day.
    pub closed_at: Option<NaiveDate>,
    /// won or lost.
    pub outcome: Option<&'static str>,
    /// service, price, product or other.
    pub lost_reason: Option<&'static str>,
    /// Why it was given up.
    pub not_fit: Option<&'static str>,
}

/// A purchase: a row of `purchases.csv`.
#[derive(Debug, Clone, Serialize)]
pub struct PurchaseRow {
    /// `p-000001` and so on, in order of time.
    pub external_id: String,
    /// External id of the contact who ordered.
    pub contact: String,
    /// External id of the organisation; none for a person standing alone.
    pub organisation: Option<String>,
    /// In the company's zone, with its offset.
    #[serde(serialize_with = "with_offset")]
    pub purchased_at: DateTime<Tz>,
    /// Two decimals.
    pub amount: Decimal,
    /// ISO 4217; CNY throughout.
    pub currency: &'static str,
    /// Pieces.
    pub quantity: u32,
    /// Two decimals; below zero where serving costs more than it brings.
    pub profit: Decimal,
    /// What was bought.
    pub product: &'static str,
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference to the field"
)]
fn yes_no<S: Serializer>(answer: &Option<bool>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    })
}

fn with_offset<S: Serializer>(at: &DateTime<Tz>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&at.format("%Y-%m-%dT%H:%M:%S%:z").to_string())
}
