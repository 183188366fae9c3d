//! Contacts: people with their addresses, birthdays, attributes and consent.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::cell::{BLOCK, Cells, Refusal, SHORT};
use super::feed::Columns;
use super::{Load, Reading};
use crate::domain::address_hash::AddressHash;
use crate::domain::birthday::{Birthday, Calendar};
use crate::domain::email::EmailAddress;
use crate::domain::factor::parse_flag;
use crate::domain::locale::LocaleTag;
use crate::domain::phone::PhoneNumber;
use crate::domain::shard::shard_of;
use crate::domain::zone::local_date;
use crate::store::staging::{CopyText, contact as staging};

/// Reads rows of `contacts.csv`.
pub struct ContactColumns {
    reading: Reading,
    attributes: Vec<(String, usize)>,
    told: Told,
}

/// What is known of a row that came alone, and not in a file.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The contact, where there is one already.
    pub known: Option<Uuid>,
    /// The words that were agreed to.
    pub consent_text: Option<String>,
    /// When it was said.
    pub at: Option<DateTime<Utc>>,
}

impl ContactColumns {
    /// With the `attr.*` columns of the file: name and position.
    pub fn new(reading: Reading, attributes: Vec<(String, usize)>) -> Self {
        Self {
            reading,
            attributes,
            told: Told::default(),
        }
    }

    /// What is known of the next row besides its cells.
    pub fn tell(&mut self, told: Told) {
        self.told = told;
    }

    fn birthday(&self, cells: &Cells<'_>, today: NaiveDate, row: &mut CopyText) -> Result<(), Refusal> {
        let calendar = cells
            .parse("birthday_calendar", str::parse::<Calendar>)?
            .unwrap_or_default();
        let birthday = cells.parse("birthday", |text| Birthday::parse(text, calendar))?;
        let next = birthday.and_then(|b| b.occurrence_on_or_after(today, self.reading.birthdays));
        let text = birthday.map(|b| b.to_string());
        // The calendar has a column of its own.
        row.text(text.as_deref().map(|t| t.strip_prefix("lunar:").unwrap_or(t)));
        row.plain(birthday.map(|b| b.calendar()));
        row.plain(next.as_ref().map(|n| n.date));
        row.text(next.as_ref().map(|n| n.key.as_str()));
        Ok(())
    }

    fn attributes(&self, cells: &Cells<'_>) -> Result<String, Refusal> {
        let mut attributes = BTreeMap::new();
        for (name, index) in &self.attributes {
            let value = cells.at(*index);
            if value.is_some_and(|v| v.chars().count() > BLOCK) {
                return Err(Refusal::new(
                    format!("attr.{name}"),
                    format!("longer than {BLOCK} characters"),
                ));
            }
            attributes.insert(name, value.map_or(Value::Null, Value::from));
        }
        serde_json::to_string(&attributes).map_err(|error| Refusal::row(error.to_string()))
    }
}

impl Columns for ContactColumns {
    fn read(&mut self, cells: &Cells<'_>, row: &mut CopyText) -> Result<(), Refusal> {
        let reading = &self.reading;
        let id = reading.id();
        row.plain(Some(id));
        row.plain(Some(shard_of(id)));
        row.text(cells.name("name")?);
        let region = cells.text("region", SHORT)?;
        let email = cells.parse("email", EmailAddress::parse)?;
        row.text(email.as_ref().map(EmailAddress::norm).as_deref());
        row.bytea(
            email
                .as_ref()
                .map(|e| reading.address_key.email(e))
                .as_ref()
                .map(AddressHash::as_bytes),
        );
        let phone = cells.parse("phone", |text| {
            PhoneNumber::parse(text, Some(reading.phone_region(region)))
        })?;
        row.text(phone.as_ref().map(PhoneNumber::as_str));
        row.bytea(
            phone
                .as_ref()
                .map(|p| reading.address_key.phone(p))
                .as_ref()
                .map(AddressHash::as_bytes),
        );
        row.plain(cells.parse("locale", LocaleTag::parse)?);
        let zone = cells.zone("timezone")?;
        row.plain(zone);
        row.text(region);
        self.birthday(cells, local_date(reading.now, zone.unwrap_or(reading.zone)), row)?;
        row.text(cells.text("organisation", SHORT)?);
        row.text(cells.text("role", SHORT)?);
        row.plain(cells.parse("decision_maker", parse_flag)?);
        row.text(cells.text("owner", SHORT)?);
        row.plain(cells.choice("preferred_channel", &["email", "sms", "phone"])?);
        row.text(cells.text("best_time", SHORT)?);
        row.text(cells.text("referred_by", SHORT)?);
        for column in ["consent_email", "consent_sms"] {
            let consent = cells.parse(column, parse_flag)?;
            row.plain(consent);
            row.plain(consent.map(|_| reading.id()));
        }
        row.text(cells.text("consent_source", SHORT)?);
        row.text(Some(&self.attributes(cells)?));
        row.plain(self.told.known);
        row.text(self.told.consent_text.as_deref());
        row.plain(self.told.at.map(|at| at.to_rfc3339()));
        Ok(())
    }
}

/// Brings a chunk of contacts into the database.
pub async fn load(db: &mut PgConnection, load: &Load<'_>) -> sqlx::Result<()> {
    staging::copy(db, load.rows).await?;
    staging::merge(db, load.source_id).await?;
    if load.dry_run {
        return Ok(());
    }
    let alone = staging::newly_alone(db).await?;
    if !alone.is_empty() {
        let shards: Vec<i16> = alone.iter().copied().map(shard_of).collect();
        staging::set_shards(db, &alone, &shards).await?;
    }
    staging::insert_accounts(db).await?;
    staging::insert(db).await?;
    staging::insert_refs(db, load.source_id).await?;
    staging::update(db).await?;
    staging::update_accounts(db).await?;
    staging::join_leads(db).await?;
    staging::move_work(db).await?;
    staging::delete_left_accounts(db).await?;
    staging::insert_consent(db, load.now, load.source, load.basis).await?;
    staging::note_changes(db).await
}
