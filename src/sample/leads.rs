//! The leads: one for every prospect, second sales to customers, and last year's won and lost ones.

use chrono::{NaiveDate, TimeDelta};
use rust_decimal::prelude::ToPrimitive;

use super::accounts::{Account, Standing};
use super::campaigns;
use super::factors::{self, Factors};
use super::purchases::PRODUCTS;
use super::rng::Rng;
use super::rows::{LeadRow, PurchaseRow};

/// How many prospects stand at each grade; none is ungraded.
pub const PROSPECT_GRADES: [(Option<&str>, usize); 5] = [
    (Some("A"), 20),
    (Some("B"), 70),
    (Some("C"), 80),
    (Some("D"), 50),
    (None, 30),
];
/// How many customers have an open lead beside, at each grade.
pub const CUSTOMER_GRADES: [(Option<&str>, usize); 5] = [
    (Some("A"), 4),
    (Some("B"), 10),
    (Some("C"), 12),
    (Some("D"), 6),
    (None, 4),
];
/// Leads won in the base period.
pub const WON: usize = 90;
/// Leads lost in the base period, by reason: two thirds of them over service.
pub const LOST: [(&str, usize); 4] = [("service", 27), ("price", 6), ("product", 5), ("other", 2)];

/// What a B lead waits for: simplified, traditional, English, German.
const MATTERS: &[[&str; 4]] = &[
    [
        "年度预算审批",
        "年度預算審批",
        "the yearly budget to be approved",
        "die Freigabe des Jahresbudgets",
    ],
    [
        "新仓库启用",
        "新倉庫啟用",
        "the new warehouse to open",
        "die Eröffnung des neuen Lagers",
    ],
    [
        "董事会决定",
        "董事會決定",
        "the board's decision",
        "den Beschluss des Vorstands",
    ],
    [
        "现有合同到期",
        "現有合約到期",
        "the present contract to end",
        "das Ende des jetzigen Vertrags",
    ],
    [
        "审计结束",
        "審計結束",
        "the audit to be over",
        "den Abschluss der Prüfung",
    ],
    [
        "新主管到任",
        "新主管到任",
        "the new head of department to start",
        "den Antritt der neuen Leitung",
    ],
];
const NOT_FIT: &[&str] = &["needs a product that is not made", "too far away to be served"];

/// Makes all leads. `locale_of` tells the language of a contact, `purchases` are in order of time.
pub(super) fn opened(
    seed: u64,
    accounts: &[Account],
    locale_of: impl Fn(&str) -> &'static str,
    purchases: &[PurchaseRow],
    start: NaiveDate,
) -> Vec<LeadRow> {
    let mut desk = Desk {
        rng: Rng::stream(seed, "leads"),
        start,
        rows: Vec::new(),
    };
    let is_prospect = |account: &&Account| matches!(account.standing, Standing::Prospect);
    let is_customer = |account: &&Account| matches!(account.standing, Standing::Customer { .. });

    let prospects: Vec<_> = accounts.iter().filter(is_prospect).collect();
    desk.open(&prospects, &PROSPECT_GRADES, &locale_of);

    let mut customers: Vec<_> = accounts.iter().filter(is_customer).collect();
    desk.rng.shuffle(&mut customers);
    // Second sales are talked over with customers of which more than one person is known, where there are such.
    customers.sort_by_key(|account| account.people != 3);
    let (with_open, others) = customers.split_at(CUSTOMER_GRADES.iter().map(|(_, count)| count).sum());
    desk.open(with_open, &CUSTOMER_GRADES, &locale_of);

    for account in &others[..WON] {
        desk.won(account, purchases);
    }
    let reasons = LOST
        .iter()
        .flat_map(|(reason, count)| std::iter::repeat_n(*reason, *count));
    for (account, reason) in others[WON..].iter().zip(reasons) {
        desk.lost(account, reason);
    }

    let mut rows = desk.rows;
    rows.sort_by_key(|row| row.opened_at);
    for (place, row) in rows.iter_mut().enumerate() {
        row.external_id = format!("l-{:04}", place + 1);
    }
    rows
}

struct Desk {
    rng: Rng,
    start: NaiveDate,
    rows: Vec<LeadRow>,
}

impl Desk {
    fn open(
        &mut self,
        accounts: &[&Account],
        grades: &[(Option<&'static str>, usize)],
        locale_of: &impl Fn(&str) -> &'static str,
    ) {
        let mut grades: Vec<_> = grades
            .iter()
            .flat_map(|(grade, count)| std::iter::repeat_n(*grade, *count))
            .collect();
        self.rng.shuffle(&mut grades);
        for (account, grade) in accounts.iter().zip(grades) {
            let row = match grade {
                None => {
                    let opened_at = self.day_before_start(2, 40);
                    self.blank(account, opened_at)
                }
                Some(grade) => self.graded(account, grade, locale_of),
            };
            self.rows.push(row);
        }
    }

    fn day_before_start(&mut self, newest: i64, oldest: i64) -> NaiveDate {
        self.start - TimeDelta::days(self.rng.between(newest, oldest))
    }

    /// A lead of which nothing is known yet.
    fn blank(&mut self, account: &Account, opened_at: NaiveDate) -> LeadRow {
        let rng = &mut self.rng;
        let (source_channel, campaign) = campaigns::source(rng, opened_at, self.start);
        // Mostly the decision maker; sometimes a colleague of theirs is the one who talks.
        let spokesperson = if rng.chance(75) {
            0
        } else {
            rng.below(account.contacts.len())
        };
        LeadRow {
            external_id: String::new(),
            contact: account.contacts[spokesperson].clone(),
            organisation: account.organisation.clone(),
            owner: account.place.owner.to_owned(),
            source_channel,
            campaign,
            situation: if rng.chance(55) {
                "greenfield"
            } else {
                "replacement"
            },
            grade: None,
            grade_at: None,
            objective_need: None,
            felt_need: None,
            dissatisfaction: None,
            resolve: None,
            evaluating: None,
            selecting: None,
            waiting_for: None,
            expected_on: None,
            expected_close: None,
            likelihood: None,
            value: None,
            product: rng.pick(PRODUCTS).0,
            stage: "target",
            opened_at,
            closed_at: None,
            outcome: None,
            lost_reason: None,
            not_fit: None,
        }
    }

    fn graded(
        &mut self,
        account: &Account,
        grade: &'static str,
        locale_of: &impl Fn(&str) -> &'static str,
    ) -> LeadRow {
        let opened_at = self.day_before_start(20, 260);
        let row = self.blank(account, opened_at);
        let rng = &mut self.rng;
        let Factors {
            objective_need,
            felt_need,
            dissatisfaction,
            resolve,
            evaluating,
            selecting,
        } = factors::draw(rng, grade, row.situation == "replacement");
        let (likelihood, stage) = match grade {
            "A" => (rng.between(70, 90), "opportunity"),
            "B" => (rng.between(40, 60), "opportunity"),
            "C" => (rng.between(15, 35), "prospect"),
            _ => (5, "prospect"),
        };
        let waits = grade == "B" && rng.chance(68);
        let age = (self.start - row.opened_at).num_days();
        LeadRow {
            grade: Some(grade),
            grade_at: Some(self.start - TimeDelta::days(rng.between(1, age.min(60)))),
            objective_need,
            felt_need,
            dissatisfaction,
            resolve,
            evaluating,
            selecting,
            waiting_for: waits.then(|| rng.pick(MATTERS)[tongue(locale_of(&row.contact))]),
            expected_on: waits.then(|| self.start + TimeDelta::days(rng.between(4, 80))),
            expected_close: factors::expected_close(rng, grade, self.start),
            likelihood: Some(likelihood as u8),
            value: Some(rng.between(30, 900) as u32 * 100),
            stage,
            not_fit: (grade == "D" && rng.chance(8)).then(|| *rng.pick(NOT_FIT)),
            ..row
        }
    }

    /// A lead that ended with one of the account's purchases.
    fn won(&mut self, account: &Account, purchases: &[PurchaseRow]) {
        let theirs: Vec<_> = purchases
            .iter()
            .filter(|purchase| account.contacts.contains(&purchase.contact))
            .collect();
        let purchase = *self.rng.pick(&theirs);
        let closed_at = purchase.purchased_at.date_naive();
        let opened_at = closed_at - TimeDelta::days(self.rng.between(15, 140));
        let row = self.blank(account, opened_at);
        self.rows.push(LeadRow {
            contact: purchase.contact.clone(),
            closed_at: Some(closed_at),
            product: purchase.product,
            value: purchase.amount.ceil().to_u32(),
            stage: "customer",
            outcome: Some("won"),
            ..row
        });
    }

    /// A second sale that came to nothing.
    fn lost(&mut self, account: &Account, reason: &'static str) {
        let opened_at = self.day_before_start(120, 330);
        let row = self.blank(account, opened_at);
        let days = self.rng.between(20, 110);
        self.rows.push(LeadRow {
            closed_at: Some(row.opened_at + TimeDelta::days(days)),
            value: Some(self.rng.between(5, 300) as u32 * 100),
            stage: "lost",
            outcome: Some("lost"),
            lost_reason: Some(reason),
            ..row
        });
    }
}

/// The place of a locale's language among the wordings of a matter.
fn tongue(locale: &str) -> usize {
    match locale {
        "zh-CN" => 0,
        "zh-TW" | "zh-HK" => 1,
        "de" => 3,
        _ => 2,
    }
}
