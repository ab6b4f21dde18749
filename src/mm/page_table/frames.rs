// SPDX-License-Identifier: GPL-2.0

//! Translation of a page table entry to the page that it maps.
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

/// The position of the PFN in page table entries, and the array of `struct page`s.
///
/// Queried from the kernel once for many entries: a call for each of them would be a large part of
/// the cost of a look-up.
///
/// # Invariants
///
/// Unless `plain` is zero, `pages` is the start of the `struct page` array of all PFNs, and `mask`
/// selects the physical address in a present entry. x86 inverts the address bits in an entry that
/// is present (`PROTNONE`) without the present bit.
#[derive(Clone, Copy)]
pub(in crate::mm) struct Frames {
    /// The mask for the fast path: `(pteval & plain) == PRESENT` means present and not special.
    /// Zero if there is no fast path.
    plain: usize,
    mask: usize,
    pages: *mut c::page,
}

impl Frames {
    /// Queries the values for the running kernel.
    pub(in crate::mm) fn get() -> Self {
        // SAFETY: The helpers only read values that do not change after boot.
        let (mask, pages) = unsafe {
            (
                bindings::damon_rs_helper_frame_mask(),
                bindings::damon_rs_helper_first_page(),
            )
        };
        // INVARIANT: `plain` is zero unless the helper has returned a mask, which it does only if
        // there is an array of all pages.
        Self {
            plain: if mask == 0 { 0 } else { PRESENT | SPECIAL },
            mask,
            pages,
        }
    }

    /// Returns the physical address of a page, as in page table entries. `None` without a fast
    /// path.
    #[inline]
    pub(super) fn address_of(&self, page: *mut c::page) -> Option<usize> {
        let offset = page.addr().wrapping_sub(self.pages.addr());
        let number = offset / size_of::<c::page>();
        (self.plain != 0).then_some(number.wrapping_shl(c::PAGE_SHIFT))
    }

    /// Returns the physical address in a PTE that is present. In entries of other levels the lowest
    /// bits of the result are flags. Without a fast path the result is meaningless.
    #[inline]
    pub(super) fn address(&self, word: &EntryWord) -> usize {
        let inverted = word.value() & PRESENT == 0;
        (if inverted {
            !word.value()
        } else {
            word.value()
        }) & self.mask
    }

    /// Returns the physical address of the page table that a PMD entry points to.
    #[inline]
    pub(super) fn table(&self, entry: c::pmd_t) -> usize {
        if self.plain != 0 {
            return entry.pmd & self.mask;
        }
        // SAFETY: The helper only computes with the value.
        unsafe { bindings::damon_rs_helper_pte_table_address(entry) }
    }

    /// Returns the first page that an entry maps, or the folio that contains it. `None` if the
    /// entry maps no refcounted folio. `block` is the mask that aligns an address down to the block
    /// that the entry maps.
    #[inline]
    pub(super) fn page(&self, word: &EntryWord, block: usize) -> Option<*mut c::page> {
        // The most common case first, in one comparison.
        if word.value() & self.plain == PRESENT {
            let start = word.value() & self.mask & block;
            return Some(self.pages.wrapping_add(start >> c::PAGE_SHIFT));
        }
        Self::ask_for(word, block)
    }

    /// The slow path of [`page`](Self::page), with the kernel's accessors.
    #[inline(never)]
    fn ask_for(word: &EntryWord, block: usize) -> Option<*mut c::page> {
        if !word.maps_folio() {
            return None;
        }
        // SAFETY: The entry is present and not special, so its PFN has a `struct page`. The PFN is
        // at the same position in entries of all levels above PTE.
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
    /// Creates a value for tests.
    pub(super) fn example() -> Self {
        // INVARIANT: The tests look up no `struct page`.
        Self {
            plain: PRESENT | SPECIAL,
            mask: 0xf_ffff_ffff_f000,
            pages: core::ptr::null_mut(),
        }
    }

    /// Returns the mask of the physical address.
    pub(super) fn mask(&self) -> usize {
        self.mask
    }
}

// SAFETY: `Frames` holds constants. Accesses to the pages are unsafe code of their own.
unsafe impl Send for Frames {}
// SAFETY: `Frames` holds constants. Accesses to the pages are unsafe code of their own.
unsafe impl Sync for Frames {}
