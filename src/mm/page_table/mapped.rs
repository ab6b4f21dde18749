// SPDX-License-Identifier: GPL-2.0

//! The page table entries of a VMA that map a folio, for rmap walks.
//!
//! In the kernel, `page_vma_mapped_walk()` finds them. It checks for each kind of mapping at each
//! step, and returns one entry at a time. This file handles only the kinds that map nearly all
//! memory: present PTEs, and PMD entries of transparent huge pages. At any other entry it returns
//! [`ScanResult::NotAll`], and the caller has to use `page_vma_mapped_walk()`.

use kernel::{
    bindings as c,
    page::{
        PAGE_MASK,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::rcu, //
};

use super::{
    pte::{
        EntryWord,
        Frames, //
    },
    tables::{
        LeafTable,
        LinkedVma, //
    }, //
};

/// The result of a scan of page table entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::mm) enum ScanResult {
    /// All entries were visited.
    All,
    /// The visitor has stopped the scan.
    Enough,
    /// The scan has found an entry that only `page_vma_mapped_walk()` handles: one that is not
    /// present, and may be the device-private entry of a page of the folio. Any number of entries
    /// were visited before.
    NotAll,
}

/// The physical memory of a folio that is not a hugetlb folio, as page table entries name it.
#[derive(Clone, Copy)]
pub(in crate::mm) struct Memory<'a> {
    frames: &'a Frames,
    /// The physical address of the first byte.
    start: usize,
    /// The size in bytes.
    size: usize,
}

impl<'a> Memory<'a> {
    /// Returns the memory of a folio of `size` bytes. `None` if entries do not contain the physical
    /// address, as on Xen PV, where they contain that of the host.
    #[inline]
    pub(in crate::mm) fn of(folio: *mut c::folio, size: usize, frames: &'a Frames) -> Option<Self> {
        Some(Self {
            frames,
            start: frames.address_of(folio.cast())?,
            size,
        })
    }

    /// Returns whether a physical address is in this memory.
    #[inline]
    fn contains(&self, page: usize) -> bool {
        page.wrapping_sub(self.start) < self.size
    }

    /// Returns whether a block of physical memory, which a PMD entry maps, overlaps this memory.
    #[inline]
    fn overlaps(&self, start: usize, size: usize) -> bool {
        start.wrapping_sub(self.start) < self.size || self.start.wrapping_sub(start) < size
    }

    /// Calls `visit` for each entry for the addresses of `vma` that maps this memory, as long as it
    /// returns `true`. The arguments are the entry, the address that it is for and the size of the
    /// block that it maps, in bytes. The lock of the page table is held during the call, so `visit`
    /// must not sleep.
    ///
    /// Does not sleep. The thread must hold no page table lock.
    #[inline]
    pub(in crate::mm) fn entries(
        &self,
        mut vma: LinkedVma<'_>,
        mut visit: impl FnMut(&EntryWord<'_>, usize, usize) -> bool,
    ) -> ScanResult {
        let (mut at, end) = vma.bounds();
        while at < end {
            // SAFETY: `at` is in the bounds: it starts with the first address and only grows.
            let pmd = match unsafe { vma.pmd_entry(at) } {
                Ok(pmd) => pmd,
                Err(none) => {
                    let Some(next) = none.end() else {
                        return ScanResult::All;
                    };
                    at = next;
                    continue;
                }
            };
            // The address after the last page with the same PMD entry.
            let next = (at | ((1 << c::PMD_SHIFT) - 1)).saturating_add(1).min(end);
            let rcu = rcu::read_lock();
            if let Some(table) = LeafTable::lock(pmd, self.frames, &rcu) {
                // SAFETY: The table was locked for `at`.
                let leaf = unsafe { table.leaf(at) };
                let result = if leaf.mask == PAGE_MASK {
                    // SAFETY: The addresses up to `next` have the same PMD entry as `at`, so their
                    // PTEs are in this table from `leaf.entry` on, and the table is locked for
                    // them.
                    unsafe { self.ptes(leaf.entry, at, next, &mut visit) }
                } else {
                    // SAFETY: This is the PMD entry of all addresses up to `next`, and the table is
                    // locked for them.
                    unsafe { self.pmd(leaf.entry, at, &mut visit) }
                };
                if result != ScanResult::All {
                    return result;
                }
            }
            at = next;
        }
        ScanResult::All
    }

    /// Visits those of a row of PTEs that map this memory. The first PTE is that of `addr`.
    ///
    /// # Safety
    ///
    /// The PTEs for the addresses from `addr` to `end` must be in one page table, from `first` on.
    /// The lock of this table must be held.
    #[inline]
    unsafe fn ptes(
        &self,
        first: *mut usize,
        addr: usize,
        end: usize,
        visit: &mut impl FnMut(&EntryWord<'_>, usize, usize) -> bool,
    ) -> ScanResult {
        let (mut entry, mut at) = (first, addr);
        while at < end {
            // SAFETY: By the safety requirements `entry` is a PTE of a table that is locked.
            let word = unsafe { EntryWord::read(entry) };
            if word.is_present() {
                if self.contains(self.frames.address(&word)) && !visit(&word, at, PAGE_SIZE) {
                    return ScanResult::Enough;
                }
            } else if word.value() != 0 {
                return ScanResult::NotAll;
            }
            entry = entry.wrapping_add(1);
            at = at.saturating_add(PAGE_SIZE);
        }
        ScanResult::All
    }

    /// Visits a PMD entry if it maps this memory.
    ///
    /// # Safety
    ///
    /// `entry` must point to the PMD entry of `addr`, which does not point to a page table. The
    /// lock of the PMD table must be held.
    #[inline]
    unsafe fn pmd(
        &self,
        entry: *mut usize,
        addr: usize,
        visit: &mut impl FnMut(&EntryWord<'_>, usize, usize) -> bool,
    ) -> ScanResult {
        const SIZE: usize = 1 << c::PMD_SHIFT;
        // SAFETY: By the safety requirements `entry` is a PMD entry of a table that is locked.
        let word = unsafe { EntryWord::read(entry) };
        if !word.is_present() {
            return ScanResult::NotAll;
        }
        // The lowest bits of the result are flags.
        let start = self.frames.address(&word) & !(SIZE - 1);
        if self.overlaps(start, SIZE) && !visit(&word, addr, SIZE) {
            return ScanResult::Enough;
        }
        ScanResult::All
    }
}

#[kunit_tests(damon_rs_mm_mapped)]
mod tests {
    use super::{
        super::pte::{
            PRESENT,
            PROTNONE, //
        },
        *, //
    };

    const PAGE: usize = PAGE_SIZE;
    const NX: usize = 1 << 63;
    const ADDR: usize = 0x7f00_0000_0000;

    /// Scans entries for the pages with the PFNs 2 and 3, and stops after `most` visits. Returns
    /// the result, the visited addresses relative to `ADDR`, and their number.
    fn look(mut entries: [usize; 4], most: usize) -> (ScanResult, [usize; 4], usize) {
        let frames = Frames::example();
        let memory = Memory {
            frames: &frames,
            start: 2 * PAGE,
            size: 2 * PAGE,
        };
        let (mut found, mut count) = ([0; 4], 0);
        let mut visit = |_: &EntryWord<'_>, addr: usize, size: usize| {
            assert_eq!(size, PAGE);
            if let Some(place) = found.get_mut(count) {
                *place = addr - ADDR;
            }
            count += 1;
            count < most
        };
        // SAFETY: `entries` is a local array with one entry for each page of the address range. No
        // other thread accesses it.
        let result = unsafe {
            memory.ptes(
                entries.as_mut_ptr(),
                ADDR,
                ADDR + entries.len() * PAGE,
                &mut visit,
            )
        };
        (result, found, count)
    }

    #[test]
    fn entries_that_map_a_folio() {
        let page = |number: usize| number * PAGE | PRESENT | NX;
        let entries = [page(1), page(3), 0, page(2)];
        assert_eq!(
            look(entries, 9),
            (ScanResult::All, [PAGE, 3 * PAGE, 0, 0], 2)
        );
        assert_eq!(look(entries, 1), (ScanResult::Enough, [PAGE, 0, 0, 0], 1));
        assert_eq!(
            look([0, page(1), page(4), 0], 9),
            (ScanResult::All, [0; 4], 0)
        );
    }

    #[test]
    fn prot_none_entries_are_visited() {
        // Their address bits are inverted.
        let page = |number: usize| !(number * PAGE) & Frames::example().mask() | PROTNONE;
        assert_eq!(
            look([page(1), page(2), page(3), page(4)], 9),
            (ScanResult::All, [PAGE, 2 * PAGE, 0, 0], 2)
        );
    }

    #[test]
    fn entries_without_memory_end_the_scan() {
        let page = |number: usize| number * PAGE | PRESENT;
        assert_eq!(
            look([page(2), 0x1234 << 14, page(3), 0], 9),
            (ScanResult::NotAll, [0; 4], 1)
        );
    }

    #[test]
    fn memory_that_overlaps() {
        let frames = Frames::example();
        let memory = |start, size| Memory {
            frames: &frames,
            start,
            size,
        };
        assert!(memory(2 * PAGE, PAGE).overlaps(0, 4 * PAGE));
        assert!(memory(0, 4 * PAGE).overlaps(3 * PAGE, PAGE));
        assert!(!memory(0, 4 * PAGE).overlaps(4 * PAGE, PAGE));
        assert!(!memory(4 * PAGE, PAGE).overlaps(0, 4 * PAGE));
    }
}
