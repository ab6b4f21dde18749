// SPDX-License-Identifier: GPL-2.0

//! From the entry of a page table to what it maps.
//!
//! C headers: [`include/asm-generic/memory_model.h`](srctree/include/asm-generic/memory_model.h),
//! [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use kernel::{
    bindings as c,
    page::PAGE_MASK, //
};

use super::word::{
    EntryWord,
    PRESENT,
    SPECIAL, //
};
use crate::bindings;

/// Where entries have the number of a page, and where its `struct page` is.
///
/// Asked of the kernel once for many entries: a call for each of them would be a large part of what
/// looking at it costs.
///
/// # Invariants
///
/// Unless `plain` is zero, `pages` is the start of an array of the pages of all addresses, and `mask`
/// is what has the address of a page in entries that are present, which have it inverted if the
/// processor does not follow them.
#[derive(Clone, Copy)]
pub(in crate::mm) struct Frames {
    /// Of these bits, entries that the processor follows and that map a folio have [`PRESENT`] alone.
    /// Zero if nothing is known of any.
    plain: usize,
    mask: usize,
    pages: *mut c::page,
}

impl Frames {
    /// Those of this kernel, on this machine.
    pub(in crate::mm) fn get() -> Self {
        // SAFETY: These are constants of a kernel that runs.
        let (mask, pages) = unsafe {
            (
                bindings::damon_rs_helper_frame_mask(),
                bindings::damon_rs_helper_first_page(),
            )
        };
        // INVARIANT: Without a mask nothing is known.
        Self {
            plain: if mask == 0 { 0 } else { PRESENT | SPECIAL },
            mask,
            pages,
        }
    }

    /// The address of a page, as entries have it. `None` if nothing is known of entries.
    #[inline]
    pub(super) fn address_of(&self, page: *mut c::page) -> Option<usize> {
        let offset = page.addr().wrapping_sub(self.pages.addr());
        let number = offset / size_of::<c::page>();
        (self.plain != 0).then_some(number.wrapping_shl(c::PAGE_SHIFT))
    }

    /// The address that an entry of the lowest level has, if it is present and something is known of
    /// entries. In those of other levels its lowest bits mean something else.
    #[inline]
    pub(super) fn address(&self, word: &EntryWord) -> usize {
        let inverted = word.value() & PRESENT == 0;
        (if inverted {
            !word.value()
        } else {
            word.value()
        }) & self.mask
    }

    /// The address of the table of the lowest level that an entry points to.
    #[inline]
    pub(super) fn table(&self, entry: c::pmd_t) -> usize {
        if self.plain != 0 {
            return entry.pmd & self.mask;
        }
        // SAFETY: This looks at the value.
        unsafe { bindings::damon_rs_helper_pte_table_address(entry) }
    }

    /// The first page that an entry maps, or the folio of that, where `block` has the bits of an
    /// address but those within what the entry maps. `None` if it maps no folio that is the process's
    /// own.
    #[inline]
    pub(super) fn page(&self, word: &EntryWord, block: usize) -> Option<*mut c::page> {
        // What most entries are is asked first, at once.
        if word.value() & self.plain == PRESENT {
            let start = word.value() & self.mask & block;
            return Some(self.pages.wrapping_add(start >> c::PAGE_SHIFT));
        }
        Self::ask_for(word, block)
    }

    /// As the kernel tells it, for any entry.
    #[inline(never)]
    fn ask_for(word: &EntryWord, block: usize) -> Option<*mut c::page> {
        if !word.maps_folio() {
            return None;
        }
        // SAFETY: The entry is present and maps memory that has a `struct page`. The number is in the
        // same place in entries of all levels above the lowest.
        let folio = unsafe {
            if block == PAGE_MASK {
                bindings::damon_rs_helper_pte_folio(c::pte_t { pte: word.value() })
            } else {
                bindings::damon_rs_helper_pmd_folio(c::pmd_t { pmd: word.value() })
            }
        };
        Some(folio.cast())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl Frames {
    /// Some, for tests.
    pub(super) fn example() -> Self {
        // INVARIANT: No address has pages then.
        Self {
            plain: PRESENT | SPECIAL,
            mask: 0xf_ffff_ffff_f000,
            pages: core::ptr::null_mut(),
        }
    }

    /// What has the address.
    pub(super) fn mask(&self) -> usize {
        self.mask
    }
}

// SAFETY: These are constants. Who uses the pages must obey their rules.
unsafe impl Send for Frames {}
// SAFETY: As above.
unsafe impl Sync for Frames {}
