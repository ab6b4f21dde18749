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
    LeafTable,
    PmdTable, //
};
use vma::{
    LockedVma,
    PageTables,
    Span, //
};

pub(super) use mapped::{
    Memory,
    ScanResult, //
};
pub(crate) use pte::{
    Aged,
    Entry, //
};
pub(super) use pte::{
    EntryWord,
    Frames, //
};
pub(super) use tables::{
    LinkedVma,
    PmdTableCache, //
};
pub(crate) use vma::Origin;

/// A cursor over the page tables of an address space. It holds the locks of its current position.
///
/// Between a call of [`at`](Self::at) and the next of [`drop_locks`](Self::drop_locks) the caller
/// must not sleep.
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
/// - `pmds`, `table` and `notifiers` were found while `vma` was locked, and belong to it. Their
///   lifetime says more than they hold for: they are replaced before `vma` is unlocked.
/// - `table` was locked for every address in `span`, all of which are in `vma`. If it is `None`,
///   nothing is mapped at these addresses.
pub(crate) struct Cursor<'mm> {
    mm: &'mm MmWithUser,
    /// The addresses for which `table` is the result of the look-up.
    span: Span,
    /// Declared before `vma`, so that it is dropped first.
    table: Option<LeafTable<'mm>>,
    /// The RCU read lock, acquired to look for a table and kept for the next ones.
    rcu: Option<rcu::Guard>,
    pmds: PmdTable<'mm>,
    frames: Frames,
    notifiers: Notifiers,
    vma: Option<LockedVma<'mm>>,
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
            pmds: PmdTable::NONE,
            frames: Frames::get(),
            notifiers: Notifiers::none(),
            vma: None,
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
        let table = self.table.as_ref()?;
        // SAFETY: `addr` is in `span`, so by the type invariants `table` was locked for it. The VMA
        // is one whose tables are walked, so it has no `VM_PFNMAP`. `notifiers` belongs to the same
        // address space.
        unsafe { Entry::new(table.leaf(addr), &self.frames, &self.notifiers) }
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
            if let (Some(_), Some(vma)) = (&self.table, &self.vma) {
                return Some((addr, vma.origin()));
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
        let mut pmd = self.pmds.entry(addr);
        if pmd.is_none() {
            self.span = Span::EMPTY;
            if !self.seek_pmd_table(addr) {
                return;
            }
            pmd = self.pmds.entry(addr);
        }
        let Some(pmd) = pmd else {
            return;
        };
        // INVARIANT: All addresses of the span have the same PMD entry and are in `vma`, because
        // those of the span of `pmds` are.
        self.span = Span::block(addr, c::PMD_SHIFT).intersection(self.pmds.span());
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        self.table = LeafTable::lock(pmd, &self.frames, rcu);
    }

    /// Moves to the PMD table of another address, and to another VMA if necessary. Returns `false`
    /// if there is none. `span` and `table` are set then: nothing is mapped, or the VMA is one of
    /// hugetlbfs.
    #[inline(never)]
    fn seek_pmd_table(&mut self, addr: usize) -> bool {
        if !matches!(&self.vma, Some(vma) if vma.span().contains(addr)) {
            // A thread that has the next VMA write-locked may wait for the current one.
            self.leave_vma();
            match LockedVma::lock(self.mm, addr) {
                Ok(vma) => {
                    // SAFETY: `self.mm` has users, so it stays valid. `vma` stays locked until
                    // `leave_vma()`, and the notifiers are replaced when another VMA is locked.
                    self.notifiers = unsafe { Notifiers::of(self.mm.as_raw()) };
                    self.vma = Some(vma);
                }
                Err(hole) => {
                    self.span = hole;
                    return false;
                }
            }
        }
        let Some(vma) = &self.vma else {
            return false;
        };
        // SAFETY: Only `pmds` and `table` are found with the result. `leave_vma()` replaces them
        // before it unlocks `vma`, and no other function does that. When the cursor is dropped,
        // `table` is dropped before `vma`, because it was declared before it.
        let none = match unsafe { vma.page_tables().extend() } {
            PageTables::Normal(tables) => match PmdTable::find(tables, addr) {
                Ok(pmds) => {
                    self.pmds = pmds;
                    return true;
                }
                Err(none) => none,
            },
            PageTables::HugeTlb(hugetlb) => {
                let (table, span) = LeafTable::lock_hugetlb(hugetlb, addr);
                // INVARIANT: The table was locked for all addresses of `span`, or there is none for
                // them.
                self.table = table;
                span
            }
            PageTables::PfnMap => vma.span(),
        };
        self.span = none.intersection(vma.span());
        false
    }

    /// Unlocks the current page table.
    fn leave_table(&mut self) {
        self.span = Span::EMPTY;
        self.table = None;
    }

    /// Unlocks the current VMA.
    fn leave_vma(&mut self) {
        self.leave_table();
        self.rcu = None;
        self.pmds = PmdTable::NONE;
        self.vma = None;
    }

    /// Releases all locks, so that the caller may sleep.
    pub(crate) fn leave(&mut self) {
        self.leave_vma();
    }

    /// Releases the locks that another thread may wait for, and calls `cond_resched()` if a
    /// reschedule is due. The caller must call this every few dozen addresses, without a lock of
    /// its own.
    pub(crate) fn drop_locks(&mut self) {
        // SAFETY: This reads a flag of the current thread.
        let preempt = || unsafe { bindings::damon_rs_helper_need_resched() };
        if self
            .vma
            .as_ref()
            .is_none_or(|vma| preempt() || vma.is_contended())
        {
            self.leave_vma();
            // SAFETY: `leave_vma()` has released the locks of the cursor and has left the RCU
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
