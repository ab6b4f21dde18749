// SPDX-License-Identifier: GPL-2.0

//! The merging half of the adaptive regions adjustment: merges adjacent regions with similar access
//! rates. [`split`](super::split) is the other half.

use super::{
    super::probe::Probes,
    region::Region,
    Regions, //
};
use kernel::prelude::*;

/// The value by which regions are compared.
#[derive(Clone, Copy)]
pub(crate) enum MergeMetric<'a> {
    /// The access rate.
    Accesses,
    /// The weighted sum of the probe hits.
    Weights(&'a Probes),
}

impl<'a> MergeMetric<'a> {
    /// Returns the value for a context with these probes.
    pub(crate) fn of(probes: &'a Probes) -> Self {
        if probes.are_weighted() {
            Self::Weights(probes)
        } else {
            Self::Accesses
        }
    }

    #[inline]
    fn now(self, region: &Region) -> u32 {
        match self {
            Self::Accesses => region.nr_accesses(),
            Self::Weights(probes) => probes.weigh(region.probe_hits()),
        }
    }

    #[inline]
    fn last(self, region: &Region) -> u32 {
        match self {
            Self::Accesses => region.last_nr_accesses(),
            Self::Weights(probes) => probes.weigh(region.last_probe_hits()),
        }
    }

    /// Returns the largest value in an aggregation window of `max_nr_accesses` samples.
    pub(crate) fn limit(self, max_nr_accesses: u32) -> u32 {
        match self {
            Self::Accesses => max_nr_accesses,
            Self::Weights(probes) => probes.max_weight(),
        }
    }
}

impl Regions {
    /// Returns the largest value of a region in the current aggregation window.
    pub(crate) fn most(&self, metric: MergeMetric<'_>) -> u32 {
        let regions = self.as_slice().iter();
        regions.map(|region| metric.now(region)).max().unwrap_or(0)
    }

    /// Ends the aggregation window of the regions, see [`Region::count_age`], and merges regions
    /// like [`Self::merge`].
    pub(crate) fn finalize(&mut self, metric: MergeMetric<'_>, threshold: u32, size_limit: u64) {
        self.visit_and_merge(metric, threshold, size_limit, |region| {
            region.count_age(metric.now(region), metric.last(region), threshold);
        });
    }

    /// Merges adjacent regions if their values differ by at most `threshold` and their total size
    /// is at most `size_limit`. Corresponds to `damon_merge_regions_of()`.
    pub(crate) fn merge(&mut self, metric: MergeMetric<'_>, threshold: u32, size_limit: u64) {
        self.visit_and_merge(metric, threshold, size_limit, |_| ());
    }

    /// Calls `visit` for each region before the region is merged like [`Self::merge`].
    #[inline]
    fn visit_and_merge(
        &mut self,
        metric: MergeMetric<'_>,
        threshold: u32,
        size_limit: u64,
        visit: impl FnMut(&mut Region),
    ) {
        self.coalesce(size_limit, visit, |left, right| {
            fits(left, right, size_limit) && absorb(metric, threshold, left, right)
        });
    }

    /// Joins regions like [`join`].
    pub(crate) fn join_alike(&mut self, size_limit: u64) {
        self.coalesce(
            size_limit,
            |_| (),
            |left, right| join(left, right, size_limit),
        );
    }
}

/// Returns whether two regions are adjacent and their total size is at most `size_limit`. This is
/// tested first, because nothing else needs to be compared for regions of the largest size.
#[inline]
fn fits(left: &Region, right: &Region, size_limit: u64) -> bool {
    left.joined_size(right)
        .is_some_and(|size| size <= size_limit)
}

/// Joins `right` to `left` if they are adjacent, have the same results and their total size is at
/// most `size_limit`. Returns whether they were joined.
#[inline]
pub(crate) fn join(left: &mut Region, right: &Region, size_limit: u64) -> bool {
    let joins = fits(left, right, size_limit) && left.is_like(right);
    if joins {
        left.extend(right);
    }
    joins
}

/// Merges `right` into `left` if their values are similar, and returns whether they were.
fn absorb(metric: MergeMetric<'_>, threshold: u32, left: &mut Region, right: &Region) -> bool {
    let alike = metric.now(left).abs_diff(metric.now(right)) <= threshold;
    if alike {
        left.merge(right);
    }
    alike
}

#[kunit_tests(damon_rs_merge)]
mod tests {
    use super::{
        super::{
            super::{
                num::narrow,
                probe::tests::weights,
                rand::Rng, //
            },
            rate::SampleWindow,
            region::tests::region,
            tests::{
                are_at,
                regions, //
            }, //
        },
        *, //
    };

    #[test]
    fn merges_neighbours_that_are_accessed_alike() -> Result {
        let mut regions = regions(&[
            region(0, 100, 0, 0, 0)?,
            region(100, 112, 0, 0, 0)?,
            region(114, 122, 10, 0, 0)?,
            region(122, 130, 10, 0, 0)?,
            region(130, 156, 20, 0, 0)?,
            region(156, 170, 30, 0, 0)?,
            region(170, 184, 1, 0, 0)?,
            region(184, 230, 2, 0, 0)?,
            region(230, 10_170, 5, 0, 0)?,
        ])?;
        regions.merge(MergeMetric::Accesses, 9, 9999);
        assert!(are_at(
            &regions,
            &[
                (0, 112),
                (114, 130),
                (130, 156),
                (156, 170),
                (170, 230),
                (230, 10_170)
            ]
        ));
        Ok(())
    }

    /// Reference implementation: ends the window of one region after the other, and merges it into
    /// the one before.
    fn one_after_the_other(list: &[Region], threshold: u32, limit: u64) -> Result<KVec<Region>> {
        let mut merged: KVec<Region> = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        for region in list {
            let mut region = *region;
            let (now, last) = (region.nr_accesses(), region.last_nr_accesses());
            region.count_age(now, last, threshold);
            match merged.last_mut() {
                Some(left)
                    if left.end() == region.start()
                        && left.nr_accesses().abs_diff(now) <= threshold
                        && region.end() - left.start() <= limit =>
                {
                    left.merge(&region);
                }
                _ => merged.push_within_capacity(region)?,
            }
        }
        Ok(merged)
    }

    #[test]
    fn merging_in_place_is_merging_one_after_the_other() -> Result {
        let mut rng = Rng::new(5);
        for _ in 0..200 {
            let mut list = KVec::with_capacity(30, GFP_KERNEL)?;
            let mut end = 0;
            for _ in 0..rng.range(1, 31) {
                // There is a gap before every fourth region.
                let start = end + rng.range(0, 4) / 3;
                end = start + rng.range(1, 20);
                let [now, last, age] = [4, 4, 9].map(|to| narrow(rng.range(0, to)));
                list.push_within_capacity(region(start, end, now, last, age)?)?;
            }
            let (threshold, limit) = (narrow(rng.range(0, 3)), rng.range(1, 60));
            let expected = one_after_the_other(&list, threshold, limit)?;
            let mut regions = regions(&list)?;
            let size = regions.size();
            regions.finalize(MergeMetric::Accesses, threshold, limit);
            assert!(regions.as_slice() == expected.as_slice());
            assert_eq!(regions.size(), size);
            assert!(expected.iter().all(|its| its.size() <= regions.largest()));
        }
        Ok(())
    }

    #[test]
    fn merges_by_the_weights_of_hits() -> Result {
        let mut list = [region(0, 10, 20, 0, 0)?, region(10, 20, 0, 0, 0)?];
        let mut regions = regions(&list)?;
        // Without a weight accesses are compared, and these differ.
        let unweighted = weights(&[0])?;
        regions.merge(MergeMetric::of(&unweighted), 9, 9999);
        assert!(are_at(&regions, &[(0, 10), (10, 20)]));
        // The hits do not differ.
        let weighted = weights(&[1, 100])?;
        regions.merge(MergeMetric::of(&weighted), 0, 9999);
        assert!(are_at(&regions, &[(0, 20)]));
        // A hit of the second probe weighs as much as a hundred of the first.
        if let Some(left) = list.first_mut() {
            left.count_hit(&SampleWindow::new(20), 1);
        }
        let mut regions = super::super::tests::regions(&list)?;
        assert_eq!(regions.most(MergeMetric::of(&weighted)), 100);
        regions.merge(MergeMetric::of(&weighted), 99, 9999);
        assert!(are_at(&regions, &[(0, 10), (10, 20)]));
        regions.finalize(MergeMetric::of(&weighted), 100, 0);
        let ages = regions.as_slice().iter().map(Region::age);
        assert!(ages.eq([0, 1]));
        Ok(())
    }

    #[test]
    fn joins_only_regions_with_equal_results() -> Result {
        let mut regions = regions(&[
            region(0, 10, 5, 5, 3)?,
            region(10, 20, 5, 5, 3)?,
            region(20, 30, 5, 5, 4)?,
            region(30, 40, 5, 4, 4)?,
            region(40, 50, 4, 4, 4)?,
            region(60, 70, 4, 4, 4)?,
            region(70, 90, 4, 4, 4)?,
        ])?;
        regions.join_alike(29);
        assert!(are_at(
            &regions,
            &[(0, 20), (20, 30), (30, 40), (40, 50), (60, 70), (70, 90)]
        ));
        Ok(())
    }
}
