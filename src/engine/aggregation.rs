// SPDX-License-Identifier: GPL-2.0

//! The end of an aggregation window: its results, and the adjustment of the regions to them.

use super::{
    context::{
        Context,
        Settings, //
    },
    events::Events,
    operations::Operations,
    regions::{
        merge::MergeMetric,
        rate::LatestInterval,
        split::Stride, //
    }, //
};
use crate::panic_free::indexed;
use kernel::prelude::*;

impl<O: Operations> Context<O> {
    /// Returns the latest aggregation interval, which ends with the last sample.
    pub fn latest_interval(&self) -> LatestInterval {
        LatestInterval::new(self.settings.attrs.window(), self.progress.in_window)
    }

    /// Counts the ages of the regions and merges adjacent regions with similar access rates.
    /// Corresponds to `kdamond_merge_regions()`.
    ///
    /// While there are more regions than the upper limit, merges again with a larger threshold for
    /// "similar" each time.
    pub(super) fn merge(&mut self) {
        let Settings { attrs, probes, .. } = &self.settings;
        let metric = MergeMetric::of(probes);
        let all = self.targets.iter();
        let most = all.map(|target| target.regions.most(metric)).max();
        let mut threshold = most.unwrap_or(0) / 10;
        let size_limit = self.progress.size_limit;
        for target in &mut self.targets {
            target.regions.finalize(metric, threshold, size_limit);
        }

        let max_threshold = metric.limit(attrs.max_nr_accesses());
        while self.nr_regions() > attrs.max_regions() && threshold < max_threshold {
            threshold = if threshold < max_threshold / 2 {
                threshold.saturating_mul(2).max(1)
            } else {
                max_threshold
            };
            for target in &mut self.targets {
                target.regions.merge(metric, threshold, size_limit);
            }
        }

        self.apply_min_nr_regions();
    }

    /// Starts the next aggregation window: the counts become the result of the last complete
    /// window. Corresponds to `kdamond_reset_aggregated()`.
    pub(super) fn start_window(&mut self) {
        for target in &mut self.targets {
            for region in target.regions.as_mut_slice() {
                region.aggregate();
            }
            target.aggregated = true;
        }
        self.progress.in_window = 0;
    }

    /// Reports the results of the last complete aggregation window.
    pub(super) fn report(&self, events: &mut dyn Events) {
        if !events.aggregated_enabled() {
            return;
        }
        let nr_probes = self.settings.probes.len();
        for (index, target) in indexed(&self.targets) {
            let nr_regions = target.regions.len();
            for region in target.regions.as_slice() {
                events.aggregated(index, nr_regions, region, nr_probes);
            }
        }
    }

    /// Splits regions at random, if there is room for twice as many regions below the upper limit.
    /// Corresponds to `kdamond_split_regions()`.
    ///
    /// A region is usually split in two. It is split in three if the last merge has undone all
    /// splits and there is plenty of room, because the difference may be in the middle of a region.
    ///
    /// If there is less room, no region is split. With [`Self::set_split_in_part`] one region in
    /// every few is split, as many as there is room for, and other ones each time. The C DAMON does
    /// this from Linux 7.3 on: otherwise a workload that needs more than half of the regions would
    /// keep the other regions from being refined.
    pub(crate) fn split(&mut self) {
        let nr_regions = self.nr_regions();
        let max = self.settings.attrs.max_regions();
        self.progress.split = false;
        let mut stride = Stride::ALL;
        if nr_regions > max / 2 {
            if !self.settings.split_in_part {
                return;
            }
            // Splits one region in every `max / room`, rounded down. This is rounded down from
            // `nr_regions / room + 1`, and thus more than `nr_regions / room`. Hence no more
            // regions are split than there is room for.
            let room = max.saturating_sub(nr_regions);
            let Some(every) = max.checked_div(room) else {
                self.progress.last_nr_regions = nr_regions;
                return;
            };
            stride = Stride::one_in(every, self.progress.splits_in_part);
            self.progress.splits_in_part = self.progress.splits_in_part.wrapping_add(1);
        }
        let stuck = self.progress.last_nr_regions == nr_regions && nr_regions < max / 3;
        let pieces = if stuck { 3 } else { 2 };
        for target in &mut self.targets {
            // If memory allocation fails, monitoring continues with the existing regions.
            let _ = target.regions.split(
                pieces,
                &mut stride,
                self.settings.min_region_sz,
                &mut self.progress.rng,
            );
        }
        self.progress.split = self.nr_regions() > nr_regions;
        self.progress.last_nr_regions = nr_regions;
    }
}

#[kunit_tests(damon_rs_aggregation)]
mod tests {
    use super::{
        super::{
            attrs::{
                Attrs,
                AttrsParams, //
            },
            context::Target,
            fake::{
                params,
                Fake, //
            },
            regions::{
                region::tests::region,
                tests::{
                    are_at,
                    regions, //
                }, //
            }, //
        },
        *, //
    };

    /// Nine regions with 0 to 8 accesses, merged for an upper limit.
    fn merged(max_nr_regions: u64) -> Result<usize> {
        let mut params = params(&[&[(0, 3999)]], 1)?;
        params.attrs = Attrs::try_from(AttrsParams {
            min_nr_regions: 3,
            max_nr_regions,
            ..AttrsParams::default()
        })?;
        let mut context = Context::new(params, 0)?;
        context.start();
        for target in &mut context.targets {
            target.regions.limit_size(500)?;
            for (region, hits) in target.regions.as_mut_slice().iter_mut().zip(0..20) {
                for n in 0..hits {
                    region.prepare(region.start());
                    region.record(&context.settings.attrs.window(), n < hits);
                }
            }
        }
        assert_eq!(context.nr_regions(), 9);
        context.merge();
        Ok(context.nr_regions())
    }

    #[test]
    fn merges_down_to_the_upper_limit() -> Result {
        assert!(merged(6)? <= 6);
        // At the limit there is no reason to merge regions that differ.
        assert_eq!(merged(9)?, 9);
        Ok(())
    }

    #[test]
    fn splits_below_half_of_the_upper_limit() -> Result {
        let mut context = Context::new(params(&[&[(0, 1 << 30)]], 4096)?, 0)?;
        context.start();
        for _ in 0..12 {
            context.split();
        }
        assert!(context.nr_regions() > 500);
        assert!(context.nr_regions() <= 1000);
        Ok(())
    }

    #[test]
    fn splits_some_above_half_of_the_upper_limit() -> Result {
        let parts: KVec<(u64, u64)> = {
            let mut list = KVec::with_capacity(760, GFP_KERNEL)?;
            for at in 0..760u64 {
                list.push_within_capacity((at * 200, at * 200 + 100))?;
            }
            list
        };
        let context = |in_part| -> Result<Context<Fake>> {
            let mut params = params(&[parts.as_slice(), &[(0, 100)]], 1)?;
            params.attrs = Attrs::try_from(AttrsParams {
                max_nr_regions: 1500,
                ..AttrsParams::default()
            })?;
            let mut context = Context::new(params, 0)?;
            context.start();
            context.set_split_in_part(in_part);
            Ok(context)
        };
        let mut whole = context(false)?;
        let before = whole.nr_regions();
        assert_eq!(before, 761);
        whole.split();
        assert_eq!(whole.nr_regions(), before);

        let mut some = context(true)?;
        // 1500 / 739 is 2, so every second region is split, beginning with the first one.
        some.split();
        assert_eq!(some.nr_regions(), 761 + 381);
        // Then 1500 / 358 is 4, and so on, until there is no more room.
        let mut last = some.nr_regions();
        for _ in 0..50 {
            some.split();
            assert!(some.nr_regions() >= last && some.nr_regions() <= 1500);
            last = some.nr_regions();
        }
        assert_eq!(last, 1500);
        Ok(())
    }

    #[test]
    fn each_region_has_its_turn_to_be_split() -> Result {
        let place = [
            region(0, 100, 0, 0, 0)?,
            region(100, 200, 0, 0, 0)?,
            region(200, 300, 0, 0, 0)?,
            region(300, 400, 0, 0, 0)?,
            region(400, 500, 0, 0, 0)?,
        ];
        let mut params = params(&[&[(0, 500)]], 1)?;
        params.attrs = Attrs::try_from(AttrsParams {
            min_nr_regions: 3,
            max_nr_regions: 9,
            ..AttrsParams::default()
        })?;
        let mut context = Context::new(params, 0)?;
        context.set_split_in_part(true);
        // The first pass splits two of five, as 9 / 4 is 2, and the second pass the other three.
        let mut split = [0; 5];
        for _ in 0..2 {
            for target in &mut context.targets {
                target.regions = regions(&place)?;
            }
            context.split();
            for region in context.targets().iter().flat_map(Target::regions) {
                let whole = place.iter().zip(&mut split);
                for (_, times) in whole.filter(|(its, _)| its.end() == region.end()) {
                    *times += usize::from(region.size() < 100);
                }
            }
        }
        assert_eq!(split, [1; 5]);
        Ok(())
    }

    #[test]
    fn aggregation_keeps_targets_and_regions() -> Result {
        let places: [[(u64, u64); 3]; 3] = [
            [(10, 15), (20, 27), (30, 40)],
            [(5, 31), (42, 45), (49, 55)],
            [(13, 23), (33, 44), (55, 66)],
        ];
        let accesses = [[42, 95, 84], [10, 20, 30], [0, 1, 2]];
        let mut context = Context::new(params(&[&[], &[], &[]], 1)?, 0)?;
        for ((target, places), accesses) in context.targets.iter_mut().zip(places).zip(accesses) {
            let [a, b, c] = places;
            let [x, y, z] = accesses;
            target.regions = regions(&[
                region(a.0, a.1, x, 0, 0)?,
                region(b.0, b.1, y, 0, 0)?,
                region(c.0, c.1, z, 0, 0)?,
            ])?;
        }
        context.start_window();
        assert_eq!(context.targets().len(), 3);
        for ((target, places), accesses) in context.targets.iter().zip(places).zip(accesses) {
            assert!(are_at(&target.regions, &places));
            let now = target.regions().iter().map(|region| region.nr_accesses());
            assert!(now.eq([0; 3]));
            let last = target
                .regions()
                .iter()
                .map(|region| region.last_nr_accesses());
            assert!(last.eq(accesses));
        }
        Ok(())
    }

    #[test]
    fn the_last_interval_counts_by_the_remaining_share() -> Result {
        let mut context = Context::new(params(&[&[(0, 100)]], 1)?, 0)?;
        context.start();
        context.prepare();
        let left = |context: &Context<Fake>| context.latest_interval().count(0, 20);
        assert_eq!(left(&context), 20);
        context.samples(15);
        assert_eq!(left(&context), 5);
        context.samples(6);
        assert_eq!(left(&context), 0);
        context.merge();
        context.start_window();
        assert_eq!(left(&context), 20);
        Ok(())
    }
}
