// SPDX-License-Identifier: GPL-2.0

//! Applying schemes to regions, and showing it to who walks along.

use super::{
    context::Context,
    events::Events,
    machine::Machine,
    operations::{
        Applied,
        Attempt,
        Operations, //
    },
    region::Region,
    scheme::{
        Action,
        Scheme, //
    },
    walk::{
        Tried,
        Walker, //
    },
};
use kernel::prelude::*;

impl<O: Operations> Context<O> {
    /// Whether the interval of any scheme is over when `passed` sampling intervals have passed.
    pub fn schemes_due_at(&self, passed: u64) -> bool {
        self.schemes.iter().any(|scheme| scheme.is_due(passed))
    }

    /// Starts a walk: what an earlier one has seen is forgotten.
    pub fn begin_walk(&mut self) {
        for scheme in &mut self.schemes {
            scheme.state.walked = false;
        }
    }

    /// Applies all schemes that are due to all targets that still exist.
    ///
    /// `walker` sees each region and scheme, but each scheme in one of its intervals only. Returns
    /// whether the walk is complete, which is when every scheme had its interval since
    /// [`Self::begin_walk`].
    pub fn apply_schemes(
        &mut self,
        _events: &mut dyn Events,
        _machine: &dyn Machine,
        mut walker: Option<&mut dyn Walker>,
    ) -> bool {
        let passed = self.progress.passed;
        if !self.schemes_due_at(passed) {
            return false;
        }
        let size_limit = self.max_region_size();
        let (left_bp, nr_probes) = (self.left_bp(), self.settings.probes.len());
        let ops = &mut self.settings.ops;
        for (index, target) in (0..usize::MAX).zip(&mut self.targets) {
            if !ops.is_valid(&target.space) {
                continue;
            }
            let (nr_regions, space) = (target.regions.len(), &target.space);
            for (nr, region) in (1..usize::MAX).zip(target.regions.as_mut_slice()) {
                for (scheme_index, scheme) in (0..usize::MAX).zip(&mut self.schemes) {
                    if !scheme.is_due(passed) || scheme.is_resting() {
                        continue;
                    }
                    if scheme.params.pattern.matches(region) {
                        let applied = try_action(ops, space, region, scheme);
                        if let Some(walker) = walker.as_deref_mut().filter(|_| !scheme.state.walked)
                        {
                            let hits = region.recent_probe_hits(left_bp);
                            walker.visit(&Tried {
                                target: index,
                                scheme: scheme_index,
                                region,
                                probe_hits: hits.get(..nr_probes).unwrap_or(&[]),
                                sz_filter_passed: applied.filter_passed,
                            });
                        }
                        if scheme.params.action != Action::Stat {
                            region.reset_age();
                        }
                    }
                    // A target's last region ends a snapshot of it, matching or not.
                    if nr == nr_regions {
                        scheme.state.stat.count_snapshot();
                    }
                }
            }
            // Schemes can leave neighbours behind that do not differ any more.
            target.regions.join_alike(size_limit);
        }
        self.finish_interval(walker.is_some())
    }

    /// Sets when the schemes that were due are due next. If somebody walks along, returns whether
    /// the walk is complete.
    fn finish_interval(&mut self, walking: bool) -> bool {
        let passed = self.progress.passed;
        for scheme in &mut self.schemes {
            if scheme.is_due(passed) {
                scheme.state.walked |= walking;
                scheme.state.last_entity = None;
                scheme.schedule(&self.settings.attrs, passed);
            }
        }
        let complete = walking && self.schemes.iter().all(|scheme| scheme.state.walked);
        if complete {
            self.begin_walk();
        }
        complete
    }
}

/// Tries a scheme's action on a region and counts it.
fn try_action<O: Operations>(
    ops: &mut O,
    space: &O::Space,
    region: &Region,
    scheme: &mut Scheme,
) -> Applied {
    let applied = if ops.supports(scheme.params.action) {
        let attempt = Attempt {
            scheme: &scheme.params,
            allowed: false,
            last: &mut scheme.state.last_entity,
        };
        ops.apply(space, region, attempt)
    } else {
        Applied::default()
    };
    scheme.state.stat.count(region.size(), applied);
    applied
}

#[kunit_tests(damon_rs_apply)]
mod tests {
    use super::{
        super::{
            adjust::Measure,
            attrs::Micros,
            fake::{
                params,
                with_scheme,
                Deaf,
                Fake,
                Machinery, //
            },
            region::AddrRange,
            scheme::{
                AccessPattern,
                MinMax,
                SchemeParams, //
            }, //
        },
        *, //
    };

    /// A scheme for regions of some sizes, due after some sampling intervals of 5 ms.
    fn scheme(sz: MinMax<u64>, samples: u64) -> SchemeParams {
        let all = MinMax {
            min: 0,
            max: u32::MAX,
        };
        let pattern = AccessPattern {
            sz,
            nr_accesses: all,
            age: all,
        };
        SchemeParams {
            apply_interval: Micros(samples.saturating_mul(5000)),
            ..SchemeParams::new(pattern, Action::Stat)
        }
    }

    /// A context with two targets and two schemes: one for all regions, due after two sampling
    /// intervals, one for the larger ones, due after three.
    fn context() -> Result<Context<Fake>> {
        let params = params(&[&[(0, 10), (10, 30), (40, 50)], &[(0, 20)]], 1)?;
        let all = MinMax {
            min: 0,
            max: u64::MAX,
        };
        let large = MinMax { min: 20, max: 20 };
        let params = with_scheme(params, scheme(all, 2))?;
        let params = with_scheme(params, scheme(large, 3))?;
        Context::new(params, 0)
    }

    /// Remembers what it has seen.
    #[derive(Default)]
    struct Seen(KVec<(usize, usize, AddrRange)>);

    impl Walker for Seen {
        fn visit(&mut self, tried: &Tried<'_>) {
            let range = AddrRange {
                start: tried.region.start(),
                end: tried.region.end(),
            };
            let _ = self.0.push((tried.target, tried.scheme, range), GFP_KERNEL);
        }
    }

    impl Seen {
        fn is(&self, list: &[(usize, usize, u64, u64)]) -> bool {
            self.0
                .iter()
                .map(|(target, scheme, range)| (*target, *scheme, range.start, range.end))
                .eq(list.iter().copied())
        }
    }

    fn sample(context: &mut Context<Fake>, times: u32) {
        for _ in 0..times {
            context.check_and_prepare();
        }
    }

    #[test]
    fn counts_what_matches() -> Result {
        let mut context = context()?;
        sample(&mut context, 1);
        assert!(!context.schemes_due_at(context.passed()));
        sample(&mut context, 1);
        assert!(context.schemes_due_at(context.passed()));
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), None));
        assert!(!context.schemes_due_at(context.passed()));
        sample(&mut context, 1);
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), None));

        let stats = |index: usize| context.schemes().get(index).map(|scheme| *scheme.stat());
        let all = stats(0).ok_or(EINVAL)?;
        assert_eq!((all.nr_tried, all.sz_tried), (4, 60));
        assert_eq!((all.nr_applied, all.sz_applied), (0, 0));
        assert_eq!(all.nr_snapshots, 2);
        let large = stats(1).ok_or(EINVAL)?;
        assert_eq!((large.nr_tried, large.sz_tried), (2, 40));
        assert_eq!(large.nr_snapshots, 2);
        Ok(())
    }

    #[test]
    fn a_walk_sees_one_interval_of_each_scheme() -> Result {
        let mut context = context()?;
        let mut seen = Seen::default();
        context.begin_walk();
        sample(&mut context, 2);
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), Some(&mut seen)));
        assert!(seen.is(&[(0, 0, 0, 10), (0, 0, 10, 30), (0, 0, 40, 50), (1, 0, 0, 20)]));
        sample(&mut context, 1);
        assert!(context.apply_schemes(&mut Deaf, &Machinery::default(), Some(&mut seen)));
        assert_eq!(seen.0.len(), 6);
        // The next walk starts afresh.
        sample(&mut context, 1);
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), Some(&mut seen)));
        assert_eq!(seen.0.len(), 10);
        Ok(())
    }

    #[test]
    fn a_scheme_due_again_is_not_walked_again() -> Result {
        let mut context = context()?;
        if let Some(second) = context.schemes.get_mut(1) {
            second.state.next_apply = 100;
        }
        let mut seen = Seen::default();
        sample(&mut context, 2);
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), Some(&mut seen)));
        let once = seen.0.len();
        sample(&mut context, 2);
        assert!(!context.apply_schemes(&mut Deaf, &Machinery::default(), Some(&mut seen)));
        assert_eq!(seen.0.len(), once);
        Ok(())
    }

    #[test]
    fn rests_after_enough_snapshots() -> Result {
        let mut context = context()?;
        if let Some(first) = context.schemes.get_mut(0) {
            first.params.max_nr_snapshots = 1;
        }
        for _ in 0..3 {
            sample(&mut context, 2);
            context.apply_schemes(&mut Deaf, &Machinery::default(), None);
        }
        let stat = context.schemes().first().map(|scheme| *scheme.stat());
        // One target's regions; the end of a target is the end of a snapshot.
        assert_eq!(
            stat.map(|stat| (stat.nr_tried, stat.nr_snapshots)),
            Some((3, 1))
        );
        Ok(())
    }

    #[test]
    fn what_the_operations_cannot_do_has_no_effect_but_on_the_age() -> Result {
        let mut context = context()?;
        if let Some(first) = context.schemes.get_mut(0) {
            first.params.action = Action::LruPrio;
        }
        for target in &mut context.targets {
            target.regions.settle(Measure::Accesses, 0);
        }
        sample(&mut context, 2);
        context.apply_schemes(&mut Deaf, &Machinery::default(), None);
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
}
