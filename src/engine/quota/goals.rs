// SPDX-License-Identifier: GPL-2.0

//! Goals: what is known of them, and the quota that follows from a score.

use super::{
    super::feedback::{
        next_input,
        GOAL, //
    },
    QuotaParams,
    Tuner, //
};
use kernel::prelude::*;

/// The smallest quota that grows, times 10,000.
const SMALLEST: u64 = 10_000;

/// What a running scheme knows of a goal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GoalState {
    /// Pressure at the last look.
    pub(crate) last_psi_us: Option<u64>,
    pub(crate) value: Option<u64>,
}

impl GoalState {
    /// So many of goals that were not looked at. Fails with `ENOMEM`.
    pub(crate) fn list(len: usize) -> Result<KVec<Self>> {
        let mut list = KVec::with_capacity(len, GFP_KERNEL)?;
        for _ in 0..len {
            list.push_within_capacity(Self::default())?;
        }
        Ok(list)
    }

    /// The value at the last look. `None` before that, and where two looks are needed for one.
    pub(crate) fn value(&self) -> Option<u64> {
        self.value
    }
}

/// The quota, times 10,000, that follows `last` at a score.
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
