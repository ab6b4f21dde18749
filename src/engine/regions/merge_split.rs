// SPDX-License-Identifier: GPL-2.0

//! The adaptive regions adjustment: merges adjacent regions with similar access rates, and splits
//! regions to find differences within them.

use super::{
    super::{
        attrs::MAX_REGIONS,
        num::{
            div_wide,
            MinRegionSize, //
        },
        probe::Probes,
        rand::Rng, //
    },
    region::Region,
    Cut,
    Regions, //
};
use crate::cast::to_u64;
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

    /// Ends the aggregation window of the regions, see [`Region::finalize`], and merges regions
    /// like [`Self::merge`].
    pub(crate) fn finalize(&mut self, metric: MergeMetric<'_>, threshold: u32, size_limit: u64) {
        self.visit_and_merge(metric, threshold, size_limit, |region| {
            region.finalize(metric.now(region), metric.last(region), threshold);
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

    /// Cuts each region larger than `limit`, which is not zero, into pieces of that size and a
    /// rest. If memory allocation fails, no region is cut.
    pub(crate) fn limit_size(&mut self, limit: u64) -> Result {
        // This is the usual case, as regions are only merged up to the limit.
        if self.largest() <= limit {
            return Ok(());
        }
        self.cut(&mut Chop { limit })?;
        self.note_largest(limit);
        Ok(())
    }

    /// Splits regions at random addresses into `pieces`, or fewer if they are too small. `stride`
    /// selects the regions. If memory allocation fails, no region is split. Corresponds to
    /// `damon_split_regions_of()`.
    pub(crate) fn split(
        &mut self,
        pieces: u32,
        stride: &mut Stride,
        min_region_sz: MinRegionSize,
        rng: &mut Rng,
    ) -> Result {
        let mut split = Split {
            rng: rng.clone(),
            stride: stride.clone(),
            min_region_sz,
            cuts: pieces.saturating_sub(1),
            left: 0,
        };
        self.cut(&mut split)?;
        (*rng, *stride) = (split.rng, split.stride);
        Ok(())
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

/// Cuts regions into pieces of size `limit`.
#[derive(Clone)]
struct Chop {
    limit: u64,
}

impl Cut for Chop {
    fn next(&mut self, size: u64) -> Option<u64> {
        // Most regions are small enough. This test avoids the division for them.
        if size <= self.limit {
            return None;
        }
        // As many whole pieces as leave a rest for the last one.
        let pieces = size.saturating_sub(1).checked_div(self.limit)?;
        Some(pieces.saturating_mul(self.limit)).filter(|size| *size != 0)
    }
}

/// Selects one region in every `every`.
#[derive(Clone)]
pub(crate) struct Stride {
    every: usize,
    /// Number of regions to be skipped before the next selected one.
    wait: usize,
    /// Regions of exactly twice `min_region_sz` are split too.
    halves: bool,
}

impl Stride {
    /// All regions that are larger than twice `min_region_sz`.
    pub(crate) const ALL: Self = Self {
        every: 1,
        wait: 0,
        halves: false,
    };

    /// Selects one region in every `every`, or all if that is zero. The number of regions before
    /// the first selected one is `first` modulo `every`.
    ///
    /// If all regions are split, small ones remain whole. Here only a few can be split, and like
    /// the C DAMON this selects any region that can be split at all.
    pub(crate) fn one_in(every: usize, first: usize) -> Self {
        let wait = first.checked_rem(every).unwrap_or(0);
        Self {
            every,
            wait,
            halves: true,
        }
    }

    /// Returns whether the next region is selected.
    fn is_next(&mut self) -> bool {
        let is_next = self.wait == 0;
        self.wait = if is_next { self.every } else { self.wait }.saturating_sub(1);
        is_next
    }
}

/// Splits regions at random addresses.
#[derive(Clone)]
struct Split {
    rng: Rng,
    stride: Stride,
    min_region_sz: MinRegionSize,
    /// Number of cuts that are tried in each selected region.
    cuts: u32,
    /// Number of cuts left for the current region.
    left: u32,
}

impl Cut for Split {
    fn begin(&mut self) {
        self.left = if self.stride.is_next() { self.cuts } else { 0 };
    }

    /// The left part is between 10 and 90 percent of the region. A try that leaves a part without
    /// addresses counts as a try.
    fn next(&mut self, size: u64) -> Option<u64> {
        let pair = self.min_region_sz.size().saturating_mul(2);
        let fits = |size| size > pair || (self.stride.halves && size == pair);
        while self.left > 0 && fits(size) {
            self.left = self.left.saturating_sub(1);
            let tenths = self.rng.range(1, 10);
            // `size * tenths / 10` without overflow.
            let part = (size / 10)
                .saturating_mul(tenths)
                .saturating_add((size % 10).saturating_mul(tenths) / 10);
            let at = self.min_region_sz.down(part);
            if at != 0 && at < size {
                return Some(at);
            }
        }
        None
    }
}

/// Returns the largest size of a region such that `total` addresses have at least `min_regions`
/// regions and at most [`MAX_REGIONS`]. It is a multiple of `min_region_sz` and not zero.
pub(crate) fn size_limit(total: u128, min_regions: usize, min_region_sz: MinRegionSize) -> u64 {
    const MOST: u64 = to_u64(MAX_REGIONS);
    let limit = div_wide(total, to_u64(min_regions))
        .max(div_wide(total.saturating_add(u128::from(MOST - 1)), MOST))
        .max(min_region_sz.size());
    min_region_sz
        .up(limit)
        .unwrap_or(min_region_sz.down(u64::MAX))
}

#[kunit_tests(damon_rs_merge_split)]
mod tests {
    use super::{
        super::{
            super::{
                num::narrow,
                probe::tests::weights, //
            },
            rate::SampleWindow,
            region::tests::region,
            tests::{
                are_at,
                places,
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
            region.finalize(now, last, threshold);
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

    /// Returns the number of regions after a split, and whether the split is aligned and complete.
    fn split_into(list: &[(u64, u64)], pieces: u32, min_region_sz: u64) -> Result<(usize, bool)> {
        let mut regions = places(list)?;
        let (before, min_region_sz) = (regions.size(), MinRegionSize::try_from(min_region_sz)?);
        regions.split(
            pieces,
            &mut Stride::ALL.clone(),
            min_region_sz,
            &mut Rng::new(7),
        )?;
        let aligned = regions
            .as_slice()
            .iter()
            .all(|region| min_region_sz.down(region.start()) == region.start());
        Ok((regions.len(), aligned && regions.size() == before))
    }

    #[test]
    fn splits_into_at_most_the_requested_pieces() -> Result {
        let (len, sound) = split_into(&[(0, 22)], 2, 1)?;
        assert!(len <= 2 && sound);
        let (len, sound) = split_into(&[(0, 220)], 4, 1)?;
        assert!(len <= 4 && sound);
        let (len, sound) = split_into(&[(0, 224), (304, 400), (504, 704)], 4, 4)?;
        assert!(len <= 12 && sound);
        Ok(())
    }

    #[test]
    fn splits_later_if_a_cut_is_aligned_to_zero() -> Result {
        // The cut is aligned down to zero for 1 to 3 tenths of three times `min_region_sz`.
        for seed in 0..20 {
            let mut regions = places(&[(0, 12)])?;
            let (min_region_sz, mut rng) = (MinRegionSize::try_from(4)?, Rng::new(seed));
            for _ in 0..50 {
                regions.split(2, &mut Stride::ALL.clone(), min_region_sz, &mut rng)?;
            }
            assert_eq!(regions.len(), 2);
        }
        Ok(())
    }

    #[test]
    fn splits_in_half_only_where_there_is_room_for_few() -> Result {
        let (pairs, min_region_sz) = ([(0, 8), (8, 16), (16, 20)], MinRegionSize::try_from(4)?);
        let (mut all, mut some) = (places(&pairs)?, places(&pairs)?);
        for _ in 0..50 {
            all.split(3, &mut Stride::ALL.clone(), min_region_sz, &mut Rng::new(7))?;
        }
        assert!(are_at(&all, &pairs));
        let mut rng = Rng::new(7);
        for first in 0..50 {
            some.split(2, &mut Stride::one_in(2, first), min_region_sz, &mut rng)?;
        }
        let halves = [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)];
        assert!(are_at(&some, &halves));
        Ok(())
    }

    #[test]
    fn splits_one_in_so_many() -> Result {
        let taken = |mut stride: Stride| [(); 7].map(|()| stride.is_next());
        assert_eq!(taken(Stride::ALL), [true; 7]);
        assert_eq!(taken(Stride::one_in(0, 3)), [true; 7]);
        assert_eq!(taken(Stride::one_in(1, 3)), [true; 7]);
        let third = [false, true, false, false, true, false, false];
        assert_eq!(taken(Stride::one_in(3, 4)), third);

        // The selection continues from the regions of one target, in descending order, to those of
        // the next one.
        let mut stride = Stride::one_in(2, 0);
        let (min_region_sz, mut rng) = (MinRegionSize::try_from(1)?, Rng::new(7));
        let list = [(0, 100), (100, 200), (200, 300)];
        let (mut one, mut other) = (places(&list)?, places(&list)?);
        one.split(2, &mut stride, min_region_sz, &mut rng)?;
        other.split(2, &mut stride, min_region_sz, &mut rng)?;
        assert_eq!((one.len(), other.len()), (5, 4));
        let starts = |regions: &Regions, at: usize| {
            let region = regions.as_slice().get(at);
            region.map(Region::start)
        };
        assert_eq!(starts(&one, 2), Some(100));
        assert_eq!(starts(&one, 3), Some(200));
        assert_eq!(starts(&other, 1), Some(100));
        assert_eq!(starts(&other, 3), Some(200));
        Ok(())
    }

    #[test]
    fn does_not_split_small_regions() -> Result {
        let (len, sound) = split_into(&[(0, 16), (16, 24)], 3, 8)?;
        assert!(len == 2 && sound);
        Ok(())
    }

    #[test]
    fn splits_any_size() -> Result {
        let (len, sound) = split_into(&[(0, u64::MAX - 4095)], 3, 4096)?;
        assert!(len == 3 && sound);
        let (len, sound) = split_into(&[(0, 1 << 63)], 3, 1 << 63)?;
        assert!(len == 1 && sound);
        Ok(())
    }

    /// Returns the size limit for one region at zero, and the resulting number of regions.
    fn limited(size: u64, min_region_sz: u64, min_regions: usize) -> Result<(u64, usize)> {
        let mut regions = places(&[(0, size)])?;
        let limit = size_limit(
            u128::from(regions.size()),
            min_regions,
            MinRegionSize::try_from(min_region_sz)?,
        );
        regions.limit_size(limit)?;
        Ok((limit, regions.len()))
    }

    #[test]
    fn the_lower_limit_on_their_number_limits_regions_in_size() -> Result {
        assert_eq!(limited(10, 1, 10)?, (1, 10));
        // The limit is never zero,
        assert_eq!(limited(10, 1, 15)?, (1, 10));
        // is a multiple of `min_region_sz`,
        assert_eq!(limited(10, 2, 2)?, (6, 2));
        // and is not below it.
        assert_eq!(limited(10, 2, 10)?, (2, 5));
        // Rounding does not lead to more than the largest number of regions.
        assert_eq!(limited((1 << 33) - 1, 1, MAX_REGIONS)?, (8192, MAX_REGIONS));
        Ok(())
    }
}
