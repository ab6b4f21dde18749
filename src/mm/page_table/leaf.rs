// SPDX-License-Identifier: GPL-2.0

//! The tables that map memory, and their locks.
//!
//! This is what `pte_offset_map_lock()` and `pmd_trans_huge_lock()` do for the kernel's own code;
//! neither is to be had for a module.

use core::ptr::NonNull;

use kernel::{
    bindings as c,
    mm::MmWithUser,
    sync::rcu, //
};

use super::{
    directory::Directory,
    entry::Leaf,
    frames::Frames,
    hugetlb::TablesLock,
    word::Upper,
    Area,
    Span, //
};
use crate::bindings;

/// A table has `1 << ENTRIES_SHIFT` entries, on each level.
const ENTRIES_SHIFT: u32 = c::PMD_SHIFT - c::PAGE_SHIFT;

/// A locked table with entries that map memory.
///
/// # Invariants
///
/// - `entries` is the first entry of a table that is part of the page table. The entry there of an
///   address that the table was locked for maps `1 << shift` bytes, or none.
/// - As long as this value exists that stays so, and such an entry is changed by nobody but this
///   value's owner and the processor.
pub(super) struct LeafTable {
    entries: NonNull<usize>,
    shift: u32,
    /// The bits of an address but those within what an entry maps.
    mask: usize,
    /// Declared before that of the tables because it is dropped in this order.
    lock: Lock,
    /// Of an area of hugetlbfs.
    tables: Option<TablesLock>,
}

impl LeafTable {
    /// Locks the table with the entry that maps an address, and thus with those of all addresses
    /// that have the same PMD entry. `None` if there is nothing that is mapped: the PMD entry is
    /// empty, or says where the memory has gone.
    ///
    /// # Safety
    ///
    /// The address must be one of the directory's, and in an area of `mm` that is locked, or the lock
    /// of a reverse mapping that the area is in be held. The result must not outlive this lock.
    pub(super) unsafe fn lock(
        mm: *mut c::mm_struct,
        directory: &Directory,
        frames: &Frames,
        addr: usize,
        _rcu: &rcu::Guard,
    ) -> Option<Self> {
        let pmd = directory.entry(addr);
        loop {
            // SAFETY: The caller promises that the directory is in place. Others may be changing the
            // entry.
            let value = unsafe { pmd.read_volatile() };
            match Upper::of(value.pmd) {
                Upper::Absent => return None,
                Upper::Table => {
                    // SAFETY: The entry pointed to a table when it was read. Whoever takes that away
                    // has RCU free it, and its lock, thus no earlier than our guard is dropped; but
                    // for a collapse of anonymous memory, which locks areas and the reverse mapping
                    // for writing before, which is excluded by either of our locks. We hold no lock
                    // of the page table yet.
                    let table = unsafe {
                        bindings::damon_rs_helper_pte_table_lock(mm, frames.table(value))
                    };
                    // INVARIANT: The helper has taken the lock.
                    let lock = Lock(table.lock);
                    // Whoever takes a leaf table away changes the PMD entry under the lock of the
                    // leaf table, or with area and reverse mapping locked for writing, which is
                    // excluded by either of our locks. If the entry is what it was, the table is
                    // still in place, and stays there until it is unlocked.
                    // SAFETY: As above.
                    if unsafe { pmd.read_volatile() }.pmd == value.pmd {
                        // INVARIANT: See above.
                        return Some(Self {
                            // SAFETY: The table is somewhere.
                            entries: unsafe { NonNull::new_unchecked(table.ptes.cast()) },
                            shift: c::PAGE_SHIFT,
                            mask: mask(c::PAGE_SHIFT),
                            lock,
                            tables: None,
                        });
                    }
                }
                // Transparent, for areas of hugetlbfs are not walked this way.
                Upper::Huge if cfg!(not(CONFIG_TRANSPARENT_HUGEPAGE)) => return None,
                Upper::Huge => {
                    let lock = directory.lock();
                    // SAFETY: The directory has an entry, so it is there, and with it the lock. We hold
                    // no lock of the page table yet.
                    unsafe { c::spin_lock(lock) };
                    // INVARIANT: Just taken.
                    let lock = Lock(lock);
                    // SAFETY: As above.
                    if matches!(Upper::of(unsafe { pmd.read_volatile() }.pmd), Upper::Huge) {
                        // INVARIANT: Huge entries are split, moved and removed under this lock.
                        return Some(Self {
                            entries: NonNull::new(directory.first().cast())?,
                            shift: c::PMD_SHIFT,
                            mask: mask(c::PMD_SHIFT),
                            lock,
                            tables: None,
                        });
                    }
                }
            }
        }
    }

    /// Locks the table with the entry of an address in an area of hugetlbfs whose pages have
    /// `1 << shift` bytes. `None` if there is no table. Says for which addresses that is so, the
    /// area's provided.
    ///
    /// Sleeps until whoever changes the area's tables is done.
    ///
    /// # Safety
    ///
    /// The area must be one of `mm`, and the result must not outlive its lock.
    pub(super) unsafe fn lock_hugetlb(
        mm: &MmWithUser,
        area: &Area<'_>,
        addr: usize,
        shift: u32,
    ) -> (Option<Self>, Span) {
        let span = Span::block(addr, shift.wrapping_add(ENTRIES_SHIFT));
        // SAFETY: The caller promises that the area stays locked. That it is one of hugetlbfs shows
        // in its having a size of pages.
        let tables = unsafe { TablesLock::new(area.as_ptr()) };
        let found = tables.and_then(|tables| {
            let (entry, spinlock) = tables.entry(mm, addr, shift)?;
            // SAFETY: With the area and its tables locked the table stays in place, and with it its
            // lock. We hold no other lock of the page table.
            unsafe { c::spin_lock(spinlock) };
            // INVARIANT: Just taken.
            let lock = Lock(spinlock);
            // INVARIANT: As above for the table, whose entries are changed under the spinlock.
            Some(Self {
                entries: NonNull::new(entry.wrapping_sub(index(addr, shift)))?,
                shift,
                mask: mask(shift),
                lock,
                tables: Some(tables),
            })
        });
        (found, span)
    }

    /// The entry of an address that the table was locked for.
    #[inline]
    pub(super) fn leaf(&self, addr: usize) -> Leaf {
        Leaf {
            entry: self.entries.as_ptr().wrapping_add(index(addr, self.shift)),
            start: addr & self.mask,
            mask: self.mask,
            hugetlb: self.tables.is_some(),
        }
    }

    /// Whether somebody may want what keeps it, and does not tell.
    pub(super) fn is_brief(&self) -> bool {
        self.tables.is_some()
    }

    /// Whether another thread waits for the lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The spinlock is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_spin_is_contended(self.lock.0) }
    }
}

/// The number that the entry of an address has in its table, where each maps `1 << shift` bytes.
#[inline]
fn index(addr: usize, shift: u32) -> usize {
    addr.wrapping_shr(shift) & ((1 << ENTRIES_SHIFT) - 1)
}

/// The bits of an address but those within a block of `1 << shift` bytes.
#[inline]
const fn mask(shift: u32) -> usize {
    usize::MAX.wrapping_shl(shift)
}

/// A locked spinlock of the page table.
///
/// # Invariants
///
/// The spinlock is valid, and this value owns it.
struct Lock(*mut c::spinlock_t);

impl Drop for Lock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the spinlock, and this value is gone afterwards.
        unsafe { c::spin_unlock(self.0) };
    }
}
