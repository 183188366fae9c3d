//! The reports as tables.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::output::{Table, grouped};
use crate::domain::pyramid::PyramidRow;
use crate::domain::tier::Tier;
use crate::engine::report::{Cadences, Funnel, Mover, Pyramid};
use crate::store::report::Count;

/// The pyramid.
pub fn pyramid(found: &Pyramid) -> Vec<Table> {
    let title = match &found.base {
        Some(base) => format!(
            "Customers by value, {} to {}; {}: VIP over {}, key over {}, normal over {}",
            base.from.date_naive(),
            base.until.date_naive(),
            if base.held {
                "boundaries held since"
            } else {
                "boundaries as a first cut would set them"
            },
            money(base.vip_over),
            money(base.key_over),
            money(base.normal_over),
        ),
        None => "Customers by value: nobody has bought yet".to_owned(),
    };
    let mut tiers = Table::new(
        title,
        &[
            "tier",
            "#customers",
            "#share",
            "#revenue",
            "#share of revenue",
            "#revenue each",
            "#profit each",
            "#profit",
            "#return on spent",
            "#return on cost",
        ],
    );
    for row in &found.period.tiers {
        let name = row.tier.map_or("all", |tier| tier.as_str());
        tiers.rows.push(tier_row(name, row));
    }
    if !found.period.unallocated_cost.is_zero() {
        let mut row = vec![String::new(); tiers.columns.len()];
        "cost of no tier".clone_into(&mut row[0]);
        row[7] = money(-found.period.unallocated_cost);
        tiers.rows.push(row);
    }
    tiers.rows.push(tier_row("all", &found.period.all));
    for (name, n) in [
        ("inactive", found.period.inactive),
        ("prospect", found.period.prospects),
        ("suspect", found.period.suspects),
    ] {
        let mut row = vec![String::new(); tiers.columns.len()];
        name.clone_into(&mut row[0]);
        row[1] = grouped(n as i128);
        tiers.rows.push(row);
    }
    tiers.notes = unstated(found);
    let mut movement = Table::new("Moved since the base period", &["before", "now", "#accounts"]);
    movement.rows = found
        .movement
        .iter()
        .map(|m| vec![m.before.to_owned(), m.after.to_owned(), grouped(m.accounts)])
        .collect();
    vec![
        tiers,
        counts("Standing now", "standing", &found.now),
        movement,
        movers("Who went up", &found.up),
        movers("Who went down", &found.down),
    ]
}

/// Which settings would fill what is empty.
fn unstated(found: &Pyramid) -> Vec<String> {
    let mut notes = Vec::new();
    let tiers = found.period.tiers.iter();
    let unknown: Vec<&str> = tiers
        .filter(|row| row.customers > 0 && row.return_on_spent.is_none())
        .filter_map(|row| row.tier.map(Tier::as_str))
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "Return on spent is empty for {}: state spent_per_customer under each tier in config/retention.toml.",
            unknown.join(", ")
        ));
    }
    if found.period.unallocated_cost.is_zero() {
        notes.push(
            "No cost outside the tiers is stated (pyramid.unallocated_cost in config/retention.toml), so the profit of all \
             is that of the tiers together."
                .to_owned(),
        );
    }
    notes
}

fn tier_row(name: &str, row: &PyramidRow) -> Vec<String> {
    let each = |sum: Option<Decimal>| sum.map_or(String::new(), money);
    vec![
        name.to_owned(),
        grouped(row.customers as i128),
        format!("{}%", row.share),
        money(row.revenue),
        format!("{}%", row.revenue_share),
        each(row.revenue_each),
        each(row.profit_each),
        money(row.profit),
        percent(row.return_on_spent),
        percent(row.return_on_cost),
    ]
}

fn movers(title: &str, list: &[Mover]) -> Table {
    let mut table = Table::new(title, &["customer", "before", "now", "#revenue"]);
    table.rows = list
        .iter()
        .map(|m| {
            vec![
                m.account.clone(),
                m.before.to_owned(),
                m.after.to_owned(),
                money(m.revenue),
            ]
        })
        .collect();
    table
}

fn counts(title: &str, what: &'static str, list: &[Count]) -> Table {
    let mut table = Table::new(title, &[what, "#number"]);
    table.rows = list.iter().map(|c| vec![c.name.clone(), grouped(c.n)]).collect();
    table
}

/// The funnel.
pub fn funnel(found: &Funnel) -> Vec<Table> {
    let mut moves = Table::new("Moves by month", &["month", "before", "after", "#leads"]);
    moves.rows = found
        .moves
        .iter()
        .map(|m| {
            vec![
                m.month.clone(),
                m.before.clone(),
                m.after.clone(),
                grouped(m.leads),
            ]
        })
        .collect();
    let mut months = Table::new("Leads by month", &["month", "#new", "#won", "#lost"]);
    months.rows = found
        .months
        .iter()
        .map(|m| {
            vec![
                m.month.clone(),
                grouped(m.opened),
                grouped(m.won),
                grouped(m.lost),
            ]
        })
        .collect();
    vec![
        counts("Open leads by grade", "grade", &found.grades),
        counts("Open leads by stage", "stage", &found.stages),
        moves,
        months,
    ]
}

/// The cadences.
pub fn cadences(found: &Cadences) -> Vec<Table> {
    let mut enrolled = Table::new(
        "Cadences",
        &[
            "cadence",
            "#enrolled",
            "#active",
            "#control",
            "#finished",
            "#goal reached",
            "#stopped",
        ],
    );
    enrolled.rows = found
        .enrolled
        .iter()
        .map(|e| {
            let numbers = [e.enrolled, e.active, e.control, e.finished, e.goal, e.stopped];
            std::iter::once(e.cadence.clone())
                .chain(numbers.map(grouped))
                .collect()
        })
        .collect();
    let mut stops = Table::new("Stopped early", &["cadence", "reason", "#enrollments"]);
    stops.rows = found
        .stops
        .iter()
        .map(|s| vec![s.cadence.clone(), s.reason.clone(), grouped(s.n)])
        .collect();
    let mut sent = Table::new(
        "Sent",
        &["cadence", "step", "channel", "#sent", "#refused", "#uncertain"],
    );
    sent.rows = found
        .sent
        .iter()
        .map(|s| {
            let numbers = [s.sent, s.refused, s.uncertain].map(grouped);
            [s.cadence.clone(), s.step.clone(), s.channel.clone()]
                .into_iter()
                .chain(numbers)
                .collect()
        })
        .collect();
    let mut back = Table::new("What came back", &["cadence", "event", "#events", "#people"]);
    back.rows = found
        .came_back
        .iter()
        .map(|b| {
            vec![
                b.cadence.clone(),
                b.event_type.clone(),
                grouped(b.events),
                grouped(b.people),
            ]
        })
        .collect();
    vec![enrolled, stops, sent, back]
}

/// Whole units, thousands parted.
fn money(amount: Decimal) -> String {
    amount
        .round()
        .to_i128()
        .map_or_else(|| amount.to_string(), grouped)
}

fn percent(ratio: Option<Decimal>) -> String {
    ratio.map_or(String::new(), |ratio| {
        format!("{}%", (ratio * Decimal::ONE_HUNDRED).round())
    })
}
