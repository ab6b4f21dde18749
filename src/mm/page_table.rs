// SPDX-License-Identifier: GPL-2.0

//! Accessed bits in the page tables of a process, for many addresses in ascending order.
//!
//! A single look-up has to find and lock the VMA, walk five levels of page tables and lock the last
//! one. A [`Cursor`] keeps the locked VMA, the PMD table (1 GiB of addresses) and the locked page
//! table at PTE level (2 MiB) until it moves to an address outside of them. A second sample in the
//! same page table costs little more than the load of its PTE.
//!
//! ```text
//!   addresses   ──x─────x──x───────────────x──────xx──x────────────────
//!   span         ├ PTE table ─┤├ hole ─ ─ ─ ─┤├ THP ┤├ PTE table ─┤
//! ```
//!
//! As in the in-tree DAMON, an entry has to be present and to map a folio. Zero pages, device
//! memory without folios and swapped-out memory count as not accessed. VMAs with `VM_PFNMAP` are
//! not walked. Outside of hugetlbfs, PUD entries that map memory are skipped.
//!
//! C headers: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h),
//! [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h)

use kernel::{
    bindings as c,
    mm::MmWithUser,
    page::PAGE_SIZE,
    sync::rcu, //
};

use crate::bindings;

mod hugetlb;
mod mapped;
mod pte;
mod tables;
mod vma;

use super::notifiers::Notifiers;
use tables::{
    Directory,
    LeafTable, //
};
use vma::{
    Area,
    AreaKind,
    Span, //
};

pub(super) use mapped::{
    KnownDirectory,
    Memory,
    Seen, //
};
pub(crate) use pte::{
    Entry,
    Forgotten, //
};
pub(super) use pte::{
    EntryWord,
    Frames, //
};
pub(crate) use vma::Origin;

/// A cursor over the page tables of an address space. It holds the locks of its current position.
///
/// Between a call of [`at`](Self::at) and the next of [`drop_locks`](Self::drop_locks) the caller must not
/// sleep.
///
/// # Lifetime of page tables
///
/// The kernel removes page tables in three ways:
///
/// - `munmap()` and the like free tables on all levels that serve no VMA any more
///   (`free_pgtables()`). The VMA is write-locked and taken out of the VMA tree before that.
///   `mremap()` moves tables of a VMA that it has write-locked.
/// - `exit_mmap()` frees all tables when `mm_users` has become zero.
/// - A page table at PTE level may be removed at any time because it is empty (`zap_pte_range()`)
///   or because its range is collapsed into a huge page. Its lock is held for that, and it is freed
///   after an RCU grace period. `collapse_huge_page()` is different, see [`LeafTable::lock`].
///
/// The cursor accesses page tables only inside of a VMA that it holds locked for reading, and the
/// address space has users. This excludes the first two ways. Against the third, [`LeafTable`]
/// looks for the table under RCU and checks the PMD entry again after it has locked the table. A
/// locked table stays in place, so RCU is not needed any more.
///
/// An rmap lock excludes the first two ways as well: a VMA is unlinked from the reverse mapping
/// before its tables are freed, and tables are moved with the rmap lock held for writing.
///
/// # Invariants
///
/// - `directory` and `notifiers` were found while `area` was locked, and belong to it. All
///   addresses in the span of `directory` are in `area`. An empty span means that no PMD table is
///   known.
/// - `table` was locked for every address in `span`, all of which are in `area`. If it is `None`,
///   nothing is mapped at these addresses.
pub(crate) struct Cursor<'mm> {
    mm: &'mm MmWithUser,
    /// The addresses for which `table` is the result of the look-up.
    span: Span,
    /// Declared before `area`, so that it is dropped first.
    table: Option<LeafTable>,
    /// The RCU read lock, acquired to look for a table and kept for the next ones.
    rcu: Option<rcu::Guard>,
    directory: Directory,
    frames: Frames,
    notifiers: Notifiers,
    area: Option<Area<'mm>>,
}

impl<'mm> Cursor<'mm> {
    /// Creates a cursor without a position.
    pub(crate) fn new(mm: &'mm MmWithUser) -> Self {
        // INVARIANT: The spans are empty, and nothing is locked.
        Self {
            mm,
            span: Span::EMPTY,
            table: None,
            rcu: None,
            directory: Directory::UNKNOWN,
            frames: Frames::get(),
            notifiers: Notifiers::none(),
            area: None,
        }
    }

    /// Returns the entry that maps an address, `None` if no folio is mapped there.
    ///
    /// Sleeps only to move to another VMA, while another thread has that VMA write-locked; the
    /// current one is unlocked before. If no page table is found for an address, the cursor may not
    /// notice a new one before [`drop_locks`](Self::drop_locks).
    #[inline]
    pub(crate) fn at(&mut self, addr: usize) -> Option<Entry<'_>> {
        if !self.span.contains(addr) {
            self.seek(addr);
        }
        let leaf = self.table.as_ref()?.leaf(addr);
        // SAFETY: `addr` is in `span`, so by the type invariants `leaf` is its entry in a table
        // that is locked. The result borrows the cursor, so the table stays locked as long.
        // `notifiers` belongs to the same address space.
        unsafe { Entry::new(leaf, &self.frames, &self.notifiers) }
    }

    /// Returns the first address from `addr` on at which a page table exists, and the origin of its
    /// VMA. `None` if there is none below `end`.
    ///
    /// Skips whole tables and VMAs. May sleep as [`at`](Self::at), and calls
    /// [`drop_locks`](Self::drop_locks).
    pub(crate) fn skip(&mut self, mut addr: usize, end: usize) -> Option<(usize, Origin)> {
        while addr < end {
            if !self.span.contains(addr) {
                self.seek(addr);
            }
            if let (Some(_), Some(area)) = (&self.table, &self.area) {
                return Some((addr, area.origin()));
            }
            let next = self.span.end()?;
            // Go on by one page at least, also if the span does not cover the rest of the page.
            addr = next.max(page_end(addr)?);
            self.drop_locks();
        }
        None
    }

    /// Moves to the page table of another address.
    #[inline(never)]
    fn seek(&mut self, addr: usize) {
        self.table = None;
        if !self.directory.span().contains(addr) {
            self.span = Span::EMPTY;
            if !self.seek_directory(addr) {
                return;
            }
        }
        // INVARIANT: All addresses of the span have the same PMD entry and are in `area`, because
        // those of the span of `directory` are.
        self.span = Span::block(addr, c::PMD_SHIFT).intersection(self.directory.span());
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        let mm = self.mm.as_raw();
        // SAFETY: The address is in the span of `directory`, so by the type invariants it is in
        // `area`, which is locked. `table` is dropped before `area`.
        self.table = unsafe { LeafTable::lock(mm, &self.directory, &self.frames, addr, rcu) };
    }

    /// Moves to the PMD table of another address, and to another VMA if necessary. Returns `false`
    /// if there is none. `span` and `table` are set then: nothing is mapped, or the VMA is one of
    /// hugetlbfs.
    #[inline(never)]
    fn seek_directory(&mut self, addr: usize) -> bool {
        if !matches!(&self.area, Some(area) if area.span().contains(addr)) {
            // A thread that has the next VMA write-locked may wait for the current one.
            self.leave_area();
            match Area::lock(self.mm, addr) {
                Ok(area) => {
                    // SAFETY: `self.mm` has users, so it stays valid. `area` stays locked until
                    // `leave_area()`, and the notifiers are replaced when another VMA is locked.
                    self.notifiers = unsafe { Notifiers::of(self.mm.as_raw()) };
                    self.area = Some(area);
                }
                Err(hole) => {
                    self.span = hole;
                    return false;
                }
            }
        }
        let Some(area) = &self.area else {
            return false;
        };
        let none = match area.kind() {
            // SAFETY: `addr` is in `area`, which is locked. `leave_area()` resets `directory`
            // before it unlocks `area`.
            AreaKind::Usual => match unsafe { Directory::find(self.mm.as_raw(), addr) } {
                Ok(directory) => {
                    // INVARIANT: `area` is locked, and the span is limited to its addresses.
                    self.directory = directory.within(area.span());
                    return true;
                }
                Err(none) => none,
            },
            AreaKind::HugeTlb { shift } => {
                // SAFETY: `area` is a locked VMA of this mm, and of hugetlbfs with pages of this
                // size. `table` is dropped before `area`.
                let (table, span) = unsafe { LeafTable::lock_hugetlb(self.mm, area, addr, shift) };
                // INVARIANT: The table was locked for all addresses of `span`, or there is none for
                // them.
                self.table = table;
                span
            }
            AreaKind::Foreign => area.span(),
        };
        self.span = none.intersection(area.span());
        false
    }

    /// Unlocks the current page table.
    fn leave_table(&mut self) {
        self.span = Span::EMPTY;
        self.table = None;
    }

    /// Unlocks the current VMA.
    fn leave_area(&mut self) {
        self.leave_table();
        self.rcu = None;
        self.directory = Directory::UNKNOWN;
        self.area = None;
    }

    /// Releases all locks, so that the caller may sleep.
    pub(crate) fn leave(&mut self) {
        self.leave_area();
    }

    /// Releases the locks that another thread may wait for, and calls `cond_resched()` if a
    /// reschedule is due. The caller must call this every few dozen addresses, without a lock of
    /// its own.
    pub(crate) fn drop_locks(&mut self) {
        // SAFETY: This reads a flag of the current thread.
        let preempt = || unsafe { bindings::damon_rs_helper_need_resched() };
        if self
            .area
            .as_ref()
            .is_none_or(|area| preempt() || area.is_contended())
        {
            self.leave_area();
            // SAFETY: `leave_area()` has released the locks of the cursor and has left the RCU
            // read-side critical section. The caller holds no lock.
            unsafe { bindings::damon_rs_helper_cond_resched() };
            return;
        }
        match &self.table {
            Some(table) if !table.is_brief() && !table.is_contended() => {}
            _ => self.leave_table(),
        }
        // Waiters for a grace period cannot be detected, so always leave the RCU read-side critical
        // section.
        self.rcu = None;
    }
}

/// Returns the address after the page that contains `addr`, `None` if that is the last page.
fn page_end(addr: usize) -> Option<usize> {
    (addr | (PAGE_SIZE - 1)).checked_add(1)
}
