// SPDX-License-Identifier: GPL-2.0

//! From the entry of a page table to what it maps.
//!
//! C headers: [`include/asm-generic/memory_model.h`](srctree/include/asm-generic/memory_model.h),
//! [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use kernel::{
    bindings as c,
    page::PAGE_MASK, //
};

use super::{
    super::folio::head,
    word::{
        EntryWord,
        PRESENT, //
    },
};
use crate::bindings;

/// Where entries have the number of a page, and where its `struct page` is.
///
/// Asked of the kernel once for many entries: a call for each of them would be a large part of what
/// looking at it costs.
///
/// # Invariants
///
/// `pages` is the start of an array of the pages of all addresses, and `mask` is what has the
/// address of a page in entries that have any of the bits of `known`.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    known: usize,
    mask: usize,
    pages: *mut c::page,
}

impl Frames {
    /// Those of this kernel, on this machine.
    pub(super) fn get() -> Self {
        // SAFETY: These are constants of a kernel that runs.
        let (mask, pages) = unsafe {
            (
                bindings::damon_rs_helper_frame_mask(),
                bindings::damon_rs_helper_first_page(),
            )
        };
        // INVARIANT: Entries that the processor does not follow have the number inverted. Without a
        // mask nothing is known of any.
        Self {
            known: if mask == 0 { 0 } else { PRESENT },
            mask,
            pages,
        }
    }

    /// The folio that an entry maps, of whose addresses `block` has the bits but those within what it
    /// maps.
    ///
    /// # Safety
    ///
    /// The entry must be present, and map memory that has a `struct page`.
    #[inline]
    pub(super) unsafe fn folio(&self, word: &EntryWord, block: usize) -> *mut c::folio {
        if word.value() & self.known != 0 {
            let start = word.value() & self.mask & block;
            let page = self.pages.wrapping_add(start >> c::PAGE_SHIFT);
            // SAFETY: By the type invariants this is the `struct page` of what the entry maps, which
            // the caller promises is there.
            return unsafe { head(page) };
        }
        // SAFETY: The caller promises that there is one. The number is in the same place in entries
        // of all levels above the lowest.
        unsafe {
            if block == PAGE_MASK {
                bindings::damon_rs_helper_pte_folio(c::pte_t { pte: word.value() })
            } else {
                bindings::damon_rs_helper_pmd_folio(c::pmd_t { pmd: word.value() })
            }
        }
    }
}
