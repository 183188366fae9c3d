//! What a template may say: the variables, in one place. The struct gives them their values, [`VARIABLES`] names them
//! for the check and the reference; a test holds the two together.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The facts one message is rendered from. What is not known is `None` and renders empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RenderContext {
    /// Business time of the rendering; `today` follows from it and the contact's zone.
    pub now: DateTime<Utc>,
    /// The recipient, or the person a task is about.
    pub contact: Contact,
    /// The customer the contact belongs to.
    pub account: Account,
    /// The sale the touch is about.
    pub lead: Lead,
    /// The rep in charge.
    pub owner: Owner,
    /// Who writes.
    pub company: Company,
    /// The newest purchase of the account.
    pub last_purchase: Purchase,
    /// The birthday this touch is about.
    pub birthday: Birthday,
    /// The festival or regional occasion this touch is about.
    pub occasion: Occasion,
    /// Links made for this message.
    pub links: Links,
}

/// The recipient.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Full name as the person writes it.
    pub name: String,
    /// What a familiar greeting uses.
    pub first_name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// BCP 47 tag.
    pub locale: String,
    /// IANA zone name.
    pub timezone: String,
    /// Region as recorded.
    pub region: Option<String>,
    /// Role in the organisation.
    pub role: Option<String>,
    /// Own attributes, by name.
    pub attr: Map<String, Value>,
}

/// The customer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Name of the organisation, or of a contact standing alone.
    pub name: Option<String>,
    /// Trade.
    pub industry: Option<String>,
    /// Tier of the customer pyramid.
    pub tier: Option<String>,
    /// Region as recorded.
    pub region: Option<String>,
}

/// One possible sale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lead {
    /// What they look for.
    pub product: Option<String>,
    /// Value in `currency`.
    pub value: Option<Decimal>,
    /// ISO 4217 code of `value`.
    pub currency: Option<String>,
    /// What has to be finished or decided first, in the lead's own words.
    pub waiting_for: Option<String>,
    /// When that is expected.
    pub expected_on: Option<NaiveDate>,
    /// When the sale is expected to close.
    pub expected_close: Option<NaiveDate>,
    /// A to D.
    pub grade: Option<String>,
    /// `greenfield` or `replacement`.
    pub situation: Option<String>,
    /// Stage of the sale.
    pub stage: Option<String>,
    /// Why it was lost, for a lost one.
    pub lost_reason: Option<String>,
}

/// The rep in charge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Full name.
    pub name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Lines under a letter.
    pub signature: Option<String>,
}

/// Who writes: the brand as the recipient sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Company {
    /// Name.
    pub name: String,
    /// Postal address, one line.
    pub postal_address: Option<String>,
    /// Web site.
    pub url: Option<String>,
    /// Page with prices.
    pub pricing_url: Option<String>,
    /// Page where a time for a talk is chosen.
    pub booking_url: Option<String>,
    /// Page with a case customer's story.
    pub case_url: Option<String>,
}

/// The newest purchase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purchase {
    /// What was bought.
    pub product: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// For how much, in `currency`.
    pub amount: Option<Decimal>,
    /// ISO 4217 code.
    pub currency: Option<String>,
}

/// A birthday.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Birthday {
    /// The day it is kept this time.
    pub date: Option<NaiveDate>,
    /// `gregorian` or `lunar`.
    pub calendar: Option<String>,
}

/// A festival or regional occasion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Occasion {
    /// Its name.
    pub name: Option<String>,
    /// Its day.
    pub date: Option<NaiveDate>,
}

/// Links made for one message; never tracked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Links {
    /// Ends all marketing to this address.
    pub unsubscribe: Option<String>,
    /// Lets the person choose what to get.
    pub preferences: Option<String>,
}

/// JSON without what is not known, and without objects that hold nothing else.
struct Known<'v>(&'v Value);

impl Known<'_> {
    fn is_some(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Object(map) => map.values().any(Self::is_some),
            _ => true,
        }
    }
}

impl Serialize for Known<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let known = map.iter().filter(|(_, value)| Self::is_some(value));
                serializer.collect_map(known.map(|(name, value)| (name, Known(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

/// Name and meaning of every variable. `contact.attr` is open: any name may stand below it.
pub const VARIABLES: &[(&str, &str)] = &[
    ("account.industry", "the customer's trade"),
    (
        "account.name",
        "name of the organisation, or of the contact standing alone",
    ),
    ("account.region", "the customer's region"),
    ("account.tier", "vip, key, normal, small, inactive or none"),
    ("birthday.calendar", "gregorian or lunar"),
    ("birthday.date", "the day the birthday is kept this time"),
    ("company.booking_url", "page where a time for a talk is chosen"),
    ("company.case_url", "page with a case customer's story"),
    ("company.name", "who writes"),
    ("company.postal_address", "postal address, one line"),
    ("company.pricing_url", "page with prices"),
    ("company.url", "web site"),
    ("contact.attr", "own attributes: contact.attr.NAME"),
    ("contact.email", "the contact's email address"),
    ("contact.first_name", "what a familiar greeting uses"),
    ("contact.locale", "the contact's language tag"),
    ("contact.name", "full name"),
    ("contact.phone", "the contact's phone number"),
    ("contact.region", "the contact's region"),
    ("contact.role", "role in the organisation"),
    ("contact.timezone", "the contact's time zone"),
    ("last_purchase.amount", "amount of the newest purchase"),
    ("last_purchase.at", "when it was"),
    ("last_purchase.currency", "its currency code"),
    ("last_purchase.product", "what was bought"),
    ("lead.currency", "currency code of the value"),
    ("lead.expected_close", "when the sale is expected to close"),
    ("lead.expected_on", "when what the lead waits for is expected"),
    ("lead.grade", "A to D"),
    ("lead.lost_reason", "why the lead was lost"),
    ("lead.product", "what they look for"),
    ("lead.situation", "greenfield or replacement"),
    ("lead.stage", "stage of the sale"),
    ("lead.value", "value of the sale"),
    ("lead.waiting_for", "what has to be finished or decided first"),
    ("links.preferences", "page where the person chooses what to get"),
    ("links.unsubscribe", "ends all marketing to this address"),
    ("locale", "language tag of the content, for <html lang>"),
    ("now", "the moment of rendering"),
    ("occasion.date", "day of the festival or occasion"),
    ("occasion.name", "name of the festival or occasion"),
    ("owner.email", "the rep's email address"),
    ("owner.name", "the rep's name"),
    ("owner.phone", "the rep's phone number"),
    ("owner.signature", "lines under the rep's letters"),
    ("today", "the day of rendering where the contact lives"),
];

/// What a layout may say beyond that.
pub const LAYOUT_VARIABLES: &[(&str, &str)] = &[("subject", "the rendered subject")];

/// The one open node: below it any name may stand.
pub const OPEN: &str = "contact.attr";

impl RenderContext {
    /// What the record of a message keeps of this, as JSON: every fact that is known. The company's own words are those of
    /// the rules in force at that time, and the links follow from the message's id.
    pub fn record(&self) -> Result<String, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        if let Value::Object(map) = &mut value {
            map.remove("company");
            map.remove("links");
        }
        serde_json::to_string(&Known(&value))
    }

    /// A person with every fact known, for checks, previews without a contact and the examples of the reference.
    #[must_use]
    pub fn sample() -> Self {
        let day = |month, day| NaiveDate::from_ymd_opt(2027, month, day);
        let text = |text: &str| Some(text.to_owned());
        Self {
            now: day(3, 5)
                .and_then(|day| day.and_hms_opt(9, 30, 0))
                .unwrap_or_default()
                .and_utc(),
            contact: Contact {
                name: "Ada Lin".to_owned(),
                first_name: text("Ada"),
                email: text("ada@lin.example"),
                phone: text("+8613800138000"),
                locale: "en-GB".to_owned(),
                timezone: "Asia/Shanghai".to_owned(),
                region: text("Shanghai"),
                role: text("Head of purchasing"),
                attr: Map::from_iter([("machines".to_owned(), Value::from("12"))]),
            },
            account: Account {
                name: text("Lin & Sons"),
                industry: text("Printing"),
                tier: text("key"),
                region: text("Shanghai"),
            },
            lead: Lead {
                product: text("the planning module"),
                value: Some(Decimal::new(12_500_000, 2)),
                currency: text("CNY"),
                waiting_for: text("the budget round"),
                expected_on: day(4, 12),
                expected_close: day(6, 30),
                grade: text("B"),
                situation: text("greenfield"),
                stage: text("opportunity"),
                lost_reason: text("price"),
            },
            owner: Owner {
                name: text("Sam Reed"),
                email: text("sam@company.example"),
                phone: text("+44 20 7946 0000"),
                signature: text("Sam Reed\nCompany Ltd"),
            },
            company: Company {
                name: "Company Ltd".to_owned(),
                postal_address: text("1 Long Street, London"),
                url: text("https://company.example/"),
                pricing_url: text("https://company.example/pricing"),
                booking_url: text("https://company.example/talk"),
                case_url: text("https://company.example/case"),
            },
            last_purchase: Purchase {
                product: text("the order module"),
                at: day(1, 15)
                    .and_then(|day| day.and_hms_opt(2, 0, 0))
                    .map(|at| at.and_utc()),
                amount: Some(Decimal::new(911_050, 2)),
                currency: text("CNY"),
            },
            birthday: Birthday {
                date: day(3, 5),
                calendar: text("gregorian"),
            },
            occasion: Occasion {
                name: text("Mid-Autumn Festival"),
                date: day(9, 15),
            },
            links: Links {
                unsubscribe: text("https://company.example/u/token"),
                preferences: text("https://company.example/p/token"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::data::Data;

    fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) if path != OPEN => {
                for (name, value) in map {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    leaves(value, &path, out);
                }
            }
            _ => out.push(path.to_owned()),
        }
    }

    #[test]
    fn the_named_variables_are_the_ones_with_values() {
        let data = Data::of(&RenderContext::sample(), "en").unwrap().into_value();
        let mut found = Vec::new();
        leaves(&data, "", &mut found);
        found.retain(|path| !path.starts_with("@format"));
        found.sort();
        let named: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, named);
    }

    #[test]
    fn a_record_keeps_what_is_known() {
        let mut context = RenderContext::default();
        context.contact.name = "Ann".to_owned();
        let record = context.record().unwrap();
        assert_eq!(
            record,
            r#"{"contact":{"locale":"","name":"Ann","timezone":""},"now":"1970-01-01T00:00:00Z"}"#
        );
    }

    #[test]
    fn a_sample_leaves_nothing_unknown_and_survives_json() {
        let sample = RenderContext::sample();
        let json = serde_json::to_value(&sample).unwrap();
        assert!(!json.to_string().contains("null"));
        assert_eq!(serde_json::from_value::<RenderContext>(json).unwrap(), sample);
    }
}
