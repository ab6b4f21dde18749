// SPDX-License-Identifier: GPL-2.0

//! Monitoring attributes: how often, and with how many regions, memory is looked at.

use super::{
    num::{
        length,
        mul_div,
        narrow, //
    },
    regions::rate::SampleWindow, //
};
use kernel::prelude::*;

/// Number of regions that a context is kept within, whatever limits the user has set.
///
/// A limit may be any 64-bit value, but who asks for at least 2^63 regions shall get a fine-grained
/// monitor, not a machine without memory: this many regions are 48 MiB.
pub const MAX_REGIONS: usize = 1 << 20;

/// A time interval in microseconds, as users state it: any 64-bit value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// `ms` milliseconds; saturates.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// `secs` seconds; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// The interval in nanoseconds; saturates.
    pub const fn as_nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }

    /// How many intervals of `unit` fit into this one. No interval is shorter than a microsecond:
    /// a unit of zero counts as one.
    pub const fn in_units_of(self, unit: Self) -> u64 {
        match self.0.checked_div(unit.0) {
            Some(n) => n,
            None => self.0,
        }
    }
}

/// Aim of the intervals' auto-tuning; off while `aggrs` is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IntervalsGoal {
    /// Wanted ratio of observed to possible access events, in basis points.
    pub access_bp: u64,
    /// Number of aggregations to reach it in.
    pub aggrs: u64,
    /// Shortest sampling interval that tuning may set.
    pub min_sample_us: Micros,
    /// Longest sampling interval that tuning may set.
    pub max_sample_us: Micros,
}

/// Monitoring attributes as a user states them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttrsParams {
    /// Time between two looks at a region.
    pub sample: Micros,
    /// Time over which the outcomes of looks are counted.
    pub aggr: Micros,
    /// Time between two updates of what the targets cover.
    pub ops_update: Micros,
    /// Aim of the intervals' auto-tuning.
    pub goal: IntervalsGoal,
    /// Lower limit on the number of regions of a context; at least 3.
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
    /// What of the values does not fit together, in the names of the files, if something does not.
    pub fn misfit(&self) -> Option<&'static str> {
        let goal = &self.goal;
        let tunable = goal.min_sample_us <= self.sample && self.sample <= goal.max_sample_us;
        if goal.aggrs != 0 && !tunable {
            return Some("sample_us is not between min_sample_us and max_sample_us");
        }
        if self.min_nr_regions < 3 || self.min_nr_regions > self.max_nr_regions {
            return Some("nr_regions/min is below 3 or above nr_regions/max");
        }
        (self.sample > self.aggr).then_some("sample_us is above aggr_us")
    }
}

/// Monitoring attributes that fit together.
///
/// # Invariants
///
/// - The goal, if there is one, admits the sampling interval.
/// - `3 <= min_nr_regions <= max_nr_regions` and `sample <= aggr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attrs {
    params: AttrsParams,
    window: SampleWindow,
}

impl TryFrom<AttrsParams> for Attrs {
    type Error = Error;

    /// `EINVAL` for values that do not fit together.
    fn try_from(params: AttrsParams) -> Result<Self> {
        if params.misfit().is_some() {
            return Err(EINVAL);
        }
        Ok(Self {
            params,
            window: SampleWindow::new(narrow(params.aggr.in_units_of(params.sample))),
        })
    }
}

impl Attrs {
    /// The values as the user stated them.
    pub fn params(&self) -> &AttrsParams {
        &self.params
    }

    /// Time between two looks at a region. May be zero.
    pub fn sample(&self) -> Micros {
        self.params.sample
    }

    /// Time over which accesses are counted.
    pub fn aggr(&self) -> Micros {
        self.params.aggr
    }

    /// Time between two updates of what the targets cover.
    pub fn ops_update(&self) -> Micros {
        self.params.ops_update
    }

    /// Aim of the intervals' auto-tuning, if it is on.
    pub fn goal(&self) -> Option<&IntervalsGoal> {
        Some(&self.params.goal).filter(|goal| goal.aggrs != 0)
    }

    /// Number of sampling intervals between two times of tuning, if it is on.
    pub fn tuning_samples(&self) -> Option<u64> {
        self.goal()
            .map(|goal| goal.aggrs.saturating_mul(self.aggr_samples()))
    }

    /// The same attributes, with a sampling interval that is as near to `sample` as the goal admits
    /// and an aggregation interval of as many samples as before.
    ///
    /// The sampling interval is never shorter than a microsecond: nothing in proportion to zero
    /// would lead away from it.
    pub(crate) fn tuned(&self, sample: Micros) -> Self {
        let mut params = self.params;
        let goal = &params.goal;
        params.sample = sample
            .min(goal.max_sample_us)
            .max(goal.min_sample_us)
            .max(Micros(1));
        let samples = self.aggr_samples().max(1);
        params.aggr = Micros(params.sample.0.saturating_mul(samples));
        // INVARIANT: The goal has not changed and admits what is in its limits, the one with a
        // limit of zero one microsecond too; and `samples` is not zero.
        Self {
            params,
            window: SampleWindow::new(narrow(params.aggr.in_units_of(params.sample))),
        }
    }

    /// How many sampling intervals of these attributes the time of `n` intervals of `old` is.
    pub fn convert_samples(&self, n: u64, old: &Self) -> u64 {
        let unit = |attrs: &Self| attrs.sample().0.max(1);
        mul_div(n, unit(old), unit(self))
    }

    /// Number of sampling intervals in an aggregation interval. May be zero.
    pub fn aggr_samples(&self) -> u64 {
        self.params.aggr.in_units_of(self.params.sample)
    }

    /// Number of sampling intervals between two operations updates. May be zero.
    pub fn ops_update_samples(&self) -> u64 {
        self.params.ops_update.in_units_of(self.params.sample)
    }

    /// The most accesses that can be counted in one aggregation interval; at least one.
    pub fn max_nr_accesses(&self) -> u32 {
        self.window.samples()
    }

    pub(crate) fn window(&self) -> SampleWindow {
        self.window
    }

    /// The lower limit on the number of regions, within [`MAX_REGIONS`].
    pub(crate) fn min_regions(&self) -> usize {
        length(self.params.min_nr_regions).min(MAX_REGIONS)
    }

    /// The upper limit on the number of regions, within [`MAX_REGIONS`].
    pub(crate) fn max_regions(&self) -> usize {
        length(self.params.max_nr_regions).min(MAX_REGIONS)
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
    fn refuses_what_does_not_fit_together() {
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
