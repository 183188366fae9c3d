//! Chance that repeats: a draw is a hash of what it is about, never of order or of a generated id.

use ring::digest::{Context, SHA256};

/// A number in `[0, 1)` drawn for the named parts under a seed: the same on every machine and in every version.
/// The parts are told apart (`["ab"]` is not `["a", "b"]`).
pub fn draw(seed: u64, parts: &[&str]) -> f64 {
    let mut hash = Context::new(&SHA256);
    hash.update(&seed.to_be_bytes());
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let high = hash
        .finish()
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // 53 bits are what an f64 holds exactly.
    (high >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stays_the_same_for_ever() {
        let first = draw(42, &["acme", "welcome", "once"]);
        assert_eq!(first.to_bits(), draw(42, &["acme", "welcome", "once"]).to_bits());
        assert!((draw(0, &[]) - 0.0).abs() > 0.0);
        assert_eq!(format!("{first:.12}"), FIRST);
        assert_ne!(draw(1, &["ab"]).to_bits(), draw(1, &["a", "b"]).to_bits());
        assert_ne!(draw(1, &["a"]).to_bits(), draw(2, &["a"]).to_bits());
    }

    /// Written down once: a change of the hash would re-deal every hold-out.
    const FIRST: &str = "0.043331420793";

    #[test]
    fn is_even() {
        let draws: Vec<f64> = (0..20_000).map(|n| draw(7, &[&n.to_string()])).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let tenth = draws.iter().filter(|d| **d < 0.1).count();
        assert!((1_850..2_150).contains(&tenth), "{tenth}");
    }

    proptest! {
        #[test]
        fn lies_between_nought_and_one(seed: u64, a in "\\PC{0,20}", b in "\\PC{0,20}") {
            let draw = draw(seed, &[&a, &b]);
            prop_assert!((0.0..1.0).contains(&draw));
        }
    }
}
