// SPDX-License-Identifier: GPL-2.0

//! The rmap lock of a folio: `i_mmap_rwsem` of its file, or the rwsem of the root of its
//! `anon_vma`.
//!
//! C headers: [`include/linux/rmap.h`](srctree/include/linux/rmap.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::ptr::NonNull;

use kernel::{
    bindings as c,
    types::NotThreadSafe, //
};

use super::super::{
    folio::LockedFolio,
    page_table::{
        LinkedVma,
        PmdTableCache, //
    },
    symbols, //
};
use crate::bindings;

/// An rmap lock that is held for reading, with state that was found under it.
///
/// In this file, the mapping is the `address_space` or `anon_vma` that the folio belongs to. While
/// the lock is held, no VMA is linked into the interval tree of the mapping or unlinked from it. A
/// VMA is unlinked before its page tables are freed (`free_pgtables()`), before its `mm_struct` is
/// freed and before it drops its file. So a VMA that was found in the tree stays linked until the
/// lock is released. Its page tables and its `mm_struct` exist as long, and so does the mapping.
/// The exception is the temporary stack of `execve()`: `relocate_vma_down()` frees page tables of a
/// VMA that is still linked, and shrinks the VMA afterwards. Before that, it has extended the VMA
/// downwards with the lock held for writing and has left `vm_pgoff` as it is. From then on rmap
/// walks compute addresses from the new, lower start. They are below `new_end`, also for the end of
/// a folio, because a temporary stack gets no large folios. `free_pgd_range()` frees no table that
/// serves an address below `new_end`.
///
/// # Invariants
///
/// - `semaphore` is the rwsem of `mapping`, and this value owns it for reading.
/// - The mapping exists: a VMA was found in its interval tree under the lock, or the folio that the
///   lock was acquired for is still locked.
/// - No VMA of the mapping is one of hugetlbfs.
/// - `pmds` is empty, or was filled for a VMA of the mapping since the lock was acquired.
pub(super) struct MappingLock {
    /// `folio->mapping`, a pointer with flags in its lowest bits.
    mapping: usize,
    semaphore: NonNull<c::rw_semaphore>,
    pmds: PmdTableCache,
    /// A rwsem must be released by the thread that has acquired it.
    _thread: NotThreadSafe,
}

impl MappingLock {
    /// Returns whether a folio belongs to the mapping of this lock.
    ///
    /// The mapping exists, so no other mapping is at its address, and an equal pointer identifies
    /// it. It does not change while the folio is locked. Only the pointer of an anonymous folio
    /// that is not mapped any more may be stale. A walk then finds no mapping of the folio.
    #[inline]
    pub(super) fn covers(&self, folio: &LockedFolio<'_>) -> bool {
        folio.mapping() == self.mapping
    }

    /// Acquires the rmap lock of a folio that is not a hugetlb folio. Returns `None` for a folio
    /// without a mapping, for an anonymous folio that is not mapped any more, and for a KSM folio,
    /// which has several `anon_vma`s.
    ///
    /// Sleeps while another thread holds the lock for writing.
    ///
    /// # Safety
    ///
    /// - The caller must hold no other rmap lock.
    /// - Before the caller unlocks the folio, it must have dropped the result or have found a VMA
    ///   in the interval tree of the mapping under the lock.
    #[inline(never)]
    pub(super) unsafe fn take(
        folio: &LockedFolio<'_>,
        calls: &symbols::ReverseMapping,
    ) -> Option<Self> {
        let mapping = folio.mapping();
        let semaphore = match mapping & FLAGS {
            // SAFETY: The folio is referenced and locked, and the thread may sleep. A null `rwc`
            // makes the function wait for the lock. It returns null, or an `anon_vma` with a locked
            // root. That `anon_vma` exists as long as the lock is held: `unlink_anon_vmas()` needs
            // the lock for writing to take VMAs out of it and frees it only when it is empty.
            ANON => unsafe {
                let locked =
                    calls.folio_lock_anon_vma_read(folio.folio().as_ptr(), core::ptr::null_mut());
                bindings::damon_rs_helper_anon_vma_semaphore(NonNull::new(locked)?.as_ptr())
            },
            0 => {
                let file: NonNull<c::address_space> =
                    NonNull::new(core::ptr::with_exposed_provenance_mut(mapping))?;
                // SAFETY: No flag is set, so this is a pointer to an `address_space`. It exists as
                // long as the folio is locked: `truncate_inode_pages_final()` needs the lock of the
                // folio to remove it, and removes all folios before the inode is freed. The thread
                // may sleep.
                unsafe {
                    let semaphore = &raw mut (*file.as_ptr()).i_mmap_rwsem;
                    c::down_read(semaphore);
                    semaphore
                }
            }
            _ => return None,
        };
        // INVARIANT: The rwsem was acquired above, and the lock of the folio keeps the mapping. By
        // the safety requirements a VMA is found in the interval tree before the folio is unlocked,
        // or this value is dropped. The folio is not a hugetlb folio, and the VMAs that map a
        // mapping with such folios are not of hugetlbfs. `pmds` is empty.
        Some(Self {
            mapping,
            semaphore: NonNull::new(semaphore)?,
            pmds: PmdTableCache::new(),
            _thread: NotThreadSafe,
        })
    }

    /// Lends the page tables of a VMA of this mapping for the addresses from `start` up to `end`,
    /// exclusive, or up to the end of the VMA. The lock stays held as long as the result exists.
    ///
    /// # Safety
    ///
    /// `vma` must have been found in the interval tree of the mapping since the lock was acquired.
    /// `start` must be in it.
    #[inline]
    pub(super) unsafe fn linked_vma(
        &mut self,
        vma: *mut c::vm_area_struct,
        start: usize,
        end: usize,
    ) -> LinkedVma<'_> {
        // SAFETY: By the safety requirements the VMA is in the interval tree, and it stays there as
        // long as the lock is held, so it exists. `vm_mm` never changes, and `vm_end` only with the
        // lock held for writing.
        let (mm, vm_end) = unsafe {
            (
                (*vma).vm_mm,
                (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end,
            )
        };
        // SAFETY: `start` is in the VMA, and `end` is limited to its end. By the type invariants
        // this value holds the lock under which the VMA is linked, which is not one of hugetlbfs,
        // and `pmds` was filled under it. The result borrows `self`.
        unsafe { LinkedVma::new(mm, start, end.min(vm_end), &mut self.pmds) }
    }

    /// Returns whether another thread waits for the lock.
    #[inline]
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: By the type invariants the mapping exists, and the rwsem is part of it or of its
        // root.
        unsafe { bindings::damon_rs_helper_rwsem_is_contended(self.semaphore.as_ptr()) }
    }
}

impl Drop for MappingLock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the rwsem for reading, and it does not use
        // it after this call.
        unsafe { c::up_read(self.semaphore.as_ptr()) };
    }
}

/// The flags in the lowest bits of `folio->mapping`.
// CAST: A small constant.
const FLAGS: usize = c::FOLIO_MAPPING_FLAGS as usize;
/// The flag of a pointer to an `anon_vma`. Together with another flag it means KSM.
// CAST: A small constant.
const ANON: usize = c::FOLIO_MAPPING_ANON as usize;
