// SPDX-License-Identifier: GPL-2.0

//! The regions of a target.

use super::{
    num::Grain,
    region::{
        AddrRange,
        Region, //
    },
};
use kernel::prelude::*;

/// Number of regions that a context is kept within, whatever limits the user has set.
///
/// A limit may be any 64-bit value, but who asks for at least 2^63 regions shall get a fine-grained
/// monitor, not a machine without memory: this many regions are 48 MiB.
pub const MAX_REGIONS: usize = 1 << 20;

/// How a region is cut into pieces, from its right end.
pub(crate) trait Cut: Clone {
    /// Goes on to another region.
    fn begin(&mut self) {}

    /// Size of what stays when the next piece is taken off the right end of `rest`; `None` if
    /// `rest` is to be left as it is.
    fn next(&mut self, rest: &Region) -> Option<u64>;
}

/// The regions of a target.
///
/// They lie in one array whose capacity is reserved when the limits are set: sampling and merging
/// never allocate, and neither does splitting within that capacity.
///
/// # Invariants
///
/// Regions are sorted by address and do not overlap. Between two neighbours there may be a gap.
#[derive(Default)]
pub struct Regions {
    list: KVVec<Region>,
}

impl Regions {
    /// No regions, with room for `capacity` of them.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self {
            list: KVVec::with_capacity(capacity, GFP_KERNEL)?,
        })
    }

    /// The same regions, with room for at least `capacity` of them.
    pub(crate) fn try_clone(&self, capacity: usize) -> Result<Self> {
        let mut copy = Self::with_capacity(capacity.max(self.len()))?;
        for region in self.as_slice() {
            copy.push(*region)?;
        }
        Ok(copy)
    }

    /// Number of regions.
    #[inline]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no region.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The regions in ascending order.
    #[inline]
    pub fn as_slice(&self) -> &[Region] {
        self.list.as_slice()
    }

    /// The regions in ascending order.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Region] {
        self.list.as_mut_slice()
    }

    /// Forgets all prepared samples.
    pub(crate) fn forget_samples(&mut self) {
        for region in self.as_mut_slice() {
            region.forget_sample();
        }
    }

    /// Number of addresses in all regions. The regions of one target have 64 bits at most.
    pub(crate) fn size(&self) -> u64 {
        self.as_slice()
            .iter()
            .fold(0, |sum: u64, region| sum.saturating_add(region.size()))
    }

    /// Appends a region where room was made for it.
    fn push(&mut self, region: Region) -> Result {
        Ok(self.list.push_within_capacity(region)?)
    }

    /// Makes room for `extra` more regions.
    fn reserve(&mut self, extra: usize) -> Result {
        let needed = self.len().saturating_add(extra);
        if needed > self.list.capacity() {
            let doubled = self.list.capacity().saturating_mul(2);
            *self = self.try_clone(needed.max(doubled))?;
        }
        Ok(())
    }

    /// Replaces neighbours by one region where `absorb` says that the left one took in the right
    /// one.
    pub(crate) fn coalesce(&mut self, mut absorb: impl FnMut(&mut Region, &Region) -> bool) {
        let list = self.list.as_mut_slice();
        let mut kept: usize = 0;
        for from in 1..list.len() {
            let Some(region) = list.get(from).copied() else {
                break;
            };
            let absorbed = list.get_mut(kept).is_some_and(|left| absorb(left, &region));
            if !absorbed {
                kept = kept.saturating_add(1);
                if let Some(place) = list.get_mut(kept) {
                    *place = region;
                }
            }
        }
        // Keeps an empty list as it is.
        self.list.truncate(kept.saturating_add(1));
    }

    /// Cuts each region into pieces.
    ///
    /// Everything or, when there is no memory for it, nothing is cut. To know how much is needed,
    /// `cut` is asked twice, a copy of it first. Regions and their pieces then move to their new
    /// places from the back, so that each moves once.
    pub(crate) fn cut(&mut self, cut: &mut impl Cut) -> Result {
        let mut pieces: usize = 0;
        let mut trial = cut.clone();
        for region in self.as_slice().iter().rev() {
            let mut rest = *region;
            trial.begin();
            while cut_off(&mut trial, &mut rest).is_some() {
                pieces = pieces.saturating_add(1);
            }
        }

        let before = self.len();
        self.reserve(pieces)?;
        let Some(filler) = self.as_slice().last().copied() else {
            return Ok(());
        };
        for _ in 0..pieces {
            self.push(filler)?;
        }

        let list = self.list.as_mut_slice();
        let mut to = list.len();
        for from in (0..before).rev() {
            let Some(mut rest) = list.get(from).copied() else {
                break;
            };
            cut.begin();
            while let Some(piece) = cut_off(cut, &mut rest) {
                put_before(list, &mut to, piece);
            }
            put_before(list, &mut to, rest);
        }
        Ok(())
    }

    /// Moves all boundaries onto multiples of `grain`.
    ///
    /// Needed when the grain becomes coarser under regions that were made with a finer one.
    /// Regions grow outwards over what they covered in part; one whose place a neighbour has
    /// taken by that goes away.
    pub(crate) fn align(&mut self, grain: Grain) {
        let list = self.list.as_mut_slice();
        let (mut kept, mut covered): (usize, u64) = (0, 0);
        for from in 0..list.len() {
            let Some(mut region) = list.get(from).copied() else {
                break;
            };
            let start = grain.down(region.start()).max(covered);
            let end = grain.up(region.end()).unwrap_or(grain.down(u64::MAX));
            if start >= end {
                continue;
            }
            region.resize(start, end);
            covered = end;
            if let Some(place) = list.get_mut(kept) {
                *place = region;
                kept = kept.saturating_add(1);
            }
        }
        self.list.truncate(kept);
    }

    /// Makes the regions cover `ranges`, which are widened to multiples of `grain`, and nothing
    /// else.
    ///
    /// Regions that are in none of the ranges go away, regions at the ends of a range are resized,
    /// gaps become new regions:
    ///
    /// ```text
    /// before: [4,    16)        [24,    32)
    /// range:     [8,                28)
    /// after:     [8, 16)[16, 24)[24, 28)
    /// ```
    ///
    /// A region in two ranges stays in the first; the second starts with a new one. `EINVAL` for
    /// ranges that are empty, overlap or are not sorted, `ENOMEM` without memory; either way the
    /// regions are as they were.
    pub(crate) fn set_ranges(&mut self, ranges: &[AddrRange], grain: Grain) -> Result {
        check_ranges(ranges, grain)?;

        let mut len: usize = 0;
        let mut changed = false;
        let mut old = self.as_slice().iter();
        fit(self.as_slice(), ranges, grain, |region| {
            len = len.saturating_add(1);
            changed |= old.next() != Some(&region);
        });
        // The usual outcome of a periodic update: nothing to do, nothing to allocate.
        if !changed && old.next().is_none() {
            return Ok(());
        }

        let mut fitted = Self::with_capacity(len.max(self.list.capacity()))?;
        let mut result = Ok(());
        fit(self.as_slice(), ranges, grain, |region| {
            if result.is_ok() {
                result = fitted.push(region);
            }
        });
        result?;
        *self = fitted;
        Ok(())
    }
}

/// Cuts the next piece off `rest`.
fn cut_off(cut: &mut impl Cut, rest: &mut Region) -> Option<Region> {
    let size = cut.next(rest)?;
    rest.split_off(size)
}

/// Stores `region` in front of `*to` and moves that there.
fn put_before(list: &mut [Region], to: &mut usize, region: Region) {
    *to = to.saturating_sub(1);
    if let Some(place) = list.get_mut(*to) {
        *place = region;
    }
}

/// `range` with its ends on multiples of `grain`; `EINVAL` if there is nothing in it.
fn widen(range: &AddrRange, grain: Grain) -> Result<AddrRange> {
    let start = grain.down(range.start);
    let end = grain.up(range.end).ok_or(EINVAL)?;
    if start < end {
        Ok(AddrRange { start, end })
    } else {
        Err(EINVAL)
    }
}

/// Checks that `ranges` can be what a target covers; `EINVAL` if not.
pub(crate) fn check_ranges(ranges: &[AddrRange], grain: Grain) -> Result {
    let mut covered = 0;
    for range in ranges {
        let range = widen(range, grain)?;
        if range.start < covered {
            return Err(EINVAL);
        }
        covered = range.end;
    }
    Ok(())
}

/// Hands the regions that cover `ranges` to `emit` in ascending order, those of `old` where they
/// can stay. The ranges have passed [`check_ranges`].
fn fit(old: &[Region], ranges: &[AddrRange], grain: Grain, mut emit: impl FnMut(Region)) {
    let mut old = old.iter().copied().peekable();
    for range in ranges.iter().flat_map(|range| widen(range, grain)) {
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

#[kunit_tests(damon_rs_regions)]
pub(super) mod tests {
    use super::*;

    /// The regions of a list, for the tests of this layer.
    pub(crate) fn regions(list: &[Region]) -> Result<Regions> {
        let mut regions = Regions::with_capacity(list.len())?;
        for region in list {
            regions.push(*region)?;
        }
        Ok(regions)
    }

    /// Regions without history at the given places, for the tests of this layer.
    pub(crate) fn places(places: &[(u64, u64)]) -> Result<Regions> {
        let mut regions = Regions::with_capacity(places.len())?;
        for &(start, end) in places {
            regions.push(Region::new(start, end).ok_or(EINVAL)?)?;
        }
        Ok(regions)
    }

    /// Whether the regions are at exactly these places, for the tests of this layer.
    pub(crate) fn are_at(regions: &Regions, places: &[(u64, u64)]) -> bool {
        regions
            .as_slice()
            .iter()
            .map(|region| (region.start(), region.end()))
            .eq(places.iter().copied())
    }

    fn set(regions: &mut Regions, ranges: &[(u64, u64)], grain: u64) -> Result {
        let mut list = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
        for &(start, end) in ranges {
            list.push(AddrRange { start, end }, GFP_KERNEL)?;
        }
        regions.set_ranges(&list, Grain::try_from(grain)?)
    }

    fn becomes(
        before: &[(u64, u64)],
        ranges: &[(u64, u64)],
        grain: u64,
        after: &[(u64, u64)],
    ) -> Result<bool> {
        let mut regions = places(before)?;
        set(&mut regions, ranges, grain)?;
        Ok(are_at(&regions, after))
    }

    #[test]
    fn covers_new_ranges() -> Result {
        // The first regions of a target.
        assert!(becomes(&[], &[(5, 15), (15, 25)], 1, &[(5, 15), (15, 25)])?);
        // What is in no range goes away.
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
    fn ranges_are_widened_to_the_grain() -> Result {
        assert!(becomes(&[], &[(5, 9), (17, 18)], 8, &[(0, 16), (16, 24)])?);
        Ok(())
    }

    #[test]
    fn refuses_ranges_that_cannot_be() -> Result {
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
    fn aligns_to_a_coarser_grain() -> Result {
        let mut regions = places(&[(0, 4), (4, 12), (14, 15), (40, 44)])?;
        regions.align(Grain::try_from(8)?);
        assert!(are_at(&regions, &[(0, 8), (8, 16), (40, 48)]));
        Ok(())
    }

    /// Cuts single addresses off the right end.
    #[derive(Clone)]
    struct Crumble;

    impl Cut for Crumble {
        fn next(&mut self, rest: &Region) -> Option<u64> {
            rest.size().checked_sub(1)
        }
    }

    #[test]
    fn cuts_in_place() -> Result {
        let mut regions = places(&[(0, 3), (5, 6), (6, 8)])?;
        regions.cut(&mut Crumble)?;
        assert!(are_at(
            &regions,
            &[(0, 1), (1, 2), (2, 3), (5, 6), (6, 7), (7, 8)]
        ));
        Ok(())
    }

    #[test]
    fn coalesces_in_place() -> Result {
        let mut regions = places(&[(0, 1), (1, 2), (2, 3), (5, 6), (6, 7), (7, 8)])?;
        regions.coalesce(|left, right| {
            let touch = left.joined_size(right).is_some();
            if touch {
                left.extend(right);
            }
            touch
        });
        assert!(are_at(&regions, &[(0, 3), (5, 8)]));
        let mut none = places(&[])?;
        none.coalesce(|_, _| true);
        assert!(none.is_empty());
        Ok(())
    }
}
