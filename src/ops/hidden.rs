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
//!   prepare a' was young, made old; hidden: young
//!   check b    old, but hidden as young                   B: accessed
//!   prepare b' was old;             hidden: still young
//!   check c    old, but hidden as young                   C: accessed
//! ```
//!
//! Without this, A would be counted as accessed, and B and C as not accessed. Two passes, one to
//! check all regions and one to prepare them, would count all three as accessed, and so does this
//! one.
//!
//! Accesses are recorded in two kinds of places, see [`RecordId`]. Which samples look at one place:
//!
//! | place                        | samples of                            | remembered as  |
//! | ---------------------------- | ------------------------------------- | -------------- |
//! | entry                        | adjacent regions of one address space | the last entry |
//! | entry of a shared PMD table  | any VMA of hugetlbfs with this table  | one of the set |
//! | idle flag of a page that is  | one region: none is smaller than a    | not            |
//! | mapped once                  | page                                  |                |
//! | idle flag of any other folio | any address space that maps the folio | one of the set |
//!
//! For an entry of a table that is not shared, to remember one is enough. Regions are in ascending
//! order and an entry maps one contiguous range: if b is in the range that preparing a' has
//! cleared, then so is everything in between, and no other entry was cleared meanwhile. Targets of
//! one address space are either in ascending order too, or the engine checks all before it prepares
//! one.
//!
//! The set is bounded. If there is no room for a place, the preparation that would hide accesses in
//! it is left to the next pass, which comes after all checks of the tick.

use kernel::prelude::*;

use crate::{
    cast::to_usize,
    mm::RecordId, //
};

/// The number of slots of the set, a power of two. A slot has 16 bytes.
const SLOTS: usize = 1 << SLOTS_SHIFT;
const SLOTS_SHIFT: u32 = 9;

/// A place in which accesses were cleared.
#[derive(Clone, Copy)]
struct Slot {
    /// The number of the pass. In another pass the slot is free.
    pass: u64,
    place: RecordId,
}

/// The accesses that a pass has cleared, and that its later checks have to find.
pub(crate) struct Hidden {
    /// The entry in which accesses were cleared last.
    entry: RecordId,
    /// Samples may be checked after a preparation, so that cleared accesses must be remembered.
    checks: bool,
    /// The set is not empty.
    any: bool,
    /// The number of the pass. The first one has number 1.
    pass: u64,
    /// The set, a place at the index that its hash has. Has [`SLOTS`] elements.
    slots: KVec<Slot>,
}

impl Hidden {
    /// Creates the state before the first pass. Fails with `ENOMEM`. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push_within_capacity(Slot {
                pass: 0,
                place: RecordId::NONE,
            })?;
        }
        Ok(Self {
            entry: RecordId::NONE,
            checks: false,
            any: false,
            pass: 0,
            slots,
        })
    }

    /// Starts a pass, in which nothing is hidden yet.
    pub(crate) fn begin_pass(&mut self) {
        self.entry = RecordId::NONE;
        self.any = false;
        self.pass = self.pass.wrapping_add(1);
    }

    /// Goes on with the next target. `checks`: the pass checks its samples.
    pub(crate) fn begin_target(&mut self, checks: bool) {
        self.checks = checks;
    }

    /// Returns whether accesses through this entry, or to its folio, are hidden. `folio` is called
    /// only if it matters.
    #[inline]
    pub(crate) fn young(&self, entry: RecordId, folio: impl FnOnce() -> RecordId) -> bool {
        self.entry == entry || self.any && (self.contains(entry) || self.contains(folio()))
    }

    /// Remembers an entry in which accesses were cleared. Preparations that have cleared nothing
    /// are not to be remembered, so that the previous one still is.
    #[inline]
    pub(crate) fn cleared(&mut self, entry: RecordId) {
        self.entry = entry;
    }

    /// Remembers a place that other samples look at and in which accesses are about to be cleared.
    /// Returns `false` if that is not possible. In this case they must not be cleared.
    #[inline(never)]
    pub(crate) fn hide(&mut self, place: RecordId) -> bool {
        if !self.checks {
            return true;
        }
        let Some(slot) = self.slots.get_mut(index(place)) else {
            return false;
        };
        if slot.pass == self.pass && slot.place != place {
            return false;
        }
        *slot = Slot {
            pass: self.pass,
            place,
        };
        self.any = true;
        true
    }

    fn contains(&self, place: RecordId) -> bool {
        self.slots
            .get(index(place))
            .is_some_and(|slot| slot.pass == self.pass && slot.place == place)
    }
}

/// Returns the index of the slot for a place.
fn index(place: RecordId) -> usize {
    to_usize(place.hash() >> (u64::BITS - SLOTS_SHIFT))
}

#[kunit_tests(damon_rs_ops_hidden)]
mod tests {
    use super::*;

    fn place(addr: usize) -> RecordId {
        RecordId::from_addr(addr)
    }

    fn folio(addr: usize) -> impl Fn() -> RecordId {
        move || place(addr)
    }

    fn started() -> Result<Hidden> {
        let mut hidden = Hidden::new()?;
        hidden.begin_pass();
        hidden.begin_target(true);
        Ok(hidden)
    }

    #[test]
    fn nothing_is_hidden_at_first() -> Result {
        assert!(!Hidden::new()?.young(place(0), folio(0)));
        assert!(!started()?.young(place(0), folio(0)));
        Ok(())
    }

    #[test]
    fn regions_in_one_huge_page() -> Result {
        let mut hidden = started()?;
        hidden.cleared(place(0x1000));
        assert!(hidden.young(place(0x1000), folio(0x40)));
        assert!(!hidden.young(place(0x1008), folio(0x40)));
        // The next one that was young replaces it, in this target or another one.
        hidden.begin_target(true);
        assert!(hidden.young(place(0x1000), folio(0x40)));
        hidden.cleared(place(0x1008));
        assert!(!hidden.young(place(0x1000), folio(0x40)));
        hidden.begin_pass();
        assert!(!hidden.young(place(0x1008), folio(0x40)));
        Ok(())
    }

    #[test]
    fn all_folios_of_a_pass() -> Result {
        let mut hidden = started()?;
        assert!(hidden.hide(place(0x40)) && hidden.hide(place(0x80)));
        // A second time changes nothing.
        assert!(hidden.hide(place(0x40)));
        assert!(hidden.young(place(0x1000), folio(0x40)));
        assert!(hidden.young(place(0x2000), folio(0x80)));
        assert!(!hidden.young(place(0x2000), folio(0xc0)));
        // Entries of shared tables are in the same set.
        assert!(hidden.hide(place(0x3000)));
        assert!(hidden.young(place(0x3000), folio(0xc0)));
        hidden.begin_pass();
        assert!(!hidden.young(place(0x1000), folio(0x40)));
        Ok(())
    }

    #[test]
    fn what_cannot_be_remembered_is_refused() -> Result {
        let mut hidden = started()?;
        let mut remembered = 0;
        for number in 0..2 * SLOTS {
            let addr = number * 0x40;
            let its = hidden.hide(place(addr));
            // What was refused is not hidden, and does not replace another one.
            assert_eq!(hidden.young(place(1), folio(addr)), its);
            remembered += usize::from(its);
        }
        assert!(remembered > SLOTS / 2 && remembered <= SLOTS);
        let found = (0..2 * SLOTS).filter(|n| hidden.young(place(1), folio(n * 0x40)));
        assert_eq!(found.count(), remembered);
        Ok(())
    }

    #[test]
    fn a_pass_without_checks_refuses_nothing() -> Result {
        let mut hidden = started()?;
        hidden.begin_target(false);
        assert!((0..2 * SLOTS).all(|number| hidden.hide(place(number * 0x40))));
        assert!(!hidden.young(place(1), folio(0x40)));
        Ok(())
    }
}
