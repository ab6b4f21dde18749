// SPDX-License-Identifier: GPL-2.0

//! Iteration over the VMAs of an address space.
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

/// Returns an iterator over the address ranges of the VMAs of an address space, in ascending order.
/// The iterator holds the mmap lock for reading. Sleeps to acquire it.
pub(crate) fn vmas(mm: &MmWithUser) -> Vmas<'_> {
    let lock = mm.mmap_read_lock();
    let mut iterator = MaybeUninit::uninit();
    // SAFETY: The mm is valid because `mm` is a reference to it. `vma_iter_init()` initializes the
    // whole iterator.
    let iterator = unsafe {
        bindings::damon_rs_helper_vma_iter_init(iterator.as_mut_ptr(), mm.as_raw(), 0);
        iterator.assume_init()
    };
    // INVARIANT: The iterator was initialized for the mm that `lock` locks.
    Vmas {
        iterator,
        _lock: lock,
    }
}

/// An iterator over the address ranges of the VMAs of an address space.
///
/// # Invariants
///
/// `iterator` iterates over the VMA tree of an mm, and `_lock` holds the mmap lock of that mm for
/// reading.
pub(crate) struct Vmas<'mm> {
    iterator: c::vma_iterator,
    _lock: MmapReadGuard<'mm>,
}

impl Iterator for Vmas<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: By the type invariants `iterator` was initialized, and the mmap lock of its mm is
        // held.
        let vma = unsafe { bindings::damon_rs_helper_vma_next(&mut self.iterator) };
        if vma.is_null() {
            return None;
        }
        // SAFETY: `vma` is not null, so it is a VMA of the tree. It is valid, and the mmap lock
        // held, as long as this function uses the result.
        let vma = unsafe { VmaRef::from_raw(vma) };
        Some(vma.start()..vma.end())
    }
}
