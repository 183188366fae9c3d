//! The customer pyramid as a picture, its table, and who moved.

use axum::extract::State;
use axum::response::Html;
use rust_decimal::Decimal;
use serde::Serialize;

use super::desk::Desk;
use crate::domain::pyramid::PyramidRow;
use crate::domain::zone;
use crate::engine::report::{self, BaseHead, Movement, Mover};
use crate::web::error::HttpError;
use crate::web::state::WebState;

/// Measures of the picture in its own units.
const BASE: i64 = 380;
const HEIGHT: i64 = 260;
const GAP: i64 = 4;
/// Room for the bars of revenue beside it.
const BAR: i64 = 150;

#[derive(Serialize)]
struct View {
    currency: String,
    from: Option<String>,
    until: Option<String>,
    held: bool,
    by_spent: bool,
    bands: Vec<Band>,
    width: i64,
    height: i64,
    rows: Vec<Row>,
    all: Row,
    unallocated: Decimal,
    has_unallocated: bool,
    inactive: usize,
    prospects: usize,
    suspects: usize,
    movement: Vec<Movement>,
    up: Vec<Mover>,
    down: Vec<Mover>,
}

#[derive(Serialize)]
struct Band {
    tier: String,
    customers: usize,
    share: u32,
    revenue_share: u32,
    points: String,
    middle: i64,
    y: i64,
    text_y: i64,
    bar_x: i64,
    bar_y: i64,
    bar_width: i64,
    text_x: i64,
}

#[derive(Serialize)]
struct Row {
    tier: String,
    customers: usize,
    share: u32,
    revenue: Decimal,
    revenue_share: u32,
    over: Option<Decimal>,
    revenue_each: Option<Decimal>,
    profit_each: Option<Decimal>,
    on_spent: Option<Decimal>,
    on_cost: Option<Decimal>,
}

/// The page.
pub async fn page(State(state): State<WebState>, desk: Desk) -> Result<Html<String>, HttpError> {
    let rules = state.deps.rules();
    let mut conn = state.conn().await?;
    let report = report::pyramid(&mut conn, &rules.retention, desk.now).await?;
    let period = report.period;
    let base = report.base.as_ref();
    let by_spent = period.tiers.iter().any(|tier| tier.return_on_spent.is_some());
    let day = |at| zone::local_date(at, desk.zone).to_string();
    let view = View {
        currency: state.deps.settings.company.currency.clone(),
        from: base.map(|b| day(b.from)),
        until: base.map(|b| day(b.until)),
        held: base.is_some_and(|b| b.held),
        bands: bands(&period.tiers),
        width: BASE + BAR + 70,
        height: HEIGHT,
        rows: period.tiers.iter().map(|tier| row(tier, base)).collect(),
        all: row(&period.all, None),
        by_spent,
        has_unallocated: !period.unallocated_cost.is_zero(),
        unallocated: period.unallocated_cost,
        inactive: period.inactive,
        prospects: period.prospects,
        suspects: period.suspects,
        movement: report.movement,
        up: report.up,
        down: report.down,
    };
    desk.show(&state, "pyramid", view)
}

fn row(row: &PyramidRow, base: Option<&BaseHead>) -> Row {
    let tier = row.tier.map_or("all", |tier| tier.as_str());
    let over = base.and_then(|base| match tier {
        "vip" => Some(base.vip_over),
        "key" => Some(base.key_over),
        "normal" => Some(base.normal_over),
        _ => None,
    });
    let percent = |ratio: Decimal| (ratio * Decimal::ONE_HUNDRED).round();
    Row {
        tier: tier.to_owned(),
        customers: row.customers,
        share: row.share,
        revenue: row.revenue,
        revenue_share: row.revenue_share,
        over,
        revenue_each: row.revenue_each,
        profit_each: row.profit_each,
        on_spent: row.return_on_spent.map(percent),
        on_cost: row.return_on_cost.map(percent),
    }
}

/// Four bands of one height: the picture shows the order; the figures show the numbers.
fn bands(tiers: &[PyramidRow]) -> Vec<Band> {
    let each = HEIGHT / (tiers.len() as i64).max(1);
    let widest = tiers.iter().map(|t| t.revenue_share).max().unwrap_or(0).max(1);
    tiers
        .iter()
        .enumerate()
        .map(|(at, tier)| {
            let top = at as i64 * each;
            let low = top + each - GAP;
            let half = |y: i64| BASE * y / HEIGHT / 2;
            let middle = BASE / 2;
            let bar_width = BAR * i64::from(tier.revenue_share) / i64::from(widest);
            Band {
                tier: tier.tier.map_or("all", |tier| tier.as_str()).to_owned(),
                customers: tier.customers,
                share: tier.share,
                revenue_share: tier.revenue_share,
                points: format!(
                    "{},{top} {},{top} {},{low} {},{low}",
                    middle - half(top),
                    middle + half(top),
                    middle + half(low),
                    middle - half(low)
                ),
                middle,
                y: top + each / 2,
                // The tip is too narrow for words at half its height.
                text_y: top + if at == 0 { each * 3 / 4 } else { each / 2 },
                bar_x: BASE + 12,
                bar_y: top + each / 2 - 9,
                bar_width: bar_width.max(2),
                text_x: BASE + 12 + bar_width.max(2) + 6,
            }
        })
        .collect()
}
