// SPDX-License-Identifier: GPL-2.0

//! The regions of a target.

mod list;
pub(super) mod merge_split;
mod ranges;
pub(super) mod rate;
pub(super) mod region;

pub(crate) use ranges::{
    check_ranges,
    joined, //
};

use super::{
    attrs::MAX_REGIONS,
    num::Grain, //
};
use kernel::prelude::*;
use list::List;
use region::{
    Region,
    MAX_PROBES, //
};

/// How a region is cut into pieces, from its right end.
pub(crate) trait Cut: Clone {
    /// Goes on to another region.
    fn begin(&mut self) {}

    /// Size of what stays when the next piece is taken off the right end of a rest of `size`, less
    /// than that and not zero; `None` if the rest is to be left as it is.
    fn next(&mut self, size: u64) -> Option<u64>;
}

/// The regions of a target.
///
/// They lie in one array whose capacity is reserved when the limits are set: sampling and merging
/// never allocate, and neither does splitting within that capacity.
///
/// # Invariants
///
/// - Regions are sorted by address and do not overlap. Between two neighbours there may be a gap.
/// - `size` is the number of addresses in all of them, and none of them is larger than `largest`.
#[derive(Default)]
pub struct Regions {
    list: List,
    // Both are asked for at each aggregation and change seldom.
    size: u64,
    largest: u64,
    /// Whether a region may be without a sample, as it was not there, or not the same, when samples
    /// were prepared.
    changed: bool,
}

impl Regions {
    /// No regions, with room for `capacity` of them.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self {
            list: List::with_capacity(capacity)?,
            size: 0,
            largest: 0,
            changed: true,
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
        &self.list
    }

    /// The regions in ascending order.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Region] {
        &mut self.list
    }

    /// Forgets all prepared samples.
    pub(crate) fn forget_samples(&mut self) {
        for region in self.as_mut_slice() {
            region.forget_sample();
        }
        self.changed = true;
    }

    /// Whether there may be regions without a sample.
    pub(crate) fn need_samples(&self) -> bool {
        self.changed
    }

    /// Notes that a pass has used up all samples, and whether it has prepared new ones.
    pub(crate) fn passed(&mut self, prepared: bool) {
        self.changed = !prepared;
    }

    /// Forgets the hits of the probes that are named by `which`.
    pub(crate) fn forget_hits(&mut self, which: &[bool; MAX_PROBES]) {
        for region in self.as_mut_slice() {
            region.forget_hits(which);
        }
    }

    /// Number of addresses in all regions. The regions of one target have 64 bits at most.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What no region is larger than.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// Notes that all regions were cut down to `limit`.
    pub(crate) fn note_largest(&mut self, limit: u64) {
        self.largest = limit;
    }

    /// Appends a region where room was made for it.
    fn push(&mut self, region: Region) -> Result {
        self.list.push(region)?;
        self.add(&region);
        self.changed = true;
        Ok(())
    }

    /// Counts the size of a region.
    fn add(&mut self, region: &Region) {
        self.size = self.size.saturating_add(region.size());
        self.largest = self.largest.max(region.size());
    }

    /// Makes room for `extra` more regions.
    fn reserve(&mut self, extra: usize) -> Result {
        let needed = self.len().saturating_add(extra);
        if needed > self.list.capacity() {
            // Not much more: what is moved on the way costs less than what is never used.
            let grown = self
                .list
                .capacity()
                .saturating_add(self.list.capacity() / 8);
            *self = self.try_clone(needed.max(grown))?;
        }
        Ok(())
    }

    /// Splits the region at index `at` in two, the first one of `size`. `false`, and nothing has
    /// happened, if one of them would be empty, and without memory.
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
        // INVARIANT: The sum of the sizes is what it was, and no region has grown.
        self.changed = true;
        // There is room for it.
        let behind = at.saturating_add(1);
        self.list.insert(behind, right).is_ok()
    }

    /// Replaces neighbours by one region where `absorb` says that the left one took in the right
    /// one, which leaves none larger than `limit`. `visit` has seen both of them before.
    ///
    /// Most of the time nothing is absorbed. Then nothing moves, so what moves does in a pass of its
    /// own.
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
            // INVARIANT: Regions that touch become one of the size of both.
            self.largest = self.largest.max(limit);
            self.changed = true;
        }
    }

    fn remove_vanished(&mut self) {
        let list = &mut *self.list;
        // Up to the first that has vanished, all are in their places.
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
    /// Everything or, when there is no memory for it, nothing is cut. To know how much is needed,
    /// `cut` is asked twice, a copy of it first. Regions and their pieces then move to their new
    /// places from the back, so that each moves once.
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
            // What it has drawn is drawn: asked again, it may answer otherwise.
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
        // INVARIANT: The sum of the sizes is what it was, and no region has grown.
        self.changed = true;
        Ok(())
    }

    /// Moves all boundaries onto multiples of `grain`.
    ///
    /// Needed when the grain becomes coarser under regions that were made with a finer one.
    /// Regions grow outwards over what they covered in part; one whose place a neighbour has
    /// taken by that goes away.
    pub(crate) fn align(&mut self, grain: Grain) {
        let list = &mut *self.list;
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
        self.measure();
        self.changed = true;
    }

    /// Counts the sizes of all regions anew.
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

/// Stores `region` in front of `*to` and moves that there.
fn put_before(list: &mut [Region], to: &mut usize, region: Region) {
    *to = to.saturating_sub(1);
    if let Some(place) = list.get_mut(*to) {
        *place = region;
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
