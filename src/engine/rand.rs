// SPDX-License-Identifier: GPL-2.0

//! Random numbers for sampling addresses and split points.

use super::num::mul_high;
use kernel::prelude::*;

/// A SplitMix64 generator.
///
/// It is unpredictable enough for a workload that does not try to evade monitoring, cheap enough
/// for one call for each region and sample, and every seed is a good seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Creates a generator. Its numbers only depend on `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `[from, to)`, or `from` if the range is empty. Corresponds to
    /// `damon_rand()`.
    #[inline]
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        let span = to.saturating_sub(from);
        // The upper half of the product is below `span`, so the sum is below `to`.
        from.wrapping_add(mul_high(self.next(), span))
    }
}

#[kunit_tests(damon_rs_rand)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_range() {
        let mut rng = Rng::new(0);
        for _ in 0..1000 {
            let n = rng.range(1, 10);
            assert!((1..10).contains(&n));
            let n = rng.range(1, u64::MAX);
            assert!((1..u64::MAX).contains(&n));
            assert_eq!(rng.range(42, 43), 42);
        }
    }

    #[test]
    fn an_empty_range_has_its_start() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.range(7, 7), 7);
        assert_eq!(rng.range(7, 3), 7);
        assert_eq!(rng.range(u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn reaches_every_number() {
        let mut rng = Rng::new(2);
        let mut seen = 0u32;
        for _ in 0..1000 {
            seen |= 1 << rng.range(1, 10);
        }
        assert_eq!(seen, 0b11_1111_1110);
    }
}
