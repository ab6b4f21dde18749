// SPDX-License-Identifier: GPL-2.0

//! Accesses that the preparation of a sample has cleared before they were checked in the same pass.
//!
//! A pass visits each region once. It checks the sample of the last interval, then prepares the
//! next one. Preparing clears past accesses to everything that the entry maps, 2 MiB for a
//! transparent huge page, and sets the idle flag of the whole folio. A later region may have its
//! old sample in the same memory, and its check must still find the access.
//!
//! ```text
//!              |<------------- one huge page, accessed -------------->|
//!   regions    [        A         )[        B        )[        C      )
//!   samples      a  a'                b'   b             c     c'
//!
//!   check a    young                                      A: accessed
//!   prepare a' was young, made old; remembered: young
//!   check b    old, but remembered as young               B: accessed
//!   prepare b' was old;             remembered: still young
//!   check c    old, but remembered as young               C: accessed
//! ```
//!
//! Without this, A would be counted as accessed, and B and C as not accessed. Two passes, one to
//! check all regions and one to prepare them, would count all three as accessed, and so does this
//! one.
//!
//! To remember one mapping is enough. Regions are in ascending order and an entry maps one
//! contiguous range: if b is in the range that preparing a' has cleared, then so is everything in
//! between, and no other mapping was cleared meanwhile. The same holds for the idle flag of a large
//! folio if its pages are mapped contiguously. If they are not (a folio that is mapped twice, or
//! partly replaced by copies), the idle flag of a page may have been set by the preparation of
//! another sample several regions before. This does not hide accesses through the page table,
//! because each entry has an accessed bit of its own. An access is missed only if something else
//! has cleared that bit, or if it was a `read()`, within the same sampling interval.

use kernel::prelude::*;

use crate::mm::{
    Cleared,
    FolioId, //
};

/// The entry and the large folio of which a pass has last cleared accesses.
pub(super) struct PassMemory {
    /// The first address that the entry maps, or [`NO_ENTRY`].
    entry: usize,
    /// The large folio, if there was one.
    folio: Option<FolioId>,
}

/// Stands for no entry: an entry maps whole pages, so none begins here. An `Option` would need two
/// comparisons for each region and sample.
const NO_ENTRY: usize = usize::MAX;

impl PassMemory {
    /// Creates the state of a pass that has prepared nothing.
    pub(super) const fn nothing() -> Self {
        Self {
            entry: NO_ENTRY,
            folio: None,
        }
    }

    /// Returns whether the pass has cleared accesses through the entry at this address, or to its
    /// folio. `folio` is called only if it matters.
    #[inline]
    pub(super) fn young(&self, entry: usize, folio: impl FnOnce() -> FolioId) -> bool {
        self.entry == entry || self.folio.is_some_and(|last| last == folio())
    }

    /// Records the accesses that preparing a sample has cleared. If there were none, the previous
    /// record remains valid.
    #[inline]
    pub(super) fn prepared(
        &mut self,
        entry: usize,
        folio: impl FnOnce() -> FolioId,
        cleared: Cleared,
    ) {
        if cleared.entry {
            self.entry = entry;
        }
        if cleared.folio {
            self.folio = Some(folio());
        }
    }
}

#[kunit_tests(damon_rs_ops_pass_memory)]
mod tests {
    use super::PassMemory;
    use crate::mm::{
        Cleared,
        FolioId, //
    };

    const NOTHING: Cleared = Cleared {
        entry: false,
        folio: false,
    };
    const ENTRY: Cleared = Cleared {
        entry: true,
        folio: false,
    };
    const FOLIO: Cleared = Cleared {
        entry: false,
        folio: true,
    };

    fn folio(addr: usize) -> impl Fn() -> FolioId {
        move || FolioId::from_addr(addr)
    }

    #[test]
    fn nothing_is_hidden_at_first() {
        assert!(!PassMemory::nothing().young(0, folio(0)));
    }

    #[test]
    fn regions_in_one_huge_page() {
        const HUGE: usize = 0x20_0000;
        let mut remembered = PassMemory::nothing();
        remembered.prepared(HUGE, folio(0x40), ENTRY);
        assert!(remembered.young(HUGE, folio(0x40)));
        // The second preparation clears nothing, and must not discard the record.
        remembered.prepared(HUGE, folio(0x40), NOTHING);
        assert!(remembered.young(HUGE, folio(0x40)));
        // An access between two preparations is recorded too.
        let mut remembered = PassMemory::nothing();
        remembered.prepared(HUGE, folio(0x40), NOTHING);
        assert!(!remembered.young(HUGE, folio(0x40)));
        remembered.prepared(HUGE, folio(0x40), ENTRY);
        assert!(remembered.young(HUGE, folio(0x40)));
    }

    #[test]
    fn pages_of_one_folio() {
        let mut remembered = PassMemory::nothing();
        remembered.prepared(0x1000, folio(0x40), ENTRY);
        // Another page has an accessed bit of its own.
        assert!(!remembered.young(0x2000, folio(0x40)));
        remembered.prepared(0x2000, folio(0x40), FOLIO);
        // The pages of a folio share the idle flag.
        assert!(remembered.young(0x3000, folio(0x40)));
        remembered.prepared(0x3000, folio(0x40), ENTRY);
        assert!(remembered.young(0x4000, folio(0x40)));
        assert!(!remembered.young(0x5000, folio(0x80)));
    }

    #[test]
    fn other_memory_is_not_affected() {
        let mut remembered = PassMemory::nothing();
        remembered.prepared(0x1000, folio(0x40), ENTRY);
        remembered.prepared(0x2000, folio(0x80), NOTHING);
        assert!(!remembered.young(0x2000, folio(0x80)));
        // Nothing else was cleared, so the record is still valid.
        assert!(remembered.young(0x1000, folio(0x40)));
        remembered.prepared(0x3000, folio(0xc0), ENTRY);
        assert!(!remembered.young(0x1000, folio(0x40)));
        assert!(remembered.young(0x3000, folio(0xc0)));
    }
}
