//! CONTACT on the command line: an external id, a mail address or a phone number.

use anyhow::Result;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Context;
use super::context::refused;
use crate::domain::phone::PhoneNumber;
use crate::store::{event, story};

/// The one person that is called so; refuses nobody and several.
pub async fn find(conn: &mut PgConnection, context: &Context, name: &str) -> Result<Uuid> {
    let spellings = spellings(name, &context.settings.company.region);
    let mut ids: Vec<Uuid> = event::contacts(conn, &spellings)
        .await?
        .into_iter()
        .map(|found| found.contact_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [one] => Ok(*one),
        [] => refused(format!(
            "nobody is called {name:?}: give an external id, a mail address or a phone number"
        )),
        several => {
            let people: Vec<String> = story::names(conn, several)
                .await?
                .into_iter()
                .map(|p| {
                    format!(
                        "  {}  {} ({}), {}",
                        p.contact_id, p.name, p.account_name, p.external_ids
                    )
                })
                .collect();
            refused(format!(
                "{name:?} fits several people; give the first column of one:\n{}",
                people.join("\n")
            ))
        }
    }
}

/// The forms in which a name may be stored: as written, a mail address in lower case, a phone number in full.
fn spellings(name: &str, region: &str) -> Vec<String> {
    let name = name.trim();
    let mut forms = vec![name.to_owned()];
    if name.contains('@') {
        forms.push(name.to_lowercase());
    } else if let Ok(phone) = PhoneNumber::parse(name, Some(region)) {
        forms.push(phone.to_string());
    }
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_every_form_it_may_be_stored_in() {
        assert_eq!(
            spellings(" Ann@Example.COM ", "CN"),
            ["Ann@Example.COM", "ann@example.com"]
        );
        assert_eq!(
            spellings("138 0013 8000", "CN"),
            ["138 0013 8000", "+8613800138000"]
        );
        assert_eq!(spellings("c-17", "CN"), ["c-17"]);
    }
}
