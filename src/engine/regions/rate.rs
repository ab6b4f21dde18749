// SPDX-License-Identifier: GPL-2.0

//! The access rate of a region as a pseudo moving sum, as in `damon_mvsum()` of Linux 7.3.
//!
//! The accesses of a region are counted over an aggregation window and start from zero in the next.
//! A real moving sum would need every sample of the last window of each region. Instead, the
//! accesses of the last window are assumed to be evenly distributed: the part of that window that
//! the latest aggregation interval reaches into counts by its share.
//!
//! For example, a window has 10 samples, and 5 samples of the last window found an access. When the
//! current window has had one sample, which found an access, the sum is 1 + 5 * 9 / 10 = 5.5. After
//! ten samples the sum is what the new window has counted.

use super::super::num::{
    mul_div,
    narrow, //
};
use kernel::prelude::*;

/// The number of samples in an aggregation window, at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SampleWindow(u32);

impl SampleWindow {
    /// Creates a window of `samples`, or of one if that is zero.
    pub(crate) fn new(samples: u32) -> Self {
        Self(samples.max(1))
    }

    /// Returns the number of samples.
    #[inline]
    pub(crate) fn samples(&self) -> u32 {
        self.0
    }
}

/// The latest aggregation interval: the current aggregation window so far, and the end of the last
/// complete one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LatestInterval {
    /// Number of samples in a window, at least one.
    samples: u32,
    /// Number of samples of the last complete window that are in the interval, at most `samples`.
    left: u32,
}

impl LatestInterval {
    /// Creates the interval that ends after `passed` samples of the current window.
    pub(crate) fn new(window: SampleWindow, passed: u64) -> Self {
        let samples = window.samples();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        Self {
            samples,
            left: samples.saturating_sub(passed),
        }
    }

    /// Returns whether the interval is the last complete window: the current one has no sample yet.
    pub(crate) fn is_last_window(&self) -> bool {
        self.left == self.samples
    }

    /// Returns the count in the interval in ten-thousandths, from the count in the current window
    /// and that in the last complete one.
    pub(crate) fn count_bp(&self, now: u32, last: u32) -> u64 {
        let [now, last] = [now, last].map(|count| u64::from(count).saturating_mul(10_000));
        now.saturating_add(self.rest(last))
    }

    /// Returns the count in the interval, rounded down, from the count in the current window and
    /// that in the last complete one.
    #[inline]
    pub(crate) fn count(&self, now: u32, last: u32) -> u32 {
        if last == 0 {
            return now;
        }
        now.saturating_add(narrow(self.rest(u64::from(last))))
    }

    /// Returns the part of a count in the last complete window that is in the interval.
    fn rest(&self, last: u64) -> u64 {
        mul_div(last, u64::from(self.left), u64::from(self.samples))
    }
}

#[kunit_tests(damon_rs_rate)]
mod tests {
    use super::*;

    fn after(samples: u32, passed: u64) -> LatestInterval {
        LatestInterval::new(SampleWindow::new(samples), passed)
    }

    #[test]
    fn slides_as_the_reference_does() {
        let hits = [1, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        let sums = [
            55_000, 50_000, 55_000, 50_000, 45_000, 40_000, 45_000, 40_000, 35_000, 30_000,
        ];
        let mut now = 0;
        for (passed, (hit, sum)) in (1..).zip(hits.into_iter().zip(sums)) {
            now += hit;
            assert_eq!(after(10, passed).count_bp(now, 5), sum);
            assert_eq!(u64::from(after(10, passed).count(now, 5)), sum / 10_000);
        }
    }

    #[test]
    fn the_rest_of_the_last_window_counts_by_its_share() {
        assert_eq!(after(10, 0).count(0, 5), 5);
        assert_eq!(after(10, 6).count(3, 5), 5);
        assert_eq!(after(10, 10).count(3, 5), 3);
        // A window that is longer than it should be has all samples of the interval.
        assert_eq!(after(10, u64::MAX).count(3, 5), 3);
    }

    #[test]
    fn windows() {
        assert!(after(10, 0).is_last_window());
        assert!(!after(10, 1).is_last_window());
        assert_eq!(SampleWindow::new(0), SampleWindow::new(1));
    }

    #[test]
    fn all_counts_that_a_window_can_have() {
        for samples in [1, 20, 429_496, 600_000, u32::MAX - 1, u32::MAX] {
            let half = u64::from(samples / 2);
            assert_eq!(after(samples, 0).count(0, samples), samples);
            assert_eq!(after(samples, half).count(samples / 2, samples), samples);
            assert_eq!(after(samples, u64::MAX).count(samples, samples), samples);
        }
        assert_eq!(after(600_000, 0).count_bp(0, 600_000), 6_000_000_000);
    }
}
