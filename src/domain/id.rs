//! Ids that the program makes: uuid v7, whose time is business time.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use uuid::{Builder, NoContext, Timestamp, Uuid};

/// Where new ids come from.
#[derive(Debug)]
pub enum IdSource {
    /// Unguessable ids, for everything real.
    Random,
    /// Ids that repeat from run to run, for simulations.
    Seeded(SeededIds),
}

/// The state of ids that repeat: what tells this seed's ids from another's, and how many were made.
#[derive(Debug)]
pub struct SeededIds {
    mark: [u8; 4],
    made: AtomicU64,
}

impl IdSource {
    /// Ids that are a function of the seed, the business times and the order of the calls.
    pub fn seeded(seed: u64) -> Self {
        let hash = digest(&SHA256, &seed.to_be_bytes());
        let mut mark = [0; 4];
        mark.copy_from_slice(&hash.as_ref()[..4]);
        Self::Seeded(SeededIds {
            mark,
            made: AtomicU64::new(0),
        })
    }

    /// A new id made at the business time `now` (times before 1970 count as 1970). Seeded ids increase strictly as
    /// long as `now` does not go back; there are 2^42 of them.
    pub fn next(&self, now: DateTime<Utc>) -> Uuid {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        match self {
            Self::Random => {
                let nanos = (millis % 1_000) as u32 * 1_000_000;
                Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1_000, nanos))
            }
            Self::Seeded(ids) => {
                let bytes = ids.bytes(ids.made.fetch_add(1, Ordering::Relaxed));
                Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
            }
        }
    }
}

impl SeededIds {
    /// The ten bytes behind the time: the count in 42 bits, then the mark. Version and variant overwrite the upper
    /// four bits of the first byte and the upper two of the third, so the count leaves those free.
    fn bytes(&self, count: u64) -> [u8; 10] {
        let mut bytes = [0; 10];
        let high = count >> 24;
        bytes[0] = (high >> 14) as u8 & 0x0f;
        bytes[1] = (high >> 6) as u8;
        bytes[2] = high as u8 & 0x3f;
        bytes[3..6].copy_from_slice(&count.to_be_bytes()[5..]);
        bytes[6..].copy_from_slice(&self.mark);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T10:00:00.123Z".parse().unwrap()
    }

    #[test]
    fn carries_business_time() {
        for source in [IdSource::Random, IdSource::seeded(1)] {
            let id = source.next(now());
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(
                id.get_timestamp().unwrap().to_unix(),
                (1_795_168_800, 123_000_000)
            );
            assert_ne!(source.next(now()), id);
            assert_eq!(
                source
                    .next(DateTime::<Utc>::MIN_UTC)
                    .get_timestamp()
                    .unwrap()
                    .to_unix()
                    .0,
                0
            );
        }
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let three = |seed| {
            let source = IdSource::seeded(seed);
            [source.next(now()), source.next(now()), source.next(now())]
        };
        assert_eq!(three(7), three(7));
        assert!(three(7).iter().all(|id| !three(8).contains(id)));
    }

    #[test]
    fn the_count_carries_over_every_byte() {
        let IdSource::Seeded(ids) = IdSource::seeded(1) else {
            unreachable!()
        };
        for bit in 0..42 {
            let uuid = |count| Builder::from_unix_timestamp_millis(0, &ids.bytes(count)).into_uuid();
            assert!(uuid((1 << bit) - 1) < uuid(1 << bit), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn seeded_ids_increase(seed: u64, steps in prop::collection::vec(0_i64..5, 1..200)) {
            let source = IdSource::seeded(seed);
            let mut at = now();
            let mut last = Uuid::nil();
            for step in steps {
                at += chrono::Duration::milliseconds(step);
                let id = source.next(at);
                prop_assert!(id > last);
                last = id;
            }
        }
    }
}
