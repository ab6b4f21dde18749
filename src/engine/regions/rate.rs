// SPDX-License-Identifier: GPL-2.0

//! The access rate of a region as a pseudo moving sum.
//!
//! A region's accesses are counted over an aggregation interval and start from zero in the next.
//! Who wants to know the rate in between would have to remember every sample of the last interval
//! for each region. Instead the past interval is taken for an even one: a sample of it that leaves
//! the window is assumed to be worth the interval's sum divided by the number of its samples.
//!
//! For example, a window of 10 samples in whose last full interval 5 were hits: in basis points
//! (a hit is 10,000), each sample that leaves takes 5,000 with it. After a hit the sum is 50,000 -
//! 5,000 + 10,000 = 55,000, after a miss 50,000 again. Once all ten have left, what remains is
//! exactly what the new interval has counted.

use super::super::num::{
    mul_high,
    narrow, //
};
use kernel::prelude::*;

/// What one sample with an access counts in basis points.
pub(crate) const HIT: u32 = 10_000;

/// A count of accesses in basis points.
///
/// Saturates: counts above 429,496 in one interval read as that many.
#[inline]
pub(crate) const fn to_bp(accesses: u32) -> u32 {
    accesses.saturating_mul(HIT)
}

/// The samples of an aggregation interval, prepared for sliding a sum along them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SampleWindow {
    /// Number of samples, at least one.
    samples: u32,
    /// 2^64 / samples, rounded up: the upper half of its product with a 32-bit number is the
    /// exact quotient of the two (Lemire, Kaser, Kurz 2019), without a division for each region
    /// and sample. Meaningless for one sample, where there is nothing to divide.
    reciprocal: u64,
    /// The sum of a window of hits.
    full: u32,
}

impl SampleWindow {
    /// A window of `samples`, or of one if that is zero.
    pub(crate) fn new(samples: u32) -> Self {
        let samples = samples.max(1);
        let quotient = u64::MAX.checked_div(u64::from(samples)).unwrap_or(u64::MAX);
        Self {
            samples,
            reciprocal: quotient.wrapping_add(1),
            full: to_bp(samples),
        }
    }

    /// Number of samples.
    #[inline]
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    #[inline]
    fn divide(&self, n: u32) -> u32 {
        if self.samples == 1 {
            return n;
        }
        narrow(mul_high(self.reciprocal, u64::from(n)))
    }

    /// Moves `sum` on by one sample, where `last` is the sum of the last full window.
    #[inline]
    pub(crate) fn slide(&self, sum: u32, last: u32, hit: bool) -> u32 {
        let new = if hit { HIT } else { 0 };
        sum.saturating_sub(self.divide(last))
            .saturating_add(new)
            .min(self.full)
    }
}

#[kunit_tests(damon_rs_rate)]
mod tests {
    use super::*;

    #[test]
    fn slides_as_the_reference_does() {
        let window = SampleWindow::new(10);
        let hits = [
            true, false, true, false, false, false, true, false, false, false,
        ];
        let sums = [
            55_000, 50_000, 55_000, 50_000, 45_000, 40_000, 45_000, 40_000, 35_000, 30_000,
        ];
        let mut sum = 50_000;
        for (hit, expected) in hits.into_iter().zip(sums) {
            sum = window.slide(sum, 50_000, hit);
            assert_eq!(sum, expected);
        }
    }

    #[test]
    fn divides_exactly() {
        for samples in [1, 2, 3, 7, 20, 10_000, u32::MAX - 1, u32::MAX] {
            let window = SampleWindow::new(samples);
            for n in [0, 1, 2, 9_999, 10_000, u32::MAX - 1, u32::MAX] {
                assert_eq!(Some(window.divide(n)), n.checked_div(samples));
            }
        }
    }

    #[test]
    fn never_leaves_the_window() {
        let window = SampleWindow::new(1);
        assert_eq!(window.slide(0, u32::MAX, false), 0);
        assert_eq!(window.slide(10_000, 0, true), 10_000);
        let window = SampleWindow::new(u32::MAX);
        assert_eq!(window.slide(u32::MAX, 0, true), u32::MAX);
    }
}
