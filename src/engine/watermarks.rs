// SPDX-License-Identifier: GPL-2.0

//! Watermarks: the values of a system metric at which a scheme is active.

use super::attrs::Micros;
use core::ffi::CStr;
use kernel::prelude::*;

/// The system metric that is compared with the watermarks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WatermarkMetric {
    /// No metric: the scheme is always active.
    #[default]
    None,
    /// Free memory of the system in thousandths of the total memory.
    FreeMemRate,
}

impl WatermarkMetric {
    /// Returns the keyword of the metric in the sysfs files.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::None => c"none",
            Self::FreeMemRate => c"free_mem_rate",
        }
    }
}

/// The watermarks of a scheme (C: `struct damos_watermarks`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermarks {
    /// The metric.
    pub metric: WatermarkMetric,
    /// Time between two checks while all schemes are inactive.
    pub interval: Micros,
    /// The scheme is deactivated above this value.
    pub high: u64,
    /// An inactive scheme is activated below this value, down to [`Self::low`].
    pub mid: u64,
    /// The scheme is deactivated below this value.
    pub low: u64,
}

impl Watermarks {
    /// Returns whether a scheme is active at `value` of the metric; `None` means that the metric is
    /// not available, and activates the scheme. Between the high and the middle watermark the state
    /// does not change.
    pub(crate) fn activate(&self, was_active: bool, value: Option<u64>) -> bool {
        match (self.metric, value) {
            (WatermarkMetric::None, _) | (_, None) => true,
            (WatermarkMetric::FreeMemRate, Some(value)) => {
                let rests = value > self.high || value < self.low;
                !rests && (was_active || value < self.mid)
            }
        }
    }
}

#[kunit_tests(damon_rs_watermarks)]
pub(super) mod tests {
    use super::*;

    pub(crate) const MARKS: Watermarks = Watermarks {
        metric: WatermarkMetric::FreeMemRate,
        interval: Micros(70),
        high: 500,
        mid: 300,
        low: 100,
    };

    #[test]
    fn rests_outside_of_the_marks() {
        let active = |was, value| MARKS.activate(was, Some(value));
        for was in [false, true] {
            assert!(!active(was, 501) && !active(was, 99));
            assert!(active(was, 299) && active(was, 100));
            assert_eq!((active(was, 500), active(was, 300)), (was, was));
        }
        assert!(MARKS.activate(false, None));
        assert!(Watermarks::default().activate(false, Some(0)));
    }
}
