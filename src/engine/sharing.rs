// SPDX-License-Identifier: GPL-2.0

//! Targets with memory in common.
//!
//! A sample that is prepared in one target must not hide an access from the check of another one
//! in the same tick. Hence, of targets that have memory in common, all are checked before any is
//! prepared.
//!
//! For other targets, one pass checks and prepares target by target. This needs half of the
//! look-ups.

use super::regions::region::AddrRange;
use crate::glue::sort::sort;
use kernel::prelude::*;

/// The place of a target in a memory. Places are ordered by memory, and then in the order of the
/// targets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// See [`Operations::memory`](super::operations::Operations::memory).
    memory: usize,
    /// The index of the target.
    target: usize,
    start: u64,
    end: u64,
}

/// The places of the targets of a context.
///
/// The list is only used for a moment. It is kept because nothing can be allocated at the end of a
/// commit.
pub(super) struct Places(KVec<Place>);

impl Places {
    /// Creates an empty list with capacity for `nr_targets` targets. Fails with `ENOMEM`. May
    /// sleep.
    pub(super) fn with_capacity(nr_targets: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(nr_targets, GFP_KERNEL)?))
    }

    /// Empties the list.
    pub(super) fn clear(&mut self) {
        self.0.truncate(0);
    }

    /// Adds the target with the index `target`, whose regions are in `range`. Does nothing if the
    /// capacity is for fewer targets.
    pub(super) fn add(&mut self, target: usize, memory: usize, range: AddrRange) {
        let AddrRange { start, end } = range;
        let _ = self.0.push_within_capacity(Place {
            memory,
            target,
            start,
            end,
        });
    }

    /// Calls `found` with the index of each target that has memory in common with another one. May
    /// sleep.
    ///
    /// Targets of one memory that follow each other, with ranges in ascending order, have nothing
    /// in common: a pass visits them like the regions of one target.
    pub(super) fn for_each_shared(&mut self, mut found: impl FnMut(usize)) {
        sort(&mut self.0);
        let mut rest = self.0.as_slice();
        while let Some(first) = rest.first() {
            let group = || {
                let of_one_memory = |place: &&Place| place.memory == first.memory;
                rest.iter().take_while(of_one_memory)
            };
            let follows = |left: &&Place, right: &&Place| {
                left.target.saturating_add(1) == right.target && left.end <= right.start
            };
            if !group().is_sorted_by(follows) {
                group().for_each(|place| found(place.target));
            }
            let behind = group().fold(0, |n: usize, _| n.saturating_add(1));
            rest = rest.get(behind..).unwrap_or(&[]);
        }
    }
}

#[kunit_tests(damon_rs_sharing)]
mod tests {
    use super::*;

    /// Returns which of the targets, each with a memory and a range, share memory.
    fn shared<const N: usize>(targets: [(usize, u64, u64); N]) -> Result<[bool; N]> {
        let mut places = Places::with_capacity(N)?;
        for (index, (memory, start, end)) in targets.into_iter().enumerate() {
            places.add(index, memory, AddrRange { start, end });
        }
        let mut shared = [false; N];
        places.for_each_shared(|index| {
            if let Some(its) = shared.get_mut(index) {
                *its = true;
            }
        });
        Ok(shared)
    }

    #[test]
    fn memories_of_their_own() -> Result {
        assert_eq!(shared([])?, []);
        assert_eq!(shared([(7, 0, 9)])?, [false]);
        assert_eq!(shared([(7, 0, 9), (3, 0, 9), (5, 0, 9)])?, [false; 3]);
        Ok(())
    }

    #[test]
    fn one_memory_twice() -> Result {
        let targets = [(7, 0, 9), (3, 0, 9), (7, 5, 20), (4, 0, 9)];
        assert_eq!(shared(targets)?, [true, false, true, false]);
        assert_eq!(shared([(7, 0, 9), (7, 0, 9)])?, [true; 2]);
        Ok(())
    }

    #[test]
    fn ascending_ranges_of_one_memory() -> Result {
        assert_eq!(shared([(7, 0, 9), (7, 9, 20), (7, 30, 40)])?, [false; 3]);
        assert_eq!(shared([(7, 9, 20), (7, 0, 9)])?, [true; 2]);
        // Each overlaps with another one, or a target that follows does.
        assert_eq!(shared([(7, 0, 9), (7, 20, 30), (7, 5, 10)])?, [true; 3]);
        // Another target comes between the two.
        let targets = [(7, 0, 9), (3, 0, 9), (7, 9, 20)];
        assert_eq!(shared(targets)?, [true, false, true]);
        Ok(())
    }
}
