// SPDX-License-Identifier: GPL-2.0

//! The state of a quota, and how it is charged from one charge window to the next.
//!
//! All limits are combined into one, the effective size quota in the unit of addresses. It is the
//! minimum of the size limit, of the size that can be processed within the time limit at the
//! throughput so far, and of the quota of the goals. The memory that the action is tried on is
//! charged. When the quota is full, the scheme is not applied until the charge window ends. In the
//! next window it resumes after the last region that it was applied to.

use super::{
    super::{
        num::{
            mul_div,
            MinRegionSize, //
        },
        pattern::Applied,
        regions::region::Region, //
    },
    goals::{
        tuned,
        GoalState, //
    },
    FailCharge,
    Goal,
    QuotaParams, //
};
use kernel::prelude::*;

/// Throughput that is assumed before the action has been applied, in the unit of addresses per
/// millisecond: 1,024 pages of 4 KiB, as in the C DAMON.
const FIRST_THROUGHPUT: u64 = 4096 * 1024;

/// The place at which a scheme resumes in its next charge window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resume {
    /// Index of the target.
    pub(crate) target: usize,
    /// The memory before this address was handled in the last window.
    pub(crate) addr: u64,
}

/// The state of a running scheme's quota. Sizes are in the unit of addresses.
#[derive(Default, Debug)]
pub struct QuotaState {
    /// Start of the charge window in nanoseconds; `None` before the first one.
    began_ns: Option<u64>,
    effective: u64,
    charged: u64,
    /// Size that was charged in the windows before this one, to compute the throughput.
    total_charged: u64,
    total_ns: u64,
    pub(crate) resume: Option<Resume>,
    /// The priority threshold.
    pub(crate) min_score: u32,
    /// The quota of the goals, times 10,000.
    tuned_bp: u64,
    /// The states of the goals, by index.
    pub(crate) goals: KVec<GoalState>,
}

impl QuotaState {
    /// Creates the initial state. Fails with `ENOMEM`.
    pub(crate) fn new(params: &QuotaParams) -> Result<Self> {
        Ok(Self {
            goals: GoalState::list(params.goals.len())?,
            ..Self::default()
        })
    }

    /// Returns the effective size quota, in the unit of addresses.
    pub fn effective(&self) -> u64 {
        self.effective
    }

    /// Returns the size that was charged in this charge window, in the unit of addresses.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Returns the size that was charged in the charge windows before this one, in the unit of
    /// addresses.
    pub fn total_charged(&self) -> u64 {
        self.total_charged
    }

    /// Returns the time that the action has taken so far, in nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// Returns the priority threshold: the score from 0 to 99 that a region must reach.
    pub fn min_score(&self) -> u32 {
        self.min_score
    }

    /// Returns the effective size quota of the goals, in the unit of addresses times 10,000.
    pub fn tuned_bp(&self) -> u64 {
        self.tuned_bp
    }

    /// Returns the last measured value of each goal, if it has one.
    pub fn goal_values(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.goals.iter().map(GoalState::value)
    }

    /// Returns the index of the target and the address at which the scheme resumes, if it was
    /// interrupted.
    pub fn resumes_at(&self) -> Option<(usize, u64)> {
        self.resume.map(|resume| (resume.target, resume.addr))
    }

    /// Resets the state that is only used with a quota.
    pub(crate) fn clear(&mut self) {
        self.began_ns = None;
        self.effective = 0;
        self.charged = 0;
        self.resume = None;
        self.min_score = 0;
    }

    /// Returns the size that may still be charged, in the unit of addresses.
    pub(crate) fn left(&self) -> u64 {
        self.effective.saturating_sub(self.charged)
    }

    /// Returns whether the rest of the quota is smaller than the smallest region. Corresponds to
    /// `damos_quota_is_full()`.
    pub(crate) fn is_full(&self, min_region_sz: MinRegionSize) -> bool {
        self.left() < min_region_sz.size()
    }

    /// Charges an action on a region of `size`, which took `ns` nanoseconds. Corresponds to
    /// `damos_charge_quota()`.
    pub(crate) fn charge(&mut self, share: FailCharge, size: u64, applied: Applied, ns: u64) {
        let failed = size.saturating_sub(applied.bytes);
        let charge = match share.denom {
            0 => size,
            // An action may take effect on more memory than requested.
            _ if applied.bytes > size => size,
            denom => {
                let share = mul_div(failed, u64::from(share.num), u64::from(denom));
                applied.bytes.saturating_add(share)
            }
        };
        self.charged = self.charged.saturating_add(charge);
        self.total_ns = self.total_ns.saturating_add(ns);
    }

    /// Replaces the goals `old` by the goals `new`. A goal keeps its state, matched by index, if
    /// its metric does not change; the others start with those in `states`.
    pub(crate) fn replace_goals(
        &mut self,
        old: &[Goal],
        new: &[Goal],
        mut states: KVec<GoalState>,
    ) {
        let same = old.iter().zip(new).map(|(old, new)| {
            core::mem::discriminant(&old.metric) == core::mem::discriminant(&new.metric)
        });
        for ((state, known), same) in states.iter_mut().zip(&self.goals).zip(same) {
            if same {
                *state = *known;
            }
        }
        self.goals = states;
    }

    /// Follows the target with index `from` to the index `to`, or drops the place to resume at if
    /// the target was removed.
    pub(crate) fn follow(&mut self, from: usize, to: Option<usize>) {
        self.resume = self.resume.and_then(|resume| {
            if resume.target == from {
                to.map(|target| Resume { target, ..resume })
            } else {
                Some(resume)
            }
        });
    }

    /// Drops the place to resume at if it is not in the first `nr_targets` targets.
    pub(crate) fn leave_from(&mut self, nr_targets: usize) {
        self.resume = self.resume.filter(|resume| resume.target < nr_targets);
    }

    /// Drops the place to resume at if it is in this target: the target is gone, or its last region
    /// was reached.
    pub(crate) fn leave(&mut self, target: usize) {
        if self.resume.is_some_and(|resume| resume.target == target) {
            self.resume = None;
        }
    }

    /// Returns how much of a region was handled in the charge window before, in the unit of
    /// addresses: zero for nothing, and at least the size of the region for all of it. All targets
    /// other than the one to resume in count as handled.
    pub(crate) fn handled_size(
        &self,
        target: usize,
        region: &Region,
        min_region_sz: MinRegionSize,
    ) -> u64 {
        let Some(resume) = self.resume else {
            return 0;
        };
        if target != resume.target || region.end() <= resume.addr {
            return region.size();
        }
        match resume.addr.checked_sub(region.start()) {
            None | Some(0) => 0,
            // At least `min_region_sz`, so that the scheme makes progress.
            Some(part) => min_region_sz.down(part).max(min_region_sz.size()),
        }
    }

    /// Starts a new charge window if the quota reset interval has expired. `score` measures the
    /// goals and returns their score.
    ///
    /// Returns whether the quota of the last window was exceeded, and whether the effective size
    /// quota is to be reported: it is in the first window, and when it has changed.
    pub(crate) fn advance(
        &mut self,
        params: &QuotaParams,
        min_region_sz: MinRegionSize,
        now_ns: u64,
        mut score: impl FnMut(&mut [GoalState]) -> Option<u64>,
    ) -> Advanced {
        let mut advanced = Advanced::default();
        if self.began_ns.is_none() {
            self.began_ns = Some(now_ns);
            self.set_effective(params, min_region_sz, &mut score);
            advanced.changed = true;
        }
        let passed = now_ns.saturating_sub(self.began_ns.unwrap_or(now_ns));
        if passed >= params.reset_interval.as_nanos() {
            advanced.exceeded = self.is_full(min_region_sz);
            self.total_charged = self.total_charged.saturating_add(self.charged);
            self.began_ns = Some(now_ns);
            self.charged = 0;
            let before = self.effective;
            self.set_effective(params, min_region_sz, &mut score);
            advanced.changed |= self.effective != before;
        }
        advanced
    }

    fn set_effective(
        &mut self,
        params: &QuotaParams,
        min_region_sz: MinRegionSize,
        score: &mut impl FnMut(&mut [GoalState]) -> Option<u64>,
    ) {
        let mut effective = match params.bytes {
            0 => u64::MAX,
            bytes => bytes,
        };
        if !params.goals.is_empty() {
            // Without a score there is no reason to change the quota. It is 0 before the first one.
            if let Some(score) = score(&mut self.goals) {
                self.tuned_bp = tuned(params, self.tuned_bp, score);
            }
            effective = effective.min(self.tuned_bp / 10_000);
        }
        if params.ms != 0 {
            let throughput = match self.total_ns {
                0 => FIRST_THROUGHPUT,
                ns => mul_div(self.total_charged, 1_000_000, ns),
            };
            let in_time = throughput
                .saturating_mul(params.ms)
                .max(min_region_sz.size());
            effective = effective.min(in_time);
        }
        self.effective = effective;
    }
}

/// The result of [`QuotaState::advance`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Advanced {
    /// The quota of the last charge window was exceeded.
    pub(crate) exceeded: bool,
    /// The effective size quota is to be reported as a trace event.
    pub(crate) changed: bool,
}

#[kunit_tests(damon_rs_quota)]
mod tests {
    use super::{
        super::{
            super::{
                attrs::Micros,
                regions::region::tests::region, //
            },
            GoalMetric,
            Tuner, //
        },
        *, //
    };

    const SECOND: u64 = 1_000_000_000;

    fn quota(bytes: u64, ms: u64) -> QuotaParams {
        QuotaParams {
            bytes,
            ms,
            reset_interval: Micros::from_secs(1),
            ..QuotaParams::default()
        }
    }

    fn all(bytes: u64) -> Applied {
        Applied {
            bytes,
            filter_passed: 0,
        }
    }

    #[test]
    fn the_smallest_limit_is_the_effective_one() -> Result {
        let min_region_sz = MinRegionSize::try_from(4096)?;
        let effective = |params: &QuotaParams, score| -> Result<u64> {
            let mut state = QuotaState::new(params)?;
            state.advance(params, min_region_sz, 5, |_| score);
            Ok(state.effective())
        };
        assert_eq!(effective(&quota(10_000, 0), None)?, 10_000);
        // At the initial throughput,
        assert_eq!(effective(&quota(0, 2), None)?, 2 * FIRST_THROUGHPUT);
        assert_eq!(effective(&quota(10_000, 2), None)?, 10_000);
        assert_eq!(effective(&quota(u64::MAX, u64::MAX), None)?, u64::MAX);
        // and, far below a goal, from the smallest quota upwards.
        let mut params = quota(0, 0);
        let goal = Goal {
            metric: GoalMetric::UserInput(0),
            target_value: 1,
        };
        params.goals.push(goal, GFP_KERNEL)?;
        assert_eq!(effective(&params, Some(0))?, 2);
        params.tuner = Tuner::Temporal;
        assert_eq!(effective(&params, Some(0))?, u64::MAX / 10_000);
        params.bytes = 12_345;
        assert_eq!(effective(&params, Some(0))?, 12_345);
        assert_eq!(effective(&params, Some(10_000))?, 0);
        // Without a measured value the quota is zero.
        assert_eq!(effective(&params, None)?, 0);
        Ok(())
    }

    #[test]
    fn windows_follow_each_other() -> Result {
        let min_region_sz = MinRegionSize::try_from(16)?;
        let params = quota(100, 0);
        let mut state = QuotaState::new(&params)?;
        let at = |state: &mut QuotaState, ns| state.advance(&params, min_region_sz, ns, |_| None);
        let first = at(&mut state, 7 * SECOND);
        assert!(first.changed && !first.exceeded);
        state.charge(FailCharge::default(), 91, all(91), 0);
        assert!(state.is_full(min_region_sz) && state.left() == 9);
        assert_eq!(at(&mut state, 8 * SECOND - 1), Advanced::default());
        assert_eq!(state.charged(), 91);
        let second = at(&mut state, 8 * SECOND);
        assert!(second.exceeded && !second.changed);
        assert_eq!((state.charged(), state.total_charged()), (0, 91));
        // A window in which nothing was charged has not exceeded its quota.
        assert!(!at(&mut state, 9 * SECOND).exceeded);
        Ok(())
    }

    #[test]
    fn time_becomes_size_at_the_speed_so_far() -> Result {
        let min_region_sz = MinRegionSize::try_from(4096)?;
        let params = quota(0, 10);
        let mut state = QuotaState::new(&params)?;
        state.advance(&params, min_region_sz, 1, |_| None);
        // 8,192 in two milliseconds.
        state.charge(FailCharge::default(), 8192, all(8192), 2_000_000);
        state.advance(&params, min_region_sz, SECOND + 1, |_| None);
        assert_eq!(state.effective(), 40_960);
        // The quota is at least the smallest region; otherwise the action would never be tried
        // again.
        state.charge(FailCharge::default(), 4096, all(0), u64::MAX / 2);
        state.advance(&params, min_region_sz, 2 * SECOND + 1, |_| None);
        assert_eq!(state.effective(), 4096);
        Ok(())
    }

    #[test]
    fn failures_are_charged_by_their_share() -> Result {
        let charged = |num, denom, size, bytes| {
            let mut state = QuotaState::default();
            state.charge(FailCharge { num, denom }, size, all(bytes), 0);
            state.charged()
        };
        assert_eq!(charged(0, 0, 100, 0), 100);
        assert_eq!(charged(1, 0, 100, 30), 100);
        assert_eq!(charged(1, 10, 100, 0), 10);
        assert_eq!(charged(1, 10, 100, 30), 37);
        assert_eq!(charged(0, 1, 100, 30), 30);
        assert_eq!(charged(2, 1, 100, 30), 170);
        assert_eq!(charged(1, 10, 100, 200), 100);
        assert_eq!(charged(u32::MAX, 1, u64::MAX, 0), u64::MAX);
        Ok(())
    }

    #[test]
    fn goes_on_where_it_stopped() -> Result {
        let min_region_sz = MinRegionSize::try_from(8)?;
        let mut state = QuotaState::default();
        let handled = |state: &QuotaState, target, start, end| -> Result<u64> {
            Ok(state.handled_size(target, &region(start, end, 0, 0, 0)?, min_region_sz))
        };
        assert_eq!(handled(&state, 0, 0, 16)?, 0);
        state.resume = Some(Resume {
            target: 1,
            addr: 48,
        });
        assert_eq!(handled(&state, 0, 64, 80)?, 16);
        assert_eq!(handled(&state, 1, 16, 48)?, 32);
        assert_eq!(handled(&state, 1, 32, 64)?, 16);
        assert_eq!(handled(&state, 1, 48, 64)?, 0);
        assert_eq!(handled(&state, 1, 64, 80)?, 0);
        state.leave(0);
        assert_eq!(state.resumes_at(), Some((1, 48)));
        state.leave(1);
        assert_eq!(state.resumes_at(), None);
        Ok(())
    }
}
