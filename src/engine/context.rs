// SPDX-License-Identifier: GPL-2.0

//! A monitoring context: its parameters, and the state that was learned with them.

use super::{
    attrs::Attrs,
    num::MinRegionSize,
    operations::Operations,
    params::{
        Params,
        TargetParams, //
    },
    pauses::Pauses,
    probe::Probes,
    rand::Rng,
    regions::{
        region::Region,
        split::size_limit,
        Regions, //
    },
    schedule::Schedule,
    scheme::Scheme,
    sharing::Places, //
};
use crate::panic_free::indexed;
use kernel::prelude::*;

/// Largest number of regions for which memory is preallocated, in all targets of a context
/// together.
const RESERVED_REGIONS: usize = 1 << 16;

/// A target: memory that is monitored, and its regions.
pub struct Target<S> {
    pub(crate) space: S,
    pub(crate) regions: Regions,
    /// The regions existed at the end of an aggregation window, so their last counts are results.
    pub(crate) aggregated: bool,
    /// Another target may have memory in common with this one, see [`Context::find_shared`].
    pub(crate) shared: bool,
}

impl<S> Target<S> {
    /// Returns the memory of the target.
    pub fn space(&self) -> &S {
        &self.space
    }

    /// Returns the regions in ascending order.
    pub fn regions(&self) -> &[Region] {
        self.regions.as_slice()
    }
}

/// The parameters of the context as a whole.
pub(crate) struct Settings<O> {
    pub(crate) ops: O,
    /// `min_region_sz` of the operations, validated. Regions are aligned to it.
    pub(crate) min_region_sz: MinRegionSize,
    pub(crate) attrs: Attrs,
    pub(crate) probes: Probes,
    pub(crate) pause: bool,
    /// See [`Context::set_split_in_part`].
    pub(crate) split_in_part: bool,
}

/// The state of a context besides its targets and schemes.
pub(crate) struct Progress {
    /// Sampling intervals since the start. None pass during a pause.
    pub(crate) passed: u64,
    /// Sampling intervals since the current aggregation window began.
    ///
    /// A commit of other attributes restarts the window, so this cannot be derived from `passed`.
    pub(crate) in_window: u64,
    pub(crate) schedule: Schedule,
    /// Largest size of a region that merging may create, in the unit of addresses.
    pub(crate) size_limit: u64,
    /// Number of splits so far in which only some regions were split. In the C DAMON all contexts
    /// share one such counter.
    pub(crate) splits_in_part: usize,
    /// Number of regions after the last split. In the C DAMON all contexts share one such variable,
    /// so the splits of one context depend on those of the others.
    pub(crate) last_nr_regions: usize,
    /// The last aggregation has split regions. The next one is then likely to merge and split them
    /// again, so samples are not prepared early, see [`Context::begin_tick`].
    pub(crate) split: bool,
    pub(crate) rng: Rng,
    pub(crate) pauses: Pauses,
}

/// A monitoring context: its parameters, and the state that was learned with them. Corresponds to
/// `struct damon_ctx`.
///
/// It has a single owner, which is its kdamond once that runs.
pub struct Context<O: Operations> {
    pub(crate) settings: Settings<O>,
    pub(crate) targets: KVec<Target<O::Space>>,
    pub(crate) schemes: KVec<Scheme>,
    pub(crate) progress: Progress,
    /// Has capacity for all targets.
    pub(super) places: Places,
}

/// Returns the number of regions for which memory is preallocated in each of `nr_targets` targets.
pub(crate) fn capacity(attrs: &Attrs, nr_targets: usize) -> usize {
    let all = attrs.max_regions().min(RESERVED_REGIONS);
    all.saturating_add(nr_targets.saturating_sub(1))
        .checked_div(nr_targets)
        .unwrap_or(0)
}

impl<O: Operations> Context<O> {
    /// Creates a context that has not monitored anything yet. All its random numbers follow from
    /// `seed`. May sleep.
    ///
    /// Fails with `ENOMEM`, and with `EINVAL` if the operations' `min_region_sz` is not a power of
    /// two, the operations do not monitor the memory of a target ([`Operations::monitors`]), the
    /// ranges of a target are invalid, or the attributes do not allow for the weights of the
    /// probes. [`TargetParams::obsolete`] is only relevant for commits.
    pub fn new(params: Params<O>, seed: u64) -> Result<Self> {
        if params.has_foreign_targets() {
            return Err(EINVAL);
        }
        let Params {
            ops,
            attrs,
            probes,
            pause,
            targets: wanted,
            schemes: wanted_schemes,
        } = params;
        let min_region_sz = MinRegionSize::try_from(ops.min_region_sz())?;
        probes.check(&attrs)?;

        let capacity = capacity(&attrs, wanted.len());
        let mut targets = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        for TargetParams {
            space,
            regions: ranges,
            ..
        } in wanted
        {
            let mut regions = Regions::with_capacity(capacity)?;
            regions.set_ranges(&ranges, min_region_sz)?;
            targets.push_within_capacity(Target {
                space,
                regions,
                aggregated: false,
                shared: false,
            })?;
        }

        let mut schemes = KVec::with_capacity(wanted_schemes.len(), GFP_KERNEL)?;
        for params in wanted_schemes {
            schemes.push_within_capacity(Scheme::new(params, &attrs, 0)?)?;
        }
        let schedule = Schedule::new(&attrs, 0);
        let places = Places::with_capacity(targets.len())?;

        Ok(Self {
            settings: Settings {
                ops,
                min_region_sz,
                attrs,
                probes,
                pause,
                split_in_part: false,
            },
            targets,
            schemes,
            progress: Progress {
                passed: 0,
                in_window: 0,
                schedule,
                size_limit: 0,
                splits_in_part: 0,
                last_nr_regions: 0,
                split: true,
                rng: Rng::new(seed),
                pauses: Pauses::default(),
            },
            places,
        })
    }

    /// Returns the monitoring attributes.
    pub fn attrs(&self) -> &Attrs {
        &self.settings.attrs
    }

    /// Returns whether monitoring is paused. Only a commit and [`Self::set_paused`] change it.
    /// While it is set, the caller must not run a sampling tick.
    pub fn paused(&self) -> bool {
        self.settings.pause
    }

    /// Pauses or resumes monitoring from the next step on. The learned state is kept.
    pub fn set_paused(&mut self, paused: bool) {
        self.settings.pause = paused;
    }

    /// Sets whether some regions are split at the end of an aggregation window if there is not
    /// enough room to split all. Otherwise none is split in that case.
    pub fn set_split_in_part(&mut self, in_part: bool) {
        self.settings.split_in_part = in_part;
    }

    /// Returns the number of sampling intervals since the start.
    pub fn passed(&self) -> u64 {
        self.progress.passed
    }

    /// Returns the targets.
    pub fn targets(&self) -> &[Target<O::Space>] {
        &self.targets
    }

    /// Returns the schemes.
    pub fn schemes(&self) -> &[Scheme] {
        &self.schemes
    }

    /// Returns the probes for data attributes.
    pub fn probes(&self) -> &Probes {
        &self.settings.probes
    }

    /// Returns the operations on the targets' address space.
    pub fn ops(&self) -> &O {
        &self.settings.ops
    }

    /// Returns the number of regions of all targets.
    pub fn nr_regions(&self) -> usize {
        self.targets.iter().fold(0, |sum: usize, target| {
            sum.saturating_add(target.regions.len())
        })
    }

    /// Returns whether there is anything to monitor: a target that still exists, or an address
    /// space that does not end.
    pub fn any_target_valid(&self) -> bool {
        let ops = &self.settings.ops;
        let mut targets = self.targets.iter();
        ops.outlives_targets() || targets.any(|target| ops.is_valid(&target.space))
    }

    /// Sets the initial regions of targets for which the user has set none, and splits regions
    /// until the lower limit on their number holds. Must be called once, before the first sample is
    /// prepared.
    pub fn start(&mut self) {
        self.fetch_ranges(Regions::is_empty);
        self.apply_min_nr_regions();
    }

    /// Updates the regions to the ranges that the targets cover now.
    pub(crate) fn update(&mut self) {
        self.fetch_ranges(|_| true);
    }

    fn fetch_ranges(&mut self, wanted: impl Fn(&Regions) -> bool) {
        let Settings {
            ops, min_region_sz, ..
        } = &mut self.settings;
        for target in &mut self.targets {
            if !wanted(&target.regions) {
                continue;
            }
            if let Ok(Some(ranges)) = ops.ranges(&target.space) {
                // After an error the target keeps its regions.
                let _ = target.regions.set_ranges(&ranges, *min_region_sz);
            }
        }
        self.find_shared();
    }

    /// Determines which targets have memory in common ([`Operations::memory`]). Must be called
    /// after each change of the targets or of the ranges that they cover. May sleep.
    pub(super) fn find_shared(&mut self) {
        let (targets, places) = (&mut self.targets, &mut self.places);
        for target in targets.iter_mut() {
            target.shared = false;
        }
        if targets.len() <= 1 {
            return;
        }
        places.clear();
        for (index, target) in indexed(targets.iter()) {
            let memory = self.settings.ops.memory(&target.space);
            if let (Some(memory), Some(range)) = (memory, target.regions.range()) {
                places.add(index, memory, range);
            }
        }
        places.for_each_shared(|index| {
            if let Some(target) = targets.get_mut(index) {
                target.shared = true;
            }
        });
    }

    /// Returns the largest size of a region with which the lower limit on the number of regions
    /// holds.
    pub(crate) fn max_region_size(&self) -> u64 {
        // Targets may overlap, so the sum may exceed 64 bits.
        let total = self.targets.iter().fold(0, |sum: u128, target| {
            sum.saturating_add(u128::from(target.regions.size()))
        });
        let Settings {
            min_region_sz,
            attrs,
            ..
        } = &self.settings;
        size_limit(total, attrs.min_regions(), *min_region_sz)
    }

    pub(crate) fn apply_min_nr_regions(&mut self) {
        let limit = self.max_region_size();
        self.progress.size_limit = limit;
        for target in &mut self.targets {
            // If memory allocation fails, monitoring continues with the existing regions.
            let _ = target.regions.limit_size(limit);
        }
    }
}

#[kunit_tests(damon_rs_context)]
mod tests {
    use super::{
        super::{
            attrs::{
                AttrsParams,
                MAX_REGIONS, //
            },
            fake::{
                params,
                Fake, //
            },
            regions::{
                region::AddrRange,
                tests::are_at, //
            }, //
        },
        *, //
    };

    fn nr_accesses_are(context: &Context<Fake>, index: usize, n: u32) -> bool {
        context.targets().get(index).is_some_and(|target| {
            !target.regions().is_empty()
                && target
                    .regions()
                    .iter()
                    .all(|region| region.nr_accesses() == n)
        })
    }

    #[test]
    fn holds_targets() -> Result {
        let context = Context::new(params(&[], 1)?, 0)?;
        assert_eq!(context.targets().len(), 0);
        assert!(!context.any_target_valid());
        let context = Context::new(params(&[&[(0, 10)], &[]], 1)?, 0)?;
        assert_eq!(context.targets().len(), 2);
        assert!(context.any_target_valid());
        Ok(())
    }

    #[test]
    fn refuses_invalid_parameters() -> Result {
        assert!(Context::new(params(&[], 4095)?, 0).is_err());
        assert!(Context::new(params(&[], 4096)?, 0).is_ok());
        assert!(Context::new(params(&[&[(1, 3), (2, 4)]], 1)?, 0).is_err());
        assert!(Context::new(params(&[&[(3, 3)]], 1)?, 0).is_err());
        Ok(())
    }

    #[test]
    fn limits_the_memory_reserved_for_regions() -> Result {
        let mut attrs = AttrsParams::default();
        assert_eq!(capacity(&Attrs::try_from(attrs)?, 1), 1000);
        assert_eq!(capacity(&Attrs::try_from(attrs)?, 3), 334);
        assert_eq!(capacity(&Attrs::try_from(attrs)?, 100_000), 1);
        assert_eq!(capacity(&Attrs::try_from(attrs)?, 0), 0);
        attrs.max_nr_regions = u64::MAX;
        assert_eq!(capacity(&Attrs::try_from(attrs)?, 1), RESERVED_REGIONS);
        Ok(())
    }

    #[test]
    fn starts_with_ranges_and_at_least_min_regions() -> Result {
        let mut params = params(&[&[], &[(0, 100)]], 1)?;
        params.ops.covers = Some(AddrRange { start: 0, end: 900 });
        let mut context = Context::new(params, 0)?;
        context.start();
        assert_eq!(context.nr_regions(), 10);
        assert!(context
            .targets()
            .get(1)
            .is_some_and(|user| are_at(&user.regions, &[(0, 100)])));
        Ok(())
    }

    #[test]
    fn the_lower_limit_is_capped_at_the_largest_number_of_regions() -> Result {
        let mut params = params(&[&[(0, 1 << 47)]], 4096)?;
        params.attrs = Attrs::try_from(AttrsParams {
            min_nr_regions: 1 << 63,
            max_nr_regions: u64::MAX,
            ..AttrsParams::default()
        })?;
        let mut context = Context::new(params, 0)?;
        context.start();
        assert_eq!(context.nr_regions(), MAX_REGIONS);
        Ok(())
    }

    #[test]
    fn counts_accesses_over_an_aggregation_interval() -> Result {
        let mut context = Context::new(params(&[&[(0, 100)], &[(0, 100)]], 1)?, 0)?;
        context.start();
        context.prepare();
        context.samples(20);
        assert_eq!(context.passed(), 20);
        assert!(nr_accesses_are(&context, 0, 0));
        assert!(nr_accesses_are(&context, 1, 20));
        context.merge();
        context.start_window();
        assert!(nr_accesses_are(&context, 1, 0));
        let latest = context.latest_interval();
        let all_final = context
            .targets()
            .iter()
            .flat_map(|target| target.regions())
            .all(|region| region.recent_nr_accesses(&latest) == region.last_nr_accesses());
        assert!(all_final);
        Ok(())
    }

    #[test]
    fn preparing_drops_samples() -> Result {
        let mut context = Context::new(params(&[&[], &[(0, 100)]], 1)?, 0)?;
        context.start();
        context.samples(1);
        assert!(nr_accesses_are(&context, 1, 0));
        context.prepare();
        context.prepare();
        context.samples(1);
        assert!(nr_accesses_are(&context, 1, 1));
        Ok(())
    }
}
