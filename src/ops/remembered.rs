// SPDX-License-Identifier: GPL-2.0

//! What preparing a sample has hidden from the next check of the same pass.
//!
//! A pass goes through the regions once, and at each of them checks the sample of the last
//! interval, then prepares the next one. To prepare is to forget past accesses: of everything that
//! the entry maps, 2 MiB for a transparent huge page, and in the idle flag of the whole folio. A
//! later region may have its old sample in the same memory, and must still see what there was.
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
//! Without it, A would be counted as hot and B and C as cold. With two passes, one to check
//! everything and one to prepare everything, all three are counted as accessed; so they are here.
//!
//! To remember one mapping is enough. Regions ascend and an entry maps one contiguous range: if b
//! is in what a' has made old, so is everything in between, thus no other mapping was made old
//! meanwhile. This holds for the idle flag of a large folio as well where its pages are mapped in a
//! row. Where they are not (a folio that is mapped twice, or partly replaced by copies), the flag
//! of a page may be found set by the preparation of another sample some regions before. That says
//! nothing wrong about accesses through the page table, which have a bit of their own in every
//! entry: an access can be missed only if something else has taken that bit away, or if it was by
//! `read()`, within the same sampling interval.

use kernel::prelude::*;

use crate::mm::{
    FolioId,
    Forgotten, //
};

/// Where a pass has last made something old that was accessed.
pub(super) struct Remembered {
    /// The first address that the entry maps, or [`NO_ENTRY`].
    entry: usize,
    /// The large folio.
    folio: Option<FolioId>,
}

/// Stands for none, as entries map whole pages. Asked for each region and sample, an `Option` would
/// be two comparisons.
const NO_ENTRY: usize = usize::MAX;

impl Remembered {
    /// Nothing was prepared yet.
    pub(super) const fn nothing() -> Self {
        Self {
            entry: NO_ENTRY,
            folio: None,
        }
    }

    /// Whether accesses through the entry at this address, or to its folio, were forgotten.
    ///
    /// The folio is looked up only if it matters.
    #[inline]
    pub(super) fn young(&self, entry: usize, folio: impl FnOnce() -> FolioId) -> bool {
        self.entry == entry || self.folio.is_some_and(|last| last == folio())
    }

    /// Notes what was forgotten when a sample was prepared.
    ///
    /// If that is nothing, what was remembered stays true.
    #[inline]
    pub(super) fn prepared(
        &mut self,
        entry: usize,
        folio: impl FnOnce() -> FolioId,
        forgotten: Forgotten,
    ) {
        if forgotten.entry {
            self.entry = entry;
        }
        if forgotten.folio {
            self.folio = Some(folio());
        }
    }
}

#[kunit_tests(damon_rs_ops_remembered)]
mod tests {
    use super::Remembered;
    use crate::mm::{
        FolioId,
        Forgotten, //
    };

    const NOTHING: Forgotten = Forgotten {
        entry: false,
        folio: false,
    };
    const ENTRY: Forgotten = Forgotten {
        entry: true,
        folio: false,
    };
    const FOLIO: Forgotten = Forgotten {
        entry: false,
        folio: true,
    };

    fn folio(addr: usize) -> impl Fn() -> FolioId {
        move || FolioId::from_addr(addr)
    }

    #[test]
    fn nothing_is_hidden_at_first() {
        assert!(!Remembered::nothing().young(0, folio(0)));
    }

    #[test]
    fn regions_in_one_huge_page() {
        const HUGE: usize = 0x20_0000;
        let mut remembered = Remembered::nothing();
        remembered.prepared(HUGE, folio(0x40), ENTRY);
        assert!(remembered.young(HUGE, folio(0x40)));
        // The second preparation finds it old, and must not make us forget.
        remembered.prepared(HUGE, folio(0x40), NOTHING);
        assert!(remembered.young(HUGE, folio(0x40)));
        // An access between two preparations is not lost either.
        let mut remembered = Remembered::nothing();
        remembered.prepared(HUGE, folio(0x40), NOTHING);
        assert!(!remembered.young(HUGE, folio(0x40)));
        remembered.prepared(HUGE, folio(0x40), ENTRY);
        assert!(remembered.young(HUGE, folio(0x40)));
    }

    #[test]
    fn pages_of_one_folio() {
        let mut remembered = Remembered::nothing();
        remembered.prepared(0x1000, folio(0x40), ENTRY);
        // Another page has an accessed bit of its own.
        assert!(!remembered.young(0x2000, folio(0x40)));
        remembered.prepared(0x2000, folio(0x40), FOLIO);
        // The idle flag is the folio's.
        assert!(remembered.young(0x3000, folio(0x40)));
        remembered.prepared(0x3000, folio(0x40), ENTRY);
        assert!(remembered.young(0x4000, folio(0x40)));
        assert!(!remembered.young(0x5000, folio(0x80)));
    }

    #[test]
    fn other_memory_is_not_affected() {
        let mut remembered = Remembered::nothing();
        remembered.prepared(0x1000, folio(0x40), ENTRY);
        remembered.prepared(0x2000, folio(0x80), NOTHING);
        assert!(!remembered.young(0x2000, folio(0x80)));
        // Nothing new was hidden, so nothing was forgotten.
        assert!(remembered.young(0x1000, folio(0x40)));
        remembered.prepared(0x3000, folio(0xc0), ENTRY);
        assert!(!remembered.young(0x1000, folio(0x40)));
        assert!(remembered.young(0x3000, folio(0xc0)));
    }
}
