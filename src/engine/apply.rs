// SPDX-License-Identifier: GPL-2.0

//! Applies schemes to regions and reports them to a walker. Corresponds to
//! `kdamond_apply_schemes()`.
//!
//! Each scheme is applied to each region in turn. A region is split if a scheme applies only to a
//! part of it: at the address from which the scheme resumes, where its quota ends, and where the
//! result of a filter changes. The remainder is then the next region. In the end, adjacent regions
//! that do not differ are joined again.

mod goals;
mod quotas;
mod round;

use super::{
    context::{
        Context,
        Settings, //
    },
    events::{
        Events,
        Walker, //
    },
    metrics::SystemMetrics,
    operations::Operations,
    pattern::Action,
    scheme::RoundState, //
};
use crate::panic_free::indexed;
use kernel::prelude::*;
use round::Round;

impl<O: Operations> Context<O> {
    /// Returns whether an active scheme is due when `passed` sampling intervals have passed.
    pub(crate) fn schemes_due_at(&self, passed: u64) -> bool {
        self.schemes.iter().any(|scheme| scheme.takes_part(passed))
    }

    /// Starts a walk: each scheme is visited in one apply interval from now on.
    pub fn begin_walk(&mut self) {
        for scheme in &mut self.schemes {
            scheme.state.walked = false;
        }
    }

    /// Applies all schemes that are due to all targets that still exist.
    ///
    /// `walker` visits each region that a scheme is applied to, for one apply interval of each
    /// scheme. Returns `true` when the walk is complete: each scheme has had an apply interval
    /// since [`Self::begin_walk`].
    pub(super) fn apply_schemes(
        &mut self,
        events: &mut dyn Events,
        metrics: &dyn SystemMetrics,
        walker: Option<&mut dyn Walker>,
    ) -> bool {
        let passed = self.progress.passed;
        if !self.schemes_due_at(passed) {
            return false;
        }
        self.adjust_quotas(events, metrics);

        let walking = walker.is_some();
        let traced = events.before_apply_enabled();
        for scheme in &mut self.schemes {
            let params = &scheme.params;
            let (limited, acts) = (params.quota.is_set(), self.settings.ops.acts(params));
            let shown = walking && !scheme.state.walked;
            let changes_nothing = !acts && params.action == Action::Stat;
            scheme.state.round = RoundState {
                takes_part: scheme.takes_part(passed) && !scheme.is_resting(),
                tried: false,
                limited,
                acts,
                shown,
                counts: !limited && changes_nothing && !shown && !traced,
            };
        }
        let size_limit = self.max_region_size();
        let latest = self.latest_interval();
        let Settings {
            ops,
            min_region_sz,
            attrs,
            probes,
            ..
        } = &mut self.settings;
        let mut round = Round {
            ops,
            min_region_sz: *min_region_sz,
            attrs,
            traced,
            events: &mut *events,
            metrics,
            walker,
            latest,
            nr_probes: probes.len(),
        };
        for (index, target) in indexed(&mut self.targets) {
            let regions = &mut target.regions;
            if !round.ops.is_valid(&target.space) || regions.is_empty() {
                for scheme in &mut self.schemes {
                    scheme.state.quota.leave(index);
                }
                continue;
            }
            round.meet_all(index, &target.space, regions, &mut self.schemes);
            // The schemes may have split regions that do not differ any more.
            regions.join_alike(size_limit);
        }
        self.finish_interval(events, walking)
    }

    /// Schedules the next application of the schemes that were due. If a walk is under way, returns
    /// whether it is complete. An inactive scheme is never applied, and so it counts as visited at
    /// the end of its apply interval.
    fn finish_interval(&mut self, events: &mut dyn Events, walking: bool) -> bool {
        let passed = self.progress.passed;
        for (index, scheme) in indexed(&mut self.schemes) {
            if scheme.is_due(passed) {
                scheme.state.walked |= walking;
                if scheme.state.round.tried {
                    scheme.state.stat.count_snapshot();
                }
                scheme.state.last_entity = None;
                scheme.schedule(&self.settings.attrs, passed);
                events.after_interval(index, &scheme.state.stat);
            }
        }
        let complete = walking && self.schemes.iter().all(|scheme| scheme.state.walked);
        if complete {
            self.begin_walk();
        }
        complete
    }
}

#[kunit_tests(damon_rs_apply)]
mod tests {
    use super::{
        super::{
            attrs::Micros,
            events::Tried,
            fake::{
                params,
                with_scheme,
                Fake,
                FakeMetrics,
                NoEvents, //
            },
            filter::{
                Filter,
                FilterKind,
                Filters, //
            },
            pattern::{
                AccessPattern,
                Action,
                MinMax, //
            },
            regions::{
                merge::MergeMetric,
                region::AddrRange, //
            },
            scheme::SchemeParams, //
        },
        *, //
    };

    /// Returns a scheme for regions with sizes in `sz`, with an apply interval of `samples`
    /// sampling intervals of 5 ms.
    fn scheme(sz: MinMax<u64>, samples: u64) -> SchemeParams {
        let pattern = AccessPattern {
            sz,
            ..AccessPattern::ANY
        };
        SchemeParams {
            apply_interval: Micros(samples.saturating_mul(5000)),
            ..SchemeParams::new(pattern, Action::Stat)
        }
    }

    /// Returns a context with two targets and two schemes: one for all regions, due after two
    /// sampling intervals, and one for the larger regions, due after three.
    fn context() -> Result<Context<Fake>> {
        let params = params(&[&[(0, 10), (10, 30), (40, 50)], &[(0, 20)]], 1)?;
        let all = AccessPattern::ANY.sz;
        let large = MinMax { min: 20, max: 20 };
        let params = with_scheme(params, scheme(all, 2))?;
        let params = with_scheme(params, scheme(large, 3))?;
        Context::new(params, 0)
    }

    /// Records the regions that it visits.
    #[derive(Default)]
    struct Visited(KVec<(usize, usize, AddrRange)>);

    impl Walker for Visited {
        fn visit(&mut self, tried: &Tried<'_>) {
            let range = AddrRange {
                start: tried.region.start(),
                end: tried.region.end(),
            };
            let _ = self.0.push((tried.target, tried.scheme, range), GFP_KERNEL);
        }
    }

    impl Visited {
        fn is(&self, list: &[(usize, usize, u64, u64)]) -> bool {
            self.0
                .iter()
                .map(|(target, scheme, range)| (*target, *scheme, range.start, range.end))
                .eq(list.iter().copied())
        }
    }

    #[test]
    fn counts_what_matches() -> Result {
        let mut context = context()?;
        context.samples(1);
        assert!(!context.schemes_due_at(context.passed()));
        context.samples(1);
        assert!(context.schemes_due_at(context.passed()));
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None));
        assert!(!context.schemes_due_at(context.passed()));
        context.samples(1);
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None));

        let stats = |index: usize| context.schemes().get(index).map(|scheme| *scheme.stat());
        let all = stats(0).ok_or(EINVAL)?;
        assert_eq!((all.nr_tried, all.sz_tried), (4, 60));
        assert_eq!((all.nr_applied, all.sz_applied), (0, 0));
        assert_eq!(all.nr_snapshots, 1);
        let large = stats(1).ok_or(EINVAL)?;
        assert_eq!((large.nr_tried, large.sz_tried), (2, 40));
        assert_eq!(large.nr_snapshots, 1);
        Ok(())
    }

    #[test]
    fn a_walk_visits_one_apply_interval_of_each_scheme() -> Result {
        let mut context = context()?;
        let mut visited = Visited::default();
        context.begin_walk();
        context.samples(2);
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut visited)));
        assert!(visited.is(&[(0, 0, 0, 10), (0, 0, 10, 30), (0, 0, 40, 50), (1, 0, 0, 20)]));
        context.samples(1);
        assert!(context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut visited)));
        assert_eq!(visited.0.len(), 6);
        // The next walk starts from the beginning.
        context.samples(1);
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut visited)));
        assert_eq!(visited.0.len(), 10);
        Ok(())
    }

    #[test]
    fn a_scheme_due_again_is_not_walked_again() -> Result {
        let mut context = context()?;
        if let Some(second) = context.schemes.get_mut(1) {
            second.state.next_apply = 100;
        }
        let mut visited = Visited::default();
        context.samples(2);
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut visited)));
        let once = visited.0.len();
        context.samples(2);
        assert!(!context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut visited)));
        assert_eq!(visited.0.len(), once);
        Ok(())
    }

    #[test]
    fn rests_after_enough_snapshots() -> Result {
        let mut context = context()?;
        if let Some(first) = context.schemes.get_mut(0) {
            first.params.max_nr_snapshots = 1;
        }
        for _ in 0..3 {
            context.samples(2);
            context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None);
        }
        let stat = context.schemes().first().map(|scheme| *scheme.stat());
        // The regions of all targets were tried once.
        assert_eq!(
            stat.map(|stat| (stat.nr_tried, stat.nr_snapshots)),
            Some((4, 1))
        );
        Ok(())
    }

    #[test]
    fn an_unsupported_action_only_resets_the_age() -> Result {
        let mut context = context()?;
        if let Some(first) = context.schemes.get_mut(0) {
            first.params.action = Action::LruPrio;
        }
        for target in &mut context.targets {
            target.regions.finalize(MergeMetric::Accesses, 0, 0);
        }
        context.samples(2);
        context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None);
        let stat = context.schemes().first().map(|scheme| *scheme.stat());
        assert_eq!(
            stat.map(|stat| (stat.nr_tried, stat.nr_applied)),
            Some((4, 0))
        );
        let all_young = context
            .targets()
            .iter()
            .flat_map(|target| target.regions())
            .all(|region| region.age() == 0);
        assert!(all_young);
        Ok(())
    }

    /// Returns a context with the given targets and scheme. The action has effect on all memory
    /// that it is tried on.
    fn working(
        targets: &[&[(u64, u64)]],
        min_region_sz: u64,
        scheme: SchemeParams,
    ) -> Result<Context<Fake>> {
        let mut context = Context::new(with_scheme(params(targets, min_region_sz)?, scheme)?, 0)?;
        context.settings.ops.works = true;
        Ok(context)
    }

    fn pageout(limit: u64) -> SchemeParams {
        let all = AccessPattern::ANY.sz;
        let mut params = scheme(all, 1);
        params.action = Action::Pageout;
        params.quota.bytes = limit;
        params.quota.reset_interval = Micros::from_secs(1);
        params
    }

    /// Returns the ranges that the action is applied to at the next sampling interval.
    fn applied(context: &mut Context<Fake>, metrics: &FakeMetrics) -> KVec<(u64, u64)> {
        context.samples(1);
        context.apply_schemes(&mut NoEvents, metrics, None);
        core::mem::take(&mut context.settings.ops.applied)
    }

    #[test]
    fn a_quota_lasts_for_a_window_and_goes_on_where_it_stopped() -> Result {
        let metrics = FakeMetrics::default();
        let mut context = working(&[&[(0, 40)], &[(100, 120)]], 1, pageout(25))?;
        assert_eq!(applied(&mut context, &metrics), &[(0, 25)][..]);
        assert_eq!(applied(&mut context, &metrics), &[][..]);
        metrics.now_ns.set(1_000_000_000);
        assert_eq!(applied(&mut context, &metrics), &[(25, 40), (100, 110)][..]);
        metrics.now_ns.set(2_000_000_000);
        // The scheme resumes at 110. After the end of the last region it starts again from the
        // first region.
        assert_eq!(applied(&mut context, &metrics), &[(110, 120)][..]);
        assert_eq!(applied(&mut context, &metrics), &[(0, 15)][..]);
        let stat = context.schemes().first().map(|scheme| *scheme.stat());
        let stat = stat.ok_or(EINVAL)?;
        assert_eq!((stat.sz_tried, stat.sz_applied), (75, 75));
        assert_eq!(stat.qt_exceeds, 2);
        Ok(())
    }

    #[test]
    fn a_charge_window_does_not_end_during_a_pause() -> Result {
        let metrics = FakeMetrics::default();
        let mut context = working(&[&[(0, 40)]], 1, pageout(25))?;
        assert_eq!(applied(&mut context, &metrics), &[(0, 25)][..]);
        context.set_paused(true);
        context.rests(&metrics);
        metrics.now_ns.set(5_000_000_000);
        context.set_paused(false);
        context.rests(&metrics);
        assert_eq!(applied(&mut context, &metrics), &[][..]);
        metrics.now_ns.set(6_000_000_000);
        assert_eq!(applied(&mut context, &metrics), &[(25, 40)][..]);
        Ok(())
    }

    #[test]
    fn pageout_prefers_cold_regions() -> Result {
        let metrics = FakeMetrics::default();
        let mut scheme = pageout(10);
        scheme.quota.weights.nr_accesses = 1;
        let mut context = working(&[&[(0, 10), (10, 20)]], 1, scheme)?;
        let hot = super::super::regions::region::tests::region(0, 10, 20, 20, 0)?;
        for target in &mut context.targets {
            if let Some(first) = target.regions.as_mut_slice().first_mut() {
                *first = hot;
            }
        }
        assert_eq!(applied(&mut context, &metrics), &[(10, 20)][..]);
        Ok(())
    }

    #[test]
    fn filters_reject_addresses_and_targets() -> Result {
        let metrics = FakeMetrics::default();
        let mut scheme = pageout(0);
        scheme.quota.bytes = 0;
        let reject = |kind| Filter {
            kind,
            matching: true,
            allow: false,
        };
        scheme.filters = Filters::new(&[
            reject(FilterKind::Addr(AddrRange { start: 8, end: 16 })),
            reject(FilterKind::Target(1)),
        ])?;
        let mut context = working(&[&[(0, 40)], &[(0, 40)], &[(12, 20)]], 4, scheme)?;
        assert_eq!(
            applied(&mut context, &metrics),
            &[(0, 8), (16, 40), (16, 20)][..]
        );
        let stat = context.schemes().first().map(|scheme| *scheme.stat());
        assert_eq!(
            stat.map(|stat| (stat.nr_tried, stat.sz_tried)),
            Some((3, 36))
        );
        Ok(())
    }

    #[test]
    fn only_tried_memory_is_charged() -> Result {
        let metrics = FakeMetrics::default();
        let mut scheme = pageout(16);
        scheme.filters = Filters::new(&[Filter {
            kind: FilterKind::Addr(AddrRange { start: 4, end: 8 }),
            matching: true,
            allow: true,
        }])?;
        let mut context = working(&[&[(0, 40)]], 1, scheme)?;
        assert_eq!(applied(&mut context, &metrics), &[(4, 8)][..]);
        let charged = context.schemes().first().map(|s| s.quota().charged());
        assert_eq!(charged, Some(4));
        Ok(())
    }

    #[test]
    fn an_inactive_scheme_neither_acts_nor_delays_a_walk() -> Result {
        let metrics = FakeMetrics::default();
        let mut context = context()?;
        if let Some(second) = context.schemes.get_mut(1) {
            second.state.active = false;
        }
        let mut visited = Visited::default();
        context.samples(3);
        assert!(context.apply_schemes(&mut NoEvents, &metrics, Some(&mut visited)));
        assert!(visited.0.iter().all(|(_, scheme, _)| *scheme == 0));
        for scheme in &mut context.schemes {
            scheme.state.active = false;
        }
        assert!(!context.schemes_due_at(u64::MAX));
        Ok(())
    }
}
