//! The company in whose name kith writes.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The company in whose name kith writes. A document: `kith apply` puts it in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// As customers know it.
    pub name: String,
    /// Zone of schedules without one, and of dates of contacts without one.
    pub timezone: Tz,
    /// Language of contacts without one: a BCP 47 tag.
    pub default_locale: String,
    /// Region of phone numbers without a country code and of contacts without one: ISO 3166.
    pub region: String,
    /// The address that the law wants under a mail.
    pub postal_address: String,
    /// Home page.
    pub url: String,
    /// Price page; a click there is evidence.
    pub pricing_url: String,
    /// Where a demo or visit is booked.
    pub booking_url: String,
    /// Stories of customers.
    pub case_url: String,
    /// ISO 4217 code of amounts without one.
    pub currency: String,
}
