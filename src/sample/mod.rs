//! The sample company: a generator with a fixed seed that makes the worked case of the customer pyramid (2,126
//! customers in four tiers), with inactive ones, prospects, suspects, reps and campaigns, as the six import files.

mod accounts;
mod birthdays;
mod campaigns;
mod contacts;
mod factors;
mod leads;
mod names;
mod owners;
mod phones;
mod places;
mod purchases;
mod pyramid;
mod rng;
mod rows;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;

pub use accounts::{INACTIVE, PROSPECTS, SUSPECTS};
pub use leads::{CUSTOMER_GRADES, LOST, PROSPECT_GRADES, WON};
pub use pyramid::{TIERS, TierFigures, state_costs};
pub use rows::{CampaignRow, ContactRow, LeadRow, OrganisationRow, OwnerRow, PurchaseRow};

/// All rows of the sample, each list in the order of its file.
#[derive(Debug)]
pub struct SampleCompany {
    /// The twelve reps.
    pub owners: Vec<OwnerRow>,
    /// Customers, prospects and suspects that are companies.
    pub organisations: Vec<OrganisationRow>,
    /// Ten, one of them still ahead.
    pub campaigns: Vec<CampaignRow>,
    /// The people of every account.
    pub contacts: Vec<ContactRow>,
    /// Open ones, and those won and lost in the base period.
    pub leads: Vec<LeadRow>,
    /// Those of the base period (the twelve months before the start), and older ones of the inactive.
    pub purchases: Vec<PurchaseRow>,
}

impl SampleCompany {
    /// Makes the company as it stands at midnight before `start` in its zone. The same seed, start and zone give the
    /// same rows, byte for byte.
    #[must_use]
    pub fn generate(seed: u64, start: NaiveDate, company_zone: Tz) -> Self {
        let mut accounts = accounts::draw(seed);
        let (organisations, contacts) = contacts::people(seed, &mut accounts);
        let purchases = purchases::made(seed, &accounts, start, company_zone);
        let locales: BTreeMap<&str, &'static str> = contacts
            .iter()
            .map(|contact| (contact.external_id.as_str(), contact.locale))
            .collect();
        let locale_of = |contact: &str| locales.get(contact).copied().unwrap_or("en");
        let leads = leads::opened(seed, &accounts, locale_of, &purchases, start);
        Self {
            owners: owners::roster(start),
            organisations,
            campaigns: campaigns::around(start),
            contacts,
            leads,
            purchases,
        }
    }
}
