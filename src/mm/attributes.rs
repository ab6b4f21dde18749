// SPDX-License-Identifier: GPL-2.0

//! Attributes of folios, for the filters of probes and schemes.
//!
//! C headers: [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h),
//! [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use core::marker::PhantomData;

use kernel::bindings as c;

#[cfg(CONFIG_MEMCG)]
use kernel::sync::rcu;

use super::folio_flags::{
    size,
    FolioFlags, //
};
use crate::bindings;

/// The attributes of a folio.
///
/// # Invariants
///
/// The folio is valid and is neither freed nor split for `'a`.
pub(crate) struct FolioAttributes<'a> {
    folio: *mut c::folio,
    _folio: PhantomData<&'a c::folio>,
}

impl FolioAttributes<'_> {
    /// Creates the attributes of a folio.
    ///
    /// # Safety
    ///
    /// The folio must be valid, and must be neither freed nor split as long as the result exists.
    pub(super) unsafe fn new(folio: *mut c::folio) -> Self {
        // INVARIANT: By the safety requirements the folio is valid, and neither freed nor split as
        // long as the result exists.
        Self {
            folio,
            _folio: PhantomData,
        }
    }

    /// Returns whether the folio is anonymous. KSM folios are anonymous.
    pub(crate) fn is_anon(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_folio_test_anon(self.folio) }
    }

    /// Returns whether the folio is active (`PG_active`). An isolated folio keeps this flag.
    pub(crate) fn is_active(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(self.folio) }.active()
    }

    /// Returns whether the folio is mapped into a page table and belongs to a file or an
    /// `anon_vma`. The result may be outdated at once.
    pub(crate) fn is_mapped(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_folio_is_mapped(self.folio) }
    }

    /// Returns the size of the folio in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { size(self.folio) }
    }

    /// Returns the ID of the memcg that the folio is charged to, `None` if there is none.
    #[cfg(CONFIG_MEMCG)]
    pub(crate) fn memcg(&self) -> Option<u64> {
        let _rcu = rcu::read_lock();
        // SAFETY: The folio is valid by the type invariants. Memcgs are freed by RCU, and `_rcu` is
        // held.
        let id = unsafe { bindings::damon_rs_helper_folio_memcg_id(self.folio) };
        // 0 stands for no memcg.
        (id != 0).then_some(id)
    }

    /// Without `CONFIG_MEMCG` no folio is charged.
    #[cfg(not(CONFIG_MEMCG))]
    pub(crate) fn memcg(&self) -> Option<u64> {
        None
    }
}
