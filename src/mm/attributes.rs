// SPDX-License-Identifier: GPL-2.0

//! What filters of probes and schemes ask about a folio.
//!
//! C headers: [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h),
//! [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use core::marker::PhantomData;

use kernel::{
    bindings as c,
    page::PAGE_SIZE, //
};

#[cfg(CONFIG_MEMCG)]
use kernel::sync::rcu;

use super::folio::FolioFlags;
use crate::bindings;

/// A folio whose attributes can be asked for.
///
/// # Invariants
///
/// The folio is valid and keeps its head for as long as `'a`.
pub(crate) struct FolioAttributes<'a> {
    folio: *mut c::folio,
    _folio: PhantomData<&'a c::folio>,
}

impl FolioAttributes<'_> {
    /// The attributes of a folio.
    ///
    /// # Safety
    ///
    /// The folio must be valid, and neither freed nor split, as long as the result lives.
    pub(super) unsafe fn new(folio: *mut c::folio) -> Self {
        // INVARIANT: The caller promises it.
        Self {
            folio,
            _folio: PhantomData,
        }
    }

    /// Whether it is anonymous memory. That of KSM is.
    pub(crate) fn is_anon(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_folio_test_anon(self.folio) }
    }

    /// Whether it is on an active list of reclaim's, or was before somebody isolated it.
    pub(crate) fn is_active(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(self.folio) }.active()
    }

    /// Whether it is in any page table, and belongs to a file or to a process.
    pub(crate) fn is_mapped(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants. The answer may be out of date as soon
        // as it is given.
        unsafe { bindings::damon_rs_helper_folio_is_mapped(self.folio) }
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { size(self.folio) }
    }

    /// The number of the memory control group that it is charged to.
    #[cfg(CONFIG_MEMCG)]
    pub(crate) fn memcg(&self) -> Option<u64> {
        let _rcu = rcu::read_lock();
        // SAFETY: The folio is valid by the type invariants, and its group is not freed while we
        // are inside of an RCU read-side critical section.
        let id = unsafe { bindings::damon_rs_helper_folio_memcg_id(self.folio) };
        // No group has this number.
        (id != 0).then_some(id)
    }

    /// There are no groups.
    #[cfg(not(CONFIG_MEMCG))]
    pub(crate) fn memcg(&self) -> Option<u64> {
        None
    }
}

/// How many bytes a folio has.
///
/// # Safety
///
/// The folio must be valid, and neither freed nor split meanwhile.
pub(super) unsafe fn size(folio: *mut c::folio) -> usize {
    // SAFETY: The caller promises that the folio is valid.
    if !unsafe { FolioFlags::of(folio) }.large() {
        return PAGE_SIZE;
    }
    // SAFETY: As above.
    unsafe { bindings::damon_rs_helper_folio_nr_pages(folio) }.saturating_mul(PAGE_SIZE)
}
