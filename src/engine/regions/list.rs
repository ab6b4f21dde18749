// SPDX-License-Identifier: GPL-2.0

//! The array of the regions of a target.

use super::region::Region;
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::prelude::*;

/// Largest size of a physically contiguous array, in bytes. This is the size of a page on most
/// systems; the choice only affects memory usage.
const PAGE: usize = 4096;

/// An array of regions with a fixed capacity.
///
/// An array that is larger than a page is allocated in single pages. Physically contiguous memory
/// comes in powers of two pages, which would take up to twice the memory: 64 KiB instead of 48 KiB
/// for 1,000 regions.
pub(super) enum List {
    /// At most a page, physically contiguous.
    Small(KVec<Region>),
    /// Whole pages, virtually contiguous.
    Large(VVec<Region>),
}

impl List {
    /// Creates an empty array with capacity for `capacity` regions. Fails with `ENOMEM`.
    pub(super) fn with_capacity(capacity: usize) -> Result<Self> {
        let size = capacity.checked_mul(size_of::<Region>()).ok_or(ENOMEM)?;
        Ok(if size <= PAGE {
            Self::Small(KVec::with_capacity(capacity, GFP_KERNEL)?)
        } else {
            Self::Large(VVec::with_capacity(capacity, GFP_KERNEL)?)
        })
    }

    /// Returns the capacity in regions.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Small(list) => list.capacity(),
            Self::Large(list) => list.capacity(),
        }
    }

    /// Appends a region. Fails with `EINVAL` if the array is full.
    #[inline]
    pub(super) fn push(&mut self, region: Region) -> Result {
        match self {
            Self::Small(list) => list.push_within_capacity(region)?,
            Self::Large(list) => list.push_within_capacity(region)?,
        }
        Ok(())
    }

    /// Inserts a region at index `at`. Fails with `EINVAL` if the index is out of bounds or the
    /// array is full.
    #[inline]
    pub(super) fn insert(&mut self, at: usize, region: Region) -> Result {
        match self {
            Self::Small(list) => list.insert_within_capacity(at, region),
            Self::Large(list) => list.insert_within_capacity(at, region),
        }
        .map_err(|_| EINVAL)
    }

    /// Removes all but the first `len` regions.
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
    fn has_at_least_the_requested_capacity() -> Result {
        // Some of these arrays fit in a page, others do not.
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
