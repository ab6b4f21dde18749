// SPDX-License-Identifier: GPL-2.0

//! The regions of a target.

mod list;
pub(super) mod merge;
mod ranges;
pub(super) mod rate;
pub(super) mod region;
pub(super) mod split;

pub(crate) use ranges::{
    check_ranges,
    joined, //
};

use super::{
    attrs::MAX_REGIONS,
    num::MinRegionSize, //
};
use kernel::prelude::*;
use list::List;
use region::{
    AddrRange,
    Region,
    MAX_PROBES, //
};

/// A rule that cuts a region into pieces, from its right end.
pub(crate) trait Cut: Clone {
    /// Starts with another region.
    fn begin(&mut self) {}

    /// Returns the size of the left part when the next piece is cut off the right end of a region
    /// of `size`. It is less than `size` and not zero. Returns `None` if the region is not to be
    /// cut further.
    fn next(&mut self, size: u64) -> Option<u64>;
}

/// The regions of a target.
///
/// They are in one array. Its capacity is reserved when the limits on the number of regions are
/// set, so sampling and merging never allocate memory, and neither does splitting within that
/// capacity.
///
/// # Invariants
///
/// - Regions are sorted by address and do not overlap. There may be a gap between adjacent ones.
/// - `size` is the number of addresses in all regions, and no region is larger than `largest`.
#[derive(Default)]
pub struct Regions {
    list: List,
    // Both are read at each aggregation and rarely change.
    size: u64,
    largest: u64,
    /// A region may have no sample, because it was added or changed after samples were prepared.
    changed: bool,
}

impl Regions {
    /// Creates an empty list with capacity for `capacity` regions. Fails with `ENOMEM`.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self {
            list: List::with_capacity(capacity)?,
            size: 0,
            largest: 0,
            changed: true,
        })
    }

    /// Copies the regions into a list with capacity for at least `capacity` regions. Fails with
    /// `ENOMEM`.
    pub(crate) fn try_clone(&self, capacity: usize) -> Result<Self> {
        let mut copy = Self::with_capacity(capacity.max(self.len()))?;
        for region in self.as_slice() {
            copy.push(*region)?;
        }
        Ok(copy)
    }

    /// Returns the number of regions.
    #[inline]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there is no region.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the regions in ascending order.
    #[inline]
    pub fn as_slice(&self) -> &[Region] {
        &self.list
    }

    /// Returns the regions in ascending order.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Region] {
        &mut self.list
    }

    /// Returns the range from the first address of all regions to the last one. `None` if there is
    /// no region.
    pub(crate) fn range(&self) -> Option<AddrRange> {
        let (first, last) = (self.list.first()?, self.list.last()?);
        Some(AddrRange {
            start: first.start(),
            end: last.end(),
        })
    }

    /// Drops all prepared samples.
    pub(crate) fn forget_samples(&mut self) {
        for region in self.as_mut_slice() {
            region.forget_sample();
        }
        self.changed = true;
    }

    /// Returns whether there may be regions without a sample.
    pub(crate) fn need_samples(&self) -> bool {
        self.changed
    }

    /// Notes that a pass has consumed all samples, and whether it has prepared new ones.
    pub(crate) fn passed(&mut self, prepared: bool) {
        self.changed = !prepared;
    }

    /// Resets the hits of the probes that are set in `which`.
    pub(crate) fn forget_hits(&mut self, which: &[bool; MAX_PROBES]) {
        for region in self.as_mut_slice() {
            region.forget_hits(which);
        }
    }

    /// Returns the number of addresses in all regions. As the regions of a target do not overlap,
    /// it fits in 64 bits.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns an upper bound of the sizes of the regions.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// Notes that all regions were cut to at most `limit`.
    pub(crate) fn note_largest(&mut self, limit: u64) {
        self.largest = limit;
    }

    /// Appends a region within the capacity.
    fn push(&mut self, region: Region) -> Result {
        self.list.push(region)?;
        self.add(&region);
        self.changed = true;
        Ok(())
    }

    /// Adds a region to the sizes.
    fn add(&mut self, region: &Region) {
        self.size = self.size.saturating_add(region.size());
        self.largest = self.largest.max(region.size());
    }

    /// Ensures capacity for `extra` more regions. Fails with `ENOMEM`.
    fn reserve(&mut self, extra: usize) -> Result {
        let needed = self.len().saturating_add(extra);
        if needed > self.list.capacity() {
            // Grows by an eighth only, unlike [`crate::panic_free::reserve`]: copying costs less
            // than memory that is never used. A larger list may also be another kind of array.
            let grown = self
                .list
                .capacity()
                .saturating_add(self.list.capacity() / 8);
            *self = self.try_clone(needed.max(grown))?;
        }
        Ok(())
    }

    /// Splits the region at index `at` in two; the left part gets `size`. Returns `false` and
    /// changes nothing if a part would be empty or memory allocation fails. Corresponds to
    /// `damon_split_region_at()`.
    pub(crate) fn split_at(&mut self, at: usize, size: u64) -> bool {
        if self.len() >= MAX_REGIONS || self.reserve(1).is_err() {
            return false;
        }
        let Some(right) = self
            .list
            .get_mut(at)
            .and_then(|region| region.split_off(size))
        else {
            return false;
        };
        // INVARIANT: The sum of the sizes has not changed, and no region has grown.
        self.changed = true;
        // The capacity was reserved above.
        let behind = at.saturating_add(1);
        self.list.insert(behind, right).is_ok()
    }

    /// Calls `visit` for each region, and then `absorb` for each pair of adjacent regions. If
    /// `absorb` returns `true`, it has merged the right region into the left one, and the right one
    /// is removed. A merged region must not be larger than `limit`.
    ///
    /// Usually nothing is merged. In that case no region moves. Hence regions are removed in a
    /// second pass, which only runs if needed.
    pub(crate) fn coalesce(
        &mut self,
        limit: u64,
        mut visit: impl FnMut(&mut Region),
        mut absorb: impl FnMut(&mut Region, &Region) -> bool,
    ) {
        let mut regions = self.list.iter_mut();
        let Some(mut left) = regions.next() else {
            return;
        };
        visit(left);
        let mut absorbed = false;
        for right in regions {
            visit(right);
            if absorb(left, right) {
                right.vanish();
                absorbed = true;
            } else {
                left = right;
            }
        }
        if absorbed {
            self.remove_vanished();
            // INVARIANT: The sum of the sizes has not changed, and a merged region is not larger
            // than `limit`.
            self.largest = self.largest.max(limit);
            self.changed = true;
        }
    }

    fn remove_vanished(&mut self) {
        let list = &mut *self.list;
        // Regions before the first one to be removed do not move.
        let in_place = list.iter().take_while(|region| !region.has_vanished());
        let first = in_place.fold(0, |number: usize, _| number.saturating_add(1));
        let mut kept = first;
        for from in first..list.len() {
            let Some(region) = list.get(from).copied() else {
                break;
            };
            if !region.has_vanished() {
                if let Some(place) = list.get_mut(kept) {
                    *place = region;
                }
                kept = kept.saturating_add(1);
            }
        }
        self.list.truncate(kept);
    }

    /// Cuts each region into pieces.
    ///
    /// Cuts all regions, or none if memory allocation fails. `cut` is evaluated twice, first on a
    /// copy to count the pieces. The regions and pieces then move to their new places starting from
    /// the last one, so that each moves once.
    pub(crate) fn cut(&mut self, cut: &mut impl Cut) -> Result {
        let mut pieces: usize = 0;
        let mut trial = cut.clone();
        for region in self.as_slice().iter().rev() {
            let mut rest = region.size();
            trial.begin();
            while let Some(size) = trial.next(rest) {
                pieces = pieces.saturating_add(1);
                rest = size;
            }
        }

        if pieces == 0 {
            // The copy is kept, because its random numbers were consumed. Without that, the same
            // numbers would be drawn again at the next call.
            *cut = trial;
            return Ok(());
        }
        let before = self.len();
        self.reserve(pieces)?;
        let Some(filler) = self.as_slice().last().copied() else {
            return Ok(());
        };
        for _ in 0..pieces {
            self.list.push(filler)?;
        }

        let list = &mut *self.list;
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
        // INVARIANT: The sum of the sizes has not changed, and no region has grown.
        self.changed = true;
        Ok(())
    }

    /// Aligns all boundaries to `min_region_sz`.
    ///
    /// This is needed when `min_region_sz` grows. Regions grow to cover everything that they
    /// covered in part. A region is removed if the regions before it then cover it entirely.
    pub(crate) fn align(&mut self, min_region_sz: MinRegionSize) {
        let list = &mut *self.list;
        let (mut kept, mut covered): (usize, u64) = (0, 0);
        for from in 0..list.len() {
            let Some(mut region) = list.get(from).copied() else {
                break;
            };
            let start = min_region_sz.down(region.start()).max(covered);
            let end = min_region_sz
                .up(region.end())
                .unwrap_or(min_region_sz.down(u64::MAX));
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
        self.measure();
        self.changed = true;
    }

    /// Computes the sizes of all regions again.
    fn measure(&mut self) {
        (self.size, self.largest) = (0, 0);
        for at in 0..self.len() {
            if let Some(region) = self.list.get(at).copied() {
                self.add(&region);
            }
        }
    }
}

/// Cuts the next piece off `rest`.
fn cut_off(cut: &mut impl Cut, rest: &mut Region) -> Option<Region> {
    let size = cut.next(rest.size())?;
    rest.split_off(size)
}

/// Stores `region` before index `*to`, and updates `*to` to its index.
fn put_before(list: &mut [Region], to: &mut usize, region: Region) {
    *to = to.saturating_sub(1);
    if let Some(place) = list.get_mut(*to) {
        *place = region;
    }
}

#[kunit_tests(damon_rs_regions)]
pub(super) mod tests {
    use super::*;

    /// Creates a list with the given regions, for the tests of this layer.
    pub(crate) fn regions(list: &[Region]) -> Result<Regions> {
        let mut regions = Regions::with_capacity(list.len())?;
        for region in list {
            regions.push(*region)?;
        }
        Ok(regions)
    }

    /// Creates regions without history in the given ranges, for the tests of this layer.
    pub(crate) fn places(places: &[(u64, u64)]) -> Result<Regions> {
        let mut regions = Regions::with_capacity(places.len())?;
        for &(start, end) in places {
            regions.push(Region::new(start, end).ok_or(EINVAL)?)?;
        }
        Ok(regions)
    }

    /// Returns whether the regions are exactly in these ranges, for the tests of this layer.
    pub(crate) fn are_at(regions: &Regions, places: &[(u64, u64)]) -> bool {
        regions
            .as_slice()
            .iter()
            .map(|region| (region.start(), region.end()))
            .eq(places.iter().copied())
    }

    #[test]
    fn aligns_to_a_larger_min_region_size() -> Result {
        let mut regions = places(&[(0, 4), (4, 12), (14, 15), (40, 44)])?;
        regions.align(MinRegionSize::try_from(8)?);
        assert!(are_at(&regions, &[(0, 8), (8, 16), (40, 48)]));
        Ok(())
    }

    /// Cuts off single addresses at the right end.
    #[derive(Clone)]
    struct Crumble;

    impl Cut for Crumble {
        fn next(&mut self, size: u64) -> Option<u64> {
            Some(size.saturating_sub(1)).filter(|size| *size != 0)
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
        let mut visited = 0;
        regions.coalesce(
            3,
            |_| visited += 1,
            |left, right| {
                let touch = left.joined_size(right).is_some();
                if touch {
                    left.extend(right);
                }
                touch
            },
        );
        assert_eq!(visited, 6);
        assert!(are_at(&regions, &[(0, 3), (5, 8)]));
        assert_eq!((regions.size(), regions.largest()), (6, 3));
        let mut none = places(&[])?;
        none.coalesce(0, |_| (), |_, _| true);
        assert!(none.is_empty());
        Ok(())
    }
}
