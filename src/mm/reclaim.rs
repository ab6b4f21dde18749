// SPDX-License-Identifier: GPL-2.0

//! Reclaiming chosen folios, and telling reclaim which to keep.
//!
//! C headers: [`mm/internal.h`](srctree/mm/internal.h),
//! [`include/linux/swap.h`](srctree/include/linux/swap.h)

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

/// Whether this kernel lets us reclaim chosen folios.
pub(crate) fn can_reclaim() -> bool {
    symbols::reclaim().is_some() && symbols::isolation().is_some()
}

/// Folios that are to be reclaimed. Those that are not are put back when this is dropped.
pub(crate) struct ReclaimList {
    calls: &'static Reclaim,
    folios: IsolatedFolios,
}

impl ReclaimList {
    /// An empty one. `None` if this kernel does not let us reclaim.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            calls: symbols::reclaim()?,
            folios: IsolatedFolios::new()?,
        })
    }

    /// Adds a folio, unless it must stay in memory or somebody else is at it.
    pub(crate) fn add(&mut self, folio: &Folio) {
        if let Some(isolated) = self.folios.isolate(folio) {
            if !isolated.is_unevictable() {
                self.folios.push(isolated);
            }
        }
    }

    /// How many folios it has.
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// Reclaims its folios, as far as they can be, and returns how many bytes that were. What was
    /// accessed meanwhile is reclaimed as well.
    ///
    /// Sleeps. No lock may be held that reclaim needs.
    pub(crate) fn reclaim(&mut self) -> u64 {
        let mut pages = 0;
        // SAFETY: The function frees folios or puts them back, all of them, and forgets the list.
        unsafe {
            self.folios.as_list(|list| {
                pages = self.calls.reclaim_pages(list);
            });
        }
        // CAST: Both have 64 bits.
        pages.saturating_mul(PAGE_SIZE) as u64
    }
}

/// The order in which reclaim looks at folios.
#[derive(Clone, Copy)]
pub(crate) struct Priority(&'static LruOrder);

impl Priority {
    /// `None` if this kernel does not let us change it.
    pub(crate) fn get() -> Option<Self> {
        symbols::lru_order().map(Self)
    }

    /// Has a folio looked at late.
    ///
    /// It may go through a batch of the processor's, and so be effective some folios later.
    pub(crate) fn raise(self, folio: &Folio) {
        // SAFETY: The folio is valid, with a reference. We hold no lock.
        unsafe { self.0.folio_activate(folio.as_ptr()) };
    }

    /// Has a folio looked at early, in the same way.
    pub(crate) fn lower(self, folio: &Folio) {
        // SAFETY: As in `raise`.
        unsafe { self.0.folio_deactivate(folio.as_ptr()) };
    }
}
