//! What a message may say about a person: from the facts of the database to the variables of a template.

use chrono::{DateTime, Utc};

use super::Deps;
use super::links::MessageLinks;
use crate::engine::rules::Rules;
use crate::render::context::{
    Account, Birthday, Company, Contact, Lead, Links, Occasion, Owner, Purchase, RenderContext,
};
use crate::store::facts::PersonRow;

/// The variables of one message. `way_out` says whether it offers the way out of further ones: then the link is known,
/// to the text and to the header of a mail, which is made from it.
pub fn context(
    deps: &Deps,
    rules: &Rules,
    person: &PersonRow,
    links: &MessageLinks<'_>,
    way_out: bool,
    now: DateTime<Utc>,
) -> RenderContext {
    let company = &rules.company;
    let currency = Some(company.currency.clone());
    RenderContext {
        now,
        contact: Contact {
            name: person.name.clone(),
            first_name: person
                .attrs
                .get("first_name")
                .and_then(|v| v.as_str())
                .map(ToOwned::to_owned),
            email: person.email.clone(),
            phone: person.phone.clone(),
            locale: person
                .locale
                .clone()
                .unwrap_or_else(|| company.default_locale.clone()),
            timezone: deps.zone_of(person.timezone.as_deref()).name().to_owned(),
            region: person.region.clone(),
            role: person.role.clone(),
            attr: person.attrs.as_object().cloned().unwrap_or_default(),
        },
        account: Account {
            name: Some(person.account_name.clone()),
            industry: person.industry.clone(),
            tier: Some(person.standing.clone()),
            region: person.account_region.clone(),
        },
        lead: Lead {
            product: person.product.clone(),
            value: person.value,
            currency: person.value.and(currency),
            waiting_for: person.waiting_for.clone(),
            expected_on: person.expected_on,
            expected_close: person.expected_close,
            grade: person.grade.clone(),
            situation: person.situation.clone(),
            stage: None,
            lost_reason: None,
        },
        owner: Owner {
            name: person.owner_name.clone(),
            email: person.owner_email.clone(),
            phone: person.owner_phone.clone(),
            signature: person.owner_signature.clone(),
        },
        company: Company {
            name: company.name.clone(),
            postal_address: Some(company.postal_address.clone()).filter(|a| !a.is_empty()),
            url: Some(company.url.clone()),
            pricing_url: Some(company.pricing_url.clone()),
            booking_url: Some(company.booking_url.clone()),
            case_url: Some(company.case_url.clone()),
        },
        last_purchase: Purchase {
            product: person.last_product.clone(),
            at: person.last_at,
            amount: person.last_amount,
            currency: person.last_currency.clone(),
        },
        birthday: Birthday {
            date: person.next_birthday_on,
            calendar: person.birthday_calendar.clone(),
        },
        occasion: Occasion::default(),
        links: Links {
            unsubscribe: way_out.then(|| links.unsubscribe()),
            preferences: None,
        },
    }
}
