// SPDX-License-Identifier: GPL-2.0

//! Anonymous mappings: the areas that may map the anonymous folios of a process, and of those that
//! have forked from it.
//!
//! C header: [`include/linux/rmap.h`](srctree/include/linux/rmap.h)

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

/// The lock of an anonymous mapping, for reading, and what was learned under it.
///
/// While it is held, no area is added to the mapping or taken out of it, nor one of those that have
/// the same root. An area is taken out before its page tables are, and before its address space
/// goes; both therefore stay.
///
/// # Invariants
///
/// - `mapping` is an `anon_vma` that has had areas when its root was locked, and of whose root this
///   value owns the lock for reading. So it still has these areas, and is not freed.
/// - `directory` is of one of its areas, or none.
pub(super) struct AnonLock {
    mapping: NonNull<c::anon_vma>,
    directory: KnownDirectory,
    /// Locks are released by the thread that took them.
    _thread: NotThreadSafe,
}

impl AnonLock {
    /// Whether a folio is in an anonymous mapping. Those that KSM has merged are in none.
    #[inline]
    pub(super) fn is_for(folio: &LockedFolio<'_>) -> bool {
        folio.mapping() & FLAGS == ANON
    }

    /// The lock for a folio: the one that is held if it is that, and otherwise another one instead.
    /// `None`, with none held, if the folio is not mapped any more.
    ///
    /// Sleeps, if it is another one, until who changes the mapping is done.
    #[inline]
    pub(super) fn keep_or_take<'held>(
        held: &'held mut Option<Self>,
        folio: &LockedFolio<'_>,
        calls: &symbols::ReverseMapping,
    ) -> Option<&'held mut Self> {
        if !held.as_ref().is_some_and(|held| held.covers(folio)) {
            // Two of them are not held at once.
            *held = None;
            *held = Self::take(folio, calls);
        }
        held.as_mut()
    }

    /// Whether a folio is in this mapping.
    ///
    /// As the mapping is not freed, a folio that says so means this one and no other that was at the
    /// same place. It does not change as long as the folio is locked.
    #[inline]
    fn covers(&self, folio: &LockedFolio<'_>) -> bool {
        folio.mapping() == self.mapping.addr().get() | ANON
    }

    #[inline(never)]
    fn take(folio: &LockedFolio<'_>, calls: &symbols::ReverseMapping) -> Option<Self> {
        let folio = folio.folio().as_ptr();
        // SAFETY: The folio is referenced and locked. We are in a thread that may sleep. Without a
        // control structure the lock is waited for.
        let mapping = unsafe { (calls.folio_lock_anon_vma_read)(folio, core::ptr::null_mut()) };
        // INVARIANT: The function has taken the lock, and seen under it that the folio is mapped: by
        // an area that is in the mapping. The directory is none.
        Some(Self {
            mapping: NonNull::new(mapping)?,
            directory: KnownDirectory::none(),
            _thread: NotThreadSafe,
        })
    }

    /// What is to be used for areas of this mapping only.
    #[inline]
    pub(super) fn directory(&mut self) -> &mut KnownDirectory {
        &mut self.directory
    }
}

impl Drop for AnonLock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the lock, and this value is gone afterwards.
        unsafe { bindings::damon_rs_helper_anon_vma_unlock_read(self.mapping.as_ptr()) };
    }
}

/// What the lowest bits of a folio's mapping say.
// CAST: These are small.
const FLAGS: usize = c::FOLIO_MAPPING_FLAGS as usize;
/// That it is an `anon_vma`, if it is the only one of them.
// CAST: As above.
const ANON: usize = c::FOLIO_MAPPING_ANON as usize;
