//! Wall clocks: from local time to an instant and back.
//!
//! A wall time that the clocks jump over (a gap) moves forward by the gap's length, as RFC 5545 reads it; a wall
//! time that comes twice (a fold) means the first.

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The instant at which the clocks of `zone` show `local`.
pub fn to_instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) => at.to_utc(),
        MappedLocalTime::Ambiguous(one, other) => one.min(other).to_utc(),
        MappedLocalTime::None => past_gap(local, zone),
    }
}

/// The wall time in a gap, read with the offset that held before the gap. The longest gap is a whole day
/// (Samoa left out 30 December 2011).
fn past_gap(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    (1..=100)
        .map(|quarters| Duration::minutes(15 * quarters))
        .find_map(|back| {
            zone.from_local_datetime(&(local - back))
                .latest()
                .map(|before| before.to_utc() + back)
        })
        .unwrap_or_else(|| local.and_utc())
}

/// The first instant whose wall time is not before `local`: the same as [`to_instant`] except in a gap, where it is
/// the gap's end (to the minute).
pub fn first_instant_from(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    (0..=25 * 60)
        .find_map(|ahead| {
            zone.from_local_datetime(&(local + Duration::minutes(ahead)))
                .earliest()
        })
        .map_or_else(|| to_instant(local, zone), |at| at.to_utc())
}

/// The wall time in `zone` at an instant.
pub fn local(instant: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// The date in `zone` at an instant.
pub fn local_date(instant: DateTime<Utc>, zone: Tz) -> NaiveDate {
    local(instant, zone).date()
}

/// The instant at which a date begins in `zone`: midnight, or the end of the gap that swallows it.
pub fn day_start(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    first_instant_from(date.and_time(NaiveTime::MIN), zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Africa, America, Asia, Australia, Europe, Pacific};
    use proptest::prelude::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_gap_moves_forward_by_its_length() {
        assert_eq!(
            to_instant(at("2027-03-28T02:30:00"), Europe::Berlin),
            utc("2027-03-28T01:30:00Z")
        );
        assert_eq!(
            local(utc("2027-03-28T01:30:00Z"), Europe::Berlin),
            at("2027-03-28T03:30:00")
        );
        // half an hour
        assert_eq!(
            local(
                to_instant(at("2027-10-03T02:15:00"), Australia::Lord_Howe),
                Australia::Lord_Howe
            ),
            at("2027-10-03T02:45:00")
        );
        // a whole day
        assert_eq!(
            local(
                to_instant(at("2011-12-30T10:00:00"), Pacific::Apia),
                Pacific::Apia
            ),
            at("2011-12-31T10:00:00")
        );
    }

    #[test]
    fn a_fold_takes_the_first() {
        assert_eq!(
            to_instant(at("2026-10-25T02:30:00"), Europe::Berlin),
            utc("2026-10-25T00:30:00Z")
        );
        assert_eq!(
            to_instant(at("2026-11-01T01:30:00"), America::New_York),
            utc("2026-11-01T05:30:00Z")
        );
    }

    #[test]
    fn a_day_begins_where_midnight_is_missing() {
        let day = NaiveDate::from_ymd_opt(2026, 4, 24).unwrap();
        assert_eq!(
            local(day_start(day, Africa::Cairo), Africa::Cairo),
            at("2026-04-24T01:00:00")
        );
        let plain = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
        assert_eq!(day_start(plain, Asia::Shanghai), utc("2026-04-30T16:00:00Z"));
    }

    fn zones() -> impl Strategy<Value = Tz> {
        prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec())
    }

    proptest! {
        #[test]
        fn an_instant_comes_back_or_is_the_second_of_a_fold(seconds in 946_684_800_i64..4_102_444_800, zone in zones()) {
            let instant = DateTime::from_timestamp(seconds, 0).unwrap();
            let back = to_instant(local(instant, zone), zone);
            prop_assert!(back == instant || (back < instant && local(back, zone) == local(instant, zone)));
        }

        #[test]
        fn a_local_time_maps_to_itself_or_later(seconds in 946_684_800_i64..4_102_444_800, zone in zones()) {
            let wall = DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
            let shown = local(to_instant(wall, zone), zone);
            prop_assert!(shown >= wall && shown - wall <= Duration::hours(24));
        }

        #[test]
        fn a_day_start_is_the_first_instant_of_its_date(days in 10_957_i64..47_482, zone in zones()) {
            let date = NaiveDate::default() + Duration::days(days);
            let start = day_start(date, zone);
            prop_assert!(local_date(start, zone) >= date);
            prop_assert!(local_date(start - Duration::minutes(1), zone) < date);
        }
    }
}
