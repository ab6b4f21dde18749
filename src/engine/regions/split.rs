// SPDX-License-Identifier: GPL-2.0

//! The splitting half of the adaptive regions adjustment: splits regions to find differences within
//! them, and limits their size. [`merge`](super::merge) is the other half.

use super::{
    super::{
        attrs::MAX_REGIONS,
        num::{
            div_wide,
            MinRegionSize, //
        },
        rand::Rng, //
    },
    Cut,
    Regions, //
};
use crate::cast::to_u64;
use kernel::prelude::*;

impl Regions {
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

#[kunit_tests(damon_rs_split)]
mod tests {
    use super::{
        super::{
            region::Region,
            tests::{
                are_at,
                places, //
            }, //
        },
        *, //
    };

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
