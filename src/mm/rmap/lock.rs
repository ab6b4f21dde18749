// SPDX-License-Identifier: GPL-2.0

//! The lock of what a folio belongs to: of a file's mappings, or of an anonymous mapping, in which
//! are the areas of a process and of those that have forked from it.
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
    page_table::KnownDirectory,
    symbols, //
};
use crate::bindings;

/// The lock of a mapping for reading, and what was learned under it.
///
/// While it is held, no area is added to the mapping or taken out of it. An area is taken out before
/// its page tables are, before its address space goes and before it lets go of its file. So an area
/// that was seen in the mapping stays, with all of that, and keeps the mapping too.
///
/// The exception is the stack of a new program: `relocate_vma_down()` frees tables, and only then
/// makes the area smaller. Under the lock it has made it larger before, so that addresses are counted
/// from a beginning that is below of all that goes.
///
/// # Invariants
///
/// - `semaphore` is that of `mapping`, and this value owns it for reading.
/// - The mapping is kept, by an area that was seen in it, or by the lock of the folio that it was
///   taken for.
/// - `directory` is nothing, or was found for an area of the mapping since the lock was taken.
pub(super) struct MappingLock {
    /// As folios have it, with its flags.
    mapping: usize,
    semaphore: NonNull<c::rw_semaphore>,
    directory: KnownDirectory,
    /// Locks are released by the thread that took them.
    _thread: NotThreadSafe,
}

impl MappingLock {
    /// Whether a folio belongs to this mapping.
    ///
    /// As the mapping is kept, a folio that says so means this one, not another that was at the same
    /// place. That does not change as long as the folio is locked.
    #[inline]
    pub(super) fn covers(&self, folio: &LockedFolio<'_>) -> bool {
        folio.mapping() == self.mapping
    }

    /// The lock for a folio that is not hugetlb's. `None` if it does not belong to anything, or not
    /// any more; and for those that KSM has merged, which belong to several.
    ///
    /// Sleeps until who changes the mapping is done.
    ///
    /// # Safety
    ///
    /// The caller must hold no lock of another mapping. When the folio is unlocked, the result must
    /// have been dropped, or an area been seen in the mapping.
    #[inline(never)]
    pub(super) unsafe fn take(
        folio: &LockedFolio<'_>,
        calls: &symbols::ReverseMapping,
    ) -> Option<Self> {
        let mapping = folio.mapping();
        let semaphore = match mapping & FLAGS {
            // SAFETY: The folio is referenced and locked. We are in a thread that may sleep. Without
            // a control structure the lock is waited for. What is locked is there.
            ANON => unsafe {
                let locked =
                    calls.folio_lock_anon_vma_read(folio.folio().as_ptr(), core::ptr::null_mut());
                bindings::damon_rs_helper_anon_vma_semaphore(NonNull::new(locked)?.as_ptr())
            },
            0 => {
                let file: NonNull<c::address_space> =
                    NonNull::new(core::ptr::with_exposed_provenance_mut(mapping))?;
                // SAFETY: A folio that is locked keeps the file that it belongs to. We are in a thread
                // that may sleep.
                unsafe {
                    let semaphore = &raw mut (*file.as_ptr()).i_mmap_rwsem;
                    c::down_read(semaphore);
                    semaphore
                }
            }
            _ => return None,
        };
        // INVARIANT: The semaphore was just taken, and the folio's lock keeps the mapping; after that
        // it is what the caller promises. Nothing is known of directories.
        Some(Self {
            mapping,
            semaphore: NonNull::new(semaphore)?,
            directory: KnownDirectory::none(),
            _thread: NotThreadSafe,
        })
    }

    /// What is to be used for areas of this mapping only, under this lock.
    #[inline]
    pub(super) fn directory(&mut self) -> &mut KnownDirectory {
        &mut self.directory
    }

    /// Whether another thread waits to change the mapping.
    #[inline]
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: By the type invariants the mapping is kept, and with it the semaphore.
        unsafe { bindings::damon_rs_helper_rwsem_is_contended(self.semaphore.as_ptr()) }
    }
}

impl Drop for MappingLock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the lock, and this value is gone afterwards.
        unsafe { c::up_read(self.semaphore.as_ptr()) };
    }
}

/// What the lowest bits of a folio's mapping say.
// CAST: These are small.
const FLAGS: usize = c::FOLIO_MAPPING_FLAGS as usize;
/// That it is an `anon_vma`, if it is the only one of them.
// CAST: As above.
const ANON: usize = c::FOLIO_MAPPING_ANON as usize;
