// SPDX-License-Identifier: GPL-2.0

//! Monitoring attributes: the intervals of monitoring and the limits on the number of regions.

use super::{
    num::{
        mul_div,
        narrow, //
    },
    regions::rate::SampleWindow, //
};
use crate::cast::to_usize;
use kernel::prelude::*;

/// Upper bound of the number of regions of a context, regardless of the limits that the user has
/// set.
///
/// A limit may be any 64-bit value. A user that requests at least 2^63 regions should get
/// fine-grained monitoring, and not exhaust the memory of the system: this many regions take 48
/// MiB.
pub const MAX_REGIONS: usize = 1 << 20;

/// A time interval in microseconds. Any 64-bit value is valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// Creates an interval of `ms` milliseconds; saturates.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// Creates an interval of `secs` seconds; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Returns the interval in nanoseconds; saturates.
    pub const fn as_nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }

    /// Returns how many intervals of `unit` fit into this one. A unit of zero counts as one
    /// microsecond.
    pub const fn in_units_of(self, unit: Self) -> u64 {
        match self.0.checked_div(unit.0) {
            Some(n) => n,
            None => self.0,
        }
    }
}

/// The goal of the automatic tuning of the intervals (C: `struct damon_intervals_goal`). Tuning is
/// off while `aggrs` is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IntervalsGoal {
    /// Ratio of observed to possible access events to be reached, in basis points.
    pub access_bp: u64,
    /// Number of aggregation intervals to reach it within.
    pub aggrs: u64,
    /// Shortest sampling interval that tuning may set.
    pub min_sample_us: Micros,
    /// Longest sampling interval that tuning may set.
    pub max_sample_us: Micros,
}

/// Monitoring attributes, as the user has set them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttrsParams {
    /// The sampling interval: time between two access checks of a region.
    pub sample: Micros,
    /// The aggregation interval: time over which the results of access checks are counted.
    pub aggr: Micros,
    /// The operations update interval: time between two updates of the ranges of the targets.
    pub ops_update: Micros,
    /// The goal of the automatic tuning of the intervals.
    pub goal: IntervalsGoal,
    /// Lower limit on the number of regions of a context. At least 3.
    pub min_nr_regions: u64,
    /// Upper limit on the number of regions of a context.
    pub max_nr_regions: u64,
}

impl Default for AttrsParams {
    fn default() -> Self {
        Self {
            sample: Micros::from_millis(5),
            aggr: Micros::from_millis(100),
            ops_update: Micros::from_secs(60),
            goal: IntervalsGoal::default(),
            min_nr_regions: 10,
            max_nr_regions: 1000,
        }
    }
}

impl AttrsParams {
    /// Returns the first conflict between the values, in the names of the sysfs files, or `None`.
    pub fn conflict(&self) -> Option<&'static str> {
        let goal = &self.goal;
        let tunable = goal.min_sample_us <= self.sample && self.sample <= goal.max_sample_us;
        if goal.aggrs != 0 && !tunable {
            return Some(
                "sample_us is not within [min_sample_us, max_sample_us] of intervals_goal",
            );
        }
        if self.min_nr_regions < 3 || self.min_nr_regions > self.max_nr_regions {
            return Some("nr_regions/min is less than 3 or greater than nr_regions/max");
        }
        (self.sample > self.aggr).then_some("sample_us is greater than aggr_us")
    }
}

/// Validated monitoring attributes.
///
/// # Invariants
///
/// - If tuning is on, the sampling interval is within the limits of its goal. If both limits are
///   zero, it may be one microsecond as well.
/// - `3 <= min_nr_regions <= max_nr_regions` and `sample <= aggr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attrs {
    params: AttrsParams,
    window: SampleWindow,
}

impl TryFrom<AttrsParams> for Attrs {
    type Error = Error;

    /// Fails with `EINVAL` if the values conflict, see [`AttrsParams::conflict`].
    fn try_from(params: AttrsParams) -> Result<Self> {
        if params.conflict().is_some() {
            return Err(EINVAL);
        }
        Ok(Self {
            params,
            window: SampleWindow::new(narrow(params.aggr.in_units_of(params.sample))),
        })
    }
}

impl Attrs {
    /// Returns the values.
    pub fn params(&self) -> &AttrsParams {
        &self.params
    }

    /// Returns the sampling interval. May be zero.
    pub fn sample(&self) -> Micros {
        self.params.sample
    }

    /// Returns the aggregation interval.
    pub fn aggr(&self) -> Micros {
        self.params.aggr
    }

    /// Returns the operations update interval.
    pub fn ops_update(&self) -> Micros {
        self.params.ops_update
    }

    /// Returns the goal of the automatic tuning of the intervals, if that is on.
    pub fn goal(&self) -> Option<&IntervalsGoal> {
        Some(&self.params.goal).filter(|goal| goal.aggrs != 0)
    }

    /// Returns the number of sampling intervals between two tunings, if tuning is on.
    pub fn tuning_samples(&self) -> Option<u64> {
        self.goal()
            .map(|goal| goal.aggrs.saturating_mul(self.aggr_samples()))
    }

    /// Returns the same attributes with the sampling interval in the limits of the goal that is
    /// closest to `sample`, and with an aggregation interval of as many sampling intervals as
    /// before.
    ///
    /// The sampling interval becomes at least one microsecond, because no proportion of zero would
    /// lead away from zero.
    pub(crate) fn tuned(&self, sample: Micros) -> Self {
        let mut params = self.params;
        let goal = &params.goal;
        params.sample = sample
            .min(goal.max_sample_us)
            .max(goal.min_sample_us)
            .max(Micros(1));
        let samples = self.aggr_samples().max(1);
        params.aggr = Micros(params.sample.0.saturating_mul(samples));
        // INVARIANT: The sampling interval was clamped to the limits of the goal, which does not
        // change; it exceeds them only if both are zero and it is one microsecond.
        // `sample <= aggr`, as `samples` is at least one. The limits on the number of regions do
        // not change.
        Self {
            params,
            window: SampleWindow::new(narrow(params.aggr.in_units_of(params.sample))),
        }
    }

    /// Returns the time of `n` sampling intervals of `old` in sampling intervals of these
    /// attributes.
    pub fn convert_samples(&self, n: u64, old: &Self) -> u64 {
        let unit = |attrs: &Self| attrs.sample().0.max(1);
        mul_div(n, unit(old), unit(self))
    }

    /// Returns the number of sampling intervals in an aggregation interval. May be zero.
    pub fn aggr_samples(&self) -> u64 {
        self.params.aggr.in_units_of(self.params.sample)
    }

    /// Returns the number of sampling intervals between two operations updates. May be zero.
    pub fn ops_update_samples(&self) -> u64 {
        self.params.ops_update.in_units_of(self.params.sample)
    }

    /// Returns the largest number of accesses that can be counted in an aggregation interval. At
    /// least one.
    pub fn max_nr_accesses(&self) -> u32 {
        self.window.samples()
    }

    pub(crate) fn window(&self) -> SampleWindow {
        self.window
    }

    /// Returns the lower limit on the number of regions, at most [`MAX_REGIONS`].
    pub(crate) fn min_regions(&self) -> usize {
        to_usize(self.params.min_nr_regions).min(MAX_REGIONS)
    }

    /// Returns the upper limit on the number of regions, at most [`MAX_REGIONS`].
    pub(crate) fn max_regions(&self) -> usize {
        to_usize(self.params.max_nr_regions).min(MAX_REGIONS)
    }
}

#[kunit_tests(damon_rs_attrs)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut AttrsParams)) -> Result<Attrs> {
        let mut params = AttrsParams::default();
        change(&mut params);
        Attrs::try_from(params)
    }

    #[test]
    fn accepts_the_defaults() -> Result {
        let attrs = Attrs::try_from(AttrsParams::default())?;
        assert_eq!(attrs.max_nr_accesses(), 20);
        assert_eq!(attrs.aggr_samples(), 20);
        assert_eq!(attrs.ops_update_samples(), 12_000);
        Ok(())
    }

    #[test]
    fn refuses_conflicting_values() {
        assert_eq!(with(|p| p.min_nr_regions = 1), Err(EINVAL));
        assert_eq!(with(|p| p.min_nr_regions = 2), Err(EINVAL));
        assert!(with(|p| p.min_nr_regions = 3).is_ok());
        assert_eq!(with(|p| p.max_nr_regions = 9), Err(EINVAL));
        assert!(with(|p| p.max_nr_regions = 10).is_ok());
        assert_eq!(with(|p| p.aggr = Micros(4999)), Err(EINVAL));
        assert!(with(|p| p.aggr = Micros(5000)).is_ok());
    }

    #[test]
    fn a_goal_must_admit_the_sampling_interval() {
        let goal = |aggrs, min, max| IntervalsGoal {
            access_bp: 400,
            aggrs,
            min_sample_us: Micros(min),
            max_sample_us: Micros(max),
        };
        assert!(with(|p| p.goal = goal(3, 5000, 5000)).is_ok());
        assert_eq!(with(|p| p.goal = goal(3, 5001, 9000)), Err(EINVAL));
        assert_eq!(with(|p| p.goal = goal(3, 100, 4999)), Err(EINVAL));
        assert_eq!(with(|p| p.goal = goal(3, 9000, 100)), Err(EINVAL));
        assert!(with(|p| p.goal = goal(0, 9000, 100)).is_ok());
    }

    #[test]
    fn an_interval_of_zero_counts_as_one() -> Result {
        let attrs = with(|p| p.sample = Micros(0))?;
        assert_eq!(attrs.aggr_samples(), 100_000);
        assert_eq!(attrs.max_nr_accesses(), 100_000);
        let attrs = with(|p| {
            p.sample = Micros(0);
            p.aggr = Micros(0);
        })?;
        assert_eq!(attrs.aggr_samples(), 0);
        assert_eq!(attrs.max_nr_accesses(), 1);
        Ok(())
    }

    #[test]
    fn tuning_keeps_to_the_limits_and_to_the_number_of_samples() -> Result {
        let goal = IntervalsGoal {
            access_bp: 400,
            aggrs: 3,
            min_sample_us: Micros(1000),
            max_sample_us: Micros(8000),
        };
        let attrs = with(|p| p.goal = goal)?;
        assert_eq!(attrs.tuning_samples(), Some(60));
        let intervals = |sample| {
            let tuned = attrs.tuned(Micros(sample));
            (tuned.sample().0, tuned.aggr().0, tuned.aggr_samples())
        };
        assert_eq!(intervals(6000), (6000, 120_000, 20));
        assert_eq!(intervals(999), (1000, 20_000, 20));
        assert_eq!(intervals(u64::MAX), (8000, 160_000, 20));
        assert_eq!(with(|_| ())?.tuning_samples(), None);
        Ok(())
    }

    #[test]
    fn tuning_leads_away_from_an_interval_of_zero() -> Result {
        let attrs = with(|p| {
            p.sample = Micros(0);
            p.aggr = Micros(0);
            p.goal.aggrs = 1;
            p.goal.max_sample_us = Micros(10);
        })?;
        let tuned = attrs.tuned(Micros(0));
        assert_eq!((tuned.sample().0, tuned.aggr().0), (1, 1));
        Ok(())
    }

    #[test]
    fn converts_times_between_sampling_intervals() -> Result {
        let fast = with(|p| p.sample = Micros(10))?;
        let slow = with(|p| p.sample = Micros(25))?;
        assert_eq!(slow.convert_samples(100, &fast), 40);
        assert_eq!(fast.convert_samples(40, &slow), 100);
        assert_eq!(fast.convert_samples(u64::MAX, &slow), u64::MAX);
        let none = with(|p| p.sample = Micros(0))?;
        assert_eq!(none.convert_samples(4, &slow), 100);
        Ok(())
    }

    #[test]
    fn takes_any_number() -> Result {
        let attrs = with(|p| {
            p.sample = Micros(1);
            p.aggr = Micros(u64::MAX);
            p.ops_update = Micros(u64::MAX);
            p.min_nr_regions = u64::MAX;
            p.max_nr_regions = u64::MAX;
        })?;
        assert_eq!(attrs.max_nr_accesses(), u32::MAX);
        assert_eq!(attrs.max_regions(), MAX_REGIONS);
        assert_eq!(Micros::from_secs(u64::MAX), Micros(u64::MAX));
        Ok(())
    }
}
