// SPDX-License-Identifier: GPL-2.0

//! Adjusts regions to the ranges that a target should cover.

use super::{
    super::num::MinRegionSize,
    region::{
        AddrRange,
        Region, //
    },
    Regions, //
};
use kernel::prelude::*;

impl Regions {
    /// Adjusts the regions to cover exactly `ranges`, after the ranges were widened to multiples of
    /// `min_region_sz`. Corresponds to `damon_set_regions()`.
    ///
    /// Regions outside of the ranges are removed, regions at the ends of a range are resized, and
    /// gaps become new regions:
    ///
    /// ```text
    /// before: [4,    16)        [24,    32)
    /// range:     [8,                28)
    /// after:     [8, 16)[16, 24)[24, 28)
    /// ```
    ///
    /// A region in two ranges stays in the first one, and the second one starts with a new region.
    ///
    /// Fails with `ENOMEM`, and with `EINVAL` if ranges are empty, overlap or are not sorted. After
    /// a failure the regions have not changed.
    pub(crate) fn set_ranges(
        &mut self,
        ranges: &[AddrRange],
        min_region_sz: MinRegionSize,
    ) -> Result {
        check_ranges(ranges, min_region_sz)?;

        let mut len: usize = 0;
        let mut changed = false;
        let mut old = self.as_slice().iter();
        fit(self.as_slice(), ranges, min_region_sz, |region| {
            len = len.saturating_add(1);
            changed |= old.next() != Some(&region);
        });
        // A periodic update usually changes nothing and thus needs no memory.
        if !changed && old.next().is_none() {
            return Ok(());
        }

        let mut fitted = Self::with_capacity(len.max(self.list.capacity()))?;
        let mut result = Ok(());
        fit(self.as_slice(), ranges, min_region_sz, |region| {
            if result.is_ok() {
                result = fitted.push(region);
            }
        });
        result?;
        *self = fitted;
        Ok(())
    }
}

/// Returns `range` widened to multiples of `min_region_sz`. Fails with `EINVAL` if it is empty or
/// exceeds 64 bits.
fn widen(range: &AddrRange, min_region_sz: MinRegionSize) -> Result<AddrRange> {
    let start = min_region_sz.down(range.start);
    let end = min_region_sz.up(range.end).ok_or(EINVAL)?;
    if start < end {
        Ok(AddrRange { start, end })
    } else {
        Err(EINVAL)
    }
}

/// Fails with `EINVAL` if `ranges` are empty, overlap or are not sorted.
pub(crate) fn check_ranges(ranges: &[AddrRange], min_region_sz: MinRegionSize) -> Result {
    let mut covered = 0;
    for range in ranges {
        let range = widen(range, min_region_sz)?;
        if range.start < covered {
            return Err(EINVAL);
        }
        covered = range.end;
    }
    Ok(())
}

/// Returns `ranges` widened to multiples of `min_region_sz`, with adjacent ranges joined. Fails
/// like [`check_ranges`], and with `ENOMEM`.
pub(crate) fn joined(
    ranges: &[AddrRange],
    min_region_sz: MinRegionSize,
) -> Result<KVec<AddrRange>> {
    check_ranges(ranges, min_region_sz)?;
    let mut joined: KVec<AddrRange> = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
    for range in ranges {
        let range = widen(range, min_region_sz)?;
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push_within_capacity(range)?,
        }
    }
    Ok(joined)
}

/// Calls `emit` with the regions that cover `ranges`, in ascending order. Regions of `old` are kept
/// where possible. The ranges must have passed [`check_ranges`].
fn fit(
    old: &[Region],
    ranges: &[AddrRange],
    min_region_sz: MinRegionSize,
    mut emit: impl FnMut(Region),
) {
    let mut old = old.iter().copied().peekable();
    for range in ranges.iter().flat_map(|range| widen(range, min_region_sz)) {
        while old.next_if(|region| region.end() <= range.start).is_some() {}

        let mut last: Option<Region> = None;
        while let Some(mut region) = old.next_if(|region| region.start() < range.end) {
            match last {
                None => region.resize(range.start, region.end()),
                Some(left) => {
                    emit(left);
                    if let Some(gap) = Region::new(left.end(), region.start()) {
                        emit(gap);
                    }
                }
            }
            last = Some(region);
        }

        match last {
            None => {
                if let Some(region) = Region::new(range.start, range.end) {
                    emit(region);
                }
            }
            Some(mut region) => {
                region.resize(region.start(), range.end);
                emit(region);
            }
        }
    }
}

#[kunit_tests(damon_rs_regions_ranges)]
mod tests {
    use super::{
        super::tests::{
            are_at,
            places, //
        },
        *, //
    };

    fn set(regions: &mut Regions, ranges: &[(u64, u64)], min_region_sz: u64) -> Result {
        let mut list = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
        for &(start, end) in ranges {
            list.push(AddrRange { start, end }, GFP_KERNEL)?;
        }
        regions.set_ranges(&list, MinRegionSize::try_from(min_region_sz)?)
    }

    fn becomes(
        before: &[(u64, u64)],
        ranges: &[(u64, u64)],
        min_region_sz: u64,
        after: &[(u64, u64)],
    ) -> Result<bool> {
        let mut regions = places(before)?;
        set(&mut regions, ranges, min_region_sz)?;
        Ok(are_at(&regions, after))
    }

    #[test]
    fn covers_new_ranges() -> Result {
        // The first regions of a target.
        assert!(becomes(&[], &[(5, 15), (15, 25)], 1, &[(5, 15), (15, 25)])?);
        // Regions in no range are removed.
        assert!(becomes(&[(4, 16), (24, 32)], &[(18, 23)], 1, &[(18, 23)])?);
        // Gaps are filled.
        assert!(becomes(
            &[(4, 16), (24, 32)],
            &[(8, 28)],
            1,
            &[(8, 16), (16, 24), (24, 28)]
        )?);
        // A range can be appended.
        assert!(becomes(
            &[(0, 4), (4, 17)],
            &[(0, 15), (25, 40)],
            1,
            &[(0, 4), (4, 15), (25, 40)]
        )?);
        // A range can be inserted.
        assert!(becomes(
            &[(0, 4), (42, 52)],
            &[(0, 15), (25, 40), (44, 50)],
            1,
            &[(0, 15), (25, 40), (44, 50)]
        )?);
        Ok(())
    }

    #[test]
    fn a_region_in_two_ranges_stays_in_the_first() -> Result {
        assert!(becomes(
            &[(0, 100)],
            &[(0, 10), (20, 30)],
            1,
            &[(0, 10), (20, 30)]
        )?);
        assert!(becomes(
            &[(0, 100), (100, 200)],
            &[(0, 10), (20, 150)],
            1,
            &[(0, 10), (20, 150)]
        )?);
        Ok(())
    }

    #[test]
    fn ranges_are_widened_to_the_min_region_size() -> Result {
        assert!(becomes(&[], &[(5, 9), (17, 18)], 8, &[(0, 16), (16, 24)])?);
        Ok(())
    }

    #[test]
    fn refuses_invalid_ranges() -> Result {
        let mut regions = places(&[(0, 8)])?;
        assert_eq!(set(&mut regions, &[(8, 8)], 8), Err(EINVAL));
        assert_eq!(set(&mut regions, &[(16, 8)], 8), Err(EINVAL));
        assert_eq!(set(&mut regions, &[(0, 9), (12, 20)], 8), Err(EINVAL));
        assert_eq!(set(&mut regions, &[(8, 16), (0, 8)], 8), Err(EINVAL));
        assert_eq!(set(&mut regions, &[(0, u64::MAX)], 8), Err(EINVAL));
        assert!(are_at(&regions, &[(0, 8)]));
        Ok(())
    }

    #[test]
    fn joins_ranges_that_touch() -> Result {
        let list = [(0, 4), (4, 6), (7, 8), (16, 20)].map(|(start, end)| AddrRange { start, end });
        let is = |min_region_sz, expected: &[(u64, u64)]| -> Result<bool> {
            let joined = joined(&list, MinRegionSize::try_from(min_region_sz)?)?;
            Ok(joined
                .iter()
                .map(|range| (range.start, range.end))
                .eq(expected.iter().copied()))
        };
        assert!(is(1, &[(0, 6), (7, 8), (16, 20)])?);
        // After widening, more of them touch.
        assert!(is(2, &[(0, 8), (16, 20)])?);
        Ok(())
    }

    #[test]
    fn follows_the_mappings_of_a_process() -> Result {
        let before = [
            (10, 20),
            (20, 30),
            (50, 55),
            (55, 57),
            (57, 59),
            (70, 80),
            (80, 90),
            (90, 100),
        ];
        let becomes = |ranges, after| becomes(&before, ranges, 1, after);
        // Boundaries have moved.
        assert!(becomes(
            &[(5, 27), (45, 55), (73, 104)],
            &[(5, 20), (20, 27), (45, 55), (73, 80), (80, 90), (90, 104)],
        )?);
        // Only a part of the middle range remains.
        assert!(becomes(
            &[(5, 27), (56, 57), (65, 104)],
            &[(5, 20), (20, 27), (56, 57), (65, 80), (80, 90), (90, 104)],
        )?);
        // The middle range has moved.
        assert!(becomes(
            &[(5, 27), (61, 63), (65, 104)],
            &[(5, 20), (20, 27), (61, 63), (65, 80), (80, 90), (90, 104)],
        )?);
        // Most regions are replaced.
        assert!(becomes(
            &[(5, 7), (30, 32), (65, 68)],
            &[(5, 7), (30, 32), (65, 68)],
        )?);
        Ok(())
    }
}
