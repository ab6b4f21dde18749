// SPDX-License-Identifier: GPL-2.0

//! What is mapped in an address space.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use core::{
    mem::MaybeUninit,
    ops::Range, //
};

use kernel::{
    bindings as c,
    mm::{
        virt::VmaRef,
        MmWithUser,
        MmapReadGuard, //
    }, //
};

use crate::bindings;

/// Lists the mapped areas of an address space, ascending, under its lock for reading.
pub(crate) fn areas(mm: &MmWithUser) -> Areas<'_> {
    let lock = mm.mmap_read_lock();
    let mut iterator = MaybeUninit::uninit();
    // SAFETY: `vma_iter_init` writes the whole iterator. The mm is valid.
    let iterator = unsafe {
        bindings::damon_rs_helper_vma_iter_init(iterator.as_mut_ptr(), mm.as_raw(), 0);
        iterator.assume_init()
    };
    // INVARIANT: The iterator was made for the mm of the lock.
    Areas {
        iterator,
        _lock: lock,
    }
}

/// An iterator over the mapped areas of an address space.
///
/// # Invariants
///
/// `iterator` is at a place in the VMA tree of the mm whose lock `_lock` is.
pub(crate) struct Areas<'mm> {
    iterator: c::vma_iterator,
    _lock: MmapReadGuard<'mm>,
}

impl Iterator for Areas<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: By the type invariants, the tree that the iterator walks is locked against
        // changes.
        let vma = unsafe { bindings::damon_rs_helper_vma_next(&mut self.iterator) };
        if vma.is_null() {
            return None;
        }
        // SAFETY: An area of the tree is valid as long as the lock is held.
        let vma = unsafe { VmaRef::from_raw(vma) };
        Some(vma.start()..vma.end())
    }
}
