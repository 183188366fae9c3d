//! The shard of an account: what is found, locked and decided together, should there ever be several databases.

use uuid::Uuid;

/// The number of shards.
pub const SHARDS: u128 = 1024;

/// The shard of an account, 0 to 1023. All bits count, for parts of an id tell only its time or its maker.
#[must_use]
pub fn shard_of(account: Uuid) -> i16 {
    // The finishing steps of MurmurHash3 (public domain) over both halves.
    let id = account.as_u128();
    let mut x = (id >> 64) as u64 ^ (id as u64).rotate_left(31);
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^= x >> 33;
    (u128::from(x) % SHARDS) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_the_same_and_spreads() {
        // Stored rows depend on these figures.
        assert_eq!(shard_of(Uuid::nil()), 0);
        let mut counts = [0_u32; SHARDS as usize];
        for n in 0..102_400_u128 {
            counts[shard_of(Uuid::from_u128(
                0x0199_0000_0000_7000_8000_0000_0000_0000 + (n << 32),
            )) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (50..160).contains(c)), "{counts:?}");
    }
}
