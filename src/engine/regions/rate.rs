// SPDX-License-Identifier: GPL-2.0

//! The access rate of a region as a pseudo moving sum, as in `damon_moving_sum()`.
//!
//! The accesses of a region are counted over an aggregation window and start from zero in the next.
//! A real moving sum would need every sample of the last window of each region. Instead, the
//! accesses of the last window are assumed to be evenly distributed: when one of its samples leaves
//! the moving window, the sum of the last window divided by its number of samples is subtracted.
//!
//! For example, a window has 10 samples, and 5 samples of the last window found an access. In basis
//! points, where an access counts 10,000, each sample that leaves subtracts 5,000. After an access
//! the sum is 50,000 - 5,000 + 10,000 = 55,000, and after a sample without one it is 50,000 again.
//! After ten samples the sum is exactly what the new window has counted.

use super::super::num::{
    mul_high,
    narrow, //
};
use kernel::prelude::*;

/// Value of one access, in basis points.
pub(crate) const HIT: u32 = 10_000;

/// Converts a count of accesses to basis points.
///
/// Saturates at 429,496 accesses.
#[inline]
pub(crate) const fn to_bp(accesses: u32) -> u32 {
    accesses.saturating_mul(HIT)
}

/// The number of samples in an aggregation window, prepared for the computation of moving sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SampleWindow {
    /// Number of samples, at least one.
    samples: u32,
    /// 2^64 / `samples`, rounded up. The upper half of its product with a 32-bit number is the
    /// exact quotient of that number and `samples` (Lemire, Kaser and Kurz, "Faster remainder by
    /// direct computation", 2019). This avoids a division for each region and sample. Not used for
    /// one sample.
    reciprocal: u64,
    /// The sum of a window in which each sample found an access, in basis points.
    full: u32,
}

impl SampleWindow {
    /// Creates a window of `samples`, or of one if that is zero.
    pub(crate) fn new(samples: u32) -> Self {
        let samples = samples.max(1);
        let quotient = u64::MAX.checked_div(u64::from(samples)).unwrap_or(u64::MAX);
        Self {
            samples,
            reciprocal: quotient.wrapping_add(1),
            full: to_bp(samples),
        }
    }

    /// Returns the number of samples.
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

    /// Moves `sum` by one sample. `last` is the sum of the last complete window. All are in basis
    /// points.
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
