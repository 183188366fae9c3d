//! The people and the organisations they belong to.

use super::accounts::{Account, Standing};
use super::birthdays;
use super::names;
use super::phones::Phones;
use super::places::Script;
use super::rng::Rng;
use super::rows::{ContactRow, OrganisationRow};

const SIZES: &[(usize, &str)] = &[(50, "10-49"), (30, "50-249"), (12, "1-9"), (8, "250+")];
const INTERESTS: &[&str] = &[
    "stock control",
    "payroll",
    "reporting",
    "purchasing",
    "labelling",
    "training",
];
const TIMES: &[&str] = &["09:30", "10:00", "11:00", "14:30", "16:00"];
const CONSENT_SOURCES: &[&str] = &["web form", "order form", "exhibition", "phone call"];
/// Channel a person likes best, with weights.
const CHANNELS: &[(usize, Option<&str>)] = &[
    (52, Some("email")),
    (18, Some("sms")),
    (4, Some("phone")),
    (26, None),
];
/// The roles at a company with three known people, the decision maker first.
const ROLES: [&str; 3] = ["decision maker", "buyer", "user"];

/// Makes the people of every account and writes their external ids into it.
pub(super) fn people(seed: u64, accounts: &mut [Account]) -> (Vec<OrganisationRow>, Vec<ContactRow>) {
    let mut makers = Makers {
        rng: Rng::stream(seed, "people"),
        phones: Phones::default(),
        organisations: Vec::new(),
        contacts: Vec::new(),
        customers: Vec::new(),
    };
    for account in accounts {
        makers.move_in(account);
    }
    (makers.organisations, makers.contacts)
}

struct Makers {
    rng: Rng,
    phones: Phones,
    organisations: Vec<OrganisationRow>,
    contacts: Vec<ContactRow>,
    /// External ids of the customers so far: they are the ones who refer others.
    customers: Vec<String>,
}

impl Makers {
    fn move_in(&mut self, account: &mut Account) {
        let country = account.place.country();
        let size = account.company.then(|| *self.rng.weighted(SIZES));
        let mut domain = None;
        if account.company {
            let number = self.organisations.len() + 1;
            let name = names::organisation(number, country);
            let parent = (number > 1 && self.rng.chance(2))
                .then(|| self.organisations[self.rng.below(number - 1)].external_id.clone());
            self.organisations.push(OrganisationRow {
                external_id: format!("org-{number:04}"),
                name: name.written,
                industry: name.industry,
                size: size.unwrap_or_default(),
                region: account.place.region,
                parent,
            });
            account.organisation = Some(format!("org-{number:04}"));
            domain = Some(name.domain);
        }
        for place in 0..account.people {
            let contact = self.person(account, place, domain.as_deref(), size);
            account.contacts.push(contact.external_id.clone());
            if matches!(account.standing, Standing::Customer { .. }) {
                self.customers.push(contact.external_id.clone());
            }
            self.contacts.push(contact);
        }
    }

    fn person(
        &mut self,
        account: &Account,
        place: usize,
        domain: Option<&str>,
        size: Option<&'static str>,
    ) -> ContactRow {
        let rng = &mut self.rng;
        let number = self.contacts.len() + 1;
        let (locale, script) = *rng.weighted(account.place.tongues);
        let name = names::person(rng, script);
        let (has_email, has_phone) =
            *rng.weighted(&[(84, (true, true)), (11, (true, false)), (5, (false, true))]);
        let domain = domain.unwrap_or(if rng.chance(60) {
            "mail.example"
        } else {
            "post.example"
        });
        let chinese = matches!(script, Script::Simplified | Script::Traditional | Script::Pinyin);
        // The closer a person, the more is known of them.
        let birthday_known = match account.standing {
            Standing::Customer { .. } => 88,
            Standing::Inactive | Standing::Prospect => 55,
            Standing::Suspect => 25,
        };
        let birthday = if rng.chance(birthday_known) {
            birthdays::draw(rng, chinese)
        } else {
            None
        };
        let (role, decision_maker) = match (account.company, account.people) {
            (true, 3) => (Some(ROLES[place]), Some(place == 0)),
            (true, _) => *rng.weighted(&[
                (55, (Some("decision maker"), Some(true))),
                (15, (Some("buyer"), Some(false))),
                (15, (Some("user"), None)),
                (15, (None, None)),
            ]),
            (false, _) => (None, Some(true)),
        };
        let preferred_channel = match *rng.weighted(CHANNELS) {
            Some("email") if !has_email => Some("sms"),
            Some("sms" | "phone") if !has_phone => Some("email"),
            other => other,
        };
        // Who likes short messages best has mostly said yes to them.
        let sms_answers = if preferred_channel == Some("sms") {
            [85, 3, 12]
        } else {
            [42, 11, 47]
        };
        let consent_email = has_email
            .then(|| *rng.weighted(&[(88, Some(true)), (4, Some(false)), (8, None)]))
            .flatten();
        let consent_sms = has_phone
            .then(|| {
                *rng.weighted(&[
                    (sms_answers[0], Some(true)),
                    (sms_answers[1], Some(false)),
                    (sms_answers[2], None),
                ])
            })
            .flatten();
        let asked = consent_email.is_some() || consent_sms.is_some();
        let owned = !matches!(account.standing, Standing::Suspect) || rng.chance(40);
        let referred = !self.customers.is_empty() && rng.chance(6);
        ContactRow {
            external_id: format!("c-{number:05}"),
            name: name.written,
            email: has_email.then(|| format!("{}.{number}@{domain}", name.ascii)),
            phone: has_phone.then(|| self.phones.next(account.place.country())),
            locale,
            timezone: account.place.zone,
            region: account.place.region,
            birthday_calendar: birthday.as_ref().map(|(_, calendar)| *calendar),
            birthday: birthday.map(|(text, _)| text),
            organisation: account.organisation.clone(),
            role,
            decision_maker,
            owner: owned.then(|| account.place.owner.to_owned()),
            preferred_channel,
            best_time: rng.chance(15).then(|| *rng.pick(TIMES)),
            referred_by: referred.then(|| rng.pick(&self.customers).clone()),
            consent_email,
            consent_sms,
            consent_source: asked.then(|| *rng.pick(CONSENT_SOURCES)),
            industry_interest: rng.chance(60).then(|| *rng.pick(INTERESTS)),
            company_size: size,
        }
    }
}
