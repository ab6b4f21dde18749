// SPDX-License-Identifier: GPL-2.0

//! Watermarks: when a scheme is to rest.

use super::attrs::Micros;
use kernel::prelude::*;

/// What is compared with the marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WatermarkMetric {
    /// Nothing: the scheme never rests.
    #[default]
    None,
    /// Free memory of the machine, in thousandths of all.
    FreeMemRate,
}

/// Between which marks a scheme is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermarks {
    /// What is compared.
    pub metric: WatermarkMetric,
    /// Time between two looks while all schemes rest.
    pub interval: Micros,
    /// Above it the scheme rests.
    pub high: u64,
    /// Below it a resting scheme becomes active.
    pub mid: u64,
    /// Below it the scheme rests.
    pub low: u64,
}

impl Watermarks {
    /// Whether a scheme is to be active where the metric has this value; `None` if it cannot be
    /// had. Between the upper two marks it stays as it was.
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
