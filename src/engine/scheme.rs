// SPDX-License-Identifier: GPL-2.0

//! DAMON-based operation schemes: an action for memory of a certain access pattern.

use super::{
    attrs::{
        Attrs,
        Micros, //
    },
    filter::{
        Filters,
        Known, //
    },
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

/// A node to move memory to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dest {
    /// The number of the node, which may be none of the machine's.
    pub nid: u32,
    /// Its share of what is moved, compared with those of the others.
    pub weight: u32,
}

/// The nodes among which memory is distributed; if there is none, [`SchemeParams::target_nid`] is
/// where all goes.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Dests(KVec<Dest>);

impl From<KVec<Dest>> for Dests {
    fn from(list: KVec<Dest>) -> Self {
        Self(list)
    }
}

impl Dests {
    /// The nodes in the order of the user.
    #[inline]
    pub fn as_slice(&self) -> &[Dest] {
        &self.0
    }
}

/// A scheme as the user states it.
#[derive(PartialEq, Eq, Debug)]
pub struct SchemeParams {
    /// Which memory it is for.
    pub pattern: AccessPattern,
    /// What to do with it.
    pub action: Action,
    /// Time between two applications; zero stands for the aggregation interval.
    pub apply_interval: Micros,
    /// Number of snapshots after which the scheme rests; zero for no limit.
    pub max_nr_snapshots: u64,
    /// Which memory of what matches the pattern it is for.
    pub filters: Filters,
    /// The node that memory is migrated to if there are no [`Self::dests`]; `None` for none.
    pub target_nid: Option<i32>,
    /// The nodes that memory is migrated to.
    pub dests: Dests,
    /// How much it may do.
    pub quota: QuotaParams,
    /// When it is to rest.
    pub watermarks: Watermarks,
}

impl SchemeParams {
    /// A scheme without limits, filters and watermarks, to be applied when regions are aggregated.
    pub fn new(pattern: AccessPattern, action: Action) -> Self {
        Self {
            pattern,
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

    /// Whether the scheme counts regions, and does not look at what is in them.
    pub fn only_counts(&self) -> bool {
        self.action == Action::Stat && self.filters.ops().is_empty()
    }

    /// Whether the scheme does nothing but show what matches its pattern.
    pub(crate) fn only_shows(&self) -> bool {
        // What else a scheme can be asked for has to be thought about here.
        let Self {
            pattern: _,
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

/// What a scheme has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Regions that the action was tried on.
    pub nr_tried: u64,
    /// Bytes that the action was tried on.
    pub sz_tried: u64,
    /// Regions that it took effect on, at least in part.
    pub nr_applied: u64,
    /// Bytes that it took effect on.
    pub sz_applied: u64,
    /// Bytes that passed the filters that the operations look at.
    pub sz_ops_filter_passed: u64,
    /// Times that the quota was used up.
    pub qt_exceeds: u64,
    /// Snapshots of the monitoring results that the scheme has seen.
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

/// What does not change for a scheme while schemes are applied to all regions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Turn {
    /// Whether it is applied now.
    pub(crate) takes_part: bool,
    /// Whether there is a quota.
    pub(crate) limited: bool,
    /// Whether the operations have to do with it.
    pub(crate) acts: bool,
    /// Whether somebody walks along who has not seen an application of it yet.
    pub(crate) shown: bool,
    /// Whether regions that it wants and that its filters let through are only counted: nothing
    /// else has to be thought about.
    pub(crate) counts: bool,
}

/// What a running scheme remembers; a commit of other parameters leaves it alone.
#[derive(Debug)]
pub(crate) struct SchemeState {
    pub(crate) stat: Stat,
    pub(crate) quota: QuotaState,
    /// Whether the watermarks let the scheme act.
    pub(crate) active: bool,
    /// The sampling interval, counted from the start, after which the scheme is due.
    pub(crate) next_apply: u64,
    pub(crate) turn: Turn,
    /// What the filters of the core layer have said about the current target in this turn.
    pub(crate) known: Known,
    /// Whether the walk under way, if any, has seen an application of this scheme.
    pub(crate) walked: bool,
    /// What the operations have noted in the current interval.
    pub(crate) last_entity: Option<usize>,
}

/// A scheme of a context.
pub struct Scheme {
    pub(crate) params: SchemeParams,
    pub(crate) state: SchemeState,
}

impl Scheme {
    /// A scheme that is first due an interval after `passed` sampling intervals. Fails with
    /// `ENOMEM`.
    pub(crate) fn new(params: SchemeParams, attrs: &Attrs, passed: u64) -> Result<Self> {
        let quota = QuotaState::new(&params.quota)?;
        Ok(Self::with_quota(params, quota, attrs, passed))
    }

    /// As [`Self::new`], with a quota that was made for the parameters.
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
            turn: Turn::default(),
            known: Known::default(),
            walked: false,
            last_entity: None,
        };
        let mut scheme = Self { params, state };
        scheme.schedule(attrs, passed);
        scheme
    }

    /// The scheme with other parameters and what it has done so far. `quota` was made for the
    /// parameters, and lends its room.
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
        // With other marks it is for the next look to say.
        state.active |= old.watermarks != params.watermarks;
        Self { params, state }
    }

    /// The scheme as the user has stated it.
    pub fn params(&self) -> &SchemeParams {
        &self.params
    }

    /// What the scheme has done so far.
    pub fn stat(&self) -> &Stat {
        &self.state.stat
    }

    /// How much of its quota the scheme has used.
    pub fn quota(&self) -> &QuotaState {
        &self.state.quota
    }

    /// Whether the watermarks let the scheme act, as of the last look.
    pub fn is_active(&self) -> bool {
        self.state.active
    }

    /// Whether the scheme is due after `passed` sampling intervals, and does not rest for its
    /// watermarks.
    pub(crate) fn takes_part(&self, passed: u64) -> bool {
        self.state.active && self.is_due(passed)
    }

    /// Whether `region` is one that the scheme is for, and it is urgent enough.
    #[inline]
    pub(crate) fn wants(&self, attrs: &Attrs, region: &Region) -> bool {
        let params = &self.params;
        params.pattern.matches(region)
            && (!self.state.turn.limited
                || self.state.quota.min_score == 0
                || score(attrs, &params.quota.weights, params.action, region)
                    >= self.state.quota.min_score)
    }

    /// Sets when the scheme is due next, counted from `passed` sampling intervals.
    pub(crate) fn schedule(&mut self, attrs: &Attrs, passed: u64) {
        let interval = match self.params.apply_interval {
            Micros(0) => attrs.aggr(),
            interval => interval,
        };
        self.state.next_apply = passed.saturating_add(interval.in_units_of(attrs.sample()));
    }

    /// Keeps the time at which the scheme is due, as the sampling interval changes from `old`
    /// attributes when `passed` intervals have passed. One that comes with the aggregation
    /// interval is planned anew.
    pub(crate) fn reschedule(&mut self, attrs: &Attrs, old: &Attrs, passed: u64) {
        if self.params.apply_interval == Micros(0) {
            return self.schedule(attrs, passed);
        }
        let left = self.state.next_apply.saturating_sub(passed);
        self.state.next_apply = passed.saturating_add(attrs.convert_samples(left, old));
    }

    /// Whether the scheme is due after `passed` sampling intervals.
    pub(crate) fn is_due(&self, passed: u64) -> bool {
        passed >= self.state.next_apply
    }

    /// Whether the scheme has seen as many snapshots as it may.
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
    fn counts_what_was_tried_and_done() {
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
