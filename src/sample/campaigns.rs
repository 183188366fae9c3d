//! What brings the leads.

use chrono::{NaiveDate, TimeDelta};

use super::rng::Rng;
use super::rows::CampaignRow;

/// External id, name, kind, channel, days after the start (before, when below zero), budget, cost.
type Planned = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    i64,
    u32,
    Option<u32>,
);

const PLANNED: [Planned; 10] = [
    (
        "cmp-01",
        "Spring trade fair",
        "exhibition",
        "exhibition",
        -310,
        60_000,
        Some(63_400),
    ),
    (
        "cmp-02",
        "Search adverts, first half",
        "advert",
        "advert",
        -290,
        36_000,
        Some(35_120),
    ),
    (
        "cmp-03",
        "Stock-taking seminar, Guangzhou",
        "seminar",
        "event",
        -240,
        12_000,
        Some(10_800),
    ),
    (
        "cmp-04",
        "Bring a colleague",
        "referral",
        "referral",
        -220,
        8_000,
        Some(5_600),
    ),
    (
        "cmp-05",
        "Warehouse newsletter",
        "newsletter",
        "email",
        -180,
        4_000,
        Some(3_950),
    ),
    (
        "cmp-06",
        "Trade forum sponsorship",
        "sponsorship",
        "forum",
        -150,
        9_000,
        Some(9_000),
    ),
    (
        "cmp-07",
        "Autumn trade fair",
        "exhibition",
        "exhibition",
        -95,
        65_000,
        Some(61_750),
    ),
    (
        "cmp-08",
        "Web shop trial month",
        "trial",
        "web shop",
        -70,
        15_000,
        Some(13_300),
    ),
    (
        "cmp-09",
        "SMS reminder to fair visitors",
        "reminder",
        "sms",
        -40,
        3_000,
        Some(2_410),
    ),
    ("cmp-10", "Open day", "open day", "event", 35, 18_000, None),
];

/// The ten campaigns around the start; the last one still lies ahead.
pub(super) fn around(start: NaiveDate) -> Vec<CampaignRow> {
    PLANNED
        .iter()
        .map(
            |&(external_id, name, kind, channel, day, budget, cost)| CampaignRow {
                external_id: external_id.to_owned(),
                name,
                kind,
                channel,
                date: start + TimeDelta::days(day),
                budget,
                cost,
            },
        )
        .collect()
}

/// Where a lead came from: its channel, and the campaign where one was behind it.
pub(super) type Source = (&'static str, Option<&'static str>);

/// With weights.
const SOURCES: &[(usize, Source)] = &[
    (14, ("exhibition", Some("cmp-01"))),
    (16, ("advert", Some("cmp-02"))),
    (9, ("event", Some("cmp-03"))),
    (8, ("referral", Some("cmp-04"))),
    (7, ("email", Some("cmp-05"))),
    (5, ("forum", Some("cmp-06"))),
    (15, ("exhibition", Some("cmp-07"))),
    (9, ("web shop", Some("cmp-08"))),
    (4, ("sms", Some("cmp-09"))),
    (5, ("referral", None)),
    (5, ("phone", None)),
    (3, ("walk-in", None)),
];

/// Draws the source of a lead first recorded on `opened_at`: a campaign brings nobody before it is held.
pub(super) fn source(rng: &mut Rng, opened_at: NaiveDate, start: NaiveDate) -> Source {
    let held = |id: &str| {
        PLANNED
            .iter()
            .any(|planned| planned.0 == id && start + TimeDelta::days(planned.4) <= opened_at)
    };
    let open: Vec<_> = SOURCES
        .iter()
        .filter(|(_, (_, campaign))| campaign.is_none_or(held))
        .copied()
        .collect();
    *rng.weighted(&open)
}
