// SPDX-License-Identifier: GPL-2.0

//! Accessed bits in the page table of a process, for many addresses in ascending order.
//!
//! Looking at one address costs a search for its area and a lock of it, a walk down five levels of
//! tables and a lock of the last one. A [`Cursor`] pays for each of them only when it leaves what
//! it has: it keeps the area, remembers the directory (the table of PMD entries, 1 GiB) and stays
//! in the leaf table (2 MiB), locked, until it is asked for an address elsewhere. Two samples in
//! one table cost little more than the load of their entries.
//!
//! ```text
//!   addresses   ──x─────x──x───────────────x──────xx──x────────────────
//!   span         ├ leaf table ┤├ hole ─ ─ ─ ─┤├ THP ┤├ leaf table ┤
//! ```
//!
//! What is seen of an entry follows the rules of the C DAMON: it must be present and map a folio
//! that belongs to the process, so that the zero pages, device memory without folios and anything
//! swapped out count as not accessed. Areas of `VM_PFNMAP` are not looked into, and neither are
//! mappings as big as a PUD outside of hugetlbfs.
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

mod area;
mod directory;
mod entry;
mod frames;
mod hugetlb;
mod leaf;
mod mapped;
mod span;
mod word;

use super::notifiers::Notifiers;
use area::{
    Area,
    AreaKind, //
};
use directory::Directory;
use leaf::LeafTable;
use span::Span;

pub(crate) use area::Origin;
pub(crate) use entry::{
    Entry,
    Forgotten, //
};
pub(super) use frames::Frames;
pub(super) use mapped::{
    KnownDirectory,
    Memory,
    Seen, //
};
pub(super) use word::EntryWord;

/// A place in the page table of an address space, which it keeps locked.
///
/// Between a call of [`at`](Self::at) and the next of [`relax`](Self::relax) the caller must not
/// sleep.
///
/// # Why what it reads is there
///
/// Tables are taken out of a page table in three ways. Those of a range that is unmapped, together
/// with the tables above them, once no area in the VMA tree needs them; an area is taken out of the
/// tree, and moved, only when nobody else has a lock of it. Those of an address space that ends,
/// once it has no users. And single leaf tables at any time, to collapse what they map or because
/// they are empty: under the lock of the leaf table, and freed by RCU.
///
/// The cursor walks only inside of an area that it has locked, of an address space that has users.
/// (A reverse mapping's lock does the same: an area is taken out of it before its tables are, and
/// whole tables are moved under that lock.)
/// This leaves the third way: for that, tables are looked for under RCU, and [`LeafTable`] looks
/// again after locking. A table that is locked stays in place without RCU.
///
/// # Invariants
///
/// - `directory` and `notifiers` were found while `area` was locked, and belong to it: all addresses
///   that the directory is for are in the area. Empty spans stand for nothing known.
/// - `table` was locked for every address of `span`, all of which are in `area`. Where it is `None`,
///   nothing is mapped at these addresses.
pub(crate) struct Cursor<'mm> {
    mm: &'mm MmWithUser,
    /// Where `table` is all that needs to be known.
    span: Span,
    /// Declared before the area because it is dropped in this order.
    table: Option<LeafTable>,
    /// Taken to look for a table, and kept for the next ones.
    rcu: Option<rcu::Guard>,
    directory: Directory,
    frames: Frames,
    notifiers: Notifiers,
    area: Option<Area<'mm>>,
}

impl<'mm> Cursor<'mm> {
    /// A cursor that is nowhere yet.
    pub(crate) fn new(mm: &'mm MmWithUser) -> Self {
        // INVARIANT: Nothing is known.
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

    /// What is mapped at an address, `None` if that is nothing that could be accessed.
    ///
    /// Sleeps, if it has to leave the area, until a thread that changes the next one is done. Where
    /// an address has no entry, the cursor may not notice that it gets one until
    /// [`relax`](Self::relax).
    #[inline]
    pub(crate) fn at(&mut self, addr: usize) -> Option<Entry<'_>> {
        if !self.span.contains(addr) {
            self.seek(addr);
        }
        let leaf = self.table.as_ref()?.leaf(addr);
        // SAFETY: `addr` is in `span`, so this is its entry in a table that is locked as long as
        // `table` stays as it is, and that is as long as the cursor is borrowed.
        unsafe { Entry::new(leaf, &self.frames, &self.notifiers) }
    }

    /// The first address from `addr` on where [`at`](Self::at) may find something, and where the
    /// area begins that it is in. `None` if there is nothing before `end`.
    ///
    /// As quick as tables and areas are skipped, and sleeps as `at` does.
    pub(crate) fn skip(&mut self, mut addr: usize, end: usize) -> Option<(usize, Origin)> {
        while addr < end {
            if !self.span.contains(addr) {
                self.seek(addr);
            }
            if let (Some(_), Some(area)) = (&self.table, &self.area) {
                return Some((addr, area.origin()));
            }
            let next = self.span.end()?;
            // Also where it is not known for how long there is nothing.
            addr = next.max(page_end(addr)?);
            self.relax();
        }
        None
    }

    /// Goes to another table.
    #[inline(never)]
    fn seek(&mut self, addr: usize) {
        self.table = None;
        if !self.directory.span().contains(addr) {
            self.span = Span::EMPTY;
            if !self.seek_directory(addr) {
                return;
            }
        }
        // INVARIANT: These addresses have the same PMD entry.
        self.span = Span::block(addr, c::PMD_SHIFT).intersection(self.directory.span());
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        let mm = self.mm.as_raw();
        // SAFETY: The address is in the directory, thus by the type invariants in an area that is
        // locked. The table is left before the area is.
        self.table = unsafe { LeafTable::lock(mm, &self.directory, &self.frames, addr, rcu) };
    }

    /// Goes to another directory, and to another area if need be. `false` if there is none for the
    /// address: then all is known of the addresses around it.
    #[inline(never)]
    fn seek_directory(&mut self, addr: usize) -> bool {
        if !matches!(&self.area, Some(area) if area.span().contains(addr)) {
            // Whoever changes the next area may be waiting for this one.
            self.leave_area();
            match Area::lock(self.mm, addr) {
                Ok(area) => {
                    // SAFETY: The mm has users. The area is locked, and the notifiers are forgotten
                    // when another one is.
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
            // SAFETY: The address is in the area, and the directory is forgotten when the area is
            // left.
            AreaKind::Usual => match unsafe { Directory::find(self.mm.as_raw(), addr) } {
                Ok(directory) => {
                    // INVARIANT: The area is locked.
                    self.directory = directory.within(area.span());
                    return true;
                }
                Err(none) => none,
            },
            AreaKind::HugeTlb { shift } => {
                // SAFETY: The area is one of this mm, and the table is left before the area is.
                let (table, span) = unsafe { LeafTable::lock_hugetlb(self.mm, area, addr, shift) };
                // INVARIANT: That is the table, or there is none, for all these addresses.
                self.table = table;
                span
            }
            AreaKind::Foreign => area.span(),
        };
        self.span = none.intersection(area.span());
        false
    }

    /// Unlocks the current table.
    fn leave_table(&mut self) {
        self.span = Span::EMPTY;
        self.table = None;
    }

    /// Unlocks the current area.
    fn leave_area(&mut self) {
        self.leave_table();
        self.rcu = None;
        self.directory = Directory::UNKNOWN;
        self.area = None;
    }

    /// Unlocks everything, so that the caller may sleep.
    pub(crate) fn leave(&mut self) {
        self.leave_area();
    }

    /// Gives way to whoever waits for what the cursor holds. To be called every few dozen
    /// addresses.
    pub(crate) fn relax(&mut self) {
        // SAFETY: This looks at the current thread.
        let preempt = || unsafe { bindings::damon_rs_helper_need_resched() };
        if self
            .area
            .as_ref()
            .is_none_or(|area| preempt() || area.is_contended())
        {
            self.leave_area();
            // SAFETY: No lock is held any longer.
            unsafe { bindings::damon_rs_helper_cond_resched() };
            return;
        }
        match &self.table {
            Some(table) if !table.is_brief() && !table.is_contended() => {}
            _ => self.leave_table(),
        }
        // What waits for RCU does not tell.
        self.rcu = None;
    }
}

/// The first address of the page behind the one that an address is in, `None` if there is none.
fn page_end(addr: usize) -> Option<usize> {
    (addr | (PAGE_SIZE - 1)).checked_add(1)
}
