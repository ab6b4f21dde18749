// SPDX-License-Identifier: GPL-2.0

//! Commits new parameters to a running context.
//!
//! A commit has two steps. Planning validates all parameters and allocates all memory. It may fail,
//! and leaves the context unchanged in that case. Carrying out the plan only moves values and
//! cannot fail.

mod attrs;
mod goals;

use super::{
    context::{
        capacity,
        Context,
        Settings,
        Target, //
    },
    num::MinRegionSize,
    operations::Operations,
    params::{
        Params,
        TargetParams, //
    },
    quota::QuotaState,
    regions::{
        check_ranges,
        joined,
        Regions, //
    },
    scheme::Scheme,
    sharing::Places, //
};
use crate::panic_free::indexed;
use kernel::prelude::*;

/// The result of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The attributes have changed. In this case the commit has started a new aggregation window
    /// and a new interval to the next operations update, tuning and application of each scheme.
    pub attrs_changed: bool,
}

/// A validated commit with all memory that it needs.
struct Plan<S> {
    min_region_sz: MinRegionSize,
    /// The regions of each target that is not obsolete.
    regions: KVec<Regions>,
    /// Empty, with capacity for these targets.
    targets: KVec<Target<S>>,
    places: Places,
    /// Empty, with capacity for the schemes.
    schemes: KVec<Scheme>,
    /// The initial quota state of each scheme.
    quotas: KVec<QuotaState>,
}

impl<O: Operations> Context<O> {
    /// Replaces the parameters, and keeps the learned state that is valid under the new ones. May
    /// sleep.
    ///
    /// Targets and schemes are matched by index. A target without ranges keeps its regions, unless
    /// its memory is another one: then it gets the ranges that the operations give
    /// ([`Operations::ranges`]). A target with ranges keeps the regions in them. A scheme is due
    /// one apply interval from now at the latest. Counts and ages are converted to the new
    /// intervals. A region that is added has no sample. A region that is moved loses its sample if
    /// the sample is outside of the new range.
    ///
    /// Fails with `ENOMEM`, and with `EINVAL` if the operations' `min_region_sz` is not a power of
    /// two, the operations do not monitor the memory of a target ([`Operations::monitors`]), the
    /// ranges of a target are invalid, the attributes do not allow for the weights of the probes,
    /// an obsolete target matches no running one, or a goal needs [`Operations::eligible`] and the
    /// operations do not implement it. After a failure nothing has changed.
    pub fn commit(&mut self, mut params: Params<O>) -> Result<Committed> {
        let plan = self.plan(&mut params)?;
        Ok(self.carry_out(plan, params))
    }

    fn plan(&self, params: &mut Params<O>) -> Result<Plan<O::Space>> {
        let min_region_sz = MinRegionSize::try_from(params.ops.min_region_sz())?;
        params.probes.check(&params.attrs)?;
        if params.has_foreign_targets() || params.has_unsupported_goal() {
            return Err(EINVAL);
        }
        let kept = || params.targets.iter().filter(|target| !target.obsolete);
        let nr_kept = kept().fold(0, |n: usize, _| n.saturating_add(1));
        let capacity = capacity(&params.attrs, nr_kept);

        let mut all_regions = KVec::with_capacity(nr_kept, GFP_KERNEL)?;
        let mut running = self.targets.iter();
        for wanted in &params.targets {
            let current = running.next();
            if wanted.obsolete {
                check_ranges(&wanted.regions, min_region_sz)?;
                if current.is_none() {
                    return Err(EINVAL);
                }
                continue;
            }
            let mut regions = match current {
                Some(target) => target.regions.try_clone(capacity)?,
                None => Regions::with_capacity(capacity)?,
            };
            if min_region_sz != self.settings.min_region_sz {
                regions.align(min_region_sz);
            }
            if !wanted.regions.is_empty() {
                // Ranges that touch are joined, so that a region across their boundary is kept.
                regions.set_ranges(&joined(&wanted.regions, min_region_sz)?, min_region_sz)?;
            } else if !current.is_some_and(|target| {
                let (ops, old_ops) = (&params.ops, &self.settings.ops);
                ops.same_space(&wanted.space, old_ops, &target.space)
            }) {
                // Without this, a new process would not be monitored before the next update.
                match params.ops.ranges(&wanted.space) {
                    Ok(Some(ranges)) => regions.set_ranges(&ranges, min_region_sz)?,
                    Err(ENOMEM) => return Err(ENOMEM),
                    // The process has ended, or the user's ranges remain valid.
                    _ => {}
                }
            }
            all_regions.push_within_capacity(regions)?;
        }

        let mut quotas = KVec::with_capacity(params.schemes.len(), GFP_KERNEL)?;
        for scheme in &params.schemes {
            quotas.push_within_capacity(QuotaState::new(&scheme.quota)?)?;
        }

        Ok(Plan {
            min_region_sz,
            quotas,
            regions: all_regions,
            targets: KVec::with_capacity(nr_kept, GFP_KERNEL)?,
            places: Places::with_capacity(nr_kept)?,
            schemes: KVec::with_capacity(params.schemes.len(), GFP_KERNEL)?,
        })
    }

    fn carry_out(&mut self, plan: Plan<O::Space>, params: Params<O>) -> Committed {
        let Params {
            ops,
            attrs,
            probes,
            pause,
            targets: wanted_targets,
            schemes: wanted_schemes,
        } = params;
        let Plan {
            min_region_sz,
            regions,
            mut targets,
            places,
            mut schemes,
            quotas,
        } = plan;

        // The plan has allocated the capacity for each push below.
        let mut running = core::mem::take(&mut self.schemes).into_iter();
        for (params, quota) in wanted_schemes.into_iter().zip(quotas) {
            let mut scheme = match running.next() {
                Some(scheme) => scheme.with_params(params, quota),
                None => {
                    let attrs = &self.settings.attrs;
                    Scheme::with_quota(params, quota, attrs, self.progress.passed)
                }
            };
            scheme.follow_age(&attrs);
            let _ = schemes.push_within_capacity(scheme);
        }

        let running_probes = &self.settings.probes;
        let changed_probes = probes.differ_from(running_probes);
        // Without weights a sample is prepared in the page tables; with weights it is only an
        // address.
        let changed_mode = probes.are_weighted() != running_probes.are_weighted();
        let mut regions = regions.into_iter();
        let mut running = self.targets.iter();
        for (position, wanted) in indexed(wanted_targets) {
            let TargetParams {
                space, obsolete, ..
            } = wanted;
            let current = running.next();
            // Targets only move to lower indices, so a later step of this loop does not match a
            // `resume` that was changed here.
            let moved = (!obsolete).then_some(targets.len());
            for scheme in &mut schemes {
                scheme.state.quota.follow(position, moved);
            }
            if obsolete {
                continue;
            }
            let Some(mut regions) = regions.next() else {
                break;
            };
            regions.forget_hits(&changed_probes);
            let same_space = current
                .is_some_and(|target| ops.same_space(&space, &self.settings.ops, &target.space));
            if !same_space || changed_mode {
                regions.forget_samples();
            }
            let _ = targets.push_within_capacity(Target {
                space,
                regions,
                aggregated: same_space && current.is_some_and(|target| target.aggregated),
                shared: false,
            });
        }

        for scheme in &mut schemes {
            scheme.state.quota.leave_from(targets.len());
        }

        let old_attrs = self.settings.attrs;
        self.targets = targets;
        self.places = places;
        self.schemes = schemes;
        self.settings = Settings {
            ops,
            min_region_sz,
            attrs,
            probes,
            pause,
            split_in_part: self.settings.split_in_part,
        };
        self.find_shared();
        let attrs_changed = old_attrs != attrs;
        if attrs_changed {
            self.adapt(&old_attrs);
        } else {
            // A shorter apply interval is in effect at once.
            for scheme in &mut self.schemes {
                scheme.bring_forward(&self.settings.attrs, self.progress.passed);
            }
        }
        Committed { attrs_changed }
    }
}

#[kunit_tests(damon_rs_commit)]
pub(super) mod tests {
    use super::{
        super::{
            attrs::Micros,
            fake::{
                params,
                with_scheme,
                Fake, //
            },
            pattern::{
                AccessPattern,
                Action,
                MinMax, //
            },
            probe,
            regions::{
                region::AddrRange,
                tests::are_at, //
            },
            scheme::SchemeParams, //
        },
        *, //
    };

    fn scheme(action: Action, n: u64) -> SchemeParams {
        let few = MinMax { min: 3, max: 4 };
        let pattern = AccessPattern {
            sz: MinMax { min: n, max: n },
            nr_accesses: few,
            age: few,
        };
        SchemeParams {
            apply_interval: Micros(n),
            max_nr_snapshots: n,
            ..SchemeParams::new(pattern, action)
        }
    }

    /// Commits ranges to a context with one target, and returns whether its regions are then at
    /// `after`.
    fn becomes(before: &[(u64, u64)], ranges: &[(u64, u64)], after: &[(u64, u64)]) -> Result<bool> {
        let mut context = Context::new(params(&[before], 1)?, 0)?;
        context.commit(params(&[ranges], 1)?)?;
        Ok(targets_are_at(&context, &[after]))
    }

    fn targets_are_at(context: &Context<Fake>, places: &[&[(u64, u64)]]) -> bool {
        let targets = context.targets();
        targets.len() == places.len()
            && targets
                .iter()
                .zip(places)
                .all(|(target, places)| are_at(&target.regions, places))
    }

    fn obsolete(mut params: Params<Fake>, index: usize) -> Params<Fake> {
        if let Some(target) = params.targets.get_mut(index) {
            target.obsolete = true;
        }
        params
    }

    #[test]
    fn a_target_keeps_its_regions_if_no_ranges_are_given() -> Result {
        assert!(becomes(&[(3, 8), (8, 10)], &[(4, 6)], &[(4, 6)])?);
        assert!(becomes(&[(3, 8), (8, 10)], &[], &[(3, 8), (8, 10)])?);
        // A region in two ranges that touch is not split at their boundary.
        assert!(becomes(&[(3, 10)], &[(0, 5), (5, 10)], &[(0, 10)])?);
        Ok(())
    }

    #[test]
    fn the_min_region_size_must_be_a_power_of_two() -> Result {
        let mut context = Context::new(params(&[], 1)?, 0)?;
        assert!(context.commit(params(&[], 4096)?).is_ok());
        assert_eq!(context.commit(params(&[], 4095)?), Err(EINVAL));
        assert!(!context.paused());
        let mut pause = params(&[], 4096)?;
        pause.pause = true;
        assert!(context.commit(pause).is_ok());
        assert!(context.paused());
        Ok(())
    }

    #[test]
    fn a_larger_min_region_size_aligns_the_regions() -> Result {
        let mut context = Context::new(params(&[&[(3, 8), (8, 10)]], 1)?, 0)?;
        context.commit(params(&[&[]], 8)?)?;
        assert!(targets_are_at(&context, &[&[(0, 8), (8, 16)]]));
        Ok(())
    }

    #[test]
    fn matches_targets_by_position() -> Result {
        let mut context = Context::new(params(&[&[(0, 1)], &[(0, 2)], &[(0, 3)]], 1)?, 0)?;
        // The second target is removed, and a fourth is added.
        let wanted = params(&[&[], &[], &[], &[(0, 4)]], 1)?;
        context.commit(obsolete(wanted, 1))?;
        assert!(targets_are_at(&context, &[&[(0, 1)], &[(0, 3)], &[(0, 4)]]));
        // Targets without parameters are removed.
        context.commit(params(&[&[]], 1)?)?;
        assert!(targets_are_at(&context, &[&[(0, 1)]]));
        Ok(())
    }

    #[test]
    fn refuses_memory_that_the_operations_do_not_monitor() -> Result {
        let wanted = |idle_only| -> Result<Params<Fake>> {
            let mut params = params(&[&[(0, 100)], &[(0, 100)]], 1)?;
            params.ops.idle_only = idle_only;
            Ok(params)
        };
        assert_eq!(Context::new(wanted(true)?, 0).err(), Some(EINVAL));
        let mut context = Context::new(wanted(false)?, 0)?;
        assert_eq!(context.commit(wanted(true)?), Err(EINVAL));
        assert!(!context.settings.ops.idle_only);
        Ok(())
    }

    #[test]
    fn an_obsolete_target_must_exist() -> Result {
        let mut context = Context::new(params(&[&[(0, 1)]], 1)?, 0)?;
        let wanted = params(&[&[(5, 6)], &[]], 1)?;
        assert_eq!(context.commit(obsolete(wanted, 1)), Err(EINVAL));
        assert!(targets_are_at(&context, &[&[(0, 1)]]));
        Ok(())
    }

    #[test]
    fn a_refused_commit_changes_nothing() -> Result {
        let mut context = Context::new(params(&[&[(0, 1)], &[(0, 2)]], 1)?, 0)?;
        let mut wanted = params(&[&[(7, 9)], &[(9, 9)]], 1)?;
        wanted.pause = true;
        let wanted = with_scheme(wanted, scheme(Action::Stat, 1))?;
        assert_eq!(context.commit(wanted), Err(EINVAL));
        assert!(targets_are_at(&context, &[&[(0, 1)], &[(0, 2)]]));
        assert!(!context.paused());
        assert!(context.schemes().is_empty());
        Ok(())
    }

    #[test]
    fn a_scheme_keeps_its_state() -> Result {
        let first = with_scheme(params(&[], 1)?, scheme(Action::Pageout, 1))?;
        let mut context = Context::new(first, 0)?;
        if let Some(scheme) = context.schemes.get_mut(0) {
            scheme.state.stat.nr_tried = 42;
        }
        let second = with_scheme(params(&[], 1)?, scheme(Action::MigrateHot, 2))?;
        let second = with_scheme(second, scheme(Action::Stat, 3))?;
        let committed = context.commit(second)?;
        assert!(!committed.attrs_changed);
        let is = |index: usize, action, n, nr_tried| {
            context.schemes().get(index).is_some_and(|running| {
                *running.params() == scheme(action, n) && running.stat().nr_tried == nr_tried
            })
        };
        assert!(is(0, Action::MigrateHot, 2, 42));
        assert!(is(1, Action::Stat, 3, 0));
        context.commit(params(&[], 1)?)?;
        assert!(context.schemes().is_empty());
        Ok(())
    }

    /// Returns a context with one target, which is accessed all the time, after some sampling
    /// intervals.
    pub(super) fn hot(samples: u32) -> Result<Context<Fake>> {
        let mut params = params(&[&[(0, 100)]], 1)?;
        if let Some(target) = params.targets.get_mut(0) {
            target.space = true;
        }
        let mut context = Context::new(params, 0)?;
        context.prepare();
        context.samples(samples);
        Ok(context)
    }

    /// Returns `nr_accesses` and `last_nr_accesses` of the only region.
    pub(super) fn counts(context: &Context<Fake>) -> Option<(u32, u32)> {
        let region = context.targets().first()?.regions().first()?;
        Some((region.nr_accesses(), region.last_nr_accesses()))
    }

    #[test]
    fn a_commit_of_the_same_probe_filters_keeps_the_hits() -> Result {
        let with = |weights: &[u32]| -> Result<Params<Fake>> {
            let mut params = params(&[&[(0, 100)]], 1)?;
            params.probes = probe::tests::weights(weights)?;
            Ok(params)
        };
        let hits = |context: &Context<Fake>| {
            let region = context.targets().first()?.regions().first()?;
            Some((*region.probe_hits(), *region.last_probe_hits()))
        };
        let mut context = Context::new(with(&[0, 0])?, 0)?;
        context.prepare();
        context.samples(20);
        context.start_window();
        context.samples(1);
        assert_eq!(hits(&context), Some(([1, 1, 0, 0], [20, 20, 0, 0])));
        // One probe is removed, and the other has a weight now. The sample was prepared without
        // weights and is dropped.
        context.commit(with(&[7])?)?;
        assert_eq!(hits(&context), Some(([1, 0, 0, 0], [20, 0, 0, 0])));
        let sampled = |context: &Context<Fake>| {
            let target = context.targets().first()?;
            Some(target.regions().first()?.sample().is_some())
        };
        assert_eq!(sampled(&context), Some(false));
        context.samples(1);
        assert_eq!(hits(&context), Some(([2, 0, 0, 0], [20, 0, 0, 0])));
        assert_eq!(counts(&context), Some((0, 0)));
        assert_eq!(sampled(&context), Some(false));
        // Weights are rejected if their sum may overflow.
        assert_eq!(context.commit(with(&[u32::MAX])?), Err(EINVAL));
        assert!(context.probes().are_weighted());
        Ok(())
    }

    #[test]
    fn a_commit_of_a_new_target_asks_for_its_ranges() -> Result {
        let covering = |targets: &[&[(u64, u64)]], end| -> Result<Params<Fake>> {
            let mut params = params(targets, 1)?;
            params.ops.covers = Some(AddrRange { start: 0, end });
            Ok(params)
        };
        let mut context = Context::new(covering(&[&[]], 40)?, 0)?;
        context.start();
        context.commit(covering(&[&[], &[], &[(7, 9)]], 60)?)?;
        let sizes = |context: &Context<Fake>| {
            [0, 1, 2].map(|index| context.targets().get(index).map(|its| its.regions.size()))
        };
        // The target that is kept waits for the next update.
        assert_eq!(sizes(&context), [Some(40), Some(60), Some(2)]);
        Ok(())
    }

    #[test]
    fn a_commit_of_a_shorter_apply_interval_counts_from_now() -> Result {
        let every = |micros| -> Result<Params<Fake>> {
            let scheme = SchemeParams {
                apply_interval: Micros(micros),
                ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
            };
            with_scheme(params(&[], 1)?, scheme)
        };
        let mut context = Context::new(every(3_600_000_000)?, 0)?;
        let due =
            |context: &Context<Fake>| context.schemes().first().map(|its| its.state.next_apply);
        assert_eq!(due(&context), Some(720_000));
        context.commit(every(50_000)?)?;
        assert_eq!(due(&context), Some(10));
        // A longer one does not put off what is due.
        context.commit(every(3_600_000_000)?)?;
        assert_eq!(due(&context), Some(10));
        Ok(())
    }

    #[test]
    fn a_commit_of_the_same_space_keeps_the_samples() -> Result {
        let sampled = |context: &Context<Fake>| {
            context
                .targets()
                .iter()
                .flat_map(|target| target.regions())
                .all(|region| region.sample().is_some())
        };
        let same = |ranges: &[(u64, u64)], hot| -> Result<Params<Fake>> {
            let mut params = params(&[ranges], 1)?;
            if let Some(target) = params.targets.get_mut(0) {
                target.space = hot;
            }
            Ok(params)
        };
        let mut context = hot(1)?;
        context.commit(same(&[(0, 100)], true)?)?;
        assert!(sampled(&context));
        // The memory of another space was not prepared.
        context.commit(same(&[], false)?)?;
        assert!(!sampled(&context));
        context.prepare();
        // The sample is outside of the new range.
        context.commit(same(&[(200, 300)], false)?)?;
        assert!(!sampled(&context));
        Ok(())
    }
}
