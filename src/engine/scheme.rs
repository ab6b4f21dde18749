// SPDX-License-Identifier: GPL-2.0

//! DAMON-based operation schemes (C: `struct damos`): an action for memory of an access pattern.

use super::{
    attrs::{
        Attrs,
        Micros, //
    },
    filter::{
        verdict::VerdictCache,
        Filters, //
    },
    num::narrow,
    pattern::{
        AccessPattern,
        Action,
        Applied, //
    },
    quota::{
        score,
        QuotaParams,
        QuotaState, //
    },
    regions::region::Region,
    watermarks::{
        WatermarkMetric,
        Watermarks, //
    }, //
};
use kernel::prelude::*;

/// A migration destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dest {
    /// ID of the node. The node may not exist.
    pub nid: u32,
    /// Share of the migrated memory, relative to the weights of the other destinations.
    pub weight: u32,
}

/// The migration destinations of a scheme. If there are none, [`SchemeParams::target_nid`] is the
/// only destination.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Dests(KVec<Dest>);

impl From<KVec<Dest>> for Dests {
    fn from(list: KVec<Dest>) -> Self {
        Self(list)
    }
}

impl Dests {
    /// Returns the destinations in the order of the user.
    #[inline]
    pub fn as_slice(&self) -> &[Dest] {
        &self.0
    }
}

/// The parameters of a scheme.
#[derive(PartialEq, Eq, Debug)]
pub struct SchemeParams {
    /// The access pattern of the memory that the scheme is for.
    pub pattern: AccessPattern,
    /// Least age of the memory as a time: `age.min` of the pattern becomes this time in aggregation
    /// intervals, rounded down, also when the intervals are tuned. Zero keeps the limit of the
    /// pattern.
    pub min_age: Micros,
    /// The action to be applied to the memory.
    pub action: Action,
    /// Time between two applications of the action. Zero stands for the aggregation interval.
    pub apply_interval: Micros,
    /// Number of snapshots after which the scheme stops. Zero means no limit.
    pub max_nr_snapshots: u64,
    /// The filters, which further restrict the memory that matches the access pattern.
    pub filters: Filters,
    /// ID of the node that memory is migrated to if there are no [`Self::dests`]; `None` if there
    /// is none.
    pub target_nid: Option<i32>,
    /// The migration destinations.
    pub dests: Dests,
    /// The limits of the action in a quota reset interval.
    pub quota: QuotaParams,
    /// The system metric values at which the scheme is active.
    pub watermarks: Watermarks,
}

impl SchemeParams {
    /// Creates the parameters of a scheme without limits, filters and watermarks. Its apply
    /// interval is the aggregation interval.
    pub fn new(pattern: AccessPattern, action: Action) -> Self {
        Self {
            pattern,
            min_age: Micros(0),
            action,
            apply_interval: Micros(0),
            max_nr_snapshots: 0,
            filters: Filters::default(),
            target_nid: None,
            dests: Dests::default(),
            quota: QuotaParams::default(),
            watermarks: Watermarks::default(),
        }
    }

    /// Returns whether the scheme only counts regions, without access to their pages.
    pub fn only_counts(&self) -> bool {
        self.action == Action::Stat && self.filters.ops().is_empty()
    }

    /// Returns whether the scheme does nothing but show the regions that match its access pattern.
    pub(crate) fn only_shows(&self) -> bool {
        // All fields are listed, so that a new field fails to compile until it is handled here.
        let Self {
            pattern: _,
            min_age: _,
            action,
            apply_interval: _,
            max_nr_snapshots: _,
            filters,
            target_nid: _,
            dests: _,
            quota,
            watermarks,
        } = self;
        *action == Action::Stat
            && filters.is_empty()
            && !quota.is_set()
            && watermarks.metric == WatermarkMetric::None
    }
}

/// The statistics of a scheme (C: `struct damos_stat`). All sizes are in the unit of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Number of regions that the action was tried on.
    pub nr_tried: u64,
    /// Size of the regions that the action was tried on.
    pub sz_tried: u64,
    /// Number of regions that the action took effect on, at least in part.
    pub nr_applied: u64,
    /// Size of the memory that the action took effect on.
    pub sz_applied: u64,
    /// Size of the memory that passed the filters of the operations layer.
    pub sz_ops_filter_passed: u64,
    /// Number of times that the quota was exceeded.
    pub qt_exceeds: u64,
    /// Number of snapshots of the monitoring results that the scheme was tried on.
    pub nr_snapshots: u64,
}

impl Stat {
    #[inline]
    pub(crate) fn count(&mut self, tried: u64, applied: Applied) {
        let add = |sum: &mut u64, n| *sum = sum.saturating_add(n);
        add(&mut self.nr_tried, 1);
        add(&mut self.sz_tried, tried);
        add(&mut self.nr_applied, u64::from(applied.bytes != 0));
        add(&mut self.sz_applied, applied.bytes);
        add(&mut self.sz_ops_filter_passed, applied.filter_passed);
    }

    pub(crate) fn count_exceeded(&mut self) {
        self.qt_exceeds = self.qt_exceeds.saturating_add(1);
    }

    pub(crate) fn count_snapshot(&mut self) {
        self.nr_snapshots = self.nr_snapshots.saturating_add(1);
    }
}

/// The due state of a scheme, computed once before the schemes are applied to all regions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RoundState {
    /// The scheme is due and active, and does not rest. Cleared when its quota is full, because the
    /// quota is not refilled before the next application.
    pub(crate) takes_part: bool,
    /// The scheme was tried on a region, whether it wants the region or not. Its quota was not full
    /// at this time.
    pub(crate) tried: bool,
    /// The scheme has a quota.
    pub(crate) limited: bool,
    /// The operations layer is called for the scheme, see
    /// [`Operations::acts`](super::operations::Operations::acts).
    pub(crate) acts: bool,
    /// A walk is under way that has not visited this scheme in an apply interval yet.
    pub(crate) shown: bool,
    /// A region that matches and that no filter rejects is only counted. This allows for a short
    /// path without quota, operations, walk and trace event.
    pub(crate) counts: bool,
}

/// The state of a running scheme. A commit of new parameters keeps it.
#[derive(Debug)]
pub(crate) struct SchemeState {
    pub(crate) stat: Stat,
    pub(crate) quota: QuotaState,
    /// The watermarks activate the scheme.
    pub(crate) active: bool,
    /// Time at which the scheme is due, in sampling intervals since the start.
    pub(crate) next_apply: u64,
    pub(crate) round: RoundState,
    /// Results of the core layer's filters for the current target, in the application under way.
    pub(crate) verdicts: VerdictCache,
    /// The current walk has visited one apply interval of this scheme.
    ///
    /// A walk ends when it has visited an apply interval of every scheme. Without this flag, a
    /// scheme with a short apply interval would be visited again and again while the walk waits for
    /// a scheme with a long one.
    pub(crate) walked: bool,
    /// The entity that the operations layer was last applied to in the current apply interval, see
    /// [`Attempt::last`](super::operations::Attempt::last).
    pub(crate) last_entity: Option<usize>,
}

/// A scheme of a context: parameters and state.
pub struct Scheme {
    pub(crate) params: SchemeParams,
    pub(crate) state: SchemeState,
}

impl Scheme {
    /// Creates a scheme that is first due one apply interval after `passed` sampling intervals.
    /// Fails with `ENOMEM`.
    pub(crate) fn new(params: SchemeParams, attrs: &Attrs, passed: u64) -> Result<Self> {
        let quota = QuotaState::new(&params.quota)?;
        Ok(Self::with_quota(params, quota, attrs, passed))
    }

    /// Creates a scheme like [`Self::new`]. `quota` must have been created for `params`.
    pub(crate) fn with_quota(
        params: SchemeParams,
        quota: QuotaState,
        attrs: &Attrs,
        passed: u64,
    ) -> Self {
        let state = SchemeState {
            stat: Stat::default(),
            quota,
            active: true,
            next_apply: 0,
            round: RoundState::default(),
            verdicts: VerdictCache::default(),
            walked: false,
            last_entity: None,
        };
        let mut scheme = Self { params, state };
        scheme.follow_age(attrs);
        scheme.schedule(attrs, passed);
        scheme
    }

    /// Replaces the parameters and keeps the state. `quota` must have been created for `params`;
    /// its preallocated goal states are used.
    pub(crate) fn with_params(self, params: SchemeParams, quota: QuotaState) -> Self {
        let Self {
            params: old,
            mut state,
        } = self;
        let (goals, new) = (&old.quota.goals, &params.quota.goals);
        state.quota.replace_goals(goals, new, quota.goals);
        if !params.quota.is_set() {
            state.quota.clear();
        }
        // If the watermarks have changed, the scheme is active until the next check.
        state.active |= old.watermarks != params.watermarks;
        Self { params, state }
    }

    /// Returns the parameters of the scheme.
    pub fn params(&self) -> &SchemeParams {
        &self.params
    }

    /// Returns the statistics of the scheme.
    pub fn stat(&self) -> &Stat {
        &self.state.stat
    }

    /// Returns the state of the quota.
    pub fn quota(&self) -> &QuotaState {
        &self.state.quota
    }

    /// Returns whether the watermarks activated the scheme at the last check.
    pub fn is_active(&self) -> bool {
        self.state.active
    }

    /// Returns whether the scheme is due after `passed` sampling intervals, and active.
    pub(crate) fn takes_part(&self, passed: u64) -> bool {
        self.state.active && self.is_due(passed)
    }

    /// Returns whether `region` matches the access pattern, and its score reaches the priority
    /// threshold if there is a quota. `nr_accesses` is its access rate.
    #[inline]
    pub(crate) fn wants(&self, attrs: &Attrs, region: &Region, nr_accesses: u32) -> bool {
        let params = &self.params;
        params.pattern.matches(region, nr_accesses)
            && (!self.state.round.limited
                || self.state.quota.min_score == 0
                || score(
                    attrs,
                    &params.quota.weights,
                    params.action,
                    nr_accesses,
                    region.age(),
                ) >= self.state.quota.min_score)
    }

    /// Schedules the next application, one apply interval after `passed` sampling intervals.
    /// Corresponds to `damos_set_next_apply_sis()`.
    pub(crate) fn schedule(&mut self, attrs: &Attrs, passed: u64) {
        let interval = match self.params.apply_interval {
            Micros(0) => attrs.aggr(),
            interval => interval,
        };
        self.state.next_apply = passed.saturating_add(interval.in_units_of(attrs.sample()));
    }

    /// Brings the next application forward to one apply interval after `passed` sampling intervals,
    /// unless it is earlier.
    pub(crate) fn bring_forward(&mut self, attrs: &Attrs, passed: u64) {
        let planned = self.state.next_apply;
        self.schedule(attrs, passed);
        self.state.next_apply = self.state.next_apply.min(planned);
    }

    /// Keeps the time at which the scheme is due when the sampling interval changes from that of
    /// `old`, after `passed` sampling intervals. If the apply interval is the aggregation interval,
    /// the scheme is scheduled anew.
    pub(crate) fn reschedule(&mut self, attrs: &Attrs, old: &Attrs, passed: u64) {
        if self.params.apply_interval == Micros(0) {
            return self.schedule(attrs, passed);
        }
        let left = self.state.next_apply.saturating_sub(passed);
        self.state.next_apply = passed.saturating_add(attrs.convert_samples(left, old));
    }

    /// Converts the least age that is given as a time to intervals of `attrs`.
    pub(crate) fn follow_age(&mut self, attrs: &Attrs) {
        let SchemeParams {
            min_age, pattern, ..
        } = &mut self.params;
        if *min_age != Micros(0) {
            pattern.age.min = narrow(min_age.in_units_of(attrs.aggr()));
        }
    }

    /// Returns whether the apply interval of the scheme ends after `passed` sampling intervals.
    pub(crate) fn is_due(&self, passed: u64) -> bool {
        passed >= self.state.next_apply
    }

    /// Returns whether the scheme has reached its limit on the number of snapshots.
    pub(crate) fn is_resting(&self) -> bool {
        let max = self.params.max_nr_snapshots;
        max != 0 && self.state.stat.nr_snapshots >= max
    }
}

#[kunit_tests(damon_rs_scheme)]
mod tests {
    use super::{
        super::{
            attrs::AttrsParams,
            pattern::MinMax, //
        },
        *, //
    };

    fn scheme(apply_interval: Micros) -> SchemeParams {
        let pattern = AccessPattern {
            sz: MinMax { min: 10, max: 20 },
            nr_accesses: MinMax { min: 1, max: 3 },
            age: MinMax { min: 5, max: 6 },
        };
        SchemeParams {
            apply_interval,
            ..SchemeParams::new(pattern, Action::Stat)
        }
    }

    #[test]
    fn is_due_after_its_interval() -> Result {
        let attrs = Attrs::try_from(AttrsParams::default())?;
        let own = Scheme::new(scheme(Micros::from_millis(50)), &attrs, 7)?;
        assert!(!own.is_due(16));
        assert!(own.is_due(17));
        let aggr = Scheme::new(scheme(Micros(0)), &attrs, 7)?;
        assert!(!aggr.is_due(26));
        assert!(aggr.is_due(27));
        let never = Scheme::new(scheme(Micros(u64::MAX)), &attrs, u64::MAX - 1)?;
        assert!(!never.is_due(u64::MAX - 1));
        Ok(())
    }

    #[test]
    fn rests_after_its_snapshots() -> Result {
        let attrs = Attrs::try_from(AttrsParams::default())?;
        let mut scheme = Scheme::new(scheme(Micros(0)), &attrs, 0)?;
        scheme.state.stat.count_snapshot();
        assert!(!scheme.is_resting());
        scheme.params.max_nr_snapshots = 1;
        assert!(scheme.is_resting());
        Ok(())
    }

    #[test]
    fn counts_tried_and_applied_memory() {
        let mut stat = Stat::default();
        stat.count(10, Applied::default());
        stat.count(
            20,
            Applied {
                bytes: 15,
                filter_passed: 17,
            },
        );
        assert_eq!((stat.nr_tried, stat.sz_tried), (2, 30));
        assert_eq!((stat.nr_applied, stat.sz_applied), (1, 15));
        assert_eq!(stat.sz_ops_filter_passed, 17);
        stat.count(u64::MAX, Applied::default());
        assert_eq!(stat.sz_tried, u64::MAX);
    }
}
