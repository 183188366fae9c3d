//! Where the sample's people live, and what follows from that: zone, language, script of the name, rep.

use chrono_tz::Tz;

/// Which list a name is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Simplified,
    Traditional,
    /// A Chinese name in Latin letters.
    Pinyin,
    English,
    German,
}

/// A region with people in it.
#[derive(Debug)]
pub(super) struct Place {
    /// Country, or ISO 3166-2 with a province or state.
    pub region: &'static str,
    pub zone: Tz,
    /// Locale and script of a person there, with weights.
    pub tongues: &'static [(usize, (&'static str, Script))],
    /// External id of the rep for the region.
    pub owner: &'static str,
}

const MAINLAND: &[(usize, (&str, Script))] =
    &[(97, ("zh-CN", Script::Simplified)), (3, ("en", Script::English))];
const HONG_KONG: &[(usize, (&str, Script))] =
    &[(75, ("zh-HK", Script::Traditional)), (25, ("en", Script::Pinyin))];
const TAIWAN: &[(usize, (&str, Script))] = &[(1, ("zh-TW", Script::Traditional))];
const SINGAPORE: &[(usize, (&str, Script))] =
    &[(60, ("en", Script::Pinyin)), (40, ("zh-CN", Script::Simplified))];
const ENGLISH: &[(usize, (&str, Script))] = &[(1, ("en", Script::English))];
const GERMAN: &[(usize, (&str, Script))] = &[(1, ("de", Script::German))];

macro_rules! place {
    ($region:literal, $zone:ident, $tongues:ident, $owner:literal) => {
        Place {
            region: $region,
            zone: Tz::$zone,
            tongues: $tongues,
            owner: $owner,
        }
    };
}

/// Regions by how many of a hundred accounts are there.
pub(super) const PLACES: &[(usize, Place)] = &[
    (12, place!("CN-GD", Asia__Shanghai, MAINLAND, "own-01")),
    (9, place!("CN-SH", Asia__Shanghai, MAINLAND, "own-02")),
    (9, place!("CN-ZJ", Asia__Shanghai, MAINLAND, "own-03")),
    (8, place!("CN-JS", Asia__Shanghai, MAINLAND, "own-02")),
    (8, place!("CN-BJ", Asia__Shanghai, MAINLAND, "own-04")),
    (6, place!("CN-SD", Asia__Shanghai, MAINLAND, "own-04")),
    (6, place!("CN-SC", Asia__Shanghai, MAINLAND, "own-05")),
    (5, place!("CN-HB", Asia__Shanghai, MAINLAND, "own-06")),
    (4, place!("CN-FJ", Asia__Shanghai, MAINLAND, "own-03")),
    (4, place!("CN-HN", Asia__Shanghai, MAINLAND, "own-06")),
    (3, place!("CN-SN", Asia__Shanghai, MAINLAND, "own-05")),
    (2, place!("CN-LN", Asia__Shanghai, MAINLAND, "own-04")),
    (2, place!("CN-XJ", Asia__Urumqi, MAINLAND, "own-05")),
    (5, place!("HK", Asia__Hong_Kong, HONG_KONG, "own-07")),
    (6, place!("TW", Asia__Taipei, TAIWAN, "own-08")),
    (3, place!("SG", Asia__Singapore, SINGAPORE, "own-09")),
    (2, place!("US-CA", America__Los_Angeles, ENGLISH, "own-10")),
    (1, place!("US-IL", America__Chicago, ENGLISH, "own-10")),
    (1, place!("US-NY", America__New_York, ENGLISH, "own-10")),
    (2, place!("DE", Europe__Berlin, GERMAN, "own-11")),
    (2, place!("GB", Europe__London, ENGLISH, "own-12")),
];

impl Place {
    /// ISO 3166-1.
    pub fn country(&self) -> &'static str {
        &self.region[..2]
    }
}
