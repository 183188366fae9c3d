//! What the server has written between two looks: its log, and the updates of the tables that every mail changes.

use serde_json::{Map, Value, json};

use super::figures::{Sheet, Target};
use crate::store::bench::Work;

/// Notes what a mail cost the log and how many updates wrote no index, by table and the least of them.
pub fn note(sheet: &mut Sheet, before: &Work, after: &Work, mails: f64) {
    let wal = (after.wal - before.wal) as f64 / mails;
    let counted = (after.wal_counted - before.wal_counted) as f64 / mails;
    let pages = (after.wal_pages - before.wal_pages) as f64 / mails;
    sheet.hold_to(
        "WAL, a mail, by how far its end has moved",
        wal,
        "bytes",
        Target::Under(2048.0),
    );
    sheet.note("the same, as pg_stat_wal counts it", counted, "bytes");
    sheet.note("whole pages in it, a mail", pages, "pages");
    sheet.value("wal_bytes", wal);
    sheet.value("wal_counted_bytes", counted);
    sheet.value("wal_whole_pages", pages);

    let (mut shares, mut least) = (Map::new(), 100.0_f64);
    for (was, is) in before.updates.iter().zip(&after.updates) {
        let all = is.all - was.all;
        let share = (all > 0).then(|| 100.0 * (is.hot - was.hot) as f64 / all as f64);
        if let Some(share) = share {
            let name = format!("updates of {} that wrote no index", is.table);
            sheet.note(name, share, "%");
            least = least.min(share);
        } else {
            sheet.note(format!("updates of {}", is.table), 0.0, "rows");
        }
        shares.insert(is.table.clone(), json!({ "updates": all, "hot_percent": share }));
    }
    sheet.hold_to("the least of these", least, "%", Target::Over(95.0));
    sheet.value("updates", Value::Object(shares));
    sheet.value("hot_least_percent", least);
}
