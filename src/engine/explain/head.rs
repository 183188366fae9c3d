//! The head of a story: who it is, how the customer stands, each lead's grade and what costs the next one.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Teller;
use super::english::{channel_name, reason_words};
use crate::domain::assess;
use crate::domain::evidence::Evidence;
use crate::domain::factor::Factor;
use crate::domain::grade::Grade;
use crate::domain::grading::GradingRules;
use crate::store::story::{LeadRow, Standing};

/// How a person stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Head {
    /// The person.
    pub contact_id: Uuid,
    /// His name.
    pub name: String,
    /// What sources call him.
    pub external_ids: String,
    /// Mail address.
    pub email: Option<String>,
    /// Phone.
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
    /// The customer.
    pub account: String,
    /// Where the customer stands.
    pub standing: String,
    /// The owner.
    pub owner: Option<String>,
    /// Permission to mail; absent = never asked.
    pub consent_email: Option<bool>,
    /// Permission to text; absent = never asked.
    pub consent_sms: Option<bool>,
    /// Addresses that must not be written to: channel, reason, since.
    pub suppressions: serde_json::Value,
    /// Complaints that are open.
    pub grievances: i64,
    /// "Leave to me until".
    pub leave_until: Option<NaiveDate>,
    /// Leads, open ones first.
    pub leads: Vec<LeadHead>,
}

/// How a lead stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadHead {
    /// What its source calls it.
    pub external_id: String,
    /// What it is about.
    pub product: Option<String>,
    /// Its stage.
    pub stage: Option<String>,
    /// Its grade; absent = ungraded.
    pub grade: Option<Grade>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// The factors it follows from, or who asserts it, and what the next grade lacks.
    pub reason: String,
    /// The first factor that costs the next better grade.
    pub costs_next: Option<&'static str>,
    /// How it ended, or why it was given up.
    pub ended: Option<String>,
}

impl Head {
    /// From what is stored. The grade is folded anew, so that the head says what holds at `now`.
    pub(super) fn of(
        standing: Standing,
        leads: Vec<LeadRow>,
        evidence: Vec<(Uuid, Evidence)>,
        grading: &GradingRules,
        teller: &dyn Teller,
        now: DateTime<Utc>,
    ) -> Self {
        let mut pieces: HashMap<Uuid, Vec<Evidence>> = HashMap::new();
        for (lead, piece) in evidence {
            pieces.entry(lead).or_default().push(piece);
        }
        let leads = leads
            .into_iter()
            .map(|lead| {
                let evidence = pieces.remove(&lead.id).unwrap_or_default();
                LeadHead::of(&evidence, lead, grading, teller, now)
            })
            .collect();
        let owner = match (standing.owner_name, standing.owner_email) {
            (Some(name), Some(email)) => Some(format!("{name} <{email}>")),
            (name, email) => name.or(email),
        };
        Self {
            contact_id: standing.contact_id,
            name: standing.name,
            external_ids: standing.external_ids,
            email: standing.email,
            phone: standing.phone,
            locale: standing.locale,
            timezone: standing.timezone,
            role: standing.role,
            decision_maker: standing.decision_maker,
            preferred_channel: standing.preferred_channel,
            merged_into: standing.merged_into,
            account: standing.account_name,
            standing: standing.account_standing,
            owner,
            consent_email: standing.consent_email,
            consent_sms: standing.consent_sms,
            suppressions: standing.suppressions,
            grievances: standing.grievances,
            leave_until: standing.leave_until,
            leads,
        }
    }
}

impl LeadHead {
    fn of(
        evidence: &[Evidence],
        lead: LeadRow,
        grading: &GradingRules,
        teller: &dyn Teller,
        now: DateTime<Utc>,
    ) -> Self {
        // A situation that cannot be read has never been written; the grade as stored is then all there is.
        let found = lead
            .situation
            .parse()
            .ok()
            .map(|situation| assess::regrade(evidence, situation, grading, now));
        let ended = teller.ended(&lead);
        let stored = lead.grade.and_then(|grade| grade.parse().ok());
        Self {
            external_id: lead.external_id,
            product: lead.product,
            stage: lead.stage,
            grade: found.as_ref().map_or(stored, |found| found.grade),
            since: lead.grade_since,
            reason: found
                .as_ref()
                .map(|found| teller.reason(found))
                .unwrap_or_default(),
            costs_next: found.and_then(|found| found.costs_next).map(Factor::as_str),
            ended,
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |part: &Option<String>, before: &str| {
            part.as_ref()
                .map_or(String::new(), |text| format!("{before}{text}"))
        };
        let decides = if self.decision_maker == Some(true) {
            ", decides"
        } else {
            ""
        };
        writeln!(
            f,
            "{}{}{decides}, {}",
            self.name,
            known(&self.role, ", "),
            self.account
        )?;
        writeln!(f, "  known as   {}", self.external_ids)?;
        writeln!(
            f,
            "  reached    {}{}{}",
            self.email.as_deref().unwrap_or("no mail address"),
            known(&self.phone, ", "),
            known(&self.preferred_channel, ", prefers "),
        )?;
        writeln!(
            f,
            "  consent    mail {}, text {}",
            permission(self.consent_email),
            permission(self.consent_sms)
        )?;
        for one in self.suppressions.as_array().into_iter().flatten() {
            let text = |key| one.get(key).and_then(serde_json::Value::as_str).unwrap_or("");
            let since = text("at").get(..10).unwrap_or("");
            writeln!(
                f,
                "  suppressed {} since {since}: {}",
                channel_name(text("channel")),
                reason_words(text("reason"))
            )?;
        }
        if let Some(until) = self.leave_until {
            writeln!(f, "  left to the owner until {until}")?;
        }
        if let Some(into) = self.merged_into {
            writeln!(f, "  merged into {into}")?;
        }
        writeln!(
            f,
            "  customer   {}{}",
            self.account,
            match self.grievances {
                0 => String::new(),
                n => format!(", {n} open complaint(s): marketing waits"),
            }
        )?;
        writeln!(f, "  standing   {}", self.standing)?;
        writeln!(f, "  owner      {}", self.owner.as_deref().unwrap_or("nobody"))?;
        for lead in &self.leads {
            writeln!(f, "{lead}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LeadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = self.grade.map_or("ungraded", Grade::as_str);
        write!(f, "  lead       {}", self.external_id)?;
        if let Some(product) = &self.product {
            write!(f, " ({product})")?;
        }
        write!(f, ": {grade}")?;
        if let Some(since) = self.since {
            write!(f, " since {}", since.date_naive())?;
        }
        if !self.reason.is_empty() {
            write!(f, ", for {}", self.reason)?;
        }
        match &self.ended {
            Some(ended) => write!(f, "; {ended}"),
            None => Ok(()),
        }
    }
}

fn permission(given: Option<bool>) -> &'static str {
    match given {
        Some(true) => "yes",
        Some(false) => "no",
        None => "never asked",
    }
}
