//! The figures of the worked case, and that the files are what the importer is promised.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Months, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::*;

const HEADERS: [(&str, &str); 6] = [
    (
        "owners",
        "external_id,name,email,phone,timezone,from_email,signature,deputy,away_from,away_until",
    ),
    ("organisations", "external_id,name,industry,size,region,parent"),
    ("campaigns", "external_id,name,kind,channel,date,budget,cost"),
    (
        "contacts",
        "external_id,name,email,phone,locale,timezone,region,birthday,birthday_calendar,organisation,role,\
         decision_maker,owner,preferred_channel,best_time,referred_by,consent_email,consent_sms,consent_source,\
         attr.industry_interest,attr.company_size",
    ),
    (
        "leads",
        "external_id,contact,organisation,owner,source_channel,campaign,situation,grade,grade_at,objective_need,\
         felt_need,dissatisfaction,resolve,evaluating,selecting,waiting_for,expected_on,expected_close,likelihood,\
         value,product,stage,opened_at,closed_at,outcome,lost_reason,not_fit",
    ),
    (
        "purchases",
        "external_id,contact,organisation,purchased_at,amount,currency,quantity,profit,product",
    ),
];

fn start() -> NaiveDate {
    NaiveDate::from_ymd_opt(2027, 3, 1).unwrap()
}

fn company() -> SampleCompany {
    SampleCompany::generate(1, start(), Tz::Asia__Shanghai)
}

/// The customer behind a row: the organisation, or the contact alone.
fn account(contact: &str, organisation: Option<&String>) -> String {
    organisation.map_or_else(|| contact.to_owned(), Clone::clone)
}

#[derive(Default)]
struct Sums {
    amount: Decimal,
    profit: Decimal,
    last: Option<NaiveDate>,
    times: usize,
}

fn by_customer(company: &SampleCompany) -> BTreeMap<String, Sums> {
    let mut customers: BTreeMap<String, Sums> = BTreeMap::new();
    for row in &company.purchases {
        let day = row.purchased_at.date_naive();
        if day >= start() - Months::new(12) {
            let sums = customers
                .entry(account(&row.contact, row.organisation.as_ref()))
                .or_default();
            sums.amount += row.amount;
            sums.profit += row.profit;
            sums.last = sums.last.max(Some(day));
            sums.times += 1;
        }
    }
    customers
}

#[test]
fn the_pyramid_is_the_worked_case() {
    let customers = by_customer(&company());
    assert_eq!(customers.len(), 2_126);
    let mut ranked: Vec<_> = customers.values().collect();
    ranked.sort_by_key(|sums| std::cmp::Reverse(sums.amount));
    let mut rest = ranked.as_slice();
    for (tier, revenue, profit) in [
        (&TIERS[0], 2_394_000, 957_600),
        (&TIERS[1], 2_686_000, 805_800),
        (&TIERS[2], 2_902_900, 580_580),
        (&TIERS[3], 1_973_160, -887_922),
    ] {
        let (members, below) = rest.split_at(tier.customers);
        rest = below;
        assert_eq!(
            members.iter().map(|sums| sums.amount).sum::<Decimal>(),
            Decimal::from(revenue)
        );
        assert_eq!(
            members.iter().map(|sums| sums.profit).sum::<Decimal>(),
            Decimal::from(profit)
        );
        assert!(
            members.iter().all(|sums| sums.amount > Decimal::from(tier.over)),
            "{} too low",
            tier.name
        );
        assert!(
            members
                .iter()
                .all(|sums| sums.amount <= Decimal::from(tier.up_to)),
            "{} too high",
            tier.name
        );
        let amounts: BTreeSet<_> = members.iter().map(|sums| sums.amount).collect();
        assert!(
            amounts.len() * 3 > members.len(),
            "{} has too few different sums",
            tier.name
        );
    }
    assert!(rest.is_empty());
    assert_eq!(
        ranked.iter().map(|sums| sums.amount).sum::<Decimal>(),
        Decimal::from(9_956_060)
    );
    assert_eq!(
        ranked.iter().map(|sums| sums.profit).sum::<Decimal>(),
        Decimal::from(1_456_058)
    );
}

#[test]
fn money_is_positive_and_has_two_decimals() {
    for row in &company().purchases {
        assert!(row.amount > Decimal::ZERO && row.quantity > 0, "{row:?}");
        assert!(row.amount.scale() <= 2 && row.profit.scale() <= 2);
    }
}

#[test]
fn some_of_the_best_customers_have_fallen_silent() {
    let customers = by_customer(&company());
    let silent = |tier: &TierFigures, from: i64, to: i64| {
        customers
            .values()
            .filter(|sums| {
                let days = (start() - sums.last.unwrap()).num_days();
                sums.amount > Decimal::from(tier.over)
                    && sums.amount <= Decimal::from(tier.up_to)
                    && (from..=to).contains(&days)
            })
            .count()
    };
    assert_eq!((silent(&TIERS[0], 213, 400), silent(&TIERS[0], 140, 212)), (3, 1));
    assert_eq!(
        (silent(&TIERS[1], 213, 400), silent(&TIERS[1], 140, 212)),
        (11, 4)
    );
    assert_eq!(
        silent(&TIERS[0], 0, 75) + silent(&TIERS[1], 0, 75),
        21 + 85 - 4 - 15
    );
    for month in 1..=12 {
        let (from, to) = (start() - Months::new(month), start() - Months::new(month - 1));
        let count = company()
            .purchases
            .iter()
            .filter(|row| (from..to).contains(&row.purchased_at.date_naive()))
            .count();
        assert!(
            (400..900).contains(&count),
            "{count} purchases {month} months before the start"
        );
    }
    let again = customers.values().filter(|sums| sums.times > 1).count();
    assert!(again > 1_400, "{again} bought more than once");
}

#[test]
fn standings_below_the_customers_have_their_counts() {
    let company = company();
    let customers = by_customer(&company);
    let bought: BTreeSet<_> = company
        .purchases
        .iter()
        .map(|row| account(&row.contact, row.organisation.as_ref()))
        .collect();
    assert_eq!(bought.len() - customers.len(), INACTIVE);
    let leads: BTreeSet<_> = company
        .leads
        .iter()
        .map(|row| account(&row.contact, row.organisation.as_ref()))
        .collect();
    assert_eq!(leads.difference(&bought).count(), PROSPECTS);
    let all: BTreeSet<_> = company
        .contacts
        .iter()
        .map(|row| account(&row.external_id, row.organisation.as_ref()))
        .collect();
    assert_eq!(
        all.iter()
            .filter(|id| !bought.contains(*id) && !leads.contains(*id))
            .count(),
        SUSPECTS
    );
    assert_eq!((company.owners.len(), company.campaigns.len()), (12, 10));
}

#[test]
fn ids_and_addresses_are_unique_and_references_hold() {
    let company = company();
    let contacts: BTreeSet<_> = company.contacts.iter().map(|row| &row.external_id).collect();
    let organisations: BTreeSet<_> = company.organisations.iter().map(|row| &row.external_id).collect();
    let owners: BTreeSet<_> = company.owners.iter().map(|row| &row.external_id).collect();
    let unique = |ids: Vec<&String>| {
        let count = ids.len();
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), count);
    };
    unique(company.contacts.iter().map(|row| &row.external_id).collect());
    unique(
        company
            .contacts
            .iter()
            .filter_map(|row| row.email.as_ref())
            .collect(),
    );
    unique(
        company
            .contacts
            .iter()
            .filter_map(|row| row.phone.as_ref())
            .chain(company.owners.iter().map(|row| &row.phone))
            .collect(),
    );
    unique(company.organisations.iter().map(|row| &row.external_id).collect());
    unique(company.organisations.iter().map(|row| &row.name).collect());
    unique(company.leads.iter().map(|row| &row.external_id).collect());
    unique(company.purchases.iter().map(|row| &row.external_id).collect());
    for row in &company.contacts {
        assert!(row.email.is_some() || row.phone.is_some());
        assert!(row.organisation.iter().all(|id| organisations.contains(id)));
        assert!(row.owner.iter().all(|id| owners.contains(id)));
        assert!(
            row.referred_by
                .iter()
                .all(|id| contacts.contains(id) && *id != row.external_id)
        );
    }
    for row in &company.leads {
        assert!(contacts.contains(&row.contact) && owners.contains(&row.owner));
        assert!(
            row.campaign
                .is_none_or(|id| company.campaigns.iter().any(|held| held.external_id == id))
        );
    }
    assert!(
        company
            .purchases
            .iter()
            .all(|row| contacts.contains(&row.contact))
    );
}

#[test]
fn addresses_and_phones_are_well_formed() {
    let company = company();
    for row in &company.contacts {
        if let Some(email) = &row.email {
            email.parse::<lettre::Address>().unwrap();
            let domain = email.split('@').next_back().unwrap();
            assert!(
                std::path::Path::new(domain)
                    .extension()
                    .is_some_and(|top| top == "example"),
                "{email}"
            );
        }
    }
    let of_owners = company.owners.iter().map(|row| &row.phone);
    for phone in company
        .contacts
        .iter()
        .filter_map(|row| row.phone.as_ref())
        .chain(of_owners)
    {
        assert!(
            phonenumber::is_valid(&phonenumber::parse(None, phone).unwrap()),
            "{phone}"
        );
    }
}

#[test]
fn companies_with_three_people_have_one_decision_maker() {
    let company = company();
    let mut people: BTreeMap<&String, Vec<&ContactRow>> = BTreeMap::new();
    for row in &company.contacts {
        if let Some(id) = &row.organisation {
            people.entry(id).or_default().push(row);
        }
    }
    let threes: Vec<_> = people.values().filter(|rows| rows.len() == 3).collect();
    assert!(threes.len() > 150, "{}", threes.len());
    for rows in threes {
        assert_eq!(
            rows.iter().filter(|row| row.decision_maker == Some(true)).count(),
            1
        );
    }
}

#[test]
fn birthdays_are_of_both_calendars_and_rare_days_occur() {
    let company = company();
    let count = |fits: fn(&str, &str) -> bool| {
        company
            .contacts
            .iter()
            .filter(|row| {
                row.birthday
                    .as_deref()
                    .zip(row.birthday_calendar)
                    .is_some_and(|(day, cal)| fits(day, cal))
            })
            .count()
    };
    let all = count(|_, _| true);
    let lunar = count(|_, calendar| calendar == "lunar");
    assert!((20..30).contains(&(lunar * 100 / all)), "{lunar} of {all}");
    assert!(count(|day, _| day.contains("-L")) >= 5);
    assert!(count(|day, calendar| calendar == "lunar" && day.ends_with("-30")) >= 5);
    assert!(count(|day, calendar| calendar == "gregorian" && day.ends_with("02-29")) >= 3);
    assert!(count(|day, _| day.len() == 5) >= 50);
    for month in 1..=12 {
        let of_month = company
            .contacts
            .iter()
            .filter(|row| row.birthday_calendar == Some("gregorian"))
            .filter_map(|row| row.birthday.as_deref())
            .filter(|day| day[day.len() - 5..].starts_with(&format!("{month:02}-")))
            .count();
        assert!(of_month > 50, "{of_month} in month {month}");
    }
}

#[test]
fn grades_agree_with_factors_and_windows() {
    let company = company();
    let open: Vec<_> = company.leads.iter().filter(|row| row.outcome.is_none()).collect();
    for ((grade, prospects), (_, customers)) in PROSPECT_GRADES.into_iter().zip(CUSTOMER_GRADES) {
        assert_eq!(
            open.iter().filter(|row| row.grade == grade).count(),
            prospects + customers
        );
    }
    let months = |n| start() + Months::new(n);
    for row in &open {
        assert!(
            row.opened_at < start()
                && row
                    .grade_at
                    .is_none_or(|day| day < start() && day >= row.opened_at)
        );
        assert_eq!(
            row.dissatisfaction.is_some(),
            row.grade.is_some() && row.situation == "replacement"
        );
        let levels: Vec<_> = row.dissatisfaction.into_iter().chain(row.resolve).collect();
        let all_in = |allowed: &[&str]| levels.iter().all(|level| allowed.contains(level));
        let close = row.expected_close;
        let felt = row.felt_need == Some(true);
        let fits = match row.grade {
            Some("A") => {
                felt && all_in(&["high"])
                    && row.evaluating == Some(true)
                    && row.selecting == Some(true)
                    && close.is_some_and(|day| day > start() && day < months(3))
            }
            Some("B") => {
                felt && all_in(&["high", "medium"])
                    && row.selecting == Some(false)
                    && close.is_some_and(|day| day > months(4) && day < months(6))
            }
            Some("C") => {
                felt && all_in(&["medium", "low"])
                    && row.selecting == Some(false)
                    && close.is_some_and(|day| day > months(7) && day < months(12))
            }
            Some("D") => {
                felt == (row.situation == "replacement")
                    && all_in(&["low", "none"])
                    && row.evaluating == Some(false)
                    && close.is_none_or(|day| day > months(12) + TimeDelta::days(90))
            }
            _ => {
                row.objective_need.is_none()
                    && row.felt_need.is_none()
                    && levels.is_empty()
                    && close.is_none()
            }
        };
        assert!(fits, "{row:?}");
        let waits = row.waiting_for.is_some();
        assert_eq!(waits, row.expected_on.is_some());
        assert!(!waits || row.grade == Some("B"));
        assert!(
            row.expected_on
                .is_none_or(|day| day > start() && day < start() + TimeDelta::days(90)),
            "{row:?}"
        );
    }
    assert!(open.iter().filter(|row| row.waiting_for.is_some()).count() > 40);
}

#[test]
fn closed_leads_ended_before_the_start() {
    let company = company();
    let closed: Vec<_> = company.leads.iter().filter(|row| row.outcome.is_some()).collect();
    assert_eq!(
        closed.iter().filter(|row| row.outcome == Some("won")).count(),
        WON
    );
    assert_eq!(
        closed.iter().filter(|row| row.lost_reason.is_some()).count(),
        LOST.iter().map(|(_, count)| count).sum::<usize>()
    );
    assert!(closed.iter().all(|row| {
        row.closed_at
            .is_some_and(|day| day >= row.opened_at && day < start())
    }));
}

#[test]
fn files_have_the_promised_columns_and_are_the_same_each_time() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = company().write_csv(one.path()).unwrap();
    let second = company().write_csv(two.path()).unwrap();
    for (((kind, path), (_, again)), (expected, header)) in first.iter().zip(&second).zip(HEADERS) {
        assert_eq!(*kind, expected);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next().unwrap(), header);
        assert!(text == std::fs::read_to_string(again).unwrap(), "{kind} differs");
    }
    let other = SampleCompany::generate(2, start(), Tz::Asia__Shanghai);
    assert_ne!(other.contacts[0].name.clone() + &other.contacts[1].name, {
        let company = company();
        company.contacts[0].name.clone() + &company.contacts[1].name
    });
}
