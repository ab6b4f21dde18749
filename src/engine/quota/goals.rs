// SPDX-License-Identifier: GPL-2.0

//! Quota goals: the measured values of the goals, and the quota that a score leads to.

use super::{
    super::feedback::{
        next_input,
        GOAL, //
    },
    QuotaParams,
    Tuner, //
};
use kernel::prelude::*;

/// The smallest quota from which tuning starts, times 10,000: one address.
const SMALLEST: u64 = 10_000;

/// The state of a goal of a running scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GoalState {
    /// Total pressure at the last measurement, in microseconds. `None` before the first one, and
    /// after one at which the kernel did not account it.
    pub(crate) last_psi_us: Option<u64>,
    /// The last measured value, in the unit of the metric: basis points, microseconds or the unit
    /// of the user.
    pub(crate) value: Option<u64>,
}

impl GoalState {
    /// Creates the states of `len` goals without a value. Fails with `ENOMEM`.
    pub(crate) fn list(len: usize) -> Result<KVec<Self>> {
        let mut list = KVec::with_capacity(len, GFP_KERNEL)?;
        for _ in 0..len {
            list.push_within_capacity(Self::default())?;
        }
        Ok(list)
    }

    /// Returns the last measured value. `None` before the first measurement, after the first one if
    /// the value is the difference of two measurements, and if the metric is not available.
    pub(crate) fn value(&self) -> Option<u64> {
        self.value
    }
}

/// Returns the next quota of the goals, in the unit of addresses times 10,000, after the quota
/// `last` has led to `score`. Corresponds to `damos_goal_tune_esz_bp_consist()` and
/// `damos_goal_tune_esz_bp_temporal()`.
pub(crate) fn tuned(params: &QuotaParams, last: u64, score: u64) -> u64 {
    match params.tuner {
        Tuner::Consist => next_input(last.max(SMALLEST), score),
        Tuner::Temporal if score >= GOAL => 0,
        Tuner::Temporal => match params.bytes {
            0 => u64::MAX,
            bytes => bytes.saturating_mul(10_000),
        },
    }
}

#[kunit_tests(damon_rs_quota_goals)]
mod tests {
    use super::*;

    #[test]
    fn temporal_is_all_or_nothing() {
        let quota = |bytes| QuotaParams {
            bytes,
            tuner: Tuner::Temporal,
            ..QuotaParams::default()
        };
        assert_eq!(tuned(&quota(0), 5, 9_999), u64::MAX);
        assert_eq!(tuned(&quota(7), 5, 9_999), 70_000);
        assert_eq!(tuned(&quota(7), 5, 10_000), 0);
    }

    #[test]
    fn consist_never_starves() {
        let consist = QuotaParams::default();
        assert_eq!(tuned(&consist, 0, 0), 20_000);
        assert_eq!(tuned(&consist, 0, u64::MAX), 10_000);
        assert_eq!(tuned(&consist, 40_000, 7_500), 50_000);
    }
}
