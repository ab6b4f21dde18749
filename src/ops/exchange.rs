// SPDX-License-Identifier: GPL-2.0

//! Accesses that one kdamond has cleared and another one has yet to find.
//!
//! Two kdamonds may monitor the same memory. Each clears accessed bits that the other one has not
//! checked yet:
//!
//! ```text
//!   kdamond 1     prepares                        checks: not accessed
//!   process                   accesses
//!   kdamond 2                           prepares
//! ```
//!
//! A kdamond therefore records in a table of all kdamonds where it has cleared accesses, with a
//! number that counts up. A check that finds no access looks for a record that is later than the
//! preparation of its sample. The access came between the two: the sample's preparation had cleared
//! all earlier ones.
//!
//! Where kdamonds look for accesses, and which records they make and use:
//!
//! | kdamond           | clears                 | records            | looks for      |
//! | ----------------- | ---------------------- | ------------------ | -------------- |
//! | virtual addresses | an entry               | the entry, a part  | the entry, the |
//! |                   |                        | of the folio       | folio          |
//! |                   | the idle flag, if      | the folio          |                |
//! |                   | others look at it      |                    |                |
//! | physical memory   | all entries of a folio | the entries, a     | the folio, a   |
//! |                   |                        | part of the folio  | part of it     |
//! |                   | the idle flag          | the folio          |                |
//!
//! The table has a fixed size, and a record replaces another one at the same index. An access may
//! thus be missed, as without the table. A record of another place is taken for that of a sample
//! with a probability of about 2^-16. A sample's preparation is dated back to the start of its
//! pass: an access that another kdamond clears in between counts for this sample too.
//!
//! A kdamond that is alone makes no record.
//!
//! The lock under which a place is looked at orders a record after the clearing, and before the
//! check that finds the place cleared. All atomic operations can therefore be relaxed.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

use crate::{
    cast::to_usize,
    mm::RecordId, //
};

/// The number of slots, a power of two. All have 128 KiB.
const SLOTS: usize = 1 << SLOTS_SHIFT;
const SLOTS_SHIFT: u32 = 14;

/// The records of all kdamonds.
static RECORDS: Records = Records::new();

/// A place in which accesses were cleared.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// A page table entry, or the idle flag of a folio.
    Whole(RecordId),
    /// Any entry that maps this folio or a part of it.
    PartOf(RecordId),
}

impl Place {
    fn hash(self) -> u64 {
        match self {
            Self::Whole(place) => place.hash(),
            // Folios are aligned, so that the lowest bit of their addresses is free.
            Self::PartOf(folio) => RecordId::from_addr(folio.addr() | 1).hash(),
        }
    }
}

/// A record in 64 bits: 16 of the hash of the place, the number of the observer, which is zero for
/// a filter, and the lowest bits of the number of the record. An empty slot is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Record(u64);

impl Record {
    const OBSERVER_SHIFT: u32 = 40;
    const PLACE_SHIFT: u32 = 48;
    const NUMBER_MASK: u64 = (1 << Self::OBSERVER_SHIFT) - 1;

    fn new(hash: u64, observer: u8, number: u64) -> Self {
        let place = (hash >> (u64::BITS - SLOTS_SHIFT - 16)) << Self::PLACE_SHIFT;
        let observer = u64::from(observer) << Self::OBSERVER_SHIFT;
        Self(place | observer | number & Self::NUMBER_MASK)
    }

    /// Returns whether another observer than that of `since` has made this record of the place of
    /// `since`, and later. Numbers wrap, so a record counts as later than one that is at most 2^39
    /// numbers before it.
    fn is_news(self, since: Self) -> bool {
        let changed = self.0 ^ since.0;
        let later = self.0.wrapping_sub(since.0) & Self::NUMBER_MASK;
        self.0 != 0
            && changed >> Self::PLACE_SHIFT == 0
            && changed >> Self::OBSERVER_SHIFT != 0
            && later != 0
            && later <= Self::NUMBER_MASK / 2
    }
}

/// A table of records.
struct Records {
    slots: [Atomic<u64>; SLOTS],
    /// The number of records that were made.
    made: Atomic<u64>,
    /// The number of observers that were created.
    created: Atomic<u64>,
    /// The number of observers that exist.
    observers: Atomic<u64>,
}

impl Records {
    const fn new() -> Self {
        Self {
            slots: [const { Atomic::new(0) }; SLOTS],
            made: Atomic::new(0),
            created: Atomic::new(0),
            observers: Atomic::new(0),
        }
    }

    /// Adds a record, unless there is only one observer.
    fn add(&self, observer: u8, place: Place) {
        if !self.are_shared() {
            return;
        }
        let hash = place.hash();
        let number = self.made.fetch_add(1, Relaxed).wrapping_add(1);
        if let Some(slot) = self.slot(hash) {
            slot.store(Record::new(hash, observer, number).0, Relaxed);
        }
    }

    /// Returns whether there is more than one observer.
    fn are_shared(&self) -> bool {
        self.observers.load(Relaxed) > 1
    }

    fn slot(&self, hash: u64) -> Option<&Atomic<u64>> {
        let index = hash >> (u64::BITS - SLOTS_SHIFT);
        self.slots.get(to_usize(index))
    }
}

/// The view of one kdamond on the records.
pub(super) struct Observer {
    records: &'static Records,
    /// Identifies the observer. Two of 255 that exist at the same time may have the same number;
    /// they do not find each other's records.
    id: u8,
    /// There are other observers.
    any_other: bool,
    /// The number of records at the start of this pass.
    now: u64,
    /// That at the start of the last pass that has prepared samples. `None` if there was none, or
    /// if there was no other observer.
    latest: Option<u64>,
    /// That at the start of the pass that has prepared the samples which this pass checks.
    prepared: Option<u64>,
}

impl Observer {
    /// Creates an observer, which exists for the others from now on.
    pub(super) fn new() -> Self {
        Self::of(&RECORDS)
    }

    fn of(records: &'static Records) -> Self {
        records.observers.fetch_add(1, Relaxed);
        // The remainder is less than 255.
        let id = records.created.fetch_add(1, Relaxed) % 255;
        Self {
            records,
            id: u8::try_from(id).unwrap_or(0).saturating_add(1),
            any_other: false,
            now: 0,
            latest: None,
            prepared: None,
        }
    }

    /// Starts a pass.
    pub(super) fn begin_pass(&mut self) {
        self.any_other = self.records.are_shared();
        self.now = self.records.made.load(Relaxed);
        if let Some(latest) = self.latest.take() {
            self.prepared = Some(latest);
        }
    }

    /// Continues the pass with the next target. `prepares`: the pass prepares samples.
    pub(super) fn begin_target(&mut self, prepares: bool) {
        if !self.any_other {
            self.prepared = None;
        } else if prepares {
            self.latest = Some(self.now);
        }
    }

    /// Returns whether there are other observers.
    #[inline]
    pub(super) fn any_other(&self) -> bool {
        self.any_other
    }

    /// Returns whether another kdamond has cleared accesses in one of two places since the samples
    /// were prepared. The caller must have looked for accesses in these places before.
    #[inline(never)]
    pub(super) fn found(&self, places: [Place; 2]) -> bool {
        let Some(prepared) = self.prepared else {
            return false;
        };
        places.into_iter().any(|place| {
            let hash = place.hash();
            let since = Record::new(hash, self.id, prepared);
            let slot = self.records.slot(hash);
            slot.is_some_and(|slot| Record(slot.load(Relaxed)).is_news(since))
        })
    }

    /// Records that accesses in a place were cleared, or are about to be cleared. A caller that
    /// holds the lock under which others look at the place must make the record before it releases
    /// the lock.
    #[inline(never)]
    pub(super) fn cleared(&self, place: Place) {
        self.records.add(self.id, place);
    }
}

/// Records that a filter has cleared accesses in a place. The kdamond that applies the filter has
/// no samples that are prepared and not yet checked, so that only others find the record.
pub(super) fn cleared_by_filter(place: Place) {
    RECORDS.add(0, place);
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.records.observers.fetch_sub(1, Relaxed);
    }
}

#[kunit_tests(damon_rs_ops_exchange)]
mod tests {
    use super::*;

    fn whole(addr: usize) -> Place {
        Place::Whole(RecordId::from_addr(addr))
    }

    fn part(addr: usize) -> Place {
        Place::PartOf(RecordId::from_addr(addr))
    }

    /// Starts a pass that prepares all samples again.
    fn pass(observer: &mut Observer) {
        observer.begin_pass();
        observer.begin_target(true);
    }

    #[test]
    fn an_access_that_another_kdamond_has_cleared() {
        static TABLE: Records = Records::new();
        let (mut one, mut other) = (Observer::of(&TABLE), Observer::of(&TABLE));
        pass(&mut one);
        pass(&mut other);
        other.cleared(whole(0x1000));
        // The samples of this pass are the first ones.
        assert!(!one.found([whole(0x1000), whole(0x40)]));
        pass(&mut one);
        assert!(one.found([whole(0x1000), whole(0x40)]));
        assert!(one.found([whole(0x40), whole(0x1000)]));
        assert!(!one.found([whole(0x1008), part(0x1000)]));
        // It is older than the samples that were prepared since.
        pass(&mut one);
        assert!(!one.found([whole(0x1000), whole(0x40)]));
    }

    #[test]
    fn no_record_of_its_own() {
        static TABLE: Records = Records::new();
        let (mut one, mut other) = (Observer::of(&TABLE), Observer::of(&TABLE));
        pass(&mut one);
        pass(&mut other);
        one.cleared(part(0x40));
        pass(&mut one);
        pass(&mut other);
        assert!(!one.found([part(0x40), whole(0x40)]));
        assert!(other.found([part(0x40), whole(0x40)]));
    }

    #[test]
    fn passes_that_only_check_or_only_prepare() {
        static TABLE: Records = Records::new();
        let (mut one, other) = (Observer::of(&TABLE), Observer::of(&TABLE));
        pass(&mut one);
        other.cleared(whole(0x1000));
        one.begin_pass();
        one.begin_target(false);
        assert!(one.found([whole(0x1000), whole(0x40)]));
        // The second pass of the tick prepares.
        pass(&mut one);
        pass(&mut one);
        assert!(!one.found([whole(0x1000), whole(0x40)]));
    }

    #[test]
    fn a_kdamond_that_is_alone() {
        static TABLE: Records = Records::new();
        let mut one = Observer::of(&TABLE);
        pass(&mut one);
        assert!(!one.any_other());
        let other = Observer::of(&TABLE);
        other.cleared(whole(0x1000));
        // The samples were prepared before the other one was known.
        pass(&mut one);
        assert!(one.any_other() && !one.found([whole(0x1000), whole(0x40)]));
        drop(other);
        pass(&mut one);
        assert!(!one.any_other() && !one.found([whole(0x1000), whole(0x40)]));
    }

    #[test]
    fn numbers_wrap() {
        let record = |observer, number| Record::new(u64::MAX, observer, number);
        let last = Record::NUMBER_MASK;
        assert!(record(2, last.wrapping_add(1)).is_news(record(1, last)));
        assert!(!record(2, last).is_news(record(1, last.wrapping_add(1))));
        assert!(!record(2, last).is_news(record(1, last)));
        assert!(!Record(0).is_news(Record::new(0, 1, last)));
        // All bits of the number are in use, and no others.
        assert_eq!(record(255, last).0, u64::MAX);
        assert_eq!(Record::new(0, 0, last).0, last);
    }
}
