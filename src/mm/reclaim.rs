// SPDX-License-Identifier: GPL-2.0

//! Proactive reclaim of given folios, and changes of the order in which reclaim scans folios.
//!
//! C headers: [`mm/internal.h`](srctree/mm/internal.h),
//! [`include/linux/swap.h`](srctree/include/linux/swap.h)

use crate::cast::to_u64;
use kernel::page::PAGE_SIZE;

use super::{
    isolated::IsolatedFolios,
    symbols::{
        self,
        LruOrder,
        Reclaim, //
    },
    Folio, //
};

/// Returns whether the kernel functions for reclaim of given folios were found.
pub(crate) fn can_reclaim() -> bool {
    symbols::reclaim().is_some() && symbols::isolation().is_some()
}

/// Isolated folios that are to be reclaimed. Folios that remain are put back on their LRU lists on
/// drop.
pub(crate) struct ReclaimList {
    calls: &'static Reclaim,
    folios: IsolatedFolios,
}

impl ReclaimList {
    /// Creates an empty list. Returns `None` if the kernel functions for it were not found.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            calls: symbols::reclaim()?,
            folios: IsolatedFolios::new()?,
        })
    }

    /// Isolates a folio and adds it. Does nothing if the folio is unevictable or if it cannot be
    /// isolated, for example because it is isolated already. Does not sleep.
    pub(crate) fn add(&mut self, folio: &Folio) {
        if let Some(isolated) = self.folios.isolate(folio) {
            if !isolated.is_unevictable() {
                self.folios.push(isolated);
            }
        }
    }

    /// Returns the number of folios in the list.
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// Reclaims the folios of the list and returns the number of bytes that were reclaimed. The
    /// list is empty afterwards: folios that could not be reclaimed are put back on their LRU
    /// lists.
    ///
    /// Accessed bits are ignored, so a folio that was accessed after it was added is reclaimed too.
    /// May sleep. The caller must hold no lock that reclaim may acquire.
    pub(crate) fn reclaim(&mut self) -> u64 {
        let mut pages = 0;
        // SAFETY: `reclaim_pages()` frees each folio of the list or puts it back on its LRU list,
        // and does not access the list after it has returned. The list is empty then.
        unsafe {
            self.folios.as_list(|list| {
                pages = self.calls.reclaim_pages(list);
            });
        }
        to_u64(pages.saturating_mul(PAGE_SIZE))
    }
}

/// Changes the position of folios on the LRU lists, which is the order in which reclaim scans them.
#[derive(Clone, Copy)]
pub(crate) struct Priority(&'static LruOrder);

impl Priority {
    /// Returns `None` if the kernel functions for it were not found.
    pub(crate) fn get() -> Option<Self> {
        symbols::lru_order().map(Self)
    }

    /// Moves a folio to the active list, so that reclaim scans it late.
    ///
    /// The kernel may defer this until the current CPU's batch of such folios is full. Does not
    /// sleep.
    pub(crate) fn raise(self, folio: &Folio) {
        // SAFETY: `folio` owns a reference, so the folio is valid. No LRU lock is held: mm/ never
        // holds one outside of a call into the kernel.
        unsafe { self.0.folio_activate(folio.as_ptr()) };
    }

    /// Moves a folio to the inactive list, so that reclaim scans it early. May be deferred as in
    /// [`raise`](Self::raise). Does not sleep.
    pub(crate) fn lower(self, folio: &Folio) {
        // SAFETY: `folio` owns a reference, so the folio is valid. No LRU lock is held: mm/ never
        // holds one outside of a call into the kernel.
        unsafe { self.0.folio_deactivate(folio.as_ptr()) };
    }
}
