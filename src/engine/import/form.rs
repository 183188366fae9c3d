//! Forms: a person, and perhaps a lead, told by one event. Its fields are the columns of the files, and they go through
//! the same doors into the same tables; only that no file is there, and that a person may be found by his address.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::cell::{BLOCK, Cells, Refusal};
use super::contact::{ContactColumns, Told};
use super::feed::{Columns, stage};
use super::header::{FileRefusal, Header};
use super::kind::Kind;
use super::lead::LeadColumns;
use super::record::Record;
use super::{ImportDeps, Load, Reading, contact, lead};
use crate::domain::email::EmailAddress;
use crate::domain::phone::PhoneNumber;
use crate::store::staging::{self, CopyText};
use crate::store::{event, lead as leads};

/// How many sets of fields one call may bring: forms with the same fields share their statements.
const MOST_SHAPES: usize = 16;

type Fields = BTreeMap<String, String>;

/// What a form says about a person.
#[derive(Debug, Clone)]
pub struct Form {
    event_id: Uuid,
    at: DateTime<Utc>,
    /// What the caller calls the person, where he does.
    name: Option<String>,
    /// The source's own id of the person, where it is said.
    external_id: Option<String>,
    consent_text: Option<String>,
    contact: Fields,
    lead: Option<Fields>,
}

/// What became of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The person is known now.
    Known {
        /// The person.
        contact_id: Uuid,
        /// His customer.
        account_id: Uuid,
    },
    /// Its name or address fits several people.
    Several,
    /// Something in it cannot be taken; nothing of it was.
    Refused(Refusal),
}

impl Form {
    /// Reads the data of an event. `None` when it says nothing about the person, or nobody could tell who he is.
    pub fn read(
        event_id: Uuid,
        at: DateTime<Utc>,
        name: Option<&str>,
        data: &Value,
    ) -> Result<Option<Self>, Refusal> {
        let Some(data) = data.as_object() else {
            return Ok(None);
        };
        let mut contact = Fields::new();
        for (field, value) in data {
            if Kind::Contacts.columns().contains(&field.as_str()) || field.starts_with("attr.") {
                contact.extend(cell(field, value)?.map(|text| (field.clone(), text)));
            }
        }
        let lead = match data.get("lead") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(Fields::new()),
            Some(Value::Object(said)) => Some(lead_fields(said)?),
            Some(_) => {
                let reason = "true, or an object with the fields of leads.csv";
                return Err(Refusal::new("lead", reason));
            }
        };
        let consent_text = match data.get("consent_text") {
            None => None,
            Some(value) => cell("consent_text", value)?,
        };
        if consent_text
            .as_ref()
            .is_some_and(|text| text.chars().count() > BLOCK)
        {
            let reason = format!("longer than {BLOCK} characters");
            return Err(Refusal::new("consent_text", reason));
        }
        let names_somebody = ["external_id", "email", "phone"]
            .iter()
            .any(|field| contact.contains_key(*field));
        if contact.is_empty() && lead.is_none() || name.is_none() && !names_somebody {
            return Ok(None);
        }
        let external_id = contact.get("external_id").cloned();
        let mut form = Self {
            event_id,
            at,
            name: name.map(|name| name.trim().to_owned()),
            external_id,
            consent_text,
            contact,
            lead,
        };
        form.complete();
        Ok(Some(form))
    }

    /// The event that brought it.
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// An address that the caller calls the person by is one of his fields; every row has an id.
    fn complete(&mut self) {
        let name = self.name.clone().unwrap_or_default();
        let is_phone = name.starts_with('+');
        if name.contains('@') {
            self.contact.entry("email".to_owned()).or_insert(name.clone());
        } else if is_phone {
            self.contact.entry("phone".to_owned()).or_insert(name.clone());
        }
        let is_id = !name.is_empty() && !name.contains('@') && !is_phone;
        let own = if is_id {
            name
        } else {
            format!("form-{}", self.event_id)
        };
        self.contact.entry("external_id".to_owned()).or_insert(own);
        if let Some(lead) = &mut self.lead {
            let own = format!("form-{}", self.event_id);
            lead.entry("external_id".to_owned()).or_insert(own);
        }
    }

    /// What the person is searched by, best first.
    fn names(&self, region: &str) -> Vec<String> {
        let email = self
            .contact
            .get("email")
            .map(|text| EmailAddress::parse(text).map_or_else(|_| text.clone(), |address| address.norm()));
        let phone = self.contact.get("phone").map(|text| {
            PhoneNumber::parse(text, Some(region)).map_or_else(|_| text.clone(), |n| n.as_str().to_owned())
        });
        let name = self.name.clone().filter(|name| !name.contains('@'));
        [name, email, phone].into_iter().flatten().collect()
    }

    /// Forms of one shape share a chunk.
    fn shape(&self) -> (Vec<String>, Option<Vec<String>>) {
        let keys = |fields: &Fields| fields.keys().cloned().collect();
        (keys(&self.contact), self.lead.as_ref().map(keys))
    }
}

/// The fields of a lead. Whose it is the form says itself.
fn lead_fields(said: &serde_json::Map<String, Value>) -> Result<Fields, Refusal> {
    let mut fields = Fields::new();
    for (field, value) in said {
        if field == "contact" {
            return Err(Refusal::new(
                "lead.contact",
                "the lead is the person's of the form",
            ));
        }
        let text = cell(field, value).map_err(of_lead)?;
        fields.extend(text.map(|text| (field.clone(), text)));
    }
    Ok(fields)
}

/// A value as the cell of a row. What is empty is not there: a form clears nothing.
fn cell(field: &str, value: &Value) -> Result<Option<String>, Refusal> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Array(_) | Value::Object(_) => {
            return Err(Refusal::new(field.to_owned(), "a text, a number, true or false"));
        }
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn of_lead(refusal: Refusal) -> Refusal {
    Refusal::new(format!("lead.{}", refusal.field), refusal.reason)
}

fn of_header(refusal: FileRefusal) -> Refusal {
    Refusal::new(refusal.field, refusal.reason)
}

/// Takes the forms of a batch in, within the caller's transaction, in which [`staging::prepare_transaction`] was called.
/// Answers by event id.
pub async fn take(
    conn: &mut PgConnection,
    deps: &ImportDeps,
    source: &str,
    forms: Vec<Form>,
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, Taken>> {
    let mut work = Work {
        source_id: staging::source_id(conn, source).await?,
        source,
        reading: Reading::of(deps, now),
        taken: HashMap::new(),
    };
    let mut waiting = forms;
    for _ in 0..MOST_SHAPES {
        let Some(shape) = waiting.first().map(Form::shape) else {
            break;
        };
        // Two forms of one person are not of one chunk: the second has to find what the first made.
        let mut met: BTreeSet<String> = BTreeSet::new();
        let (chunk, rest): (Vec<Form>, Vec<Form>) = waiting.into_iter().partition(|form| {
            let mut names = form.names(&work.reading.region);
            names.extend(form.external_id.clone());
            let fits = form.shape() == shape && names.iter().all(|name| !met.contains(name));
            met.extend(names);
            fits
        });
        waiting = rest;
        work.bring(conn, chunk).await?;
    }
    for form in waiting {
        let reason =
            format!("more than {MOST_SHAPES} sets of fields, or forms of one person, in one request");
        work.refuse(&form, Refusal::new("", reason));
    }
    Ok(work.taken)
}

struct Work<'a> {
    source: &'a str,
    source_id: i16,
    reading: Reading,
    taken: HashMap<Uuid, Taken>,
}

/// A row that can be staged: the form, and the contact where he is known.
struct Row {
    form: Form,
    known: Option<Uuid>,
}

impl Work<'_> {
    fn refuse(&mut self, form: &Form, refusal: Refusal) {
        self.taken.insert(form.event_id, Taken::Refused(refusal));
    }

    /// Brings forms of one shape in. Those that only the database can refuse are found out by trying.
    async fn bring(&mut self, conn: &mut PgConnection, forms: Vec<Form>) -> Result<()> {
        let mut rows = self.find(conn, forms).await?;
        loop {
            let mut attempt = conn.begin().await?;
            let refused = self.write(&mut attempt, &rows).await?;
            if refused.is_empty() {
                attempt.commit().await?;
                return Ok(());
            }
            attempt.rollback().await?;
            rows.retain(|row| !refused.contains_key(&row.form.event_id));
            let refused = refused.into_iter().map(|(id, why)| (id, Taken::Refused(why)));
            self.taken.extend(refused);
        }
    }

    /// Who is known already: by the source's own id, else by name or address.
    async fn find(&mut self, conn: &mut PgConnection, forms: Vec<Form>) -> Result<Vec<Row>> {
        let stated: Vec<String> = forms.iter().filter_map(|form| form.external_id.clone()).collect();
        let own = staging::contact::refs(conn, self.source_id, &stated).await?;
        let names: Vec<String> = forms
            .iter()
            .flat_map(|form| form.names(&self.reading.region))
            .collect();
        let mut people: HashMap<String, BTreeSet<Uuid>> = HashMap::new();
        for found in event::contacts(conn, &names).await? {
            people.entry(found.asked).or_default().insert(found.contact_id);
        }
        let everybody: Vec<Uuid> = people.values().flatten().copied().collect();
        let taken = staging::contact::named(conn, self.source_id, &everybody).await?;
        let mut rows = Vec::with_capacity(forms.len());
        for form in forms {
            if form.external_id.as_ref().is_some_and(|id| own.contains(id)) {
                rows.push(Row { form, known: None });
                continue;
            }
            let found = form
                .names(&self.reading.region)
                .iter()
                .find_map(|name| people.get(name))
                .cloned()
                .unwrap_or_default();
            // Whom the source calls otherwise is somebody else who shares the address.
            let found: Vec<Uuid> = found
                .into_iter()
                .filter(|id| form.external_id.is_none() || !taken.contains(id))
                .collect();
            match found.as_slice() {
                [] => rows.push(Row { form, known: None }),
                [one] => rows.push(Row {
                    known: Some(*one),
                    form,
                }),
                _ => {
                    self.taken.insert(form.event_id, Taken::Several);
                }
            }
        }
        Ok(rows)
    }

    /// Writes rows of one shape; returns those that are refused, after which nothing of this attempt may stay.
    async fn write(&mut self, conn: &mut PgConnection, rows: &[Row]) -> Result<HashMap<Uuid, Refusal>> {
        let mut refused = HashMap::new();
        let Some(first) = rows.first() else {
            return Ok(refused);
        };
        let of = |line: i64| usize::try_from(line).ok().and_then(|line| rows.get(line));
        let keys = || first.form.contact.keys().map(String::as_str);
        let header = Header::parse(Kind::Contacts, &Record::of(1, keys())).map_err(of_header);
        let mut copy = CopyText::default();
        for (line, row) in rows.iter().enumerate() {
            let said = header.clone().and_then(|header| {
                let mut columns = ContactColumns::new(self.reading.clone(), header.attributes.clone());
                columns.tell(Told {
                    known: row.known,
                    consent_text: row.form.consent_text.clone(),
                    at: Some(row.form.at),
                });
                put(line, &row.form.contact, &header, &mut columns, &mut copy)
            });
            // A lead is judged before anything is written; whose it is comes later.
            let said = said.and_then(|()| match &row.form.lead {
                Some(lead) => self.put_lead(line, lead, None, &mut CopyText::default()),
                None => Ok(()),
            });
            if let Err(refusal) = said {
                refused.insert(row.form.event_id, refusal);
            }
        }
        if !refused.is_empty() {
            return Ok(refused);
        }
        let names: Vec<String> = keys().map(ToOwned::to_owned).collect();
        staging::contact::open(conn, &names).await?;
        contact::load(conn, &self.load(&copy)).await?;
        for bad in staging::refused(conn).await? {
            refused.extend(of(bad.line).map(|row| (row.form.event_id, Refusal::new(bad.field, bad.reason))));
        }
        let staged = staging::contact::staged(conn).await?;
        staging::drop_tables(conn, "contact").await?;
        let (mut ids, mut people) = (Vec::new(), Vec::new());
        for one in &staged {
            let Some(Row { form, known }) = of(one.line) else {
                continue;
            };
            if let (Some(id), Some(_)) = (&form.external_id, known) {
                ids.push(id.clone());
                people.push(one.id);
            }
            let known = Taken::Known {
                contact_id: one.id,
                account_id: one.account_id,
            };
            self.taken.insert(form.event_id, known);
        }
        staging::contact::add_refs(conn, self.source_id, &ids, &people).await?;
        if refused.is_empty() {
            let people: Vec<(usize, Uuid)> = staged
                .iter()
                .filter_map(|one| Some((usize::try_from(one.line).ok()?, one.id)))
                .collect();
            refused = self.write_leads(conn, rows, &people).await?;
        }
        Ok(refused)
    }

    /// The leads of the forms. One that is not named is made only for somebody who has no open one.
    async fn write_leads(
        &self,
        conn: &mut PgConnection,
        rows: &[Row],
        people: &[(usize, Uuid)],
    ) -> Result<HashMap<Uuid, Refusal>> {
        let mut refused = HashMap::new();
        let Some(shape) = rows.first().and_then(|row| row.form.lead.as_ref()) else {
            return Ok(refused);
        };
        let ids: Vec<Uuid> = people.iter().map(|(_, id)| *id).collect();
        let open: BTreeSet<Uuid> = leads::open_of(conn, &ids)
            .await?
            .into_iter()
            .map(|lead| lead.contact_id)
            .collect();
        let mut copy = CopyText::default();
        for (line, person) in people {
            let Some((form, lead)) = rows
                .get(*line)
                .and_then(|row| Some((&row.form, row.form.lead.as_ref()?)))
            else {
                continue;
            };
            let unnamed = lead.get("external_id") == Some(&format!("form-{}", form.event_id));
            if unnamed && open.contains(person) {
                continue;
            }
            if let Err(refusal) = self.put_lead(*line, lead, Some(*person), &mut copy) {
                refused.insert(form.event_id, refusal);
            }
        }
        if copy.rows() == 0 || !refused.is_empty() {
            return Ok(refused);
        }
        let names: Vec<String> = shape.keys().cloned().collect();
        staging::lead::open(conn, &names).await?;
        lead::load(conn, &self.load(&copy)).await?;
        for bad in staging::refused(conn).await? {
            let row = usize::try_from(bad.line).ok().and_then(|line| rows.get(line));
            refused.extend(row.map(|row| (row.form.event_id, of_lead(Refusal::new(bad.field, bad.reason)))));
        }
        staging::drop_tables(conn, "lead").await?;
        Ok(refused)
    }

    fn put_lead(
        &self,
        line: usize,
        lead: &Fields,
        contact: Option<Uuid>,
        copy: &mut CopyText,
    ) -> Result<(), Refusal> {
        let header = Header::parse(Kind::Leads, &Record::of(1, lead.keys().map(String::as_str)))
            .map_err(|refusal| of_lead(of_header(refusal)))?;
        let mut columns = LeadColumns::new(self.reading.clone());
        if let Some(contact) = contact {
            columns.tell(contact);
        }
        put(line, lead, &header, &mut columns, copy).map_err(of_lead)
    }

    fn load<'a>(&'a self, rows: &'a CopyText) -> Load<'a> {
        Load {
            rows,
            source: self.source,
            source_id: self.source_id,
            ids: &self.reading.ids,
            now: self.reading.now,
            zone: self.reading.zone,
            basis: "form",
            dry_run: false,
        }
    }
}

/// Puts one row of fields among the staged ones, or nothing of it.
fn put(
    line: usize,
    fields: &Fields,
    header: &Header,
    columns: &mut dyn Columns,
    copy: &mut CopyText,
) -> Result<(), Refusal> {
    let record = Record::of(line as u64, fields.values().map(String::as_str));
    let said = Cells::open(&record, header).and_then(|cells| stage(record.line, &cells, columns, copy));
    if said.is_err() {
        copy.drop_row();
    }
    said
}
