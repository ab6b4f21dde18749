// SPDX-License-Identifier: GPL-2.0

//! A monitoring context: parameters, and what was learned with them.

use super::{
    attrs::Attrs,
    num::Grain,
    operations::Operations,
    params::{
        Params,
        TargetParams, //
    },
    pauses::Pauses,
    probe::Probes,
    rand::Rng,
    regions::{
        merge_split::size_limit,
        region::Region,
        Regions, //
    },
    schedule::Schedule,
    scheme::Scheme, //
};
use kernel::prelude::*;

/// Regions that room is made for in advance, in all targets of a context together.
const RESERVED_REGIONS: usize = 1 << 16;

/// A target: some memory and what is known about it.
pub struct Target<S> {
    pub(crate) space: S,
    pub(crate) regions: Regions,
    /// Whether the regions were there at the end of an aggregation interval.
    pub(crate) aggregated: bool,
}

impl<S> Target<S> {
    /// The memory that is meant.
    pub fn space(&self) -> &S {
        &self.space
    }

    /// Its regions in ascending order.
    pub fn regions(&self) -> &[Region] {
        self.regions.as_slice()
    }
}

/// Parameters that stand for the whole context.
pub(crate) struct Settings<O> {
    pub(crate) ops: O,
    /// What regions are aligned to: the operations' smallest region, checked.
    pub(crate) grain: Grain,
    pub(crate) attrs: Attrs,
    pub(crate) probes: Probes,
    pub(crate) pause: bool,
    /// See [`Context::set_split_in_part`].
    pub(crate) split_in_part: bool,
}

/// What a context remembers beside its targets and schemes.
pub(crate) struct Progress {
    /// Sampling intervals since the start. Time spent paused is not among them.
    pub(crate) passed: u64,
    /// Sampling intervals since the current aggregation window began.
    pub(crate) in_window: u64,
    pub(crate) schedule: Schedule,
    /// How large a region may become by merging.
    pub(crate) size_limit: u64,
    /// Number of splits of some regions only. The C DAMON has one for all its contexts.
    pub(crate) splits_in_part: usize,
    /// Number of regions when they were last split. The C DAMON has one for all its contexts,
    /// and one context's splits there depend on another's.
    pub(crate) last_nr_regions: usize,
    /// Whether the last aggregation has split regions, so that the next one may well merge and
    /// split them again.
    pub(crate) split: bool,
    pub(crate) rng: Rng,
    pub(crate) pauses: Pauses,
}

/// A monitoring context: parameters, and all that was learned with them.
pub struct Context<O: Operations> {
    pub(crate) settings: Settings<O>,
    pub(crate) targets: KVec<Target<O::Space>>,
    pub(crate) schemes: KVec<Scheme>,
    pub(crate) progress: Progress,
}

/// The room for regions to be made in each of `nr_targets` targets.
pub(crate) fn capacity(attrs: &Attrs, nr_targets: usize) -> usize {
    let all = attrs.max_regions().min(RESERVED_REGIONS);
    all.saturating_add(nr_targets.saturating_sub(1))
        .checked_div(nr_targets)
        .unwrap_or(0)
}

impl<O: Operations> Context<O> {
    /// A context that has not seen anything yet. Random numbers follow from `seed`.
    ///
    /// `EINVAL` if the operations' region size is no power of two, a target's ranges cannot be or
    /// the probes have weights that the attributes do not go with; `ENOMEM` without memory. Whether
    /// a target is obsolete is asked in commits alone.
    pub fn new(params: Params<O>, seed: u64) -> Result<Self> {
        let Params {
            ops,
            attrs,
            probes,
            pause,
            targets: wanted,
            schemes: wanted_schemes,
        } = params;
        let grain = Grain::try_from(ops.min_region_sz())?;
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
            regions.set_ranges(&ranges, grain)?;
            targets.push_within_capacity(Target {
                space,
                regions,
                aggregated: false,
            })?;
        }

        let mut schemes = KVec::with_capacity(wanted_schemes.len(), GFP_KERNEL)?;
        for params in wanted_schemes {
            schemes.push_within_capacity(Scheme::new(params, &attrs, 0)?)?;
        }
        let schedule = Schedule::new(&attrs, 0);

        Ok(Self {
            settings: Settings {
                ops,
                grain,
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
        })
    }

    /// Monitoring attributes.
    pub fn attrs(&self) -> &Attrs {
        &self.settings.attrs
    }

    /// Whether monitoring is to stand still. Only a commit and [`Self::set_paused`] change it, and it
    /// is up to the caller to take no step meanwhile.
    pub fn paused(&self) -> bool {
        self.settings.pause
    }

    /// Has monitoring stand still, or go on, from the next step on. All that was learned stays.
    pub fn set_paused(&mut self, paused: bool) {
        self.settings.pause = paused;
    }

    /// Sets whether some regions are split at the end of an aggregation window where there are too
    /// many to split all, or none.
    pub fn set_split_in_part(&mut self, in_part: bool) {
        self.settings.split_in_part = in_part;
    }

    /// Sampling intervals since the start.
    pub fn passed(&self) -> u64 {
        self.progress.passed
    }

    /// The targets.
    pub fn targets(&self) -> &[Target<O::Space>] {
        &self.targets
    }

    /// The schemes.
    pub fn schemes(&self) -> &[Scheme] {
        &self.schemes
    }

    /// What is probed for.
    pub fn probes(&self) -> &Probes {
        &self.settings.probes
    }

    /// What the targets' address space can do.
    pub fn ops(&self) -> &O {
        &self.settings.ops
    }

    /// Number of regions of all targets.
    pub fn nr_regions(&self) -> usize {
        self.targets.iter().fold(0, |sum: usize, target| {
            sum.saturating_add(target.regions.len())
        })
    }

    /// Whether there is something to monitor: a target that still exists, or operations whose
    /// targets do not end.
    pub fn any_target_valid(&self) -> bool {
        let ops = &self.settings.ops;
        let mut targets = self.targets.iter();
        ops.outlives_targets() || targets.any(|target| ops.is_valid(&target.space))
    }

    /// Gives regions to targets that the user has set none for, and makes regions small enough for
    /// the lower limit on their number. Called once, before the first sample.
    pub fn start(&mut self) {
        self.fetch_ranges(Regions::is_empty);
        self.apply_min_nr_regions();
    }

    /// Lets regions cover what the targets cover now.
    pub(crate) fn update(&mut self) {
        self.fetch_ranges(|_| true);
    }

    fn fetch_ranges(&mut self, wanted: impl Fn(&Regions) -> bool) {
        let Settings { ops, grain, .. } = &mut self.settings;
        for target in &mut self.targets {
            if !wanted(&target.regions) {
                continue;
            }
            if let Ok(Some(ranges)) = ops.ranges(&target.space) {
                // On an error the regions are as they were, which is what we want then.
                let _ = target.regions.set_ranges(&ranges, *grain);
            }
        }
    }

    /// Largest size of a region for which the lower limit on their number holds.
    pub(crate) fn max_region_size(&self) -> u64 {
        // Targets may overlap, and together exceed 64 bits.
        let total = self.targets.iter().fold(0, |sum: u128, target| {
            sum.saturating_add(u128::from(target.regions.size()))
        });
        let Settings { grain, attrs, .. } = &self.settings;
        size_limit(total, attrs.min_regions(), *grain)
    }

    pub(crate) fn apply_min_nr_regions(&mut self) {
        let limit = self.max_region_size();
        self.progress.size_limit = limit;
        for target in &mut self.targets {
            // Without memory for more regions monitoring goes on with those that there are.
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
    fn refuses_what_cannot_be() -> Result {
        assert!(Context::new(params(&[], 4095)?, 0).is_err());
        assert!(Context::new(params(&[], 4096)?, 0).is_ok());
        assert!(Context::new(params(&[&[(1, 3), (2, 4)]], 1)?, 0).is_err());
        assert!(Context::new(params(&[&[(3, 3)]], 1)?, 0).is_err());
        Ok(())
    }

    #[test]
    fn makes_room_within_reason() -> Result {
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
    fn an_absurd_lower_limit_is_met_within_reason() -> Result {
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
        let all_settled = context
            .targets()
            .iter()
            .flat_map(|target| target.regions())
            .all(|region| region.nr_accesses_bp() == region.last_nr_accesses() * 10_000);
        assert!(all_settled);
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
