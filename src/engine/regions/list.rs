// SPDX-License-Identifier: GPL-2.0

//! The array that the regions of a target are in.

use super::region::Region;
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::prelude::*;

/// Bytes that are no less than a page, on most machines. It is a matter of thrift alone.
const PAGE: usize = 4096;

/// Regions in a row, with room for a number of them that does not change.
///
/// More than a page is made of single pages. Memory that is contiguous in the machine comes in powers
/// of two of them, which would take up to twice the room: 64 KiB for 1,000 regions instead of 48.
pub(super) enum List {
    /// At most a page.
    Small(KVec<Region>),
    /// Whole pages.
    Large(VVec<Region>),
}

impl List {
    /// No regions, with room for `capacity` of them. `ENOMEM` without memory.
    pub(super) fn with_capacity(capacity: usize) -> Result<Self> {
        let size = capacity.checked_mul(size_of::<Region>()).ok_or(ENOMEM)?;
        Ok(if size <= PAGE {
            Self::Small(KVec::with_capacity(capacity, GFP_KERNEL)?)
        } else {
            Self::Large(VVec::with_capacity(capacity, GFP_KERNEL)?)
        })
    }

    /// Number of regions that there is room for.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Small(list) => list.capacity(),
            Self::Large(list) => list.capacity(),
        }
    }

    /// Appends a region; `EINVAL` if there is no room for it.
    #[inline]
    pub(super) fn push(&mut self, region: Region) -> Result {
        match self {
            Self::Small(list) => list.push_within_capacity(region)?,
            Self::Large(list) => list.push_within_capacity(region)?,
        }
        Ok(())
    }

    /// Puts a region in the place `at`, those from there on behind it; `EINVAL` if there is no such
    /// place, or no room.
    #[inline]
    pub(super) fn insert(&mut self, at: usize, region: Region) -> Result {
        match self {
            Self::Small(list) => list.insert_within_capacity(at, region),
            Self::Large(list) => list.insert_within_capacity(at, region),
        }
        .map_err(|_| EINVAL)
    }

    /// Forgets all but the first `len`, if there are more.
    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Self::Small(list) => list.truncate(len),
            Self::Large(list) => list.truncate(len),
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self::Small(KVec::new())
    }
}

impl Deref for List {
    type Target = [Region];

    #[inline]
    fn deref(&self) -> &[Region] {
        match self {
            Self::Small(list) => list.as_slice(),
            Self::Large(list) => list.as_slice(),
        }
    }
}

impl DerefMut for List {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Region] {
        match self {
            Self::Small(list) => list.as_mut_slice(),
            Self::Large(list) => list.as_mut_slice(),
        }
    }
}

#[kunit_tests(damon_rs_regions_list)]
mod tests {
    use super::*;

    #[test]
    fn is_as_large_as_asked_for() -> Result {
        // Some fit into a page, others do not.
        for capacity in [0, 1, 85, 86, 1000] {
            let mut list = List::with_capacity(capacity)?;
            let pages = capacity > PAGE / size_of::<Region>();
            assert_eq!(matches!(list, List::Large(_)), pages);
            assert!(list.capacity() >= capacity);
            let room = list.capacity();
            for start in (0..).take(room) {
                list.push(Region::new(start, start + 1).ok_or(EINVAL)?)?;
            }
            assert!(list.push(Region::new(7, 8).ok_or(EINVAL)?).is_err());
            assert!(list.iter().map(Region::start).eq((0..).take(room)));
            list.truncate(1);
            assert_eq!(list.len(), capacity.min(1));
            if capacity > 1 {
                list.insert(0, Region::new(7, 8).ok_or(EINVAL)?)?;
                assert!(list.iter().map(Region::start).eq([7, 0]));
            }
            assert!(list.insert(3, Region::new(8, 9).ok_or(EINVAL)?).is_err());
        }
        assert!(List::with_capacity(usize::MAX).is_err());
        Ok(())
    }
}
