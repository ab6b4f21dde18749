// SPDX-License-Identifier: GPL-2.0

//! Flags and size of a folio.
//!
//! C header: [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h)

use crate::bindings;
use kernel::{
    bindings as c,
    page::PAGE_SIZE, //
};

/// The flags of a folio at one moment.
#[derive(Clone, Copy)]
pub(super) struct FolioFlags(usize);

impl FolioFlags {
    /// Reads the flags. They may change concurrently.
    ///
    /// # Safety
    ///
    /// `folio` must point to a `struct page` that exists. If it is not the first page of a folio,
    /// the flags are those of another kind of page.
    #[inline]
    pub(super) unsafe fn of(folio: *mut c::folio) -> Self {
        // SAFETY: By the safety requirements the pointer is valid. The flags are read with one
        // aligned load.
        Self(unsafe {
            (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.flags.f).read_volatile()
        })
    }

    /// Returns whether the folio is on an LRU list. Only user memory is.
    #[inline]
    pub(super) fn lru(self) -> bool {
        self.0 & (1 << c::pageflags_PG_lru) != 0
    }

    /// Returns whether the folio is active: reclaim has found it used more than once.
    #[inline]
    pub(super) fn active(self) -> bool {
        self.0 & (1 << c::pageflags_PG_active) != 0
    }

    /// Returns whether the folio is unevictable.
    #[inline]
    pub(super) fn unevictable(self) -> bool {
        self.0 & (1 << c::pageflags_PG_unevictable) != 0
    }

    /// Returns whether the folio has more than one page.
    #[inline]
    pub(super) fn large(self) -> bool {
        self.0 & (1 << c::pageflags_PG_head) != 0
    }

    #[inline]
    pub(super) fn idle(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let idle = self.0 & (1 << c::pageflags_PG_idle) != 0;
        // Without the flag, only accessed bits show accesses.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let idle = true;
        idle
    }

    #[inline]
    pub(super) fn young(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let young = self.0 & (1 << c::pageflags_PG_young) != 0;
        // Without the flag there is nothing to set.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let young = true;
        young
    }
}

/// Returns the size of a folio in bytes.
///
/// # Safety
///
/// The folio must be valid, and must be neither freed nor split during the call.
pub(super) unsafe fn size(folio: *mut c::folio) -> usize {
    // SAFETY: By the safety requirements of this function the folio is valid.
    if !unsafe { FolioFlags::of(folio) }.large() {
        return PAGE_SIZE;
    }
    // SAFETY: By the safety requirements of this function the folio is valid and is not split.
    unsafe { bindings::damon_rs_helper_folio_nr_pages(folio) }.saturating_mul(PAGE_SIZE)
}
