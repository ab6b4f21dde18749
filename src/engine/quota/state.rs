// SPDX-License-Identifier: GPL-2.0

//! Charging a quota, from one window to the next.
//!
//! All limits become one, the effective quota in addresses: the smallest of the size, of what can
//! be done in the time at the speed so far, and of what the goals want. What the action is tried on
//! is charged. When the quota is used up the scheme rests until the window is over, and goes on
//! behind the region that it had come to.

use super::{
    super::{
        num::{
            mul_div,
            Grain, //
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

/// Addresses per millisecond that an action is taken to do before it has done anything: 1,024
/// pages of 4 KiB, as the in-tree DAMON assumes.
const FIRST_THROUGHPUT: u64 = 4096 * 1024;

/// Where a scheme goes on when its next window begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resume {
    /// Position of the target.
    pub(crate) target: usize,
    /// What lies before this address has had its turn.
    pub(crate) addr: u64,
}

/// What a running scheme's quota has come to.
#[derive(Default, Debug)]
pub struct QuotaState {
    /// When the window began; `None` before the first one.
    began_ns: Option<u64>,
    effective: u64,
    charged: u64,
    /// What was charged in the windows that are over, for the speed.
    total_charged: u64,
    total_ns: u64,
    pub(crate) resume: Option<Resume>,
    /// The smallest score with which a region gets its turn.
    pub(crate) min_score: u32,
    /// The effective quota by the goals, times 10,000.
    tuned_bp: u64,
    /// Of each goal, by position.
    pub(crate) goals: KVec<GoalState>,
}

impl QuotaState {
    /// That of a scheme with some goals, that has done nothing yet. Fails with `ENOMEM`.
    pub(crate) fn new(params: &QuotaParams) -> Result<Self> {
        Ok(Self {
            goals: GoalState::list(params.goals.len())?,
            ..Self::default()
        })
    }

    /// The effective quota, in the unit of addresses.
    pub fn effective(&self) -> u64 {
        self.effective
    }

    /// What is charged in this window, in the unit of addresses.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// What was charged in the windows that are over.
    pub fn total_charged(&self) -> u64 {
        self.total_charged
    }

    /// Time that the action has taken so far, in nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// The smallest score, of 99, with which a region gets its turn.
    pub fn min_score(&self) -> u32 {
        self.min_score
    }

    /// What the goals want the effective quota to be, times 10,000.
    pub fn tuned_bp(&self) -> u64 {
        self.tuned_bp
    }

    /// The value of each goal at the last look at it, if it had one.
    pub fn goal_values(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.goals.iter().map(GoalState::value)
    }

    /// The target and the address to go on from, if the scheme was interrupted.
    pub fn resumes_at(&self) -> Option<(usize, u64)> {
        self.resume.map(|resume| (resume.target, resume.addr))
    }

    /// Forgets what is of no use without a quota.
    pub(crate) fn clear(&mut self) {
        self.began_ns = None;
        self.effective = 0;
        self.charged = 0;
        self.resume = None;
        self.min_score = 0;
    }

    /// What may still be charged.
    pub(crate) fn left(&self) -> u64 {
        self.effective.saturating_sub(self.charged)
    }

    /// Whether there is nothing left that a region could be made of.
    pub(crate) fn is_full(&self, grain: Grain) -> bool {
        self.left() < grain.size()
    }

    /// Charges for an action on a region, which has taken some time.
    pub(crate) fn charge(&mut self, share: FailCharge, size: u64, applied: Applied, ns: u64) {
        let failed = size.saturating_sub(applied.bytes);
        let charge = match share.denom {
            0 => size,
            // What an action has done may be more than what it was asked for.
            _ if applied.bytes > size => size,
            denom => {
                let share = mul_div(failed, u64::from(share.num), u64::from(denom));
                applied.bytes.saturating_add(share)
            }
        };
        self.charged = self.charged.saturating_add(charge);
        self.total_ns = self.total_ns.saturating_add(ns);
    }

    /// Takes over what is known of goals that stay what they are, by position: `old` ones are
    /// replaced by `new` ones, with `states` as they start with.
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

    /// The target at position `from` is now at `to`, or gone.
    pub(crate) fn follow(&mut self, from: usize, to: Option<usize>) {
        self.resume = self.resume.and_then(|resume| match resume.target == from {
            true => to.map(|target| Resume { target, ..resume }),
            false => Some(resume),
        });
    }

    /// There are so many targets, and none behind.
    pub(crate) fn leave_from(&mut self, nr_targets: usize) {
        self.resume = self.resume.filter(|resume| resume.target < nr_targets);
    }

    /// A target is gone, or has nothing more to go on with.
    pub(crate) fn leave(&mut self, target: usize) {
        if self.resume.is_some_and(|resume| resume.target == target) {
            self.resume = None;
        }
    }

    /// How much of a region has had its turn before the window began: zero for none, as much as
    /// the region or more for all of it. It is all of each target but the one to go on in.
    pub(crate) fn had_its_turn(&self, target: usize, region: &Region, grain: Grain) -> u64 {
        let Some(resume) = self.resume else {
            return 0;
        };
        if target != resume.target || region.end() <= resume.addr {
            return region.size();
        }
        match resume.addr.checked_sub(region.start()) {
            None | Some(0) => 0,
            // At least one grain, so that it goes on.
            Some(part) => grain.down(part).max(grain.size()),
        }
    }

    /// Starts a window if it is time. `tune` measures the goals. Whether the last window's quota
    /// was used up, and whether the effective quota may be told: it is if it is another one, and in
    /// the first window.
    pub(crate) fn advance(
        &mut self,
        params: &QuotaParams,
        grain: Grain,
        now_ns: u64,
        mut score: impl FnMut(&mut [GoalState]) -> Option<u64>,
    ) -> Advanced {
        let mut advanced = Advanced::default();
        if self.began_ns.is_none() {
            self.began_ns = Some(now_ns);
            self.set_effective(params, grain, &mut score);
            advanced.tell = true;
        }
        let passed = now_ns.saturating_sub(self.began_ns.unwrap_or(now_ns));
        if passed >= params.reset_interval.as_nanos() {
            advanced.exceeded = self.is_full(grain);
            self.total_charged = self.total_charged.saturating_add(self.charged);
            self.began_ns = Some(now_ns);
            self.charged = 0;
            let before = self.effective;
            self.set_effective(params, grain, &mut score);
            advanced.tell |= self.effective != before;
        }
        advanced
    }

    fn set_effective(
        &mut self,
        params: &QuotaParams,
        grain: Grain,
        score: &mut impl FnMut(&mut [GoalState]) -> Option<u64>,
    ) {
        let mut effective = match params.bytes {
            0 => u64::MAX,
            bytes => bytes,
        };
        if !params.goals.is_empty() {
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
            let in_time = throughput.saturating_mul(params.ms).max(grain.size());
            effective = effective.min(in_time);
        }
        self.effective = effective;
    }
}

/// What the start of a window has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Advanced {
    /// The quota of the window before was used up.
    pub(crate) exceeded: bool,
    /// The effective quota is worth an event.
    pub(crate) tell: bool,
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
        let grain = Grain::try_from(4096)?;
        let effective = |params: &QuotaParams, score| -> Result<u64> {
            let mut state = QuotaState::new(params)?;
            state.advance(params, grain, 5, |_| score);
            Ok(state.effective())
        };
        assert_eq!(effective(&quota(10_000, 0), None)?, 10_000);
        // At the speed that is assumed at first,
        assert_eq!(effective(&quota(0, 2), None)?, 2 * FIRST_THROUGHPUT);
        assert_eq!(effective(&quota(10_000, 2), None)?, 10_000);
        assert_eq!(effective(&quota(u64::MAX, u64::MAX), None)?, u64::MAX);
        // and with a goal that is far away, from the smallest quota up.
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
        // Nothing measured, nothing done.
        assert_eq!(effective(&params, None)?, 0);
        Ok(())
    }

    #[test]
    fn windows_follow_each_other() -> Result {
        let grain = Grain::try_from(16)?;
        let params = quota(100, 0);
        let mut state = QuotaState::new(&params)?;
        let at = |state: &mut QuotaState, ns| state.advance(&params, grain, ns, |_| None);
        let first = at(&mut state, 7 * SECOND);
        assert!(first.tell && !first.exceeded);
        state.charge(FailCharge::default(), 91, all(91), 0);
        assert!(state.is_full(grain) && state.left() == 9);
        assert_eq!(at(&mut state, 8 * SECOND - 1), Advanced::default());
        assert_eq!(state.charged(), 91);
        let second = at(&mut state, 8 * SECOND);
        assert!(second.exceeded && !second.tell);
        assert_eq!((state.charged(), state.total_charged()), (0, 91));
        // One in which nothing was done has not exceeded.
        assert!(!at(&mut state, 9 * SECOND).exceeded);
        Ok(())
    }

    #[test]
    fn time_becomes_size_at_the_speed_so_far() -> Result {
        let grain = Grain::try_from(4096)?;
        let params = quota(0, 10);
        let mut state = QuotaState::new(&params)?;
        state.advance(&params, grain, 1, |_| None);
        // 8,192 in two milliseconds.
        state.charge(FailCharge::default(), 8192, all(8192), 2_000_000);
        state.advance(&params, grain, SECOND + 1, |_| None);
        assert_eq!(state.effective(), 40_960);
        // Never less than a region, or it would never be tried again.
        state.charge(FailCharge::default(), 4096, all(0), u64::MAX / 2);
        state.advance(&params, grain, 2 * SECOND + 1, |_| None);
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
        let grain = Grain::try_from(8)?;
        let mut state = QuotaState::default();
        let turn = |state: &QuotaState, target, start, end| -> Result<u64> {
            Ok(state.had_its_turn(target, &region(start, end, 0, 0, 0)?, grain))
        };
        assert_eq!(turn(&state, 0, 0, 16)?, 0);
        state.resume = Some(Resume {
            target: 1,
            addr: 48,
        });
        assert_eq!(turn(&state, 0, 64, 80)?, 16);
        assert_eq!(turn(&state, 1, 16, 48)?, 32);
        assert_eq!(turn(&state, 1, 32, 64)?, 16);
        assert_eq!(turn(&state, 1, 48, 64)?, 0);
        assert_eq!(turn(&state, 1, 64, 80)?, 0);
        state.leave(0);
        assert_eq!(state.resumes_at(), Some((1, 48)));
        state.leave(1);
        assert_eq!(state.resumes_at(), None);
        Ok(())
    }
}
